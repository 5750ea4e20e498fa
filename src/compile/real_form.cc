// One function for each form of inputs that quantised operators have.
#include "compile/real_form.h"

#include <algorithm>

#include "compile/rewriting.h"
#include "graph/inference.h"
#include "graph/verify.h"

namespace skerry::compile {
namespace {

using graph::Attributes;
using graph::Constant;
using graph::Graph;
using graph::Node;
using graph::Value;
using tensor::DataType;

class Unfolder {
 public:
  explicit Unfolder(Graph& graph) : graph_(graph) {}

  Result<void> run() {
    std::vector<Node*> nodes;
    for (const auto& node : graph_.nodes()) nodes.push_back(node.get());
    for (Node* node : nodes) unfold(*node);
    SKERRY_TRY(graph_.sort());
    graph::TypeInference inference;
    SKERRY_TRY(inference.infer(graph_));
    return graph::verify(graph_);
  }

 private:
  void unfold(Node& node) {
    const auto op = node.op();
    if (op == "QuantizeLinear") {
      node.set_attribute("rounding", std::string("even"));
    } else if (op == "QLinearConv") {
      unfold_conv(node);
    } else if (op == "QGemm") {
      unfold_gemm(node);
    } else if (op == "QLinearMatMul") {
      const Value* b = node.input(3);
      const auto rank = b->type().shape ? static_cast<int64_t>(b->type().rank()) : 2;
      replace(node, make("MatMul", {real(node, 0, 0), real(node, 3, rank - 1)}, node), 6);
    } else if (op == "QLinearAdd" || op == "QLinearMul") {
      const graph::Op plain = op == "QLinearAdd" ? graph::Op("Add") : graph::Op("Mul");
      replace(node, make(plain, {real(node, 0, 0), real(node, 3, 0)}, node), 6);
    } else {
      unfold_unary(node);
    }
  }

  Value* make(graph::Op op, std::vector<Value*> inputs, const Node& before,
              Attributes attributes = {}) {
    Node& made = graph_.add_node({.op = op,
                                  .name = before.name(),
                                  .inputs = std::move(inputs),
                                  .outputs = {before.output(0)->name()},
                                  .attributes = std::move(attributes)},
                                 &before);
    return made.output(0);
  }

  // What inputs i, i + 1 (scale), i + 2 (zero point) stand for.
  Value* real(const Node& node, size_t i, int64_t axis) {
    Value* zero = node.input(i + 2);
    const Constant* scales = node.input(i + 1)->constant();
    const Constant* zeros = zero == nullptr ? nullptr : zero->constant();
    // One zero point for many scales.
    if (scales != nullptr && zeros != nullptr && zeros->count() == 1 && scales->count() > 1) {
      tensor::Bytes bytes(scales->count(), zeros->bytes()[0]);
      auto all = Constant::make(zeros->type(), scales->shape(), std::move(bytes));
      if (all) zero = &graph_.add_constant("", std::move(*all));
    }
    return make("DequantizeLinear", {node.input(i), node.input(i + 1), zero}, node,
                {{"axis", axis}});
  }

  // The output's scale is input `scale`, its zero point the next; a node without gives reals.
  void replace(Node& node, Value* result, size_t scale) {
    if (node.input(scale) != nullptr) {
      Attributes attributes;
      if (node.input(scale + 1) == nullptr) {
        attributes["output_dtype"] = node.output(0)->type().element;
      }
      result = make("QuantizeLinear", {result, node.input(scale), node.input(scale + 1)}, node,
                    std::move(attributes));
    }
    take_place(graph_, *node.output(0), *result);
    graph_.erase(node);
  }

  // A bias in whole numbers of x·w; null where it has none, absent where scales are no constants.
  std::optional<Value*> real_bias(const Node& node, size_t bias, size_t x, size_t w, float alpha) {
    if (node.input(bias) == nullptr) return nullptr;
    const Constant* of_x = node.input(x)->constant();
    const Constant* of_w = node.input(w)->constant();
    if (of_x == nullptr || of_w == nullptr) return {};
    std::vector<float> scales;
    for (const float scale : of_w->as<float>())
      scales.push_back(alpha * of_x->as<float>()[0] * scale);
    const std::vector<int64_t> shape =
        scales.size() == 1 ? std::vector<int64_t>()
                           : std::vector<int64_t>{static_cast<int64_t>(scales.size())};
    Value& scale = graph_.add_constant("", Constant::of(DataType::kFp32, shape, scales));
    return make("DequantizeLinear", {node.input(bias), &scale, nullptr}, node,
                {{"axis", int64_t{0}}});
  }

  void unfold_conv(Node& node) {
    const auto bias = real_bias(node, 8, 1, 4, 1);
    if (!bias) return;
    Attributes attributes = node.attributes();
    attributes.erase("rounding");
    std::vector<Value*> inputs = {real(node, 0, 1), real(node, 3, 0)};
    if (*bias != nullptr) inputs.push_back(*bias);
    replace(node, make("Conv", std::move(inputs), node, std::move(attributes)), 6);
  }

  void unfold_gemm(Node& node) {
    const float alpha = node.float_of("alpha");
    const auto bias = real_bias(node, 6, 1, 4, alpha);
    if (!bias) return;
    const int64_t turned = node.int_of("transB");
    std::vector<Value*> inputs = {real(node, 0, 1), real(node, 3, turned != 0 ? 0 : 1)};
    if (*bias != nullptr) inputs.push_back(*bias);
    replace(node,
            make("Gemm", std::move(inputs), node,
                 {{"alpha", alpha}, {"transA", node.int_of("transA")}, {"transB", turned}}),
            7);
  }

  void unfold_unary(Node& node) {
    struct Pair {
      graph::Op quantised, real;
    };
    constexpr Pair kPairs[] = {{"QLinearAveragePool", "AveragePool"},
                               {"QLinearGlobalAveragePool", "GlobalAveragePool"},
                               {"QLinearLeakyRelu", "LeakyRelu"},
                               {"QLinearSigmoid", "Sigmoid"},
                               {"QLinearSoftmax", "Softmax"}};
    const auto* pair = std::ranges::find(kPairs, node.op(), &Pair::quantised);
    if (pair == std::end(kPairs)) return;
    const auto channels_last = node.attributes().find("channels_last");
    if (channels_last != node.attributes().end() && std::get<int64_t>(channels_last->second) != 0) {
      return;
    }
    // Before opset 13 Softmax took all dimensions from its axis on as one.
    if (node.op() == "QLinearSoftmax" && node.int_of("opset") < 13 && !is_last_axis(node)) return;
    Attributes attributes = node.attributes();
    for (const char* own : {"rounding", "channels_last", "opset"}) attributes.erase(own);
    replace(node, make(pair->real, {real(node, 0, 1)}, node, std::move(attributes)), 3);
  }

  static bool is_last_axis(const Node& node) {
    const auto& shape = node.input(0)->type().shape;
    const int64_t axis = node.int_of("axis");
    return axis == -1 || (shape && axis + 1 == static_cast<int64_t>(shape->size()));
  }

  Graph& graph_;
};

}  // namespace

Result<void> to_real_form(Graph& graph) {
  return Unfolder(graph).run();
}

}  // namespace skerry::compile
