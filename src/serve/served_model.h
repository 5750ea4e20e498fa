// A model ready to answer: loaded from its package, proven to keep the package's contract, tried
// out.
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "formats/model_counts.h"
#include "formats/model_package.h"
#include "runtime/runtimes.h"
#include "serve/drift_watch.h"
#include "serve/model_trials.h"
#include "serve/stats.h"
#include "serve/watchdog.h"
#include "serve/workers.h"

namespace skerry::serve {

// What inferences took, by their inputs' shapes.
class CostTable {
 public:
  void note(uint64_t shapes, int64_t ns);
  // The shorter one of the last two runs: one long run may have been interrupted by the rest of the
  // machine, two are the model. The largest number where these shapes were never seen.
  int64_t expected_ns(uint64_t shapes) const;

 private:
  static constexpr size_t kMaxShapes = 64;
  struct Runs {
    int64_t last_ns = std::numeric_limits<int64_t>::max();
    int64_t before_ns = std::numeric_limits<int64_t>::max();
  };
  std::unordered_map<uint64_t, Runs> runs_;
};

struct RequestQueue;

struct ServedModel {
  std::string name;
  std::string version;
  std::string runtime;
  std::string directory;  // the package
  // The contract: what callers may rely on. The model itself may accept more.
  std::vector<tensor::TensorSpec> inputs;
  std::vector<tensor::TensorSpec> outputs;
  std::vector<std::string> output_names;
  std::string key;                                 // of the package
  std::shared_ptr<const Activity::Slot> activity;  // null where nobody counts crashes
  std::unique_ptr<runtime::Model> model;
  runtime::Capabilities capabilities;
  std::string runtime_version;

  std::optional<formats::ModelScores> scores;
  std::optional<formats::ModelBatching> batching;
  std::vector<std::string> finite;  // outputs that must be
  int64_t max_inference_ms = 0;     // 0: what the service says

  // On the loop's thread only:
  ModelStats stats;
  std::shared_ptr<formats::ModelCounts> counts;  // since the last summary (summaries.h)
  std::unique_ptr<DriftWatch> drift;             // where the package has a reference.json
  CostTable costs;
  Watchdog watchdog;
  bool told_of_fault = false;           // in the log
  size_t in_flight = 0;                 // on threads or waiting for one
  size_t hung = 0;                      // that do not end
  uint64_t last_used = 0;               // higher than that of models that were used before
  std::unique_ptr<Workers> workers;     // its own; made when first needed
  std::shared_ptr<RequestQueue> queue;  // in front of them (scheduler.h); likewise
};

// Shared by the repository and the requests in flight: a version that was replaced lives until its
// last request has ended.
using ServedModelPtr = std::shared_ptr<ServedModel>;

// What stands for the inputs' shapes in a CostTable; 0 where the time may depend on more.
uint64_t shapes_key(std::span<const tensor::Tensor> inputs);

// A package of which only model.json has been read.
struct InspectedPackage {
  PackageId id;
  std::string directory;
  formats::ModelPackage manifest;
  runtime::AvailableRuntimePtr runtime;
  uint64_t size_bytes = 0;  // of its files
};

// Those whose library may still be loaded (Runtimes::find).
std::vector<runtime::AvailableRuntimePtr> usable_runtimes(const runtime::Runtimes& runtimes);

// kUnsupported where the program has no such runtime. Its library is not loaded.
Result<InspectedPackage> inspect_package(const runtime::Runtimes& runtimes, const std::string& name,
                                         const std::string& directory);

// Loads the package, slowly: reads the model's files while hashing them, loads them, compares the
// model with the contract and tries it out. Not on the loop; touches nothing that it is not given,
// so that it can be left behind. Every error says what in the package to put right.
Result<std::unique_ptr<ServedModel>> stage_model(
    const InspectedPackage& package, const runtime::LoadOptions& options,
    const std::stop_token& stop, std::shared_ptr<const Activity::Slot> activity = nullptr);

// Whether every request that `served` takes is answered by `next` in the same form: same inputs and
// outputs by name and type; inputs at least as permissive, outputs within what was promised.
Result<void> check_replaces(const ServedModel& served, const ServedModel& next);

}  // namespace skerry::serve
