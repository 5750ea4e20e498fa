// Arithmetic with constants: what changes nothing, chains of two constants, cheaper operators.
#include <cmath>

#include "graph/executor.h"
#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

bool is_float(const Value& value) {
  return tensor::is_float(value.type().element);
}

// x + 0, x - 0, x · 1, x / 1, x ^ 1: the node's only operand, where nothing is broadcast.
Value* without_effect(const Node& node) {
  const Op op = node.op();
  const bool commutes = op == "Add" || op == "Mul";
  if (!commutes && op != "Sub" && op != "Div" && op != "Pow") return nullptr;
  const Operand operand = operand_of(node);
  if (operand.constant == nullptr || (!commutes && operand.constant_at == 0)) return nullptr;
  if (!same_type(operand.value->type(), node.output(0)->type())) return nullptr;
  const double neutral = op == "Add" || op == "Sub" ? 0 : 1;
  if (operand.constant->type() == DataType::kBytes) return nullptr;
  for (const double number : numbers_of(*operand.constant)) {
    if (number != neutral) return nullptr;
  }
  return operand.value;
}

// (x ∘ c) ∘ d → x ∘ (c ∘ d) for floats and ∘ of Add, Mul; the shapes of c and d broadcast.
Result<bool> merge_chain(Node& node) {
  if ((node.op() != "Add" && node.op() != "Mul") || !is_float(*node.output(0))) return false;
  const Operand outer = operand_of(node);
  if (outer.constant == nullptr) return false;
  Node* before = made_only_for_here(outer.value, node.op());
  if (before == nullptr) return false;
  const Operand inner = operand_of(*before);
  if (inner.constant == nullptr || inner.value->constant() != nullptr) return false;
  // One that makes the result larger than x would then be as large as the result.
  const bool grows = outer.constant->count() > 1 && inner.constant->count() > 1 &&
                     outer.constant->shape() != inner.constant->shape();
  if (grows || !same_type(inner.value->type(), node.output(0)->type())) return false;
  SKERRY_ASSIGN(
      Value * constants,
      insert(node, node.op(), {before->input(inner.constant_at), node.input(outer.constant_at)}));
  SKERRY_ASSIGN(Value * merged,
                insert(node, node.op(), {inner.value, constants}, {}, node.output(0)->name()));
  if (!can_replace(*node.output(0), *merged)) return false;
  take_over(*node.output(0), *merged);
  return true;
}

// The same operator twice that has no more effect, or none at all.
Value* undone(const Node& node) {
  const Op op = node.op();
  if (op != "Neg" && op != "Not" && op != "Reciprocal") return nullptr;
  const Node* before = made_by(node.input(0), op);
  return before != nullptr ? before->input(0) : nullptr;
}

Value* repeated(const Node& node) {
  const Op op = node.op();
  const bool idempotent =
      op == "Abs" || op == "Relu" || op == "Ceil" || op == "Floor" || op == "Round" || op == "Sign";
  if (!idempotent) return nullptr;
  if (made_by(node.input(0), op) != nullptr) return node.input(0);
  if (op == "Abs" && (made_by(node.input(0), "Relu") || made_by(node.input(0), "Exp") ||
                      made_by(node.input(0), "Sigmoid") || made_by(node.input(0), "Sqrt"))) {
    return node.input(0);
  }
  return nullptr;
}

// Powers and quotients that have cheaper forms, with the same result to the last bit or nearly.
Result<Value*> cheaper(Node& node) {
  const auto exponent = scalar_of(node.input(1));
  Value* x = node.input(0);
  const std::string& name = node.output(0)->name();
  if (!exponent || constant_of(x) != nullptr || !is_float(*x)) return nullptr;
  if (!same_type(x->type(), node.output(0)->type())) return nullptr;
  if (node.op() == "Pow") {
    if (*exponent == 2) return insert(node, "Mul", {x, x}, {}, name);
    if (*exponent == 0.5) return insert(node, "Sqrt", {x}, {}, name);
    if (*exponent == -1) return insert(node, "Reciprocal", {x}, {}, name);
  }
  int power = 0;
  const bool exact = std::abs(std::frexp(*exponent, &power)) == 0.5 && std::abs(power) < 100;
  if (node.op() == "Div" && exact && x->type().element == DataType::kFp32) {
    Value& inverse = add_constant(
        node, node.input(1)->name(),
        floats(x->type().element, constant_of(node.input(1))->shape(), {{1 / *exponent}}));
    return insert(node, "Mul", {x, &inverse}, {}, name);
  }
  return nullptr;
}

Result<bool> simplify(Node& node) {
  if (node.output(0) == nullptr || node.output(0)->uses().empty()) return false;
  for (Value* same : {without_effect(node), undone(node), repeated(node)}) {
    if (same == nullptr || !can_replace(*node.output(0), *same)) continue;
    if (!same_type(same->type(), node.output(0)->type())) continue;
    replace(*node.output(0), *same);
    return true;
  }
  if (node.op() == "Pow" || node.op() == "Div") {
    SKERRY_ASSIGN(Value * made, cheaper(node));
    if (made == nullptr) return false;
    take_over(*node.output(0), *made);
    return true;
  }
  return merge_chain(node);
}

}  // namespace

Result<size_t> simplify_algebra(Graph& graph) {
  return rewrite_nodes(graph, simplify);
}

}  // namespace skerry::optimise
