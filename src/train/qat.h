// Quantisation-aware training: a model with integers becomes one in floats that rounds as it does
// and can be trained, and what has been learned goes back into the integers.
//
//   Rounding lets gradients through (straight-through estimator, Bengio et al., 2013); scales are
//   learned with the weights (LSQ, Esser et al., 2020), as their logarithms, so that they stay
//   positive and a step changes each in proportion.
#pragma once

#include <memory>

#include "train/builder.h"

namespace skerry::train {

// `quantised` has pairs of QuantizeLinear and DequantizeLinear and dequantised constants, as
// optimise::quantise_static() makes them from `source`, whose weights are taken where it has them
// by name. kUnsupported where it has other quantised operators.
Result<std::unique_ptr<Graph>> trainable(const Graph& quantised, const Graph& source);

// `quantised` with weights, biases and scales of `trained`, which trainable() made of it. The scale
// of a bias is that of its input times that of its weights, so that runtimes still fuse.
Result<std::unique_ptr<Graph>> quantised_again(const Graph& quantised, const Graph& trained);

}  // namespace skerry::train
