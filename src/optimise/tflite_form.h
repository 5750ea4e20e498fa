// What TensorFlow Lite has a form for, of what our quantisers make.
#pragma once

#include "graph/graph.h"

namespace skerry::optimise {

// Pairs of QuantizeLinear and DequantizeLinear become operators of signed integers where there are
// such; where there are none, weights become floats.
Result<void> to_tflite_form(graph::Graph& graph);

}  // namespace skerry::optimise
