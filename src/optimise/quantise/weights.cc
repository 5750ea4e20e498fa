// Weights as integers: symmetric, the largest magnitude of each channel on the largest integer.
#include "optimise/quantise/weights.h"

#include <algorithm>
#include <cmath>

namespace skerry::optimise {

std::optional<WeightedLayer> weighted_layer(Node& node) {
  const Constant* weights = constant_of(node.input(1));
  if (weights == nullptr || weights->type() != DataType::kFp32) return {};
  const auto& shape = weights->shape();
  if (shape.size() < 2 || weights->count() == 0) return {};
  if (node.input(2) != nullptr && constant_of(node.input(2)) == nullptr) return {};
  WeightedLayer layer{.node = &node, .weights = weights};
  if (node.op() == "Conv") {
    layer.axis = 0;
  } else if (node.op() == "Gemm") {
    if (node.float_of("alpha") != 1 || node.float_of("beta") != 1 || node.int_of("transA") != 0) {
      return {};
    }
    layer.axis = node.int_of("transB") != 0 ? 0 : 1;
  } else if (node.op() == "MatMul") {
    if (shape.size() != 2) return {};
    layer.axis = 1;
  } else {
    return {};
  }
  layer.channels = shape[layer.axis];
  return layer;
}

AxisSizes axis_sizes(const std::vector<int64_t>& shape, size_t axis) {
  AxisSizes sizes;
  for (size_t i = 0; i < shape.size(); ++i) {
    const auto size = static_cast<size_t>(shape[i]);
    (i < axis ? sizes.outer : i == axis ? sizes.size : sizes.inner) *= size;
  }
  return sizes;
}

IntegerWeights round_weights(const Constant& weights, size_t axis, bool per_channel,
                             int64_t largest) {
  const auto values = weights.as<float>();
  const AxisSizes sizes = axis_sizes(weights.shape(), axis);
  std::vector<float> peaks(per_channel ? sizes.size : 1, 0);
  for (size_t i = 0; i < values.size(); ++i) {
    float& peak = peaks[per_channel ? sizes.at(i) : 0];
    if (std::isfinite(values[i])) peak = std::max(peak, std::abs(values[i]));
  }
  IntegerWeights result;
  for (const float peak : peaks) {
    const float scale = peak / static_cast<float>(largest);
    result.scales.push_back(scale > 1e-30F ? scale : 1.0F);
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const float scale = result.scales[per_channel ? sizes.at(i) : 0];
    const double rounded = std::isnan(values[i]) ? 0 : std::nearbyint(values[i] / scale);
    const auto number = static_cast<int64_t>(
        std::clamp(rounded, -static_cast<double>(largest), static_cast<double>(largest)));
    result.numbers.push_back(number);
    result.error.push_back(static_cast<double>(number) * scale - values[i]);
  }
  return result;
}

Constant int8_constant(const std::vector<int64_t>& shape, const std::vector<int64_t>& numbers) {
  return Constant::of(DataType::kInt8, shape, std::vector<int8_t>(numbers.begin(), numbers.end()));
}

size_t input_channel(const WeightedLayer& layer, size_t element) {
  const auto& shape = layer.weights->shape();
  if (layer.node->op() == "Conv") {
    const AxisSizes sizes = axis_sizes(shape, 1);
    const auto out = element / sizes.inner / sizes.size;
    const auto groups = static_cast<size_t>(layer.node->int_of("group"));
    const size_t per_group = static_cast<size_t>(shape[0]) / groups;
    return out / per_group * sizes.size + sizes.at(element);
  }
  return axis_sizes(shape, 1 - layer.axis).at(element);
}

}  // namespace skerry::optimise
