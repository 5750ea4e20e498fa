// Activations: chains of clips are one Clip, and those that exporters write in parts get their name
// back, under which engines have a kernel and fuse it.
#include <algorithm>
#include <cmath>
#include <limits>

#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Bounds {
  double lowest = -kInfinity, highest = kInfinity;
};

// Of Relu, Clip with constants, Min and Max with one constant.
std::optional<Bounds> bounds_of(const Node& node) {
  if (node.op() == "Relu") return Bounds{0, kInfinity};
  if (node.op() == "Clip") {
    Bounds bounds;
    if (node.input(1) != nullptr) {
      const auto lowest = scalar_of(node.input(1));
      if (!lowest) return {};
      bounds.lowest = *lowest;
    }
    if (node.input(2) != nullptr) {
      const auto highest = scalar_of(node.input(2));
      if (!highest) return {};
      bounds.highest = *highest;
    }
    return bounds;
  }
  if (node.op() != "Min" && node.op() != "Max") return {};
  const Operand operand = operand_of(node);
  if (operand.constant == nullptr || operand.constant->count() != 1) return {};
  if (!same_type(operand.value->type(), node.output(0)->type())) return {};
  const double bound = numbers_of(*operand.constant)[0];
  return node.op() == "Min" ? Bounds{-kInfinity, bound} : Bounds{bound, kInfinity};
}

Value* clipped_value(const Node& node) {
  return node.op() == "Min" || node.op() == "Max" ? operand_of(node).value : node.input(0);
}

Result<Value*> make_clip(Node& node, Value* x, const Bounds& bounds) {
  const DataType type = x->type().element;
  const std::string& name = node.output(0)->name();
  if (bounds.lowest == 0 && bounds.highest == kInfinity) return insert(node, "Relu", {x}, {}, name);
  const auto bound = [&](double value, const char* part) -> Value* {
    if (std::isinf(value)) return nullptr;
    return &add_constant(node, name + part, floats(type, {}, {{value}}));
  };
  Value* lowest = bound(bounds.lowest, ".min");
  Value* highest = bound(bounds.highest, ".max");
  return insert(node, "Clip", {x, lowest, highest}, {}, name);
}

// Clip(Clip(x)), Min(Max(x)): what passes both. One alone that has another form: Min, Max.
Result<Value*> merge_clips(Node& node) {
  const auto outer = bounds_of(node);
  if (!outer || !tensor::is_float(node.output(0)->type().element)) return nullptr;
  Value* x = clipped_value(node);
  if (node.op() == "Relu" && x->producer() != nullptr && x->producer()->op() == "Relu") {
    return nullptr;  // simplify-algebra
  }
  const Node* before = x->producer();
  const auto inner = before != nullptr ? bounds_of(*before) : std::nullopt;
  if (!inner) {
    const bool other_form =
        node.op() == "Min" || node.op() == "Max" ||
        (node.op() == "Clip" && outer->lowest == 0 && outer->highest == kInfinity);
    return other_form ? make_clip(node, x, *outer) : Result<Value*>(nullptr);
  }
  const double lowest = std::clamp(inner->lowest, outer->lowest, outer->highest);
  const double highest = std::clamp(inner->highest, outer->lowest, outer->highest);
  return make_clip(node, clipped_value(*before), {lowest, highest});
}

bool is_about(double value, double wanted) {
  return std::abs(value - wanted) <= 1e-6 * std::abs(wanted);
}

// What `node` divides by 6, or null where it does something else.
Value* divided_by_six(const Node& node) {
  if (node.op() != "Div" && node.op() != "Mul") return nullptr;
  const Operand operand = operand_of(node);
  if (operand.constant == nullptr || operand.constant->count() != 1) return nullptr;
  if (node.op() == "Div" && operand.constant_at == 0) return nullptr;
  const double divisor = numbers_of(*operand.constant)[0];
  return is_about(node.op() == "Div" ? divisor : 1 / divisor, 6) ? operand.value : nullptr;
}

// HardSigmoid(x) = max(0, min(1, x/6 + 1/2)), as Clip(x + 3, 0, 6) / 6.
Result<Value*> recognise_hard_sigmoid(Node& node) {
  Value* dividend = divided_by_six(node);
  const Node* clip = dividend != nullptr ? made_only_for_here(dividend, "Clip") : nullptr;
  const auto bounds = clip != nullptr ? bounds_of(*clip) : std::nullopt;
  if (!bounds || bounds->lowest != 0 || bounds->highest != 6) return nullptr;
  const Node* add = made_only_for_here(clip->input(0), "Add");
  if (add == nullptr) return nullptr;
  const Operand shifted = operand_of(*add);
  if (shifted.constant == nullptr || shifted.constant->count() != 1) return nullptr;
  if (numbers_of(*shifted.constant)[0] != 3) return nullptr;
  if (!same_type(shifted.value->type(), node.output(0)->type())) return nullptr;
  return insert(node, "HardSigmoid", {shifted.value}, {{"alpha", 1.0F / 6}, {"beta", 0.5F}},
                node.output(0)->name());
}

// x · HardSigmoid(x), x · tanh(softplus(x)).
Result<Value*> recognise_product(Node& node) {
  if (node.op() != "Mul") return nullptr;
  for (const size_t gate : {size_t{0}, size_t{1}}) {
    Value* x = node.input(1 - gate);
    const Node* sigmoid = made_only_for_here(node.input(gate), "HardSigmoid");
    if (sigmoid != nullptr && sigmoid->input(0) == x &&
        is_about(sigmoid->float_of("alpha"), 1.0 / 6) && sigmoid->float_of("beta") == 0.5F) {
      return insert(node, "HardSwish", {x}, {}, node.output(0)->name());
    }
    const Node* tanh = made_only_for_here(node.input(gate), "Tanh");
    const Node* softplus =
        tanh != nullptr ? made_only_for_here(tanh->input(0), "Softplus") : nullptr;
    if (softplus != nullptr && softplus->input(0) == x) {
      return insert(node, "Mish", {x}, {}, node.output(0)->name());
    }
  }
  return nullptr;
}

// (x · c) with Clip(x + 3, 0, 6) as the other factor, then / 6: the order in which some write
// HardSwish.
Result<Value*> recognise_hard_swish(Node& node) {
  Value* dividend = divided_by_six(node);
  const Node* product = dividend != nullptr ? made_only_for_here(dividend, "Mul") : nullptr;
  if (product == nullptr) return nullptr;
  for (const size_t gate : {size_t{0}, size_t{1}}) {
    Value* x = product->input(1 - gate);
    const Node* clip = made_only_for_here(product->input(gate), "Clip");
    const auto bounds = clip != nullptr ? bounds_of(*clip) : std::nullopt;
    if (!bounds || bounds->lowest != 0 || bounds->highest != 6) continue;
    const Node* add = made_only_for_here(clip->input(0), "Add");
    const Operand shifted = add != nullptr ? operand_of(*add) : Operand{};
    if (shifted.constant == nullptr || shifted.value != x || shifted.constant->count() != 1 ||
        numbers_of(*shifted.constant)[0] != 3) {
      continue;
    }
    return insert(node, "HardSwish", {x}, {}, node.output(0)->name());
  }
  return nullptr;
}

// PRelu with one slope for all.
Result<Value*> recognise_leaky_relu(Node& node) {
  const Constant* slope = node.op() == "PRelu" ? constant_of(node.input(1)) : nullptr;
  if (slope == nullptr || !tensor::is_float(slope->type()) || slope->count() == 0) return nullptr;
  const std::vector<double> slopes = numbers_of(*slope);
  if (std::ranges::any_of(slopes, [&](double s) { return s != slopes[0]; })) return nullptr;
  return insert(node, "LeakyRelu", {node.input(0)}, {{"alpha", static_cast<float>(slopes[0])}},
                node.output(0)->name());
}

// A clip behind a maximum of what a convolution makes: in front of the maximum it is the
// convolution's own, and the larger of two numbers stays the larger.
Result<Value*> move_before_pool(Node& node) {
  if (node.op() != "Relu" && node.op() != "Clip") return nullptr;
  const Node* pool = made_only_for_here(node.input(0), "MaxPool");
  if (pool == nullptr || pool->outputs().size() != 1) return nullptr;
  if (made_only_for_here(pool->input(0), "Conv") == nullptr) return nullptr;
  std::vector<Value*> inputs = node.inputs();
  inputs[0] = pool->input(0);
  SKERRY_ASSIGN(Value * clipped, insert(node, node.op(), inputs, node.attributes()));
  return insert(node, "MaxPool", {clipped}, pool->attributes(), node.output(0)->name());
}

}  // namespace

Result<size_t> merge_activations(Graph& graph) {
  return rewrite_nodes(graph, [](Node& node) -> Result<bool> {
    if (node.output(0) == nullptr || node.output(0)->uses().empty()) return false;
    for (auto* recognise_activation : {merge_clips, recognise_hard_swish, recognise_hard_sigmoid,
                                       recognise_product, recognise_leaky_relu, move_before_pool}) {
      SKERRY_ASSIGN(Value * made, recognise_activation(node));
      if (made == nullptr) continue;
      take_over(*node.output(0), *made);
      return true;
    }
    return false;
  });
}

}  // namespace skerry::optimise
