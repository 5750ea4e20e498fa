// Types and shapes of all values, from those of the inputs; operators give their part as shape
// functions, which see one node through the class Inference.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <unordered_map>

#include "graph/operator.h"

namespace skerry::graph {

class Inference {
 public:
  // What is known of the values of an integer tensor; unknown entries where it is in part.
  using KnownValues = std::function<std::optional<std::vector<Dim>>(size_t input)>;
  using SubgraphTypes =
      std::function<Result<std::vector<Type>>(size_t subgraph, const std::vector<Type>& inputs)>;

  // `inputs`: null where one is absent.
  Inference(const Node& node, std::vector<const Type*> inputs, KnownValues known_values,
            SubgraphTypes subgraph_types = {});

  const Node& node() const { return node_; }
  size_t input_count() const { return inputs_.size(); }
  bool has(size_t input) const { return input < inputs_.size() && inputs_[input] != nullptr; }
  const Type& type(size_t input) const { return *inputs_[input]; }
  DataType element(size_t input) const { return inputs_[input]->element; }
  bool ranked(size_t input) const { return inputs_[input]->shape.has_value(); }
  const Shape& shape(size_t input) const { return *inputs_[input]->shape; }
  size_t rank(size_t input) const { return shape(input).size(); }
  std::optional<std::vector<Dim>> dims(size_t input) const;      // values in part
  std::optional<std::vector<int64_t>> ints(size_t input) const;  // values, all of them
  Result<std::vector<Type>> subgraph_types(size_t index, const std::vector<Type>& inputs) const {
    return subgraph_types_(index, inputs);
  }

  size_t output_count() const { return outputs_.size(); }
  bool wants(size_t output) const { return node_.output(output) != nullptr; }
  void set(size_t output, DataType element, std::optional<Shape> shape = {});
  std::vector<Type>& outputs() { return outputs_; }

  // These refuse with the node's name.
  Result<void> same_element(size_t first, size_t second) const;
  // 0 ≤ axis < rank from one that may count from the end.
  Result<size_t> axis(int64_t axis, size_t rank) const;
  template <class... Args>
  std::unexpected<Error> refuse(fmt::format_string<Args...> text, Args&&... args) const {
    return fail(Code::kInvalidArgument,
                node_.describe() + ": " + fmt::format(text, std::forward<Args>(args)...));
  }

 private:
  const Node& node_;
  std::vector<const Type*> inputs_;
  std::vector<Type> outputs_;
  KnownValues known_values_;
  SubgraphTypes subgraph_types_;
};

// Infers node by node; importers ask for each node as they make it, passes for a whole graph.
class TypeInference {
 public:
  // kInvalidArgument where the node's inputs do not go with its operator.
  Result<void> infer(Node& node);
  Result<void> infer(Graph& graph);  // all nodes in order, subgraphs too
  // The output of a new node in front of `node`, named after its operator.
  Result<Value*> add_before(Node& node, Op op, std::vector<Value*> inputs,
                            Attributes attributes = {});
  // What is known of an integer value.
  std::optional<std::vector<Dim>> known(const Value& value) const;

 private:
  Result<std::vector<Type>> infer_subgraph(Graph& graph, const std::vector<Type>& inputs);

  std::unordered_map<const Value*, std::vector<Dim>> known_;
};

}  // namespace skerry::graph
