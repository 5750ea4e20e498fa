// Tuning a model for a target: which way each of its layers is fastest in.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "compile/interface.h"
#include "compile/target.h"
#include "compile/tuner.h"
#include "compile/tuning.h"
#include "graph/graph.h"

namespace skerry::compile {

struct TuneOptions {
  const Target* target = nullptr;
  InterfaceOptions interface = {};
  SearchOptions search = {};
  std::string ssh_host;  // where is measured; "": here
};

struct Tuned {
  Tuning tuning;  // of the model's layers
  SearchResult search;
  std::vector<LayerSpace> layers;  // as search.layers
  std::vector<LayerSizes> sizes;   // of each
};

// kUnsupported where this machine cannot run the target and no other is named, or the compiler
// cannot do the model; kFailedPrecondition names the package that brings the compiler.
Result<Tuned> tune(const graph::Graph& graph, const TuneOptions& options);

}  // namespace skerry::compile
