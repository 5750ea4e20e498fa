// Cross-layer equalisation: where a convolution's channels have very different ranges, one scale
// for all of them wastes most integers. A factor on a channel that the next layer takes back gives
// both the same range (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
// Correction", ICCV 2019).
#pragma once

#include "graph/graph.h"

namespace skerry::optimise {

// Conv or Gemm, at most a Relu, and Conv or Gemm with weights of its own; again until it changes
// little. The graph computes the same. The number of pairs.
Result<size_t> equalise(graph::Graph& graph);

}  // namespace skerry::optimise
