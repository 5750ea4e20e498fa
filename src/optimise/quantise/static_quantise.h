// Post-training static quantisation: weights as INT8, activations by calibrated scales, as pairs of
// QuantizeLinear and DequantizeLinear in the places where stock ONNX Runtime fuses them into
// integer kernels: one scale of input times weights is the bias's, activations are UINT8
// throughout, clips are left to saturation, and what only moves elements keeps its input's scale.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "optimise/quantise/calibration.h"
#include "optimise/quantise/rounding.h"

namespace skerry::optimise {

struct StaticOptions {
  RangeMethod method = RangeMethod::kMinMax;
  double percentile = 99.99;
  bool symmetric = false;    // zero point 128
  bool per_channel = true;   // of weights
  bool correct_bias = true;  // by the mean error that the rounded weights make
  bool seven_bits = false;   // of weights: for processors whose 8-bit products saturate (AVX2)
  std::set<std::string, std::less<>> keep_float = {};  // names of nodes
  const LayerProducts* products = nullptr;  // weights are rounded by these, not to the nearest
};

// Names of nodes with weights (Conv, Gemm, MatMul) that can be quantised, in order.
std::vector<std::string> quantisable_layers(const graph::Graph& graph);

// The number of layers with weights that became integer; the rest stays as it is. The graph has
// been through the passes, and `calibration` is of this graph.
Result<size_t> quantise_static(graph::Graph& graph, const Calibration& calibration,
                               const StaticOptions& options = {});

}  // namespace skerry::optimise
