// The verifier.
#include "graph/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "graph/operator.h"

namespace skerry::graph {
namespace {

template <class... Args>
std::unexpected<Error> refuse(const Node& node, fmt::format_string<Args...> text, Args&&... args) {
  return fail(Code::kInvalidArgument,
              node.describe() + ": " + fmt::format(text, std::forward<Args>(args)...));
}

AttributeKind kind_of(const Attribute& attribute) {
  constexpr AttributeKind kKinds[] = {AttributeKind::kInt,    AttributeKind::kFloat,
                                      AttributeKind::kString, AttributeKind::kInts,
                                      AttributeKind::kFloats, AttributeKind::kStrings,
                                      AttributeKind::kType,   AttributeKind::kTensor};
  return kKinds[attribute.index()];
}

Result<void> check_attributes(const Node& node, const Operator& definition) {
  for (const auto& [name, value] : node.attributes()) {
    const AttributeSpec* spec = definition.attribute(name);
    if (spec == nullptr) return refuse(node, "has an attribute '{}' that the operator lacks", name);
    if (spec->kind != kind_of(value)) {
      return refuse(node, "its attribute '{}' has the wrong type", name);
    }
  }
  for (const AttributeSpec& spec : definition.attributes) {
    if (spec.required && !node.attributes().contains(spec.name)) {
      return refuse(node, "its attribute '{}' is missing", spec.name);
    }
  }
  return {};
}

bool is_of_kind(DataType type, char kind) {
  switch (kind) {
    case 'i':
      return type == DataType::kInt64 || type == DataType::kInt32;
    case 'b':
      return type == DataType::kBool;
    case 'f':
      return tensor::is_float(type);
    case 's':
      return type == DataType::kBytes;
    default:
      return true;
  }
}

Result<void> check_inputs(const Node& node, const Arity& arity) {
  const auto& inputs = node.inputs();
  if (inputs.size() > arity.max) {
    return refuse(node, "has {} inputs, at most {}", inputs.size(), arity.max);
  }
  for (size_t i = 0; i < std::max(inputs.size(), arity.min); ++i) {
    const size_t slot = std::min(i, arity.names.size() - 1);
    const bool endless = arity.max == SIZE_MAX && i + 1 >= arity.names.size();
    if (node.input(i) == nullptr) {
      const bool optional = i >= arity.min && !endless;
      if (!optional) return refuse(node, "its input '{}' is missing", arity.names[slot]);
      continue;
    }
    if (!is_of_kind(node.input(i)->type().element, arity.kinds[slot])) {
      return refuse(node, "its input '{}' cannot be {}", arity.names[slot],
                    to_string(node.input(i)->type()));
    }
  }
  return {};
}

using Visible = std::unordered_set<const Value*>;

Result<void> check_edges(const Node& node, const Visible& visible) {
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    const Value* input = node.input(i);
    if (input == nullptr) continue;
    if (!visible.contains(input)) {
      return refuse(node, "reads '{}' before it is made, or out of its scope", input->name());
    }
    const auto mine = [&](const Use& use) { return use.node == &node && use.index == i; };
    if (std::ranges::count_if(input->uses(), mine) != 1) {
      return refuse(node, "'{}' does not know that it is read here", input->name());
    }
  }
  for (size_t i = 0; i < node.outputs().size(); ++i) {
    const Value* output = node.output(i);
    if (output != nullptr && (output->producer() != &node || output->output_index() != i)) {
      return refuse(node, "its output '{}' has another producer", output->name());
    }
  }
  return {};
}

Result<void> check_graph(const Graph& graph, Visible visible) {
  for (const auto& value : graph.inputs()) visible.insert(value.get());
  for (const auto& value : graph.constants()) visible.insert(value.get());
  for (const auto& node : graph.nodes()) {
    SKERRY_TRY(check_signature(*node));
    SKERRY_TRY(check_edges(*node, visible));
    for (const auto& subgraph : node->subgraphs()) SKERRY_TRY(check_graph(*subgraph, visible));
    for (const auto& output : node->outputs()) {
      if (output) visible.insert(output.get());
    }
  }
  for (const Value* output : graph.outputs()) {
    if (!visible.contains(output)) {
      return fail(
          Code::kInvalidArgument,
          fmt::format("the graph's output '{}' is made nowhere in its scope", output->name()));
    }
  }
  return {};
}

}  // namespace

Result<void> check_signature(const Node& node) {
  const Operator& definition = node.definition();
  SKERRY_TRY(check_inputs(node, definition.inputs));
  const size_t outputs = node.outputs().size();
  const bool enough = outputs >= definition.outputs.min || definition.outputs.max == SIZE_MAX;
  if (outputs == 0 || outputs > definition.outputs.max || !enough) {
    return refuse(node, "has {} outputs", outputs);
  }
  SKERRY_TRY(check_attributes(node, definition));
  if (node.subgraphs().size() != definition.subgraphs.size()) {
    return refuse(node, "has {} subgraphs, the operator has {}", node.subgraphs().size(),
                  definition.subgraphs.size());
  }
  return {};
}

Result<void> verify(const Graph& graph) {
  return check_graph(graph, {});
}

}  // namespace skerry::graph
