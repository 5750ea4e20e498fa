// LayerNormalization from its parts and into them, as PyTorch's exporter writes it:
//   d = x - ReduceMean(x), y = d / Sqrt(ReduceMean(d²) + ε) · scale + bias
#include <algorithm>

#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

bool is_over_last(const Node& reduce) {
  const auto axes = ints_of(reduce.input(1));
  if (!axes || axes->size() != 1 || reduce.int_of("keepdims") == 0) return false;
  if (!reduce.input(0)->type().shape) return false;
  return (*axes)[0] == -1 || (*axes)[0] + 1 == static_cast<int64_t>(reduce.input(0)->type().rank());
}

// The square of `d`: d·d or d².
bool is_square(const Node* node, const Value* d) {
  if (node == nullptr || node->input(0) != d) return false;
  if (node->op() == "Mul") return node->input(1) == d;
  return node->op() == "Pow" && scalar_of(node->input(1)).value_or(0) == 2;
}

struct Core {
  Value* x = nullptr;
  float epsilon = 0;
};

// d / Sqrt(ReduceMean(d²) + ε)
std::optional<Core> core_of(const Node& div) {
  const Value* d = div.input(0);
  const Node* sqrt = made_only_for_here(div.input(1), "Sqrt");
  const Node* add = sqrt != nullptr ? made_only_for_here(sqrt->input(0), "Add") : nullptr;
  if (add == nullptr) return {};
  const Operand shifted = operand_of(*add);
  if (shifted.constant == nullptr || shifted.constant->count() != 1) return {};
  const Node* variance = made_only_for_here(shifted.value, "ReduceMean");
  if (variance == nullptr || !is_over_last(*variance)) return {};
  if (!is_square(variance->input(0)->producer(), d) || !has_one_use(*variance->input(0))) return {};
  const Node* sub = made_by(d, "Sub");
  if (sub == nullptr || d->is_graph_output()) return {};
  const Node* mean = made_only_for_here(sub->input(1), "ReduceMean");
  if (mean == nullptr || mean->input(0) != sub->input(0) || !is_over_last(*mean)) return {};
  // Read by the quotient and the square, which may read it twice, and by nobody else.
  const Node* square = variance->input(0)->producer();
  const bool only_here = std::ranges::all_of(
      d->uses(), [&](const graph::Use& use) { return use.node == &div || use.node == square; });
  if (!only_here) return {};
  return Core{sub->input(0), static_cast<float>(numbers_of(*shifted.constant)[0])};
}

bool is_vector_of(const Constant* constant, const graph::Dim& size) {
  return constant != nullptr && constant->shape().size() == 1 && size.is(constant->shape()[0]);
}

// y = core · scale [+ bias], at the last node of it.
Result<bool> fuse_layer_norm(Node& node) {
  if (node.output(0) == nullptr || node.output(0)->uses().empty()) return false;
  const Node* scaling = &node;
  Value* bias = nullptr;
  if (node.op() == "Add") {
    const Operand operand = operand_of(node);
    scaling = operand.constant != nullptr ? made_only_for_here(operand.value, "Mul") : nullptr;
    if (scaling != nullptr) bias = node.input(operand.constant_at);
  }
  if (scaling == nullptr || scaling->op() != "Mul") return false;
  const Operand operand = operand_of(*scaling);
  const Node* div =
      operand.constant != nullptr ? made_only_for_here(operand.value, "Div") : nullptr;
  const auto core = div != nullptr ? core_of(*div) : std::nullopt;
  if (!core || !core->x->type().shape || core->x->type().shape->empty()) return false;
  const graph::Dim& size = core->x->type().shape->back();
  if (!is_vector_of(operand.constant, size)) return false;
  if (bias != nullptr && !is_vector_of(bias->constant(), size)) return false;
  if (bias == nullptr) {  // the Add may follow: it is visited then
    const auto& uses = node.output(0)->uses();
    const bool adds = uses.size() == 1 && uses[0].node != nullptr && uses[0].node->op() == "Add";
    if (adds && is_vector_of(operand_of(*uses[0].node).constant, size)) return false;
  }
  std::vector<Value*> inputs = {core->x, scaling->input(operand.constant_at)};
  if (bias != nullptr) inputs.push_back(bias);
  SKERRY_ASSIGN(Value * made, insert(node, "LayerNormalization", inputs,
                                     {{"axis", int64_t{-1}}, {"epsilon", core->epsilon}},
                                     node.output(0)->name()));
  take_over(*node.output(0), *made);
  return true;
}

Result<bool> split_layer_norm(Node& node) {
  if (node.op() != "LayerNormalization" || node.output(0)->uses().empty()) return false;
  if (node.output(1) != nullptr || node.output(2) != nullptr) return false;
  Value* x = node.input(0);
  if (!x->type().shape || x->type().element != DataType::kFp32) return false;
  const auto rank = static_cast<int64_t>(x->type().rank());
  const int64_t first = node.int_of("axis") < 0 ? node.int_of("axis") + rank : node.int_of("axis");
  std::vector<int64_t> axes;
  for (int64_t axis = first; axis < rank; ++axis) axes.push_back(axis);
  Value& over = add_constant(node, node.name() + ".axes", Constant::of_ints(axes));
  Value& epsilon =
      add_constant(node, node.name() + ".epsilon", Constant::of_float(node.float_of("epsilon")));
  SKERRY_ASSIGN(Value * mean, insert(node, "ReduceMean", {x, &over}));
  SKERRY_ASSIGN(Value * d, insert(node, "Sub", {x, mean}));
  SKERRY_ASSIGN(Value * square, insert(node, "Mul", {d, d}));
  SKERRY_ASSIGN(Value * variance, insert(node, "ReduceMean", {square, &over}));
  SKERRY_ASSIGN(Value * shifted, insert(node, "Add", {variance, &epsilon}));
  SKERRY_ASSIGN(Value * deviation, insert(node, "Sqrt", {shifted}));
  SKERRY_ASSIGN(Value * normal, insert(node, "Div", {d, deviation}));
  SKERRY_ASSIGN(Value * made,
                insert(node, "Mul", {normal, node.input(1)}, {}, node.output(0)->name()));
  if (node.input(2) != nullptr) {
    SKERRY_ASSIGN(made, insert(node, "Add", {made, node.input(2)}, {}, node.output(0)->name()));
  }
  take_over(*node.output(0), *made);
  return true;
}

}  // namespace

Result<size_t> recognise_layer_norm(Graph& graph) {
  return rewrite_nodes(graph, fuse_layer_norm);
}

Result<size_t> decompose_layer_norm(Graph& graph) {
  return rewrite_nodes(graph, split_layer_norm);
}

}  // namespace skerry::optimise
