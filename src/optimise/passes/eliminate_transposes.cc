// Transposes that follow each other are one; those on all inputs of an elementwise operator move
// behind it, so that they meet the next one (exporters write a pair around every layer whose layout
// they change).
#include <algorithm>

#include "graph/operator.h"
#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

using Permutation = std::vector<int64_t>;

// Empty where the rank is not known.
Permutation permutation_of(const Node& transpose) {
  Permutation perm = transpose.ints_of("perm");
  if (perm.empty() && transpose.input(0)->type().shape) {
    for (size_t i = transpose.input(0)->type().rank(); i-- > 0;) {
      perm.push_back(static_cast<int64_t>(i));
    }
  }
  return perm;
}

bool is_identity(const Permutation& perm) {
  return std::ranges::is_sorted(perm);
}

Result<bool> merge(Node& node, const Node& before) {
  const Permutation first = permutation_of(before);
  const Permutation second = permutation_of(node);
  if (first.empty() || first.size() != second.size()) return false;
  Permutation both;
  for (const int64_t axis : second) both.push_back(first[static_cast<size_t>(axis)]);
  Value* x = before.input(0);
  if (is_identity(both) && can_replace(*node.output(0), *x)) {
    replace(*node.output(0), *x);
    return true;
  }
  SKERRY_ASSIGN(Value * merged,
                insert(node, "Transpose", {x}, {{"perm", both}}, node.output(0)->name()));
  take_over(*node.output(0), *merged);
  return true;
}

// One result for each element at the same place, whatever the shape.
bool is_elementwise(const Node& node) {
  constexpr Op kUnary[] = {"Relu",        "LeakyRelu", "Sigmoid", "Tanh", "Elu",      "Selu",
                           "HardSigmoid", "HardSwish", "Mish",    "Gelu", "Abs",      "Neg",
                           "Exp",         "Sqrt",      "Erf",     "Cast", "Softplus", "Clip"};
  constexpr Op kBinary[] = {"Add", "Sub", "Mul", "Div"};
  return std::ranges::find(kUnary, node.op()) != std::end(kUnary) ||
         std::ranges::find(kBinary, node.op()) != std::end(kBinary);
}

// A constant that is the same before and behind the transpose.
bool is_uniform(const Value* value) {
  const Constant* constant = constant_of(value);
  return constant != nullptr && constant->count() == 1 && constant->shape().size() <= 1;
}

// The permutation on every input that is not a scalar; empty where they differ, or another reader
// would keep the transpose alive.
Permutation common_permutation(const Node& node) {
  Permutation common;
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    const Value* input = node.input(i);
    if (input == nullptr || is_uniform(input)) continue;
    const Node* transpose = made_only_for_here(input, "Transpose");
    if (transpose == nullptr) return {};
    const Permutation perm = permutation_of(*transpose);
    if (perm.empty() || (!common.empty() && perm != common)) return {};
    // Broadcasting aligns from the last dimension, which is another one after the move.
    if (!same_type(input->type(), node.output(0)->type()) && node.op() != "Cast") return {};
    common = perm;
  }
  return common;
}

Result<bool> move_behind(Node& node) {
  const Permutation perm = common_permutation(node);
  if (perm.empty()) return false;
  std::vector<Value*> inputs;
  for (Value* input : node.inputs()) {
    const bool kept = input == nullptr || is_uniform(input);
    inputs.push_back(kept ? input : input->producer()->input(0));
  }
  SKERRY_ASSIGN(Value * moved,
                insert(node, node.op(), inputs, node.attributes(), node.output(0)->name()));
  SKERRY_ASSIGN(Value * transposed,
                insert(node, "Transpose", {moved}, {{"perm", perm}}, node.output(0)->name()));
  take_over(*node.output(0), *transposed);
  return true;
}

}  // namespace

Result<size_t> eliminate_transposes(Graph& graph) {
  return rewrite_nodes(graph, [](Node& node) -> Result<bool> {
    if (node.output(0) == nullptr || node.output(0)->uses().empty()) return false;
    if (node.op() == "Transpose") {
      const Node* before = made_by(node.input(0), "Transpose");
      return before != nullptr ? merge(node, *before) : Result<bool>(false);
    }
    return is_elementwise(node) ? move_behind(node) : Result<bool>(false);
  });
}

}  // namespace skerry::optimise
