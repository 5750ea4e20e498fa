// Nodes whose output is their input, in every run.
#include <algorithm>

#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

bool all_are(const Value* value, int64_t wanted) {
  const auto ints = ints_of(value);
  return ints && std::ranges::all_of(*ints, [&](int64_t i) { return i == wanted; });
}

bool is_identity_permutation(const Node& node) {
  const auto perm = node.ints_of("perm");
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] != static_cast<int64_t>(i)) return false;
  }
  return !perm.empty();
}

// The same elements in the same order whatever the target is.
bool only_names_shape(Op op) {
  return op == "Reshape" || op == "Flatten" || op == "Squeeze" || op == "Unsqueeze" ||
         op == "Expand" || op == "Tile";
}

bool changes_nothing(const Node& node) {
  const Op op = node.op();
  const bool same = node.input(0) != nullptr && node.output(0) != nullptr &&
                    same_type(node.input(0)->type(), node.output(0)->type());
  if (op == "Identity") return true;
  if (op == "Dropout") {
    const bool training = node.input(2) != nullptr && scalar_of(node.input(2)).value_or(1) != 0;
    return !training && (node.output(1) == nullptr || node.output(1)->uses().empty());
  }
  if (op == "Cast") {
    return node.input(0)->type().element == std::get<DataType>(*node.find("to"));
  }
  if (op == "CastLike") return node.input(0)->type().element == node.input(1)->type().element;
  if (op == "Transpose") return is_identity_permutation(node);
  if (op == "Pad") return all_are(node.input(1), 0);
  if (op == "Slice") return same && (node.input(4) == nullptr || all_are(node.input(4), 1));
  if (op == "Concat" || op == "Sum" || op == "Max" || op == "Min" || op == "Mean") {
    return node.inputs().size() == 1;
  }
  if (op == "Split") return node.outputs().size() == 1;
  return only_names_shape(op) && same;
}

}  // namespace

Result<size_t> remove_no_ops(Graph& graph) {
  return rewrite_nodes(graph, [](Node& node) -> Result<bool> {
    if (!changes_nothing(node) || node.output(0)->uses().empty()) return false;
    if (!can_replace(*node.output(0), *node.input(0))) return false;
    replace(*node.output(0), *node.input(0));
    return true;
  });
}

}  // namespace skerry::optimise
