// Which layers lose most when they alone become integer: what mixed precision leaves in floats.
#pragma once

#include "optimise/quantise/static_quantise.h"

namespace skerry::optimise {

struct Sensitivity {
  std::string layer;
  double error = 0;  // of the outputs, root mean square relative to that of the float model's
};

// Worst first.
Result<std::vector<Sensitivity>> sensitivities(const graph::Graph& graph,
                                               const Calibration& calibration,
                                               std::span<const Sample> samples,
                                               const StaticOptions& options,
                                               const std::function<void(size_t)>& progress = {});

// Root mean square of b - a over all outputs, relative to that of a.
double relative_error(std::span<const tensor::Tensor> a, std::span<const tensor::Tensor> b);

}  // namespace skerry::optimise
