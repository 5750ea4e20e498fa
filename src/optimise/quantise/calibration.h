// Running a graph over data and looking at its values.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/graph.h"
#include "optimise/quantise/observer.h"

namespace skerry::optimise {

using Sample = std::vector<tensor::Tensor>;  // one for each input of a graph, by name

struct Calibration {
  std::unordered_map<std::string, Observer> values;  // FP32 ones of the outermost graph, by name
  const Observer* find(const graph::Value& value) const;
};

// `progress` is told how many samples are done. The same samples give the same result.
Result<Calibration> calibrate(const graph::Graph& graph, std::span<const Sample> samples,
                              const std::function<void(size_t)>& progress = {});

}  // namespace skerry::optimise
