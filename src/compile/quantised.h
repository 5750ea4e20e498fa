// Looking at quantised values in a graph. Internal to this folder.
#pragma once

#include <optional>
#include <vector>

#include "graph/constant.h"
#include "graph/graph.h"

namespace skerry::compile {

// real = scale · (stored − zero), of 8-bit numbers, one pair for the whole tensor.
struct Scale {
  float scale = 1;
  int64_t zero = 0;
  tensor::DataType type = tensor::DataType::kUint8;

  int64_t stored(double real) const;  // rounded and limited
};
// Of a QuantizeLinear or DequantizeLinear; absent where it is not of constants, not of one pair, or
// not of 8 bits.
std::optional<Scale> scale_of(const graph::Node& node);

struct Limits {
  int64_t low, high;
};
Limits limits_of(tensor::DataType type);

std::optional<double> number_of(const graph::Value* value);  // of a constant of one number
std::optional<int64_t> zero_of(const graph::Value* value);   // of a constant of one integer

// The real numbers of an FP32 constant, or of an INT32 one that is dequantised.
std::optional<std::vector<double>> reals_of(const graph::Value* value);

// Weights as INT8 with a zero point of 0, and a scale for all or for each slice along `axis`.
struct SignedWeights {
  graph::Constant values;
  std::vector<float> scales;
};
// Of what dequantises a constant; absent where it has not that form.
std::optional<SignedWeights> signed_weights_of(const graph::Value* value, int64_t axis);

}  // namespace skerry::compile
