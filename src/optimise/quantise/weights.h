// Weights as integers.
#pragma once

#include "optimise/quantise/observer.h"
#include "optimise/rewrite.h"

namespace skerry::optimise {

// A layer with constant weights, and which axis of them is the output channel.
struct WeightedLayer {
  Node* node = nullptr;
  const Constant* weights = nullptr;
  size_t axis = 0;
  int64_t channels = 0;
};
// Conv, Gemm (alpha = beta = 1, no transA) and MatMul with FP32 weights of at least two dimensions.
std::optional<WeightedLayer> weighted_layer(Node& node);

// [outer][channel][inner] of an axis.
struct AxisSizes {
  size_t outer = 1, size = 1, inner = 1;
  size_t at(size_t element) const { return element / inner % size; }
};
AxisSizes axis_sizes(const std::vector<int64_t>& shape, size_t axis);

struct IntegerWeights {
  std::vector<float> scales;     // one, or one for each channel
  std::vector<int64_t> numbers;  // symmetric: the zero point is 0
  std::vector<double> error;     // what rounding adds to each element
};
// Into [-largest, largest].
IntegerWeights round_weights(const Constant& weights, size_t axis, bool per_channel,
                             int64_t largest);

// Of INT8.
Constant int8_constant(const std::vector<int64_t>& shape, const std::vector<int64_t>& numbers);

// Which of the layer's input channels an element of its weights is multiplied with.
size_t input_channel(const WeightedLayer& layer, size_t element);

}  // namespace skerry::optimise
