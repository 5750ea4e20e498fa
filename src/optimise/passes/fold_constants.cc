// Runs what depends on constants alone, by the reference executor. Dequantised weights stay as they
// are stored, and nothing is folded that makes the model larger by more than a few values.
#include <algorithm>
#include <set>

#include "graph/executor.h"
#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

constexpr size_t kMayGrow = 4096;  // bytes

bool is_foldable(const Node& node) {
  if (!node.subgraphs().empty() || node.inputs().empty()) return false;
  if (node.op() == "Dropout") return false;  // training mode is random
  bool unread = true;
  for (const auto& output : node.outputs()) {
    if (!output) continue;
    if (output->is_graph_output() || !output->type().shape) return false;
    unread = unread && output->uses().empty();
  }
  return !unread && std::ranges::all_of(node.inputs(), [](const Value* input) {
    return input == nullptr || input->constant() != nullptr;
  });
}

// Weights that others read, too, stay: the result would be a copy.
bool goes_with(const Value& input, const Node& node) {
  return !input.is_graph_output() && std::ranges::all_of(input.uses(), [&](const graph::Use& use) {
    return use.node == &node;
  });
}

bool is_worth_it(const Node& node) {
  size_t before = kMayGrow;
  std::set<const Value*> counted;
  for (const Value* input : node.inputs()) {
    if (input == nullptr || !counted.insert(input).second || !goes_with(*input, node)) continue;
    before += input->constant()->bytes().size();
  }
  size_t after = 0;
  for (const auto& output : node.outputs()) {
    if (!output) continue;
    const auto count = count_of(output->type());
    if (!count) return false;
    const auto bytes =
        tensor::byte_size(output->type().element, static_cast<size_t>(*count)).value_or(SIZE_MAX);
    if (bytes > before) return false;
    after += bytes;
  }
  return after <= before;
}

// The node alone in a graph.
Result<std::vector<tensor::Tensor>> evaluate(const Node& node) {
  Graph alone;
  graph::NodeSpec spec{.op = node.op(), .name = node.name(), .attributes = node.attributes()};
  for (const Value* input : node.inputs()) {
    spec.inputs.push_back(input != nullptr ? &alone.add_constant(input->name(), *input->constant())
                                           : nullptr);
  }
  for (const auto& output : node.outputs()) spec.outputs.push_back(output ? output->name() : "");
  Node& copy = alone.add_node(std::move(spec));
  for (size_t i = 0; i < node.outputs().size(); ++i) {
    if (node.output(i) == nullptr) continue;
    copy.output(i)->set_type(node.output(i)->type());
    alone.add_output(*copy.output(i));
  }
  return graph::Executor(alone).run({});
}

}  // namespace

Result<bool> fold_node(Node& node) {
  if (!is_foldable(node)) return false;
  auto results = evaluate(node);
  if (!results) return false;  // it fails at run time, and says why there
  size_t at = 0;
  for (const auto& output : node.outputs()) {
    if (!output) continue;
    tensor::Tensor& result = (*results)[at++];
    SKERRY_ASSIGN(Constant constant,
                  Constant::make(result.type, std::move(result.shape), std::move(result.bytes)));
    take_over(*output, add_constant(node, output->name(), std::move(constant)));
  }
  return true;
}

Result<size_t> fold_constants(Graph& graph) {
  return rewrite_nodes(graph, [](Node& node) -> Result<bool> {
    const bool wanted = node.op() != "DequantizeLinear" && is_foldable(node) && is_worth_it(node);
    return wanted ? fold_node(node) : Result<bool>(false);
  });
}

Result<size_t> fold_all_constants(Graph& graph) {
  return rewrite_nodes(graph, [](Node& node) -> Result<bool> {
    return node.op() != "DequantizeLinear" ? fold_node(node) : Result<bool>(false);
  });
}

Result<size_t> dequantise_constants(Graph& graph) {
  return rewrite_nodes(graph, [](Node& node) -> Result<bool> {
    if (node.op() != "DequantizeLinear") return false;
    const DataType type = node.input(0)->type().element;
    const bool bytes = type == DataType::kInt8 || type == DataType::kUint8;
    return bytes && node.int_of("block_size") == 0 ? Result<bool>(false) : fold_node(node);
  });
}

}  // namespace skerry::optimise
