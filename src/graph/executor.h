// The reference executor: plain loops, one node after the other. It defines what a graph means; it
// is not fast.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>

#include "graph/evaluation.h"
#include "graph/graph.h"

namespace skerry::graph {

struct ExecutorOptions {
  bool as_fp64 = false;  // every FP32 value is computed and kept in double
  uint64_t max_tensor_bytes = uint64_t{2} << 30;
  // Called for each output of each node of the outermost graph as it is computed.
  std::function<void(const Value&, const Array&)> observe = {};
};

class Executor {
 public:
  // `graph` has been verified, outlives this and does not change.
  explicit Executor(const Graph& graph, ExecutorOptions options = {});
  // Inputs by name; outputs in the graph's order. kInvalidArgument where the inputs are not the
  // graph's, or where values make an operator impossible (an index out of range).
  Result<std::vector<tensor::Tensor>> run(std::span<const tensor::TensorView> inputs);

 private:
  using Shared = std::shared_ptr<const Array>;

  void prepare(const Graph& graph);
  Shared widened(Array array) const;
  Result<std::vector<Shared>> run_graph(const Graph& graph, std::vector<Shared> inputs);
  Result<void> run_node(const Node& node);
  Result<void> evaluate(Evaluation& evaluation);

  const Graph& graph_;
  ExecutorOptions options_;
  std::unordered_map<const Value*, Shared> constants_;
  std::unordered_map<const Value*, const Node*> last_reader_;  // in the value's own graph
  std::unordered_map<const Value*, Shared> values_;
};

}  // namespace skerry::graph
