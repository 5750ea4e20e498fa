// Weight-only and dynamic quantisation.
#include "optimise/quantise/weight_only.h"

#include <algorithm>
#include <cmath>

#include "optimise/quantise/weights.h"

namespace skerry::optimise {
namespace {

constexpr size_t kWorthIt = 256;  // elements
constexpr int64_t kBlock = 32;

Value* fp16_weights(Node& node, const Constant& weights, const std::string& name) {
  Value& stored = add_constant(node, name + ".fp16",
                               floats(DataType::kFp16, weights.shape(), numbers_of(weights)));
  const auto real = insert(node, "Cast", {&stored}, {{"to", DataType::kFp32}}, name + ".fp32");
  return real ? *real : nullptr;
}

Value* int8_weights(Node& node, const Constant& weights, size_t axis, const std::string& name) {
  const IntegerWeights rounded = round_weights(weights, axis, true, 127);
  const std::vector<int64_t> shape = {weights.shape()[axis]};
  Value& stored = add_constant(node, name + ".q", int8_constant(weights.shape(), rounded.numbers));
  Value& scale =
      add_constant(node, name + ".scale", Constant::of(DataType::kFp32, shape, rounded.scales));
  const auto real = insert(node, "DequantizeLinear", {&stored, &scale},
                           {{"axis", static_cast<int64_t>(axis)}}, name + ".dq");
  return real ? *real : nullptr;
}

// A scale for each block of `kBlock` along `axis`, the one that is summed over.
Value* int4_weights(Node& node, const Constant& weights, size_t axis, const std::string& name) {
  const auto& shape = weights.shape();
  const AxisSizes sizes = axis_sizes(shape, axis);
  const size_t blocks = (sizes.size + kBlock - 1) / kBlock;
  const auto values = weights.as<float>();
  std::vector<float> scales(sizes.outer * blocks * sizes.inner, 0);
  const auto scale_at = [&](size_t i) {
    return (i / sizes.inner / sizes.size * blocks + sizes.at(i) / kBlock) * sizes.inner +
           i % sizes.inner;
  };
  for (size_t i = 0; i < values.size(); ++i) {
    scales[scale_at(i)] = std::max(scales[scale_at(i)], std::abs(values[i]) / 7);
  }
  for (float& scale : scales) scale = scale > 1e-30F ? scale : 1.0F;
  tensor::Bytes bytes((values.size() + 1) / 2);
  for (size_t i = 0; i < values.size(); ++i) {
    const double rounded =
        std::clamp<double>(std::nearbyint(values[i] / scales[scale_at(i)]), -7, 7);
    const auto nibble = static_cast<unsigned>(static_cast<int>(rounded)) & 15U;
    bytes[i / 2] |= static_cast<std::byte>(nibble << (i % 2 * 4));
  }
  auto constant = Constant::make(DataType::kInt4, shape, std::move(bytes));
  if (!constant) return nullptr;
  std::vector<int64_t> scale_shape = shape;
  scale_shape[axis] = static_cast<int64_t>(blocks);
  Value& stored = add_constant(node, name + ".q", std::move(*constant));
  Value& scale =
      add_constant(node, name + ".scale", Constant::of(DataType::kFp32, scale_shape, scales));
  const auto real =
      insert(node, "DequantizeLinear", {&stored, &scale},
             {{"axis", static_cast<int64_t>(axis)}, {"block_size", kBlock}}, name + ".dq");
  return real ? *real : nullptr;
}

struct WeightPlace {
  size_t input = 1;
  size_t channel = 0;             // axis with a scale for each slice
  std::optional<size_t> inner{};  // axis that is summed over, of matrices
};

std::optional<WeightPlace> place_of(Node& node) {
  if (node.op() == "Gather") {
    if (node.int_of("axis") != 0) return {};
    return WeightPlace{.input = 0, .channel = 0};
  }
  const auto layer = weighted_layer(node);
  if (!layer) return {};
  WeightPlace place{.input = 1, .channel = layer->axis};
  if (node.op() != "Conv") place.inner = 1 - layer->axis;
  return place;
}

Result<bool> store(Node& node, WeightFormat format) {
  const auto place = place_of(node);
  if (!place) return false;
  Value* value = node.input(place->input);
  const Constant* weights = constant_of(value);
  if (weights == nullptr || weights->type() != DataType::kFp32 || weights->count() < kWorthIt ||
      weights->shape().size() < 2) {
    return false;
  }
  const std::string name = value->name();
  Value* real = format == WeightFormat::kFp16 ? fp16_weights(node, *weights, name)
                : format == WeightFormat::kInt4 && place->inner
                    ? int4_weights(node, *weights, *place->inner, name)
                    : int8_weights(node, *weights, place->channel, name);
  if (real == nullptr) return false;
  node.set_input(place->input, real);
  return true;
}

// y = MatMulInteger(q(x), W) · (x's scale · W's scales) + bias
Result<bool> make_dynamic(Node& node) {
  const auto layer = weighted_layer(node);
  if (!layer || node.op() == "Conv" || node.output(0)->uses().empty()) return false;
  if (layer->weights->count() < kWorthIt) return false;
  const bool transposed = node.op() == "Gemm" && node.int_of("transB") != 0;
  const IntegerWeights rounded = round_weights(*layer->weights, layer->axis, true, 127);
  const int64_t inner = layer->weights->shape()[1 - layer->axis];
  std::vector<int64_t> numbers(rounded.numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) {  // to [inner][channels]
    const auto row = static_cast<int64_t>(i) / layer->channels;
    const auto column = static_cast<int64_t>(i) % layer->channels;
    numbers[i] = rounded.numbers[static_cast<size_t>(transposed ? column * inner + row : i)];
  }
  const std::string name = node.input(1)->name();
  Value& weights =
      add_constant(node, name + ".q", int8_constant({inner, layer->channels}, numbers));
  Value& scales = add_constant(node, name + ".scale",
                               Constant::of(DataType::kFp32, {layer->channels}, rounded.scales));
  Node& dynamic = node.graph().add_node(
      {.op = "DynamicQuantizeLinear",
       .name = node.name() + ".q",
       .inputs = {node.input(0)},
       .outputs = {node.name() + ".x", node.name() + ".x.scale", node.name() + ".x.zero"}},
      &node);
  dynamic.output(0)->set_type({DataType::kUint8, node.input(0)->type().shape});
  dynamic.output(1)->set_type({DataType::kFp32, graph::Shape()});
  dynamic.output(2)->set_type({DataType::kUint8, graph::Shape()});
  SKERRY_ASSIGN(Value * product,
                insert(node, "MatMulInteger", {dynamic.output(0), &weights, dynamic.output(2)}, {},
                       node.name() + ".int"));
  SKERRY_ASSIGN(Value * real, insert(node, "Cast", {product}, {{"to", DataType::kFp32}}));
  SKERRY_ASSIGN(Value * scale, insert(node, "Mul", {dynamic.output(1), &scales}));
  SKERRY_ASSIGN(Value * made, insert(node, "Mul", {real, scale}, {}, node.output(0)->name()));
  if (node.input(2) != nullptr) {
    SKERRY_ASSIGN(made, insert(node, "Add", {made, node.input(2)}, {}, node.output(0)->name()));
  }
  take_over(*node.output(0), *made);
  return true;
}

}  // namespace

Result<size_t> store_weights_as(Graph& graph, WeightFormat format) {
  return rewrite_nodes(graph, [&](Node& node) { return store(node, format); });
}

Result<size_t> quantise_dynamic(Graph& graph) {
  return rewrite_nodes(graph, make_dynamic);
}

}  // namespace skerry::optimise
