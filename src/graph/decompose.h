// Operators as those that they are made of, for engines and operator sets that lack them.
#pragma once

#include "graph/graph.h"

namespace skerry::graph {

// Every Attention, subgraphs included, becomes products, Softmax and what is between them; the
// number of those that did. One stays where a size that its parts need is not known: that of a
// head, where the scale or a shape comes of it, or the numbers of heads that share. A row of a mask
// that allows nothing gives zeros still, so a mask that is not constant costs an IsNaN and a Where.
Result<size_t> decompose_attention(Graph& graph);

// QLinear operators, Clip, MaxPool and Relu of INT16, subgraphs included, become floats between
// DequantizeLinear and QuantizeLinear, or casts: stock ONNX has them of 8 bits only. At most one
// step of the result off, four of a Softmax by LiteRT's tables. One stays where its bias or the
// scales of that are not constant.
Result<size_t> decompose_int16(Graph& graph);
bool has_int16_operators(const Graph& graph);

}  // namespace skerry::graph
