// The intermediate representation of models: a graph of operators over values, each assigned once.
//
//   Graph ── inputs, constants ──► Value ◄── outputs ── Node ── subgraphs (If, Loop, Scan) ──►
//   Graph
//
// A value knows what makes it and every place that reads it, so that rewriting is local: make new
// nodes, replace_uses(), erase what nobody reads. Nodes of a subgraph read values of the graphs
// around it directly. Iterating over nodes() is a topological order; whoever breaks it while
// rewriting calls sort(). Values and nodes stay where they are in memory until erased. Names are
// unique in a graph with all its subgraphs. graph/verify.h checks all of this.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "graph/constant.h"
#include "graph/op.h"
#include "graph/shape.h"

namespace skerry::graph {

class Graph;
class Node;
struct Operator;
using tensor::DataType;

using Attribute = std::variant<int64_t, float, std::string, std::vector<int64_t>,
                               std::vector<float>, std::vector<std::string>, DataType, Constant>;
using Attributes = std::map<std::string, Attribute, std::less<>>;

// A place that reads a value: input `index` of a node, or (`node` null) output `index` of a graph.
struct Use {
  Node* node = nullptr;
  Graph* graph = nullptr;  // the graph that the place is in
  size_t index = 0;
  bool operator==(const Use&) const = default;
};

class Value {
 public:
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;

  const std::string& name() const { return name_; }
  const Type& type() const { return type_; }
  void set_type(Type type) { type_ = std::move(type); }
  Graph& graph() const { return *graph_; }
  Node* producer() const { return producer_; }    // null: an input or a constant
  size_t output_index() const { return index_; }  // of the producer
  const Constant* constant() const { return constant_ ? &*constant_ : nullptr; }
  const std::vector<Use>& uses() const { return uses_; }
  bool is_graph_output() const;

  // Everything that reads this value reads `with` from now on.
  void replace_uses(Value& with);

 private:
  friend class Graph;
  friend class Node;
  Value(Graph& graph, std::string name, Type type)
      : graph_(&graph), name_(std::move(name)), type_(std::move(type)) {}

  Graph* graph_;
  std::string name_;
  Type type_;
  std::optional<Constant> constant_;
  Node* producer_ = nullptr;
  size_t index_ = 0;
  std::vector<Use> uses_;
};

class Node {
 public:
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  Op op() const { return op_; }
  const Operator& definition() const;
  const std::string& name() const { return name_; }
  std::string describe() const;  // "Conv 'features.0'", for messages
  Graph& graph() const { return *graph_; }

  // An optional input or output that is not there is null; so is every one behind the last.
  const std::vector<Value*>& inputs() const { return inputs_; }
  Value* input(size_t index) const { return index < inputs_.size() ? inputs_[index] : nullptr; }
  void set_input(size_t index, Value* value);
  std::span<const std::unique_ptr<Value>> outputs() const { return outputs_; }
  Value* output(size_t index) const {
    return index < outputs_.size() ? outputs_[index].get() : nullptr;
  }

  const Attributes& attributes() const { return attributes_; }
  void set_attribute(std::string_view name, Attribute value) {
    attributes_.insert_or_assign(std::string(name), std::move(value));
  }
  // What is set, or the operator's default; null where there is neither.
  const Attribute* find(std::string_view name) const;
  int64_t int_of(std::string_view name) const;  // these three: set, or with a default
  float float_of(std::string_view name) const;
  const std::string& string_of(std::string_view name) const;
  std::vector<int64_t> ints_of(std::string_view name) const;  // these: empty where it is not set
  std::vector<float> floats_of(std::string_view name) const;
  std::vector<std::string> strings_of(std::string_view name) const;

  // In the order of the operator's definition, which names them.
  const std::vector<std::unique_ptr<Graph>>& subgraphs() const { return subgraphs_; }
  Graph& add_subgraph();

 private:
  friend class Graph;
  friend class Value;
  Node(Graph& graph, Op op, std::string name);

  Graph* graph_;
  Op op_;
  std::string name_;
  std::vector<Value*> inputs_;
  std::vector<std::unique_ptr<Value>> outputs_;
  Attributes attributes_;
  std::vector<std::unique_ptr<Graph>> subgraphs_;
  std::list<std::unique_ptr<Node>>::iterator position_;
};

// What a node is made from.
struct NodeSpec {
  Op op;
  std::string name = {};
  std::vector<Value*> inputs = {};
  std::vector<std::string> outputs = {};  // names; "" for an optional one that is not there
  Attributes attributes = {};
};

class Graph {
 public:
  Graph();
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  std::string name;
  Node* owner() const { return owner_; }  // whose subgraph this is; null for a whole model

  const std::vector<std::unique_ptr<Value>>& inputs() const { return inputs_; }
  const std::vector<std::unique_ptr<Value>>& constants() const { return constants_; }
  const std::vector<Value*>& outputs() const { return outputs_; }
  const std::list<std::unique_ptr<Node>>& nodes() const { return nodes_; }

  // Where a wanted name is taken (or empty), a similar one is made.
  Value& add_input(std::string_view wanted_name, Type type);
  Value& add_constant(std::string_view wanted_name, Constant constant);
  // At the end, or before `before`.
  Node& add_node(NodeSpec spec, const Node* before = nullptr);
  // The only output of a new node.
  Value& add(Op op, std::vector<Value*> inputs, Attributes attributes = {},
             std::string_view output_name = {});
  void add_output(Value& value);
  void set_output(size_t index, Value& value);
  void remove_output(size_t index);
  // A value that takes another's place takes its name too, where callers know that name.
  void swap_names(Value& a, Value& b);
  // Moves what a subgraph without inputs is made of before its node; what were its outputs.
  std::vector<Value*> take_subgraph(Node& node, size_t subgraph);
  // Nobody may read what goes.
  void erase(Node& node);
  void erase(Value& input_or_constant);

  // A value of this graph or of any in the same tree; null where there is none.
  Value* find(std::string_view value_name) const;

  // Puts the nodes into topological order (stable); kInvalidArgument names one on a cycle.
  Result<void> sort();
  std::unique_ptr<Graph> clone() const;  // of a whole model

 private:
  friend class Value;
  friend class Node;
  struct Names {
    std::unordered_map<std::string, Value*> values;
    std::unordered_map<std::string, size_t> next_suffix;  // of names that were wanted twice
  };
  std::unique_ptr<Value> make_value(std::string_view wanted_name, Type type);
  void copy_into(Graph& copy, std::unordered_map<const Value*, Value*>& copies) const;

  std::shared_ptr<Names> names_;  // one for a graph and all its subgraphs
  Node* owner_ = nullptr;
  std::vector<std::unique_ptr<Value>> inputs_;
  std::vector<std::unique_ptr<Value>> constants_;
  std::vector<Value*> outputs_;
  std::list<std::unique_ptr<Node>> nodes_;
};

}  // namespace skerry::graph
