// Nodes in the place of others.
#include "compile/rewriting.h"

#include "graph/evaluation.h"

namespace skerry::compile {

Value* Maker::make(graph::Op op, std::vector<Value*> inputs, graph::Attributes attributes) {
  Node& made =
      graph_.add_node({.op = op,
                       .name = node_.name(),
                       .inputs = std::move(inputs),
                       .outputs = {node_.output(0) == nullptr ? "" : node_.output(0)->name()},
                       .attributes = std::move(attributes)},
                      &node_);
  return made.output(0);
}

Value* Maker::ints(const std::vector<int64_t>& values) {
  return constant(Constant::of_ints(values));
}

Value* Maker::number(float value) {
  return constant(Constant::of_float(value));
}

Value* Maker::floats(const std::vector<int64_t>& shape, const std::vector<float>& values) {
  return constant(Constant::of(DataType::kFp32, shape, values));
}

Value* Maker::reshape(Value* value, const std::vector<int64_t>& shape) {
  return make("Reshape", {value, ints(shape)});
}

Value* Maker::slice(Value* value, int64_t axis, int64_t from, int64_t to) {
  return make("Slice", {value, ints({from}), ints({to}), ints({axis})});
}

Value* Maker::gather(Value* value, int64_t axis, int64_t size,
                     const std::vector<int64_t>& indices) {
  bool is_all = static_cast<int64_t>(indices.size()) == size;
  for (size_t i = 0; i < indices.size(); ++i) is_all = is_all && indices[i] == int64_t(i);
  if (is_all) return value;
  return make("Gather", {value, ints(indices)}, {{"axis", axis}});
}

Value* Maker::reduce(graph::Op op, Value* value, const std::vector<int64_t>& axes) {
  return make(op, {value, ints(axes)}, {{"keepdims", int64_t{1}}});
}

void Maker::replace(const std::vector<Value*>& results) {
  for (size_t i = 0; i < results.size(); ++i) {
    if (node_.output(i) != nullptr && results[i] != nullptr) {
      take_place(graph_, *node_.output(i), *results[i]);
    }
  }
  graph_.erase(node_);
}

void take_place(Graph& graph, Value& old, Value& made) {
  const bool is_known = old.is_graph_output() && !made.is_graph_output();
  made.set_type(old.type());  // for those that are rewritten next
  old.replace_uses(made);
  if (is_known) graph.swap_names(old, made);
}

std::optional<std::vector<int64_t>> known_shape(const Value* value) {
  if (value == nullptr) return {};
  return graph::sizes_of(value->type());
}

std::optional<std::vector<int64_t>> fp32_shape(const Value* value) {
  if (value == nullptr || value->type().element != DataType::kFp32) return {};
  return known_shape(value);
}

std::optional<std::vector<int64_t>> constant_ints(const Value* value) {
  const Constant* constant = value == nullptr ? nullptr : value->constant();
  return constant == nullptr ? std::nullopt : graph::ints_of(*constant);
}

std::optional<std::vector<float>> constant_floats(const Value* value) {
  const Constant* constant = value == nullptr ? nullptr : value->constant();
  if (constant == nullptr || constant->type() != DataType::kFp32) return {};
  const auto numbers = constant->as<float>();
  return std::vector<float>(numbers.begin(), numbers.end());
}

}  // namespace skerry::compile
