// Softmax from its parts and into them: e = Exp(x - ReduceMax(x)), e / ReduceSum(e).
#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

// The one axis of a reduction that keeps its dimension.
std::optional<int64_t> reduced_axis(const Node& reduce) {
  const auto axes = ints_of(reduce.input(1));
  if (!axes || axes->size() != 1 || reduce.int_of("keepdims") == 0) return {};
  if (!reduce.input(0)->type().shape) return {};
  const auto rank = static_cast<int64_t>(reduce.input(0)->type().rank());
  return (*axes)[0] < 0 ? (*axes)[0] + rank : (*axes)[0];
}

// Softmax does not change when a number is taken from all of x, so the maximum need not be there.
Value* without_maximum(Value* x, int64_t axis) {
  const Node* sub = made_only_for_here(x, "Sub");
  if (sub == nullptr) return x;
  const Node* maximum = made_only_for_here(sub->input(1), "ReduceMax");
  if (maximum == nullptr || maximum->input(0) != sub->input(0)) return x;
  return reduced_axis(*maximum) == axis ? sub->input(0) : x;
}

Result<bool> fuse_softmax(Node& node) {
  if (node.op() != "Div" || node.output(0)->uses().empty()) return false;
  const Node* exp = made_by(node.input(0), "Exp");
  const Node* sum = made_only_for_here(node.input(1), "ReduceSum");
  if (exp == nullptr || sum == nullptr || sum->input(0) != node.input(0)) return false;
  const auto axis = reduced_axis(*sum);
  if (!axis || node.input(0)->uses().size() != 2 || node.input(0)->is_graph_output()) return false;
  Value* x = without_maximum(exp->input(0), *axis);
  SKERRY_ASSIGN(Value * made,
                insert(node, "Softmax", {x}, {{"axis", *axis}}, node.output(0)->name()));
  take_over(*node.output(0), *made);
  return true;
}

Result<bool> split_softmax(Node& node) {
  if (node.op() != "Softmax" || node.output(0)->uses().empty()) return false;
  Value& axes = add_constant(node, node.name() + ".axes", Constant::of_ints({node.int_of("axis")}));
  Value* x = node.input(0);
  SKERRY_ASSIGN(Value * maximum, insert(node, "ReduceMax", {x, &axes}));
  SKERRY_ASSIGN(Value * shifted, insert(node, "Sub", {x, maximum}));
  SKERRY_ASSIGN(Value * exp, insert(node, "Exp", {shifted}));
  SKERRY_ASSIGN(Value * sum, insert(node, "ReduceSum", {exp, &axes}));
  SKERRY_ASSIGN(Value * made, insert(node, "Div", {exp, sum}, {}, node.output(0)->name()));
  take_over(*node.output(0), *made);
  return true;
}

}  // namespace

Result<size_t> recognise_softmax(Graph& graph) {
  return rewrite_nodes(graph, fuse_softmax);
}

Result<size_t> decompose_softmax(Graph& graph) {
  return rewrite_nodes(graph, split_softmax);
}

}  // namespace skerry::optimise
