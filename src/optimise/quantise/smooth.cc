// SmoothQuant.
#include "optimise/quantise/smooth.h"

#include <algorithm>
#include <cmath>

#include "optimise/quantise/weights.h"

namespace skerry::optimise {
namespace {

// Those that read `value`, where all of them are layers with weights; empty otherwise.
std::vector<WeightedLayer> readers_of(const Value& value) {
  std::vector<WeightedLayer> layers;
  for (const graph::Use& use : value.uses()) {
    if (use.node == nullptr || use.index != 0 || use.node->op() == "Conv") return {};
    const auto layer = weighted_layer(*use.node);
    if (!layer) return {};
    layers.push_back(*layer);
  }
  return layers;
}

std::vector<double> largest_weights(const std::vector<WeightedLayer>& layers, size_t channels) {
  std::vector<double> largest(channels, 0);
  for (const WeightedLayer& layer : layers) {
    const auto weights = layer.weights->as<float>();
    for (size_t i = 0; i < weights.size(); ++i) {
      const size_t channel = input_channel(layer, i);
      if (channel >= channels) return {};
      largest[channel] = std::max<double>(largest[channel], std::abs(weights[i]));
    }
  }
  return largest;
}

void divide(Node& node, size_t input, const std::vector<double>& factors) {
  const Constant& constant = *constant_of(node.input(input));
  std::vector<double> numbers = numbers_of(constant);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] /= factors[i];
  node.set_input(input, &add_constant(node, node.input(input)->name(),
                                      floats(constant.type(), constant.shape(), numbers)));
}

bool has_vector(const Node& node, size_t input, size_t size) {
  const Constant* constant = constant_of(node.input(input));
  return constant != nullptr && constant->shape().size() == 1 && constant->count() == size;
}

bool smooth_one(Node& node, const Calibration& calibration, double strength) {
  const Observer* seen = calibration.find(*node.output(0));
  const std::vector<WeightedLayer> layers = readers_of(*node.output(0));
  if (seen == nullptr || layers.empty()) return false;
  const std::vector<double>& activations = seen->largest_of_last();
  const size_t channels = activations.size();
  if (!has_vector(node, 1, channels)) return false;
  if (node.input(2) != nullptr && !has_vector(node, 2, channels)) return false;
  const std::vector<double> weights = largest_weights(layers, channels);
  if (weights.size() != channels) return false;
  std::vector<double> factors;
  for (size_t c = 0; c < channels; ++c) {
    const bool dead = activations[c] < 1e-9 || weights[c] < 1e-9;
    factors.push_back(
        dead ? 1
             : std::clamp(std::pow(activations[c], strength) / std::pow(weights[c], 1 - strength),
                          1e-4, 1e4));
  }
  divide(node, 1, factors);
  if (node.input(2) != nullptr) divide(node, 2, factors);
  for (const WeightedLayer& layer : layers) {
    std::vector<double> numbers = numbers_of(*layer.weights);
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] *= factors[input_channel(layer, i)];
    layer.node->set_input(1,
                          &add_constant(*layer.node, layer.node->input(1)->name(),
                                        floats(DataType::kFp32, layer.weights->shape(), numbers)));
  }
  return true;
}

}  // namespace

Result<size_t> smooth(Graph& graph, const Calibration& calibration, double strength) {
  size_t smoothed = 0;
  for (const auto& node : graph.nodes()) {
    if (node->op() != "LayerNormalization" || node->outputs().size() != 1) continue;
    smoothed += smooth_one(*node, calibration, strength) ? 1 : 0;
  }
  if (smoothed > 0) sweep(graph);
  return smoothed;
}

}  // namespace skerry::optimise
