// What layers take, of the single events that a runtime's profiler has written.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/runtime.h"

namespace skerry::runtime {

class LayerTimes {
 public:
  // Within a run; nodes of a loop's body run more than once.
  void add(std::string_view name, std::string_view op, double us);
  // The first run is not counted: it prepares.
  void end_run();
  // In the order in which they ran first. kCorrupt where fewer than two runs have ended.
  Result<std::vector<LayerTime>> result() const;

 private:
  struct Layer {
    std::string name, op;
    double now_us = 0;  // in this run
    std::vector<double> runs_us = {};
  };
  std::vector<Layer> layers_;
  std::map<std::string, size_t, std::less<>> places_;
  size_t runs_ = 0;  // that have ended
};

// The mean of the middle half: profilers count whole microseconds, and some runs are interrupted.
double middle_mean(std::vector<double> values);

}  // namespace skerry::runtime
