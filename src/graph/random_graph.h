// Random valid graphs, for tests of everything that reads, changes or compiles one:
//
//   auto graph = random_graph(seed);
//   auto inputs = random_inputs(*graph, seed);
//   if (!holds(*graph)) print(to_text(*shrunk(*graph, [&](const Graph& g) { return !holds(g); })));
//
// The same seed and options give the same graph, on every machine. Sizes are small, so that the
// reference executor takes about a millisecond. A new operator becomes a row of graph/random/.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "graph/graph.h"

namespace skerry::graph {

struct RandomGraphOptions {
  size_t nodes = 12;  // about so many
  // Every operator is a continuous function of its inputs, and values stay in a moderate range, so
  // that two right implementations differ by little: no rounding, quantisation, comparisons.
  bool continuous = true;
  bool open_batch = true;  // the first dimension of an input may be open ("batch")
  bool subgraphs = true;   // If, Loop, Scan
  bool wide = false;  // layers make 16 to 24 channels instead of few: weights worth compressing
  // Operators that may be in the graph; absent: all that the generator knows.
  std::function<bool(Op)> allows = {};
};

std::unique_ptr<Graph> random_graph(uint64_t seed, const RandomGraphOptions& options = {});

// A tensor for each input of `graph`, in its order. Open dimensions are `open_size`.
std::vector<tensor::Tensor> random_inputs(const Graph& graph, uint64_t seed, int64_t open_size = 2);

// A smaller graph that still fails, found by taking away outputs, nodes and what feeds them. The
// graph that `fails` is asked about is verified; it may have other inputs than the first.
std::unique_ptr<Graph> shrunk(const Graph& graph, const std::function<bool(const Graph&)>& fails);

}  // namespace skerry::graph
