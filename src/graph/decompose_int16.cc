// Operators on INT16 as what stock ONNX Runtime has for it: DequantizeLinear, the operator on
// floats, QuantizeLinear. Models of TensorFlow Lite with 16-bit activations have them.
#include <algorithm>
#include <array>

#include "graph/decompose.h"
#include "graph/evaluation.h"
#include "graph/inference.h"

namespace skerry::graph {
namespace {

constexpr size_t kNoInput = SIZE_MAX;

// Where an operator has its values; behind each, its scale and zero point.
struct QuantisedKind {
  Op op;
  Op of_floats;
  size_t values;  // 1 or 2 of them: at 0, at 3
  size_t out;     // scale and zero point of what it makes
  size_t bias = kNoInput;
};
const QuantisedKind kQuantisedKinds[] = {
    {"QLinearConv", "Conv", 2, 6, 8},
    {"QGemm", "Gemm", 2, 7, 6},
    {"QLinearAdd", "Add", 2, 6},
    {"QLinearMul", "Mul", 2, 6},
    {"QLinearAveragePool", "AveragePool", 1, 3},
    {"QLinearGlobalAveragePool", "GlobalAveragePool", 1, 3},
    {"QLinearSigmoid", "Sigmoid", 1, 3},
    {"QLinearSoftmax", "Softmax", 1, 3},
};

// These take integers themselves, all of which floats hold.
const std::array<Op, 3> kOnFloats = {"Clip", "MaxPool", "Relu"};

const QuantisedKind* quantised_kind_of(const Node& node) {
  const auto* kind = std::ranges::find_if(
      kQuantisedKinds, [&](const QuantisedKind& each) { return node.op() == each.op; });
  return kind == std::end(kQuantisedKinds) ? nullptr : kind;
}

bool computes_int16(const Node& node) {
  const bool known = quantised_kind_of(node) != nullptr ||
                     std::ranges::find(kOnFloats, node.op()) != kOnFloats.end();
  return known && node.input(0) != nullptr && node.outputs().size() == 1 &&
         node.input(0)->type().element == DataType::kInt16;
}

class Int16Parts {
 public:
  explicit Int16Parts(Node& node) : node_(node) {}

  // What stands for the output; null where it stays, and then nothing was made.
  Result<Value*> make() {
    const QuantisedKind* kind = quantised_kind_of(node_);
    return kind != nullptr ? of_reals(*kind) : of_integers();
  }

 private:
  Result<Value*> of_integers() {
    std::vector<Value*> inputs;
    for (size_t i = 0; i < node_.inputs().size(); ++i) {
      Value* input = node_.input(i);
      if (input != nullptr) {
        SKERRY_ASSIGN(input, add("Cast", {input}, {{"to", DataType::kFp32}}));
      }
      inputs.push_back(input);
    }
    SKERRY_ASSIGN(Value * y, add(node_.op(), std::move(inputs), node_.attributes()));
    return add("Cast", {y}, {{"to", DataType::kInt16}});
  }

  Result<Value*> of_reals(const QuantisedKind& kind) {
    Attributes attributes = node_.attributes();
    const auto channels_last = attributes.find("channels_last");
    if (channels_last != attributes.end() && std::get<int64_t>(channels_last->second) != 0) {
      return nullptr;
    }
    const bool biased = kind.bias != kNoInput && node_.input(kind.bias) != nullptr;
    std::optional<Constant> bias;
    if (biased) bias = real_bias(kind);
    if (node_.input(kind.out) == nullptr || (biased && !bias)) return nullptr;
    std::vector<Value*> inputs;
    for (size_t i = 0; i < kind.values; ++i) {
      SKERRY_ASSIGN(Value * value,
                    add("DequantizeLinear",
                        {node_.input(3 * i), node_.input(3 * i + 1), node_.input(3 * i + 2)},
                        {{"axis", int64_t{0}}}));
      inputs.push_back(value);
    }
    if (bias) inputs.push_back(&node_.graph().add_constant("bias", std::move(*bias)));
    for (const char* ours : {"rounding", "opset", "channels_last"}) attributes.erase(ours);
    SKERRY_ASSIGN(Value * y, add(kind.of_floats, std::move(inputs), std::move(attributes)));
    return add("QuantizeLinear", {y, node_.input(kind.out), node_.input(kind.out + 1)});
  }

  // Integers whose scale is the product of those of both values.
  std::optional<Constant> real_bias(const QuantisedKind& kind) const {
    const auto numbers = [&](size_t input) {
      const Value* value = node_.input(input);
      return value != nullptr && value->constant() != nullptr
                 ? Array::from(value->constant()->view()).to_doubles()
                 : std::vector<double>();
    };
    const auto integers = numbers(kind.bias);
    const auto x = numbers(1);
    const auto w = numbers(4);
    if (integers.empty() || x.size() != 1 || (w.size() != 1 && w.size() != integers.size()))
      return {};
    std::vector<float> reals;
    for (size_t i = 0; i < integers.size(); ++i) {
      reals.push_back(static_cast<float>(integers[i] * x[0] * w[w.size() == 1 ? 0 : i]));
    }
    return Constant::of(DataType::kFp32, node_.input(kind.bias)->constant()->shape(), reals);
  }

  Result<Value*> add(Op op, std::vector<Value*> inputs, Attributes attributes = {}) {
    return inference_.add_before(node_, op, std::move(inputs), std::move(attributes));
  }

  Node& node_;
  TypeInference inference_;
};

}  // namespace

bool has_int16_operators(const Graph& graph) {
  return std::ranges::any_of(graph.nodes(), [](const auto& node) {
    return computes_int16(*node) || std::ranges::any_of(node->subgraphs(), [](const auto& inner) {
             return has_int16_operators(*inner);
           });
  });
}

Result<size_t> decompose_int16(Graph& graph) {
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  size_t count = 0;
  for (Node* node : nodes) {
    for (const auto& inner : node->subgraphs()) {
      SKERRY_ASSIGN(const size_t inside, decompose_int16(*inner));
      count += inside;
    }
    if (!computes_int16(*node)) continue;
    SKERRY_ASSIGN(Value * made, Int16Parts(*node).make());
    if (made == nullptr) continue;
    graph.swap_names(*node->output(0), *made);
    node->output(0)->replace_uses(*made);
    graph.erase(*node);
    ++count;
  }
  return count;
}

}  // namespace skerry::graph
