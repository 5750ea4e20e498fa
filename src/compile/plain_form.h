// Operators that are made of others (normalisations, recurrent cells, transposed convolutions,
// resizing, …) as those others, for which there are kernels or loops.
#pragma once

#include "graph/graph.h"

namespace skerry::compile {

// `graph` has constant shapes. What has no such form stays as it is.
Result<void> to_plain_form(graph::Graph& graph);

}  // namespace skerry::compile
