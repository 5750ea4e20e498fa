// Quantised operators as real ones.
#pragma once

#include "graph/graph.h"

namespace skerry::compile {

// QLinearConv, QGemm and their like become their real operator between DequantizeLinear and
// QuantizeLinear, which is the one form that to_integer_form() looks for. Rounding becomes the
// usual one: to the nearest, ties to even, once; what "litert" kernels compute may be a step away.
Result<void> to_real_form(graph::Graph& graph);

}  // namespace skerry::compile
