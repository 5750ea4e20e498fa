// Weights in fewer bits while everything computed stays as it is, and scales that are taken as the
// model runs: neither needs data.
#pragma once

#include "graph/graph.h"

namespace skerry::optimise {

enum class WeightFormat { kInt8, kInt4, kFp16 };

// Stores the FP32 weights of Conv, Gemm, MatMul and Gather that are larger than a few hundred
// bytes in another format, with what makes floats of them in front of the reader: INT8 by channel,
// INT4 by blocks of 32 along the inner dimension (Gemm and MatMul only, INT8 elsewhere).
// The number of constants changed.
Result<size_t> store_weights_as(graph::Graph& graph, WeightFormat format);

// Gemm and MatMul with constant matrices compute in integers, by a scale that each run takes from
// its input (DynamicQuantizeLinear, MatMulInteger). The number of layers changed.
Result<size_t> quantise_dynamic(graph::Graph& graph);

}  // namespace skerry::optimise
