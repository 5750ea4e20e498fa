// What a graph costs: multiply-accumulates, bytes, and the memory that its values need at once.
#pragma once

#include <map>
#include <string>

#include "graph/graph.h"

namespace skerry::graph {

struct NodeCost {
  const Node* node = nullptr;
  std::optional<int64_t> macs;         // absent where a shape is open; 0 for most operators
  std::optional<int64_t> input_bytes;  // of values that are computed
  std::optional<int64_t> output_bytes;
  int64_t parameter_bytes = 0;
  int64_t alive_bytes =
      0;  // of all values that are needed while it runs; open shapes count nothing
  // Multiply-accumulates for each byte read and written.
  std::optional<double> intensity() const;
};

struct Statistics {
  std::vector<NodeCost> nodes;  // in the graph's order; those of subgraphs are not in it
  std::map<std::string, size_t> operators;  // how many of each, subgraphs too
  int64_t parameters = 0;                   // elements of constants, each once
  int64_t parameter_bytes = 0;
  int64_t macs = 0;      // of the nodes whose shapes are known
  bool complete = true;  // every shape is known
  // The most that inputs, outputs and what is between need at one time, each freed after its last
  // reader, nothing in place.
  int64_t peak_activation_bytes = 0;
  const Node* peak_at = nullptr;
};

Statistics statistics_of(const Graph& graph);

// The same graph with open dimensions of its inputs set to `size`, as the costs of one run want it.
Result<std::unique_ptr<Graph>> with_open_dimensions(const Graph& graph, int64_t size);

}  // namespace skerry::graph
