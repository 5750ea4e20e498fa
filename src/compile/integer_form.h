// Quantised graphs to the form that has integers only between its ends.
#pragma once

#include "graph/graph.h"

namespace skerry::compile {

// Rewrites what stands between DequantizeLinear and QuantizeLinear:
//   Conv, Gemm, MatMul  → QLinearConv with scales of 1 for input and output and one FP32 factor for
//                         each channel, x·w/y rounded once; limits (Relu, Clip) → Clip of integers
//   Add                 → the same with the output's scale taken into both inputs'
//   average pools       → of integers, times one factor
//   maxima and movement → of integers, where both scales are the same
// and every 8-bit value but inputs and outputs becomes unsigned. What is computed differs from the
// graph as it was by the roundings of FP32 numbers only: at most one step, at ties. The result is
// what compiled models compute to the last bit. Number of rewritten places.
Result<size_t> to_integer_form(graph::Graph& graph);

}  // namespace skerry::compile
