// A training in rounds with devices that are made up in one process, on shares of real data: what a
// plan is worth before any device hears of it. Everything but the wire is what runs for real: the
// coordinator with its files, encoded updates, training on each device's own rows.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "federated/coordinator.h"
#include "learner/learner.h"

namespace skerry::learner {

using federated::Coding;
using federated::Plan;
using federated::RoundReport;

enum class Attack { kNone, kNan, kScale, kFlip };

struct Simulation {
  size_t devices = 20;
  std::string partition = "iid";  // or "shards=2", "dirichlet=0.5"
  double dropped = 0;             // probability that a device vanishes after it was asked
  size_t malicious = 0;           // devices that send what helps nobody
  Attack attack = Attack::kNone;
  Coding coding;  // of updates on their way
  uint64_t seed = 1;
  size_t threads = 1;
};

struct SimulatedRound {
  RoundReport report;
  double accuracy = 0, loss = 0;  // of the test data
  size_t vanished = 0;
};

struct SimulationResult {
  std::unique_ptr<graph::Graph> model;
  std::vector<SimulatedRound> rounds;  // attempts that failed have none
  double accuracy_before = 0, accuracy = 0, epsilon = 0;
  size_t vanished = 0, refused = 0, failed_attempts = 0;
  size_t parameters = 0, rows = 0, update_bytes = 0;
};

// Rows for each device: dealt out, in shards of rows sorted by label (McMahan et al., 2017), or by
// shares of each label drawn from a Dirichlet distribution (Hsu et al., 2019). kInvalidArgument for
// a partition that there is not.
Result<std::vector<std::vector<size_t>>> partition_rows(const std::vector<int64_t>& labels,
                                                        const Simulation& simulation);

struct SimulationInput {
  const graph::Graph* model = nullptr;
  const optimise::Dataset* training = nullptr;
  const optimise::Dataset* test = nullptr;
  Plan plan;
  LocalTraining local;
  optimise::EngineSpec engine;
  std::string directory;  // there already
};

// `noise` where privacy needs noise: seeded for a run that can be repeated.
Result<SimulationResult> simulate(const SimulationInput& input, const Simulation& simulation,
                                  io::Files& files, io::Random& noise,
                                  const std::function<void(const SimulatedRound&)>& on_round = {});

}  // namespace skerry::learner
