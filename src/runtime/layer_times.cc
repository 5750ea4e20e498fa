// Events are added up by layer and run.
#include "runtime/layer_times.h"

#include <algorithm>
#include <numeric>

namespace skerry::runtime {

double middle_mean(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const auto aside = static_cast<std::ptrdiff_t>((values.size() + 1) / 4);
  const auto first = values.begin() + aside, last = values.end() - aside;
  return std::accumulate(first, last, 0.0) / static_cast<double>(last - first);
}

void LayerTimes::add(std::string_view name, std::string_view op, double us) {
  const auto [found, is_new] = places_.emplace(name, layers_.size());
  if (is_new) layers_.push_back({.name = std::string(name), .op = std::string(op)});
  layers_[found->second].now_us += us;
}

void LayerTimes::end_run() {
  for (Layer& layer : layers_) {
    if (runs_ > 0) layer.runs_us.push_back(layer.now_us);
    layer.now_us = 0;
  }
  ++runs_;
}

Result<std::vector<LayerTime>> LayerTimes::result() const {
  if (runs_ < 2) return fail(Code::kCorrupt, "a profile of fewer than two runs");
  std::vector<LayerTime> times;
  for (const Layer& layer : layers_) {
    times.push_back({layer.name, layer.op, middle_mean(layer.runs_us)});
  }
  return times;
}

}  // namespace skerry::runtime
