// From a graph to a program.
#pragma once

#include <memory>

#include "compile/interface.h"
#include "compile/program.h"

namespace skerry::compile {

// A graph with every shape known and its constants folded. kUnsupported names the node that the
// compiler cannot do. The calls of the steps may be asked for once plan() is done, while the
// program is where it was.
Result<std::unique_ptr<Program>> lower(const graph::Graph& graph, const Interface& interface,
                                       const Target& target, bool may_be_sparse = true);

}  // namespace skerry::compile
