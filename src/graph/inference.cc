// Inference over whole graphs. Integer values that come from shapes (Shape, Gather, Concat, …) are
// followed too: exporters compute the shapes of Reshape and Expand that way.
#include "graph/inference.h"

#include <algorithm>

#include "graph/ops/common.h"

namespace skerry::graph {

Inference::Inference(const Node& node, std::vector<const Type*> inputs, KnownValues known_values,
                     SubgraphTypes subgraph_types)
    : node_(node),
      inputs_(std::move(inputs)),
      outputs_(node.outputs().size()),
      known_values_(std::move(known_values)),
      subgraph_types_(std::move(subgraph_types)) {}

std::optional<std::vector<Dim>> Inference::dims(size_t input) const {
  return has(input) ? known_values_(input) : std::nullopt;
}

std::optional<std::vector<int64_t>> Inference::ints(size_t input) const {
  const auto values = dims(input);
  if (!values) return {};
  std::vector<int64_t> ints;
  for (const Dim& value : *values) {
    if (!value.is_fixed()) return {};
    ints.push_back(value.size());
  }
  return ints;
}

void Inference::set(size_t output, DataType element, std::optional<Shape> shape) {
  if (output < outputs_.size()) outputs_[output] = {element, std::move(shape)};
}

Result<void> Inference::same_element(size_t first, size_t second) const {
  if (!has(first) || !has(second) || element(first) == element(second)) return {};
  return refuse("its inputs are {} and {}; they must have one element type", to_string(type(first)),
                to_string(type(second)));
}

Result<size_t> Inference::axis(int64_t axis, size_t rank) const {
  const auto limit = static_cast<int64_t>(rank);
  if (axis < -limit || axis >= limit) {
    return refuse("axis {} is not one of {} dimensions", axis, rank);
  }
  return static_cast<size_t>(axis < 0 ? axis + limit : axis);
}

namespace {

using Values = std::vector<Dim>;
using Lookup = std::function<std::optional<Values>(size_t)>;

constexpr size_t kMaxKnown = 64;  // values longer than this are no shapes

std::optional<Values> shape_values(const Node& node) {
  const Type& type = node.input(0)->type();
  if (!type.shape) return {};
  const auto rank = static_cast<int64_t>(type.rank());
  const auto clamped = [rank](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const int64_t begin = clamped(node.int_of("start"));
  const int64_t end = node.find("end") != nullptr ? clamped(node.int_of("end")) : rank;
  if (begin >= end) return Values();
  return Values(type.shape->begin() + begin, type.shape->begin() + end);
}

std::optional<Values> gather_values(const Values& data, const Values& indices) {
  Values out;
  for (const Dim& index : indices) {
    const auto size = static_cast<int64_t>(data.size());
    if (!index.is_fixed() || index.size() < -size || index.size() >= size) return {};
    out.push_back(data[static_cast<size_t>(index.size() < 0 ? index.size() + size : index.size())]);
  }
  return out;
}

std::optional<Values> arithmetic(Op op, const Values& a, const Values& b) {
  if (a.size() != b.size() && a.size() != 1 && b.size() != 1) return {};
  Values out;
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const Dim& x = a[a.size() == 1 ? 0 : i];
    const Dim& y = b[b.size() == 1 ? 0 : i];
    if (op == "Add") {
      out.push_back(ops::plus(x, y));
    } else if (op == "Mul") {
      out.push_back(ops::times(x, y));
    } else if (op == "Sub" && y.is_fixed() && y.size() != INT64_MIN) {
      out.push_back(ops::plus(x, Dim(-y.size())));
    } else if (op == "Div" && y.is(1)) {
      out.push_back(x);
    } else if (op == "Div" && x.is_fixed() && y.is_fixed() && y.size() > 0) {
      out.emplace_back(x.size() / y.size());
    } else {
      out.emplace_back();
    }
  }
  return out;
}

std::optional<Values> slice_values(const Lookup& input) {
  const auto data = input(0);
  const auto starts = input(1);
  const auto ends = input(2);
  if (!data || !starts || !ends || starts->size() != 1 || ends->size() != 1) return {};
  const auto steps = input(4);
  if (!(*starts)[0].is_fixed() || !(*ends)[0].is_fixed() || (steps && !(*steps)[0].is(1))) {
    return {};
  }
  const auto size = static_cast<int64_t>(data->size());
  const auto clamped = [size](const Dim& at) {
    return std::clamp<int64_t>(at.size() < 0 ? at.size() + size : at.size(), 0, size);
  };
  const int64_t begin = clamped((*starts)[0]);
  const int64_t end = std::max(clamped((*ends)[0]), begin);
  return Values(data->begin() + begin, data->begin() + end);
}

std::optional<Values> concat_values(const Node& node, const Lookup& input) {
  Values out;
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    const auto part = input(i);
    if (!part) {
      const auto count = count_of(node.input(i)->type());
      if (!count || *count > static_cast<int64_t>(kMaxKnown)) return {};
      out.resize(out.size() + static_cast<size_t>(*count));
    } else {
      out.insert(out.end(), part->begin(), part->end());
    }
  }
  return out;
}

std::optional<Values> output_values(const Node& node, const Lookup& input) {
  const Op op = node.op();
  if (op == "Shape") return shape_values(node);
  if (op == "Identity" || op == "Unsqueeze" || op == "Squeeze" || op == "Reshape") return input(0);
  if (op == "Cast") {
    const bool integer = std::get<DataType>(*node.find("to")) == DataType::kInt64 ||
                         std::get<DataType>(*node.find("to")) == DataType::kInt32;
    return integer ? input(0) : std::nullopt;
  }
  if (op == "Concat") return concat_values(node, input);
  if (op == "Slice") return slice_values(input);
  if (op == "Gather") {
    const auto data = input(0);
    const auto indices = input(1);
    return data && indices ? gather_values(*data, *indices) : std::nullopt;
  }
  if (op == "Add" || op == "Sub" || op == "Mul" || op == "Div") {
    const auto a = input(0);
    const auto b = input(1);
    return a && b ? arithmetic(op, *a, *b) : std::nullopt;
  }
  return {};
}

bool is_integer(DataType type) {
  return type == DataType::kInt64 || type == DataType::kInt32;
}

}  // namespace

std::optional<std::vector<Dim>> TypeInference::known(const Value& value) const {
  if (const Constant* constant = value.constant()) {
    if (!is_integer(constant->type()) || constant->count() > kMaxKnown) return {};
    return fixed_shape(ints_of(*constant).value_or(std::vector<int64_t>()));
  }
  const auto found = known_.find(&value);
  if (found == known_.end()) return {};
  return found->second;
}

Result<void> TypeInference::infer(Node& node) {
  std::vector<const Type*> types;
  for (const Value* input : node.inputs()) types.push_back(input ? &input->type() : nullptr);
  const Lookup values = [&](size_t i) -> std::optional<Values> {
    const Value* input = node.input(i);
    return input != nullptr ? known(*input) : std::nullopt;
  };
  Inference inference(node, std::move(types), values, [&](size_t i, const auto& inputs) {
    return infer_subgraph(*node.subgraphs()[i], inputs);
  });
  SKERRY_TRY(node.definition().infer(inference));
  for (size_t i = 0; i < node.outputs().size(); ++i) {
    Value* output = node.output(i);
    if (output == nullptr) continue;
    // What integers stand for is said of a value, not inferred.
    Type type = std::move(inference.outputs()[i]);
    if (type.element == output->type().element) type.quantisation = output->type().quantisation;
    output->set_type(std::move(type));
  }
  if (Value* output = node.output(0); output && is_integer(output->type().element)) {
    auto result = output_values(node, values);
    if (result && result->size() <= kMaxKnown) known_[output] = std::move(*result);
  }
  return {};
}

Result<void> TypeInference::infer(Graph& graph) {
  for (const auto& node : graph.nodes()) SKERRY_TRY(infer(*node));
  return {};
}

Result<Value*> TypeInference::add_before(Node& node, Op op, std::vector<Value*> inputs,
                                         Attributes attributes) {
  const std::string name(op.name());
  Node& made = node.graph().add_node({.op = op,
                                      .name = name,
                                      .inputs = std::move(inputs),
                                      .outputs = {name},
                                      .attributes = std::move(attributes)},
                                     &node);
  SKERRY_TRY(infer(made));
  return made.output(0);
}

Result<std::vector<Type>> TypeInference::infer_subgraph(Graph& graph,
                                                        const std::vector<Type>& inputs) {
  for (size_t i = 0; i < std::min(inputs.size(), graph.inputs().size()); ++i) {
    graph.inputs()[i]->set_type(inputs[i]);
  }
  SKERRY_TRY(infer(graph));
  std::vector<Type> outputs;
  for (const Value* output : graph.outputs()) outputs.push_back(output->type());
  return outputs;
}

}  // namespace skerry::graph
