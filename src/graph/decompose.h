// Operators as those that they are made of, for engines and operator sets that lack them.
#pragma once

#include "graph/graph.h"

namespace skerry::graph {

// Every Attention, subgraphs included, becomes products, Softmax and what is between them; the
// number of those that did. One stays where a size that its parts need is not known: that of a
// head, where the scale or a shape comes of it, or the numbers of heads that share. A row of a mask
// that allows nothing gives zeros still, so a mask that is not constant costs an IsNaN and a Where.
Result<size_t> decompose_attention(Graph& graph);

}  // namespace skerry::graph
