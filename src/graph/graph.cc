// Edges are kept from both ends: a node's inputs and the uses of their values change together.
#include "graph/graph.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "graph/operator.h"

namespace skerry::graph {
namespace {

void remove_use(std::vector<Use>& uses, const Use& use) {
  const auto found = std::ranges::find(uses, use);
  SKERRY_CHECK(found != uses.end(), "a use that its value does not know");
  uses.erase(found);
}

// Nodes of `graph` whose values `node` reads, itself or in a subgraph.
void collect_producers(const Node& node, const Graph& graph, std::vector<Node*>& producers) {
  for (const Value* input : node.inputs()) {
    if (input != nullptr && input->producer() != nullptr && &input->graph() == &graph) {
      producers.push_back(input->producer());
    }
  }
  for (const auto& subgraph : node.subgraphs()) {
    for (const auto& inner : subgraph->nodes()) collect_producers(*inner, graph, producers);
    for (const Value* output : subgraph->outputs()) {
      if (output->producer() != nullptr && &output->graph() == &graph) {
        producers.push_back(output->producer());
      }
    }
  }
}

}  // namespace

// --- Value --------------------------------------------------------------------------------------

bool Value::is_graph_output() const {
  return std::ranges::any_of(uses_, [](const Use& use) { return use.node == nullptr; });
}

void Value::replace_uses(Value& with) {
  if (this == &with) return;
  for (const Use& use : uses_) {
    (use.node != nullptr ? use.node->inputs_ : use.graph->outputs_)[use.index] = &with;
    with.uses_.push_back(use);
  }
  uses_.clear();
}

// --- Node ---------------------------------------------------------------------------------------

Node::Node(Graph& graph, Op op, std::string name)
    : graph_(&graph), op_(op), name_(std::move(name)) {}
Node::~Node() = default;

const Operator& Node::definition() const {
  return operator_of(op_);
}

std::string Node::describe() const {
  return fmt::format("{} '{}'", op_.name(), name_);
}

void Node::set_input(size_t index, Value* value) {
  if (index >= inputs_.size()) inputs_.resize(index + 1, nullptr);
  if (inputs_[index] != nullptr) {
    remove_use(inputs_[index]->uses_, {this, graph_, index});
  }
  inputs_[index] = value;
  if (value != nullptr) value->uses_.push_back({this, graph_, index});
}

const Attribute* Node::find(std::string_view name) const {
  const auto found = attributes_.find(name);
  if (found != attributes_.end()) return &found->second;
  const AttributeSpec* spec = definition().attribute(name);
  SKERRY_CHECK(spec != nullptr, "an attribute that the operator does not have");
  return spec->default_value ? &*spec->default_value : nullptr;
}

namespace {

template <class T>
const T& get(const Node& node, std::string_view name) {
  const Attribute* attribute = node.find(name);
  SKERRY_CHECK(attribute != nullptr && std::holds_alternative<T>(*attribute),
               "an attribute without a value, or of another type: the node was not verified");
  return std::get<T>(*attribute);
}

template <class T>
std::vector<T> list(const Node& node, std::string_view name) {
  return node.find(name) != nullptr ? get<std::vector<T>>(node, name) : std::vector<T>();
}

}  // namespace

int64_t Node::int_of(std::string_view name) const {
  return get<int64_t>(*this, name);
}
float Node::float_of(std::string_view name) const {
  return get<float>(*this, name);
}
const std::string& Node::string_of(std::string_view name) const {
  return get<std::string>(*this, name);
}
std::vector<int64_t> Node::ints_of(std::string_view name) const {
  return list<int64_t>(*this, name);
}
std::vector<float> Node::floats_of(std::string_view name) const {
  return list<float>(*this, name);
}
std::vector<std::string> Node::strings_of(std::string_view name) const {
  return list<std::string>(*this, name);
}

Graph& Node::add_subgraph() {
  subgraphs_.push_back(std::make_unique<Graph>());
  Graph& graph = *subgraphs_.back();
  graph.owner_ = this;
  graph.names_ = graph_->names_;
  return graph;
}

// --- Graph --------------------------------------------------------------------------------------

Graph::Graph() : names_(std::make_shared<Names>()) {}
Graph::~Graph() = default;

std::unique_ptr<Value> Graph::make_value(std::string_view wanted_name, Type type) {
  const std::string base(wanted_name.empty() ? "value" : wanted_name);
  std::string unique = base;
  while (names_->values.contains(unique)) {
    unique = fmt::format("{}_{}", base, ++names_->next_suffix[base]);
  }
  std::unique_ptr<Value> value(new Value(*this, std::move(unique), std::move(type)));
  names_->values.emplace(value->name_, value.get());
  return value;
}

Value& Graph::add_input(std::string_view wanted_name, Type type) {
  inputs_.push_back(make_value(wanted_name, std::move(type)));
  return *inputs_.back();
}

Value& Graph::add_constant(std::string_view wanted_name, Constant constant) {
  constants_.push_back(make_value(wanted_name, constant.value_type()));
  constants_.back()->constant_ = std::move(constant);
  return *constants_.back();
}

Node& Graph::add_node(NodeSpec spec, const Node* before) {
  const auto at = before != nullptr ? before->position_ : nodes_.end();
  const auto position =
      nodes_.insert(at, std::unique_ptr<Node>(new Node(*this, spec.op, std::move(spec.name))));
  Node& node = **position;
  node.position_ = position;
  node.attributes_ = std::move(spec.attributes);
  for (size_t i = 0; i < spec.inputs.size(); ++i) node.set_input(i, spec.inputs[i]);
  for (size_t i = 0; i < spec.outputs.size(); ++i) {
    node.outputs_.emplace_back();
    if (spec.outputs[i].empty()) continue;
    node.outputs_[i] = make_value(spec.outputs[i], {});
    node.outputs_[i]->producer_ = &node;
    node.outputs_[i]->index_ = i;
    if (node.name_.empty()) node.name_ = node.outputs_[i]->name();  // which nothing else has
  }
  return node;
}

Value& Graph::add(Op op, std::vector<Value*> inputs, Attributes attributes,
                  std::string_view output_name) {
  std::string output(output_name.empty() ? op.name() : output_name);
  return *add_node({.op = op,
                    .inputs = std::move(inputs),
                    .outputs = {output},
                    .attributes = std::move(attributes)})
              .output(0);
}

void Graph::add_output(Value& value) {
  value.uses_.push_back({nullptr, this, outputs_.size()});
  outputs_.push_back(&value);
}

void Graph::set_output(size_t index, Value& value) {
  remove_use(outputs_[index]->uses_, {nullptr, this, index});
  outputs_[index] = &value;
  value.uses_.push_back({nullptr, this, index});
}

void Graph::swap_names(Value& a, Value& b) {
  std::swap(a.name_, b.name_);
  names_->values[a.name_] = &a;
  names_->values[b.name_] = &b;
}

void Graph::remove_output(size_t index) {
  for (size_t i = index; i < outputs_.size(); ++i) {
    remove_use(outputs_[i]->uses_, {nullptr, this, i});
    if (i > index) outputs_[i]->uses_.push_back({nullptr, this, i - 1});
  }
  outputs_.erase(outputs_.begin() + static_cast<std::ptrdiff_t>(index));
}

std::vector<Value*> Graph::take_subgraph(Node& node, size_t subgraph) {
  SKERRY_CHECK(node.graph_ == this, "a subgraph of another graph's node");
  Graph& from = *node.subgraphs_[subgraph];
  SKERRY_CHECK(from.inputs_.empty(), "a subgraph with inputs is more than its nodes");
  for (size_t i = 0; i < from.outputs_.size(); ++i) {
    remove_use(from.outputs_[i]->uses_, {nullptr, &from, i});
  }
  for (auto& constant : from.constants_) {
    constant->graph_ = this;
    constants_.push_back(std::move(constant));
  }
  from.constants_.clear();
  for (const auto& each : from.nodes_) {
    each->graph_ = this;
    for (const auto& output : each->outputs_) {
      if (output) output->graph_ = this;
    }
    for (size_t i = 0; i < each->inputs_.size(); ++i) {
      if (each->inputs_[i] == nullptr) continue;
      std::ranges::replace(each->inputs_[i]->uses_, Use{each.get(), &from, i},
                           Use{each.get(), this, i});
    }
  }
  nodes_.splice(node.position_, from.nodes_);  // their iterators stay
  return std::exchange(from.outputs_, {});
}

void Graph::erase(Node& node) {
  for (size_t i = 0; i < node.inputs_.size(); ++i) node.set_input(i, nullptr);
  for (const auto& subgraph : node.subgraphs_) {
    for (size_t i = 0; i < subgraph->outputs_.size(); ++i) {
      remove_use(subgraph->outputs_[i]->uses_, {nullptr, subgraph.get(), i});
    }
    subgraph->outputs_.clear();
    while (!subgraph->nodes_.empty()) subgraph->erase(*subgraph->nodes_.back());
    for (const auto& value : subgraph->inputs_) names_->values.erase(value->name_);
    for (const auto& value : subgraph->constants_) names_->values.erase(value->name_);
  }
  for (const auto& output : node.outputs_) {
    if (!output) continue;
    SKERRY_CHECK(output->uses_.empty(), "erased a node whose output is in use");
    names_->values.erase(output->name_);
  }
  nodes_.erase(node.position_);
}

void Graph::erase(Value& input_or_constant) {
  SKERRY_CHECK(input_or_constant.uses_.empty(), "erased a value that is in use");
  names_->values.erase(input_or_constant.name_);
  auto& list = input_or_constant.constant_ ? constants_ : inputs_;
  std::erase_if(list, [&](const auto& value) { return value.get() == &input_or_constant; });
}

Value* Graph::find(std::string_view value_name) const {
  const auto found = names_->values.find(std::string(value_name));
  return found == names_->values.end() ? nullptr : found->second;
}

Result<void> Graph::sort() {
  std::unordered_map<const Node*, size_t> waits_for;
  std::unordered_map<const Node*, std::vector<Node*>> readers;
  std::vector<Node*> producers;
  std::vector<Node*> ready;
  for (const auto& node : nodes_) {
    producers.clear();
    collect_producers(*node, *this, producers);
    waits_for[node.get()] = producers.size();
    for (Node* producer : producers) readers[producer].push_back(node.get());
    if (producers.empty()) ready.push_back(node.get());
  }
  std::list<std::unique_ptr<Node>> sorted;
  for (size_t i = 0; i < ready.size(); ++i) {
    sorted.splice(sorted.end(), nodes_, ready[i]->position_);
    for (Node* reader : readers[ready[i]]) {
      if (--waits_for[reader] == 0) ready.push_back(reader);
    }
  }
  if (nodes_.empty()) {
    nodes_ = std::move(sorted);
    return {};
  }
  const std::string stuck = nodes_.front()->describe();
  nodes_.splice(nodes_.begin(), sorted);
  return fail(Code::kInvalidArgument, stuck + " waits for its own output: the graph has a cycle");
}

void Graph::copy_into(Graph& copy, std::unordered_map<const Value*, Value*>& copies) const {
  copy.name = name;
  for (const auto& input : inputs_) {
    copies[input.get()] = &copy.add_input(input->name_, input->type_);
  }
  for (const auto& constant : constants_) {
    copies[constant.get()] = &copy.add_constant(constant->name_, *constant->constant_);
    copies[constant.get()]->set_type(constant->type_);
  }
  for (const auto& node : nodes_) {
    NodeSpec spec{.op = node->op_, .name = node->name_, .attributes = node->attributes_};
    for (const Value* input : node->inputs_) {
      spec.inputs.push_back(input == nullptr ? nullptr : copies.at(input));
    }
    for (const auto& output : node->outputs_) {
      spec.outputs.push_back(output ? output->name_ : "");
    }
    Node& made = copy.add_node(std::move(spec));
    for (size_t i = 0; i < node->outputs_.size(); ++i) {
      if (!node->outputs_[i]) continue;
      copies[node->outputs_[i].get()] = made.output(i);
      made.output(i)->set_type(node->outputs_[i]->type_);
    }
    for (const auto& subgraph : node->subgraphs_) {
      subgraph->copy_into(made.add_subgraph(), copies);
    }
  }
  for (const Value* output : outputs_) copy.add_output(*copies.at(output));
}

std::unique_ptr<Graph> Graph::clone() const {
  auto copy = std::make_unique<Graph>();
  std::unordered_map<const Value*, Value*> copies;
  copy_into(*copy, copies);
  return copy;
}

}  // namespace skerry::graph
