// Whether a graph is what graph/graph.h promises; importers and the runner of passes ask.
#pragma once

#include "graph/graph.h"

namespace skerry::graph {

// One node against its operator: inputs, outputs, attributes, subgraphs, element types.
Result<void> check_signature(const Node& node);

// The whole: signatures, values read before they are made or out of their scope, edges that only
// one end knows. kInvalidArgument names the node.
Result<void> verify(const Graph& graph);

}  // namespace skerry::graph
