// A chain of nodes that only name another shape is its last one; a Flatten of a known tail is a
// Reshape like any other.
#include <algorithm>

#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

bool only_reshapes(const Node* node) {
  return node != nullptr && (node->op() == "Reshape" || node->op() == "Flatten" ||
                             node->op() == "Squeeze" || node->op() == "Unsqueeze");
}

// The output's shape as a target that says nothing about the input's: at most one -1, no 0.
std::optional<std::vector<int64_t>> target_of(const Node& node) {
  const Type& type = node.output(0)->type();
  if (!type.shape) return {};
  std::vector<int64_t> target;
  for (const graph::Dim& dim : *type.shape) {
    if (dim.is(0)) return {};
    target.push_back(dim.is_fixed() ? dim.size() : -1);
  }
  if (std::ranges::count(target, -1) > 1) return {};
  return target;
}

}  // namespace

Result<size_t> merge_reshapes(Graph& graph) {
  return rewrite_nodes(graph, [](Node& node) -> Result<bool> {
    if (!only_reshapes(&node) || node.output(0)->uses().empty()) return false;
    const Node* before = node.input(0)->producer();
    if (!only_reshapes(before) || before->input(0)->type().element == DataType::kBytes) {
      return false;
    }
    const auto target = target_of(node);
    if (!target) return false;
    Value& shape = add_constant(node, node.name() + ".shape", Constant::of_ints(*target));
    SKERRY_ASSIGN(Value * merged,
                  insert(node, "Reshape", {before->input(0), &shape}, {}, node.output(0)->name()));
    merged->set_type(node.output(0)->type());
    take_over(*node.output(0), *merged);
    return true;
  });
}

}  // namespace skerry::optimise
