// From one model to the best of several: candidates are made, each is measured in each engine
// against the source, and the best one that stays within the budget wins; the source itself where
// none is better. Nothing is believed that was not measured.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "optimise/measure/measure.h"
#include "optimise/pass.h"

namespace skerry::optimise {

enum class Goal { kLatency, kSize, kMemory };

// A line for people, and which part of all is done.
using Progress = std::function<void(const std::string& line, double done)>;

// A candidate that somebody else has made: by training, for example.
struct MadeElsewhere {
  std::unique_ptr<graph::Graph> graph;
  std::string name, how;
  size_t integer_layers = 0;
};
using MakeMore = std::function<Result<std::vector<MadeElsewhere>>(const graph::Graph& optimised,
                                                                  const Progress& progress)>;

struct Candidate {
  std::string name;  // "int8-mse"
  std::string how;   // for people
  std::string path;
  uint64_t bytes = 0;
  size_t integer_layers = 0;
  bool exact = false;  // computes what the source does, up to the last bits
};

// The file that an engine reads of a candidate: its own, or one that is made of it for that engine.
// kUnsupported where the engine has no form for it.
using PrepareFunction =
    std::function<Result<std::string>(const Candidate& candidate, const EngineSpec& engine)>;

struct SearchOptions {
  Goal goal = Goal::kLatency;
  double max_accuracy_drop = 0.01;  // a share of the rows
  double tolerance = 1e-3;          // relative difference of a candidate that stays in floats
  std::vector<EngineSpec> engines;  // at least one; the first one's answers are what is expected
  size_t calibration_rows = 128;    // fewer for large models: the reference executor runs them
  size_t rounds = 3;                // of measuring, interleaved
  size_t rows = 0;                  // for accuracy; 0: all
  double seconds = 0.2;             // of each measurement
  uint64_t seed = 1;
  std::string directory;  // for candidates and what has been measured; there already
  MakeMore make_more = {};
  PrepareFunction prepare = {};  // absent: every engine reads the candidates as they are
};

// A candidate in an engine.
struct Trial {
  size_t candidate = 0;
  size_t engine = 0;
  std::string path;  // of the file that the engine reads; "" where there is none
  uint64_t bytes = 0;
  std::vector<double> minima_us, medians_us;     // one a round
  double min_us = 0, median_us = 0, spread = 0;  // of the minima: (largest − smallest) / smallest
  uint64_t peak_bytes = 0;
  std::optional<Share> accuracy;  // where there are labels
  double drop = 0;                // against the source; of agreement where there are no labels
  double error = 0;
  std::string refusal;  // why it cannot win; "" where it can
};

// An engine that is not there; it has no trials.
struct EngineRefusal {
  size_t engine = 0;
  std::string reason;
};

struct LayerReport {
  std::string name, op, output;  // the last is a type
  std::string value;             // name of the output
  std::optional<int64_t> macs;
  int64_t parameter_bytes = 0;
  int64_t alive_bytes = 0;            // of values needed while it runs
  std::optional<double> sensitivity;  // output error where this layer alone is integer
  std::optional<double> us;           // in the first engine, where that keeps the layer and says so
};

// Where the time of a trial goes, as the engine's own profiler measures it: layers that the engine
// has fused are one, and what it has put between them is there.
struct TimeProfile {
  size_t trial = 0;
  std::vector<runtime::LayerTime> layers = {};
  std::string refusal = {};  // why there are none
};

struct SearchResult {
  std::vector<Candidate> candidates;           // the source first
  std::vector<Trial> trials;                   // the source in the first engine first
  std::vector<EngineRefusal> missing_engines;  // never the first: without it there is no search
  size_t winner = 0;                           // a trial
  std::vector<PassReport> passes;
  std::vector<LayerReport> layers;
  std::vector<TimeProfile> profiles;  // of what passes alone make in the first engine, the winner
  std::string source_sha256, artifact_sha256, data_fingerprint;
  size_t calibration_rows = 0;
  bool labelled = false;
  double seconds = 0;
};

// In a process of its own, or wherever the caller likes. kUnavailable where the engine is not
// there: it is not asked again.
using MeasureFunction = std::function<Result<Measurement>(
    const std::string& path, const EngineSpec& engine, const MeasureOptions& options)>;

// What an interrupted run has measured is not measured again.
Result<SearchResult> search(const std::string& model, const Dataset& data,
                            const SearchOptions& options, const MeasureFunction& measure,
                            const Progress& progress = {});

std::string_view name_of(Goal goal);  // "latency"

}  // namespace skerry::optimise
