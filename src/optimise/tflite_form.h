// What TensorFlow Lite has a form for, of what our quantisers make.
#pragma once

#include "graph/graph.h"

namespace skerry::optimise {

// Batch normalisation goes into weights; pairs of QuantizeLinear and DequantizeLinear become
// operators of signed integers where there are such; weights of four bits and those with a scale
// for each block become floats.
Result<void> to_tflite_form(graph::Graph& graph);

}  // namespace skerry::optimise
