// One model in one engine over data: how fast, how much memory, how often right, how near to what
// another one answered. To be called in a process of its own: a model may take it down, and the
// memory is that of the process.
#pragma once

#include <string>

#include "optimise/measure/dataset.h"
#include "optimise/measure/engine.h"

namespace skerry::optimise {

struct MeasureOptions {
  double seconds = 0.2;  // of timed runs, after as long of warming up but for the first run
  size_t threads = 1;
  size_t rows = 0;           // of the data that are run for accuracy; 0: all
  std::string save_outputs;  // a file for the answers, .npy
  std::string expected;      // a file with those of another model, to compare with
  bool layers = false;       // by the engine's own profiler, from as long of runs of their own
};

struct Measurement {
  double load_ms = 0;
  double min_us = 0, median_us = 0, p90_us = 0;  // of one run
  size_t runs = 0;                               // that were timed
  uint64_t peak_bytes = 0;                       // of the process
  size_t rows = 0, correct = 0;                  // 0 correct where there are no labels
  size_t compared = 0, agreed = 0;               // rows whose largest score is at the same place
  double error = 0;  // root mean square difference from what was expected, relative to it
  std::vector<runtime::LayerTime> layers = {};  // in the order in which they run

  bool operator==(const Measurement&) const = default;
};

std::string to_json(const Measurement& measurement);
Result<Measurement> parse_measurement(std::string_view json);

// The first output is the one with the scores, the last dimension the classes.
Result<Measurement> measure(Engine& engine, const Dataset& data, const MeasureOptions& options);

// The share of `correct` in `rows` with the 95 % interval of Wilson (1927).
struct Share {
  double value = 0, lowest = 0, highest = 0;
};
Share share_of(size_t correct, size_t rows);

}  // namespace skerry::optimise
