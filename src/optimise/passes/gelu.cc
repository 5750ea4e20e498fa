// Gelu from its parts and into them: x · (1 + erf(x/√2)) · ½, in whatever order the factors stand.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

bool is_near(double value, double wanted) {
  return std::abs(value - wanted) <= 1e-4 * std::abs(wanted);
}

// The factors of a product that only this product reads, and the product of its scalars.
struct Product {
  std::vector<Value*> factors;
  double scale = 1;
};

void collect_factors(Value* value, Product& product, int depth) {
  const Node* node = value->producer();
  const bool inner = depth == 0 || has_one_use(*value);
  if (const auto scalar = scalar_of(value)) {
    product.scale *= *scalar;
  } else if (node != nullptr && node->op() == "Mul" && inner && depth < 3) {
    collect_factors(node->input(0), product, depth + 1);
    collect_factors(node->input(1), product, depth + 1);
  } else if (node != nullptr && node->op() == "Div" && inner && depth < 3 &&
             scalar_of(node->input(1))) {
    collect_factors(node->input(0), product, depth + 1);
    product.scale /= *scalar_of(node->input(1));
  } else {
    product.factors.push_back(value);
  }
}

// What x is in 1 + erf(x/√2); null where `value` is nothing of the kind.
Value* gated_by_erf(const Value* value) {
  const Node* add = made_only_for_here(value, "Add");
  if (add == nullptr) return nullptr;
  const Operand operand = operand_of(*add);
  if (operand.constant == nullptr || operand.constant->count() != 1 ||
      numbers_of(*operand.constant)[0] != 1) {
    return nullptr;
  }
  const Node* erf = made_only_for_here(operand.value, "Erf");
  if (erf == nullptr || !has_one_use(*erf->input(0))) return nullptr;
  Product inner;
  collect_factors(erf->input(0), inner, 0);
  if (inner.factors.size() != 1 || !is_near(inner.scale, std::numbers::sqrt2 / 2)) return nullptr;
  return inner.factors[0];
}

Result<bool> fuse_gelu(Node& node) {
  if ((node.op() != "Mul" && node.op() != "Div") || node.output(0)->uses().empty()) return false;
  Product product;
  collect_factors(node.output(0), product, 0);
  if (product.factors.size() != 2 || !is_near(product.scale, 0.5)) return false;
  for (const size_t gate : {size_t{0}, size_t{1}}) {
    Value* x = product.factors[1 - gate];
    if (gated_by_erf(product.factors[gate]) != x) continue;
    if (!same_type(x->type(), node.output(0)->type())) return false;
    SKERRY_ASSIGN(Value * made, insert(node, "Gelu", {x}, {}, node.output(0)->name()));
    take_over(*node.output(0), *made);
    return true;
  }
  return false;
}

Result<bool> split_gelu(Node& node) {
  if (node.op() != "Gelu" || node.output(0)->uses().empty()) return false;
  if (node.string_of("approximate") != "none") return false;
  Value* x = node.input(0);
  const DataType type = x->type().element;
  const auto scalar = [&](double value) {
    return &add_constant(node, node.name() + ".c", floats(type, {}, {{value}}));
  };
  SKERRY_ASSIGN(Value * scaled, insert(node, "Mul", {x, scalar(std::numbers::sqrt2 / 2)}));
  SKERRY_ASSIGN(Value * erf, insert(node, "Erf", {scaled}));
  SKERRY_ASSIGN(Value * gate, insert(node, "Add", {erf, scalar(1)}));
  SKERRY_ASSIGN(Value * gated, insert(node, "Mul", {x, gate}));
  SKERRY_ASSIGN(Value * made,
                insert(node, "Mul", {gated, scalar(0.5)}, {}, node.output(0)->name()));
  take_over(*node.output(0), *made);
  return true;
}

}  // namespace

Result<size_t> recognise_gelu(Graph& graph) {
  return rewrite_nodes(graph, fuse_gelu);
}

Result<size_t> decompose_gelu(Graph& graph) {
  return rewrite_nodes(graph, split_gelu);
}

}  // namespace skerry::optimise
