// Names that engines can live with.
#pragma once

#include "graph/graph.h"

namespace skerry::optimise {

// Nodes whose names others have too get names of their own: ONNX Runtime refuses a model where two
// have one. Passes name a node after what it makes and do not look further.
void name_nodes_apart(graph::Graph& graph);

}  // namespace skerry::optimise
