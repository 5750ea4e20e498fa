// Pattern by pattern, from QuantizeLinear backwards; then signed bytes to unsigned ones.
#include "compile/integer_form.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "compile/quantised.h"
#include "compile/rewriting.h"
#include "graph/executor.h"
#include "graph/inference.h"
#include "graph/ops/quantisation.h"
#include "graph/verify.h"

namespace skerry::compile {
namespace {

using graph::Constant;
using graph::Graph;
using graph::Node;
using graph::Value;
using tensor::DataType;

constexpr graph::Op kMovement[] = {"Reshape",  "Flatten", "Transpose", "Squeeze", "Unsqueeze",
                                   "Identity", "Slice",   "MaxPool",   "Concat"};

bool is_movement(const Node& node) {
  return std::ranges::count(kMovement, node.op()) > 0 &&
         (node.op() != "MaxPool" || node.output(1) == nullptr);
}

Node* maker(const Value* value) {
  return value == nullptr ? nullptr : value->producer();
}

Node* sole_maker(const Value* value) {
  Node* node = maker(value);
  return node != nullptr && value->uses().size() == 1 ? node : nullptr;
}

Constant byte_constant(DataType type, int64_t value) {
  return type == DataType::kInt8 ? Constant::of<int8_t>(type, {}, {static_cast<int8_t>(value)})
                                 : Constant::of<uint8_t>(type, {}, {static_cast<uint8_t>(value)});
}

class Rewriter {
 public:
  explicit Rewriter(Graph& graph) : graph_(graph) {}

  Result<size_t> run() {
    for (Node* node : all(graph::Op("QuantizeLinear"))) rewrite(*node);
    sweep();
    make_unsigned();
    sweep();
    SKERRY_TRY(dequantise_constants());
    SKERRY_TRY(graph_.sort());
    graph::TypeInference inference;
    SKERRY_TRY(inference.infer(graph_));
    SKERRY_TRY(graph::verify(graph_));
    return count_;
  }

 private:
  std::vector<Node*> all(std::optional<graph::Op> op) const {
    std::vector<Node*> nodes;
    for (const auto& node : graph_.nodes()) {
      if (!op || node->op() == *op) nodes.push_back(node.get());
    }
    return nodes;
  }

  Value& number(float value) { return graph_.add_constant("", Constant::of_float(value)); }
  Value& byte(DataType type, int64_t value) {
    return graph_.add_constant("", byte_constant(type, value));
  }
  // A node before `before`, whose only output has a name like that of `like`.
  Value& make(graph::Op op, std::vector<Value*> inputs, const Node& before, const Value& like,
              graph::Attributes attributes = {}) {
    Node& node = graph_.add_node({.op = op,
                                  .name = before.name(),
                                  .inputs = std::move(inputs),
                                  .outputs = {like.name()},
                                  .attributes = std::move(attributes)},
                                 &before);
    node.output(0)->set_type(like.type());
    return *node.output(0);
  }

  void rewrite(Node& quantise);
  bool rewrite_product(Node& quantise, Node& main, const Scale& y, Limits limits);
  bool rewrite_add(Node& quantise, Node& add, const Scale& y, Limits limits);
  bool rewrite_average(Node& quantise, Node& pool, const Scale& y, Limits limits);
  bool rewrite_movement(Node& quantise, Node& move, const Scale& y);
  void finish(Node& quantise, Value& result, const Scale& y, const Limits& limits);
  void make_unsigned();
  bool make_unsigned(Node& node);
  Value* twin(Value* value, const Node& before);
  Result<void> dequantise_constants();
  void sweep();

  Graph& graph_;
  size_t count_ = 0;
  std::unordered_map<const Value*, Value*> twins_;
};

// What is between the result and QuantizeLinear and only limits it: rounding keeps the order.
Value* behind_limits(Value* value, const Scale& y, Limits& limits) {
  while (true) {
    Node* node = sole_maker(value);
    if (node == nullptr) return value;
    if (node->op() == "Relu") {
      limits.low = std::max(limits.low, y.stored(0));
    } else if (node->op() == "Clip") {
      for (const size_t i : {1u, 2u}) {
        if (node->input(i) == nullptr) continue;
        const auto limit = number_of(node->input(i));
        if (!limit) return value;
        if (i == 1) limits.low = std::max(limits.low, y.stored(*limit));
        if (i == 2) limits.high = std::min(limits.high, y.stored(*limit));
      }
    } else {
      return value;
    }
    value = node->input(0);
  }
}

void Rewriter::rewrite(Node& quantise) {
  const auto y = scale_of(quantise);
  if (!y) return;
  Limits limits = limits_of(y->type);
  Node* main = sole_maker(behind_limits(quantise.input(0), *y, limits));
  if (main == nullptr) return;
  const auto op = main->op();
  bool done = false;
  if (op == "Conv" || op == "Gemm" || op == "MatMul") {
    done = rewrite_product(quantise, *main, *y, limits);
  } else if (op == "Add") {
    done = rewrite_add(quantise, *main, *y, limits);
  } else if (op == "GlobalAveragePool" || op == "AveragePool") {
    done = rewrite_average(quantise, *main, *y, limits);
  } else if (is_movement(*main) && quantise.input(0)->producer() == main) {
    done = rewrite_movement(quantise, *main, *y);
  }
  count_ += done ? 1 : 0;
}

// `result` takes the place of what `quantise` made.
void Rewriter::finish(Node& quantise, Value& result, const Scale& y, const Limits& limits) {
  Value* last = &result;
  const Limits all = limits_of(y.type);
  if (limits.low > all.low || limits.high < all.high) {
    last = &make("Clip", {last, &byte(y.type, limits.low), &byte(y.type, limits.high)}, quantise,
                 *quantise.output(0));
  }
  take_place(graph_, *quantise.output(0), *last);
}

namespace {

struct IntegerProduct {
  Constant weights;  // [M, …] INT8
  std::vector<float> factors;
  std::vector<int32_t> bias;
};

// `columns`: the weights are [K, M], to be turned.
Constant turned(const Constant& weights, bool columns) {
  const int64_t rows = weights.shape()[columns ? 1 : 0], inner = weights.shape()[columns ? 0 : 1];
  std::vector<int8_t> values;
  for (int64_t m = 0; m < rows; ++m) {
    for (int64_t k = 0; k < inner; ++k) {
      values.push_back(
          weights.as<int8_t>()[static_cast<size_t>(columns ? k * rows + m : m * inner + k)]);
    }
  }
  return Constant::of<int8_t>(DataType::kInt8, {rows, inner, 1}, values);
}

std::optional<std::vector<int32_t>> integer_bias(const Value* bias,
                                                 const std::vector<double>& scales) {
  std::vector<int32_t> result(scales.size(), 0);
  if (bias == nullptr) return result;
  const auto reals = reals_of(bias);
  if (!reals || reals->size() != scales.size()) return {};
  for (size_t i = 0; i < scales.size(); ++i) {
    const double rounded = std::nearbyint((*reals)[i] / scales[i]);
    if (!(std::abs(rounded) < 0x1p30)) return {};
    result[i] = static_cast<int32_t>(rounded);
  }
  return result;
}

}  // namespace

bool Rewriter::rewrite_product(Node& quantise, Node& main, const Scale& y, Limits limits) {
  const bool conv = main.op() == "Conv";
  const bool gemm = main.op() == "Gemm";
  if (gemm &&
      (main.int_of("transA") != 0 || main.float_of("alpha") != 1 || main.float_of("beta") != 1)) {
    return false;
  }
  Node* from = maker(main.input(0));
  const auto x =
      from != nullptr && from->op() == "DequantizeLinear" ? scale_of(*from) : std::nullopt;
  const bool columns = !conv && !(gemm && main.int_of("transB") != 0);
  const auto weights = signed_weights_of(main.input(1), columns ? 1 : 0);
  if (!x || !weights || (!conv && weights->values.shape().size() != 2)) return false;
  const auto shape = sizes_of(main.output(0)->type());
  const auto x_shape = sizes_of(main.input(0)->type());
  if (!shape || !x_shape) return false;
  const auto channels = static_cast<size_t>(weights->values.shape()[columns ? 1 : 0]);
  std::vector<float> factors;
  std::vector<double> scales;
  for (size_t i = 0; i < channels; ++i) {
    const double w = weights->scales[weights->scales.size() == 1 ? 0 : i];
    scales.push_back(static_cast<double>(x->scale) * w);
    factors.push_back(static_cast<float>(scales[i] / static_cast<double>(y.scale)));
  }
  const auto bias = integer_bias(main.op() == "MatMul" ? nullptr : main.input(2), scales);
  if (!bias) return false;
  Value* in = from->input(0);
  const auto reshape = [&](Value& value, std::vector<int64_t> sizes, DataType type) -> Value& {
    Value& made = make("Reshape", {&value, &graph_.add_constant("", Constant::of_ints(sizes))},
                       quantise, *quantise.output(0));
    made.set_type({.element = type, .shape = graph::fixed_shape(sizes)});
    return made;
  };
  const int64_t inner = conv ? 0 : x_shape->back();
  int64_t rows = 1;
  if (!conv) {
    for (const int64_t size : *x_shape) rows *= size;
    rows /= std::max<int64_t>(inner, 1);
    in = &reshape(*in, {rows, inner, 1}, x->type);
  }
  const auto m = static_cast<int64_t>(channels);
  Value& result =
      make("QLinearConv",
           {in, &number(1), &byte(x->type, x->zero),
            &graph_.add_constant("", conv ? weights->values : turned(weights->values, columns)),
            &graph_.add_constant("", Constant::of(DataType::kFp32, {m}, factors)),
            &byte(DataType::kInt8, 0), &number(1), &byte(y.type, y.zero),
            &graph_.add_constant("", Constant::of(DataType::kInt32, {m}, *bias))},
           quantise, *quantise.output(0), conv ? main.attributes() : graph::Attributes{});
  if (conv) {
    finish(quantise, result, y, limits);
    return true;
  }
  result.set_type(
      {.element = y.type, .shape = graph::fixed_shape(std::vector<int64_t>{rows, m, 1})});
  // Limits before the shape: they become part of the product's step.
  Value* limited = &result;
  const Limits all = limits_of(y.type);
  if (limits.low > all.low || limits.high < all.high) {
    limited = &make("Clip", {limited, &byte(y.type, limits.low), &byte(y.type, limits.high)},
                    quantise, result);
  }
  finish(quantise, reshape(*limited, *shape, y.type), y, all);
  return true;
}

bool Rewriter::rewrite_add(Node& quantise, Node& add, const Scale& y, Limits limits) {
  std::vector<Value*> terms;
  for (Value* input : add.inputs()) {
    Node* from = maker(input);
    const auto x =
        from != nullptr && from->op() == "DequantizeLinear" ? scale_of(*from) : std::nullopt;
    if (!x || input->type().shape != add.output(0)->type().shape) return false;
    terms.push_back(&make("DequantizeLinear",
                          {from->input(0), &number(x->scale / y.scale), &byte(x->type, x->zero)},
                          quantise, *input));
  }
  Value& sum = make("Add", terms, quantise, *add.output(0));
  finish(quantise,
         make("QuantizeLinear", {&sum, &number(1), &byte(y.type, y.zero)}, quantise,
              *quantise.output(0)),
         y, limits);
  return true;
}

bool Rewriter::rewrite_average(Node& quantise, Node& pool, const Scale& y, Limits limits) {
  Node* from = maker(pool.input(0));
  const auto x =
      from != nullptr && from->op() == "DequantizeLinear" ? scale_of(*from) : std::nullopt;
  if (!x) return false;
  Value& integers = make("DequantizeLinear", {from->input(0), &number(1), &byte(x->type, x->zero)},
                         quantise, *pool.input(0));
  Value& mean = make(pool.op(), {&integers}, quantise, *pool.output(0), pool.attributes());
  Value& scaled = make("Mul", {&mean, &number(x->scale / y.scale)}, quantise, *pool.output(0));
  finish(quantise,
         make("QuantizeLinear", {&scaled, &number(1), &byte(y.type, y.zero)}, quantise,
              *quantise.output(0)),
         y, limits);
  return true;
}

bool Rewriter::rewrite_movement(Node& quantise, Node& move, const Scale& y) {
  std::vector<Value*> inputs = move.inputs();
  const size_t moved = move.op() == "Concat" ? inputs.size() : 1;
  for (size_t i = 0; i < moved; ++i) {
    Node* from = maker(inputs[i]);
    const auto x =
        from != nullptr && from->op() == "DequantizeLinear" ? scale_of(*from) : std::nullopt;
    if (!x || x->scale != y.scale || x->zero != y.zero || x->type != y.type) return false;
    inputs[i] = from->input(0);
  }
  finish(quantise, make(move.op(), inputs, quantise, *quantise.output(0), move.attributes()), y,
         limits_of(y.type));
  return true;
}

// --- Unsigned -----------------------------------------------------------------------------------

// The unsigned value that stands for a signed one: every number 128 larger.
Value* Rewriter::twin(Value* value, const Node& before) {
  const auto found = twins_.find(value);
  if (found != twins_.end()) return found->second;
  // An input, or what an operator that knows nothing of this has made.
  graph::Type real{.element = DataType::kFp32, .shape = value->type().shape};
  graph::Type whole{.element = DataType::kUint8, .shape = value->type().shape};
  Value& as_real =
      make("DequantizeLinear", {value, &number(1), &byte(DataType::kInt8, 0)}, before, *value);
  as_real.set_type(real);
  Value& made =
      make("QuantizeLinear", {&as_real, &number(1), &byte(DataType::kUint8, 128)}, before, *value);
  made.set_type(whole);
  return twins_[value] = &made;
}

// Whether the node has an unsigned twin now, or reads one.
bool Rewriter::make_unsigned(Node& node) {
  const auto is_signed = [](const Value* value) {
    return value != nullptr && value->type().element == DataType::kInt8 &&
           value->constant() == nullptr;
  };
  const auto shifted = [&](const Value* zero) -> Value* {
    return &byte(DataType::kUint8, *zero_of(zero) + 128);
  };
  std::vector<Value*> inputs = node.inputs();
  const bool to_signed = is_signed(node.output(0));
  if (node.op() == "DequantizeLinear") {
    if (!is_signed(inputs[0]) || !scale_of(node)) return false;
    node.set_input(0, twin(inputs[0], node));
    node.set_input(2, inputs.size() > 2 ? shifted(inputs[2]) : &byte(DataType::kUint8, 128));
    return false;
  }
  if (node.op() == "QuantizeLinear") {
    if (!to_signed || !scale_of(node)) return false;
    inputs.resize(3, nullptr);
    inputs[2] = inputs[2] == nullptr ? &byte(DataType::kUint8, 128) : shifted(inputs[2]);
  } else if (node.op() == "QLinearConv") {
    if (is_signed(inputs[0])) {
      inputs[0] = twin(inputs[0], node);
      inputs[2] = shifted(inputs[2]);
      node.set_input(0, inputs[0]);
      node.set_input(2, inputs[2]);
    }
    if (!to_signed) return false;
    inputs[7] = shifted(inputs[7]);
  } else if (node.op() == "Clip" && to_signed) {
    inputs[0] = twin(inputs[0], node);
    inputs[1] = shifted(inputs[1]);
    inputs[2] = shifted(inputs[2]);
  } else if (is_movement(node) && to_signed) {
    for (Value*& input : inputs) {
      if (is_signed(input)) input = twin(input, node);
    }
  } else {
    return false;
  }
  graph::Attributes attributes = node.attributes();
  attributes.erase("output_dtype");
  Value& made = make(node.op(), inputs, node, *node.output(0), std::move(attributes));
  made.set_type({.element = DataType::kUint8, .shape = node.output(0)->type().shape});
  twins_[node.output(0)] = &made;
  return true;
}

void Rewriter::make_unsigned() {
  std::vector<Node*> remade;
  for (Node* node : all({})) {
    if (make_unsigned(*node)) remade.push_back(node);
  }
  // Who still wants the signed ones gets them from the twins.
  for (Node* node : remade) {
    Value& old = *node->output(0);
    const auto stays = [&](const graph::Use& use) {
      return use.node == nullptr || std::ranges::count(remade, use.node) == 0;
    };
    if (std::ranges::none_of(old.uses(), stays)) continue;
    Value& twin = *twins_.at(&old);
    Value& real =
        make("DequantizeLinear", {&twin, &number(1), &byte(DataType::kUint8, 128)}, *node, old);
    real.set_type({.element = DataType::kFp32, .shape = old.type().shape});
    Value& back =
        make("QuantizeLinear", {&real, &number(1), &byte(DataType::kInt8, 0)}, *node, old);
    take_place(graph_, old, back);
  }
}

// Weights that are still dequantised go into kernels for FP32.
Result<void> Rewriter::dequantise_constants() {
  for (Node* node : all(graph::Op("DequantizeLinear"))) {
    if (node->input(0)->constant() == nullptr || node->input(1)->constant() == nullptr) continue;
    Graph alone;
    std::vector<Value*> inputs;
    for (const Value* input : node->inputs()) {
      inputs.push_back(input == nullptr ? nullptr : &alone.add_constant("", *input->constant()));
    }
    Value& made = alone.add(node->op(), inputs, node->attributes());
    made.set_type(node->output(0)->type());
    alone.add_output(made);
    graph::Executor executor(alone);
    SKERRY_ASSIGN(auto results, executor.run({}));
    SKERRY_ASSIGN(Constant constant,
                  Constant::make(results[0].type, results[0].shape, std::move(results[0].bytes)));
    node->output(0)->replace_uses(
        graph_.add_constant(node->output(0)->name(), std::move(constant)));
    graph_.erase(*node);
  }
  return {};
}

// What nobody reads goes.
void Rewriter::sweep() {
  auto nodes = all({});
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    const bool is_read = std::ranges::any_of(
        (*node)->outputs(), [](const auto& output) { return output && !output->uses().empty(); });
    if (!is_read) graph_.erase(**node);
  }
}

}  // namespace

Result<size_t> to_integer_form(Graph& graph) {
  return Rewriter(graph).run();
}

}  // namespace skerry::compile
