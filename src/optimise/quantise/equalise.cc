// Cross-layer equalisation.
#include "optimise/quantise/equalise.h"

#include <algorithm>
#include <cmath>

#include "optimise/quantise/weights.h"

namespace skerry::optimise {
namespace {

struct Pair {
  WeightedLayer first, second;
};

// The layer that reads the output of `layer`, through a Relu at most, and nothing else does.
std::optional<WeightedLayer> next_of(const WeightedLayer& layer) {
  const Value* value = layer.node->output(0);
  for (int step = 0; step < 2; ++step) {
    if (!has_one_use(*value)) return {};
    Node& next = *value->uses()[0].node;
    if (&next.graph() != &layer.node->graph()) return {};
    if (next.op() == "Relu" && step == 0) {
      value = next.output(0);
      continue;
    }
    // A convolution's channels are its second dimension, a matrix's the last.
    const bool same_axis = (next.op() == "Conv") == (layer.node->op() == "Conv");
    if (value->uses()[0].index != 0 || !same_axis) return {};
    return weighted_layer(next);
  }
  return {};
}

std::vector<double> peaks_out(const WeightedLayer& layer) {
  const AxisSizes sizes = axis_sizes(layer.weights->shape(), layer.axis);
  const auto values = layer.weights->as<float>();
  std::vector<double> peaks(static_cast<size_t>(layer.channels), 0);
  for (size_t i = 0; i < values.size(); ++i) {
    peaks[sizes.at(i)] = std::max<double>(peaks[sizes.at(i)], std::abs(values[i]));
  }
  return peaks;
}

std::vector<double> peaks_in(const WeightedLayer& layer, size_t channels) {
  const auto values = layer.weights->as<float>();
  std::vector<double> peaks(channels, 0);
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t channel = input_channel(layer, i);
    if (channel >= channels) return {};
    peaks[channel] = std::max<double>(peaks[channel], std::abs(values[i]));
  }
  return peaks;
}

// What each channel of the first layer is divided by; empty where there is nothing to gain.
std::vector<double> factors_of(const Pair& pair) {
  const std::vector<double> out = peaks_out(pair.first);
  const std::vector<double> in = peaks_in(pair.second, out.size());
  if (in.size() != out.size()) return {};
  std::vector<double> factors;
  double largest = 1;
  for (size_t c = 0; c < out.size(); ++c) {
    const bool dead = out[c] < 1e-12 || in[c] < 1e-12;
    const double factor = dead ? 1 : std::clamp(std::sqrt(out[c] / in[c]), 1e-4, 1e4);
    factors.push_back(factor);
    largest = std::max(largest, std::max(factor, 1 / factor));
  }
  return largest > 1.01 ? factors : std::vector<double>();
}

void scale_weights(const WeightedLayer& layer, const std::function<double(size_t)>& factor) {
  std::vector<double> numbers = numbers_of(*layer.weights);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] *= factor(i);
  Value& made = add_constant(*layer.node, layer.node->input(1)->name(),
                             floats(DataType::kFp32, layer.weights->shape(), numbers));
  layer.node->set_input(1, &made);
}

bool equalise_pair(const Pair& pair) {
  const std::vector<double> factors = factors_of(pair);
  if (factors.empty()) return false;
  Node& first = *pair.first.node;
  if (first.input(2) != nullptr) {
    const bool gemm = first.op() == "Gemm";
    auto bias =
        per_channel(*constant_of(first.input(2)), gemm ? 2 : 1, gemm ? 1 : 0, pair.first.channels);
    if (!bias) return false;
    for (size_t c = 0; c < bias->size(); ++c) (*bias)[c] /= factors[c];
    first.set_input(2, &add_constant(first, first.input(2)->name(),
                                     floats(DataType::kFp32, {pair.first.channels}, *bias)));
  }
  const AxisSizes sizes = axis_sizes(pair.first.weights->shape(), pair.first.axis);
  scale_weights(pair.first, [&](size_t i) { return 1 / factors[sizes.at(i)]; });
  scale_weights(pair.second, [&](size_t i) { return factors[input_channel(pair.second, i)]; });
  return true;
}

}  // namespace

Result<size_t> equalise(Graph& graph) {
  constexpr int kMaxRounds = 20;
  size_t pairs = 0;
  for (int round = 0; round < kMaxRounds; ++round) {
    size_t changed = 0;
    for (const auto& node : graph.nodes()) {
      const auto first = weighted_layer(*node);
      const auto second = first ? next_of(*first) : std::nullopt;
      if (second && equalise_pair({*first, *second})) ++changed;
    }
    pairs = std::max(pairs, changed);
    if (changed == 0) break;
  }
  sweep(graph);
  return pairs;
}

}  // namespace skerry::optimise
