// Passes: each takes a graph to one that computes the same, and is one row of a table that people
// can read, in the order in which they run.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace skerry::optimise {

struct Pass {
  std::string_view name;  // "fold-batch-norm"
  std::string_view what;  // one line for people
  // Number of places changed. The interface stays: names and types of inputs and outputs.
  Result<size_t> (*run)(graph::Graph& graph);
  bool by_default = true;
};

// The table, in order.
std::span<const Pass> passes();

struct PassOptions {
  std::vector<std::string> also;     // that are off by default
  std::vector<std::string> without;  // that are on
  std::vector<std::string> only;     // these and no others, where it is not empty
};

// What one pass did, over all rounds.
struct PassReport {
  std::string_view name;
  std::string_view what;
  size_t changes = 0;
  double ms = 0;
  int64_t nodes_removed = 0;  // negative: added
  int64_t bytes_removed = 0;  // of constants
};

// Runs the passes that are on, in rounds until nothing changes, and looks at the graph after each
// that changed something: it is verified, its types are inferred again, its interface is compared.
// kInvalidArgument for a name that no pass has; kInternal names the pass that broke the graph.
Result<std::vector<PassReport>> run_passes(graph::Graph& graph, const PassOptions& options = {},
                                           std::span<const Pass> table = passes());

}  // namespace skerry::optimise
