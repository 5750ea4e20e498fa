// Operators of integers (ONNX's QOperator form) for what stands between DequantizeLinear and
// QuantizeLinear: QLinearConv, QGemm, QLinearAdd and their like; what only moves elements moves the
// integers. Clips between are done on the integers, since rounding keeps the order.
#include <algorithm>
#include <cmath>

#include "graph/ops/quantisation.h"
#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

// A stored value with what it stands for: scale · (stored − zero).
struct Stored {
  Value* value = nullptr;
  Value* scale = nullptr;
  Value* zero = nullptr;
};

bool is_one_number(const Value* value) {
  const Constant* constant = constant_of(value);
  return constant != nullptr && constant->count() == 1;
}

// What a DequantizeLinear reads; absent where scales are computed or the zero point is left out.
std::optional<Stored> stored(const Value* real) {
  const Node* node = made_by(real, "DequantizeLinear");
  if (node == nullptr || constant_of(node->input(1)) == nullptr ||
      constant_of(node->input(2)) == nullptr) {
    return {};
  }
  const DataType type = node->input(0)->type().element;
  if (type != DataType::kInt8 && type != DataType::kUint8) return {};
  return Stored{node->input(0), node->input(1), node->input(2)};
}

// An activation: one scale for all.
std::optional<Stored> activation(const Value* real) {
  auto found = stored(real);
  if (!found || !is_one_number(found->scale) || !is_one_number(found->zero)) return {};
  return found;
}

// The weights' scales lie along the first dimension of what the integer operator makes.
std::optional<Stored> weights(const Value* real, size_t axis) {
  auto found = stored(real);
  if (!found || constant_of(found->value) == nullptr) return {};
  const size_t scales = constant_of(found->scale)->count();
  const Node& node = *real->producer();
  const auto rank = static_cast<int64_t>(constant_of(found->value)->shape().size());
  int64_t along = node.int_of("axis");
  if (along < 0) along += rank;
  const bool blocked = node.int_of("block_size") != 0;
  if (blocked || (scales != 1 && along != static_cast<int64_t>(axis))) return {};
  return found;
}

// The bias as INT32 by the scale of input times weights; null with true where there is none.
std::optional<Value*> integer_bias(Node& before, Value* bias, const Stored& x, const Stored& w) {
  if (bias == nullptr) return static_cast<Value*>(nullptr);
  const Node* node = made_by(bias, "DequantizeLinear");
  std::vector<double> reals;
  const std::vector<double> scales = numbers_of(*constant_of(w.scale));
  const double x_scale = numbers_of(*constant_of(x.scale))[0];
  if (node != nullptr && constant_of(node->input(0)) != nullptr &&
      constant_of(node->input(1)) != nullptr &&
      node->input(0)->type().element == DataType::kInt32) {
    const auto whole = numbers_of(*constant_of(node->input(0)));
    const auto steps = numbers_of(*constant_of(node->input(1)));
    for (size_t i = 0; i < whole.size(); ++i) {
      reals.push_back(whole[i] * steps[steps.size() == 1 ? 0 : i]);
    }
  } else if (const Constant* constant = constant_of(bias)) {
    reals = numbers_of(*constant);
  } else {
    return {};
  }
  if (scales.size() != 1 && scales.size() != reals.size()) return {};
  std::vector<int32_t> whole;
  for (size_t i = 0; i < reals.size(); ++i) {
    const double step = x_scale * scales[scales.size() == 1 ? 0 : i % scales.size()];
    const double rounded = std::nearbyint(reals[i] / step);
    if (!(std::abs(rounded) < 0x1p30)) return {};
    whole.push_back(static_cast<int32_t>(rounded));
  }
  const auto count = static_cast<int64_t>(whole.size());
  return &add_constant(before, bias->name() + ".integers",
                       Constant::of(DataType::kInt32, {count}, whole));
}

class Lowering {
 public:
  explicit Lowering(Node& quantise) : quantise_(quantise) {}

  Result<bool> run() {
    if (quantise_.op() != "QuantizeLinear" || quantise_.output(0)->uses().empty()) return false;
    y_ = {quantise_.output(0), quantise_.input(1), quantise_.input(2)};
    if (!is_one_number(y_.scale) || !is_one_number(y_.zero)) return false;
    const DataType type = y_.value->type().element;
    if (type != DataType::kInt8 && type != DataType::kUint8) return false;
    range_ = graph::ops::range_of(type);
    const Value* real = behind_clips();
    Node* node = real->producer();
    if (node == nullptr || !has_one_use(*real) || node->outputs().size() != 1) return false;
    const auto operands = operands_of(*node);
    if (!operands) return false;
    SKERRY_ASSIGN(Value * made,
                  insert(quantise_, operands->op, operands->inputs, operands->attributes));
    made->set_type(y_.value->type());
    return finish(*made);
  }

 private:
  struct Operands {
    Op op;
    std::vector<Value*> inputs;
    Attributes attributes = {};
  };

  int64_t quantised(double real) const {
    const double scale = numbers_of(*constant_of(y_.scale))[0];
    const auto zero = static_cast<int64_t>(numbers_of(*constant_of(y_.zero))[0]);
    return graph::ops::quantise(real / scale, zero, y_.value->type().element);
  }

  const Value* behind_clips() {
    const Value* value = quantise_.input(0);
    while (true) {
      const Node* clip = value->producer();
      if (clip == nullptr || !has_one_use(*value)) return value;
      if (clip->op() == "Relu") {
        range_.lowest = std::max(range_.lowest, quantised(0));
      } else if (clip->op() == "Clip") {
        const auto low = scalar_of(clip->input(1));
        const auto high = scalar_of(clip->input(2));
        if ((clip->input(1) != nullptr && !low) || (clip->input(2) != nullptr && !high)) {
          return value;
        }
        if (low) range_.lowest = std::max(range_.lowest, quantised(*low));
        if (high) range_.highest = std::min(range_.highest, quantised(*high));
      } else {
        return value;
      }
      value = clip->input(0);
    }
  }

  std::optional<Operands> operands_of(Node& node) {
    const Op op = node.op();
    if (op == "Conv") return product(node, "QLinearConv", 0);
    if (op == "Gemm") return product(node, "QGemm", node.int_of("transB") != 0 ? 0 : 1);
    if (op == "MatMul") return product(node, "QGemm", 1);
    if (op == "Add") return binary(node, "QLinearAdd");
    if (op == "Mul") return binary(node, "QLinearMul");
    if (op == "AveragePool") return unary(node, "QLinearAveragePool");
    if (op == "GlobalAveragePool") return unary(node, "QLinearGlobalAveragePool");
    if (op == "Sigmoid") return unary(node, "QLinearSigmoid");
    if (op == "MaxPool" || op == "Concat") return moved(node, op == "Concat");
    return {};
  }

  std::optional<Operands> product(Node& node, Op op, size_t axis) {
    const auto x = activation(node.input(0));
    const auto w = weights(node.input(1), axis);
    if (!x || !w || !node.output(0)->type().shape) return {};
    const bool conv = op == "QLinearConv";
    if (!conv && (node.output(0)->type().rank() != 2 || w->value->type().rank() != 2)) return {};
    if (node.op() == "Gemm" && (node.float_of("beta") != 1 || node.float_of("alpha") != 1)) {
      return {};
    }
    const auto bias = integer_bias(quantise_, node.input(2), *x, *w);
    if (!bias) return {};
    std::vector<Value*> inputs = {x->value, x->scale, x->zero, w->value, w->scale, w->zero};
    if (conv) {
      inputs.insert(inputs.end(), {y_.scale, y_.zero});
      if (*bias != nullptr) inputs.push_back(*bias);
      return Operands{op, std::move(inputs), node.attributes()};
    }
    inputs.insert(inputs.end(), {*bias, y_.scale, y_.zero});
    Attributes attributes;
    for (const auto& [name, value] : node.attributes()) {
      if (name == "transA" || name == "transB") attributes.emplace(name, value);
    }
    return Operands{op, std::move(inputs), std::move(attributes)};
  }

  std::optional<Operands> binary(const Node& node, Op op) const {
    const auto a = activation(node.input(0));
    const auto b = activation(node.input(1));
    if (!a || !b || a->value->type().element != b->value->type().element) return {};
    return Operands{op,
                    {a->value, a->scale, a->zero, b->value, b->scale, b->zero, y_.scale, y_.zero}};
  }

  std::optional<Operands> unary(const Node& node, Op op) const {
    const auto x = activation(node.input(0));
    if (!x || x->value->type().element != y_.value->type().element) return {};
    Attributes attributes;
    for (const char* name :
         {"auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"}) {
      const auto found = node.attributes().find(name);
      if (found != node.attributes().end()) attributes.insert(*found);
    }
    if (node.definition().attribute("dilations") != nullptr &&
        std::ranges::any_of(node.ints_of("dilations"), [](int64_t d) { return d != 1; })) {
      return {};
    }
    return Operands{op, {x->value, x->scale, x->zero, y_.scale, y_.zero}, std::move(attributes)};
  }

  // Elements as they are, all by one scale.
  std::optional<Operands> moved(const Node& node, bool all) const {
    std::vector<Value*> inputs = node.inputs();
    for (size_t i = 0; i < (all ? inputs.size() : 1); ++i) {
      const auto x = activation(inputs[i]);
      if (!x || !same_constant(x->scale, y_.scale) || !same_constant(x->zero, y_.zero)) return {};
      inputs[i] = x->value;
    }
    return Operands{node.op(), std::move(inputs), node.attributes()};
  }

  Result<bool> finish(Value& made) {
    Value* last = &made;
    const auto all = graph::ops::range_of(y_.value->type().element);
    if (range_.lowest > all.lowest || range_.highest < all.highest) {
      SKERRY_ASSIGN(
          last, insert(quantise_, "Clip", {last, &limit(range_.lowest), &limit(range_.highest)}));
    }
    take_over(*quantise_.output(0), *last);
    return true;
  }

  Value& limit(int64_t value) {
    const bool is_signed = y_.value->type().element == DataType::kInt8;
    return add_constant(
        quantise_, quantise_.output(0)->name() + ".limit",
        is_signed ? Constant::of<int8_t>(DataType::kInt8, {}, {static_cast<int8_t>(value)})
                  : Constant::of<uint8_t>(DataType::kUint8, {}, {static_cast<uint8_t>(value)}));
  }

  Node& quantise_;
  Stored y_;
  graph::ops::IntegerRange range_{};  // of what clips let through
};

}  // namespace

Result<size_t> make_qlinear(Graph& graph) {
  return rewrite_nodes(graph, [](Node& node) { return Lowering(node).run(); });
}

}  // namespace skerry::optimise
