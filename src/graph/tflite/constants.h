// Weights as they have to be for a graph: dense, and with channels where ONNX has them.
#pragma once

#include "graph/tflite/schema.h"

namespace skerry::graph::tflite {

// The dense tensor that a sparse one stands for; kCorrupt where its tables do not add up,
// kResourceExhausted above `max_bytes`.
Result<Constant> densified(const TensorTable& tensor, DataType type,
                           std::span<const std::byte> bytes, uint64_t max_bytes);

// Dimension i of the result is dimension order[i]; `order` has as many numbers as dimensions.
Result<Constant> permuted_constant(const Constant& constant, const std::vector<int64_t>& order);

}  // namespace skerry::graph::tflite
