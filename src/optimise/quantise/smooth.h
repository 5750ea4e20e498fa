// SmoothQuant: channels of activations that are far larger than the others, as encoders have them
// behind their normalisations, are divided by a factor that the weights behind take over, so that
// both are easy to quantise (Xiao et al., "SmoothQuant", ICML 2023).
#pragma once

#include "optimise/quantise/calibration.h"

namespace skerry::optimise {

// LayerNormalization with constant scale that only Gemm and MatMul with weights read. `strength`
// (alpha): 0 leaves all of it to the activations, 1 to the weights. The graph computes the same;
// `calibration` is not valid for it any more. The number of normalisations.
Result<size_t> smooth(graph::Graph& graph, const Calibration& calibration, double strength = 0.5);

}  // namespace skerry::optimise
