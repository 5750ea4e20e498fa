// Nodes and constants that nobody reads.
#include "optimise/passes/passes.h"

namespace skerry::optimise {

Result<size_t> eliminate_dead_code(Graph& graph) {
  return sweep(graph);
}

}  // namespace skerry::optimise
