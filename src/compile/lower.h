// From a graph to a program.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "compile/interface.h"
#include "compile/program.h"

namespace skerry::compile {

// By layer, as Choice has it.
using WaysByLayer = std::map<std::string, Way, std::less<>>;

struct LowerOptions {
  bool may_be_sparse = true;  // weights of zero may be left out
  int64_t max_threads = 1;    // of a run: steps that can be shared have memory for as many shares
  const WaysByLayer* ways = nullptr;  // in place of the usual ones, where a layer has them
};

// A graph with every shape known and its constants folded. kUnsupported names the node that the
// compiler cannot do. The calls of the steps may be asked for once plan() is done, while the
// program is where it was.
Result<std::unique_ptr<Program>> lower(const graph::Graph& graph, const Interface& interface,
                                       const Target& target, const LowerOptions& options = {});

}  // namespace skerry::compile
