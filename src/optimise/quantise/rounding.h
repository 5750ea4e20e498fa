// Weights rounded up or down by what it does to a layer's results, not each to its nearest integer:
// the goal of AdaRound (Nagel et al. 2020), reached by coordinate descent on the integers.
#pragma once

#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "optimise/quantise/calibration.h"
#include "optimise/quantise/weights.h"

namespace skerry::optimise {

// Of what the weights of a layer are multiplied with: the mean of x·xᵀ, for each group of a
// convolution. `width` weights make one result.
struct InputProducts {
  size_t groups = 1, width = 0;
  size_t count = 0;
  std::vector<double> sums;  // [groups][width][width]

  double at(size_t group, size_t i, size_t k) const {
    return sums[(group * width + i) * width + k] / static_cast<double>(count);
  }
};
// By the name of what the layer makes, of which a graph has one each; those of nodes may be empty.
using LayerProducts = std::unordered_map<std::string, InputProducts>;

// Layers that are too wide for it are left out. The graph is one that calibrate() takes.
Result<LayerProducts> observe_products(const graph::Graph& graph, std::span<const Sample> samples);

// From the nearest integers on, as long as the results get nearer; stays in [-largest, largest].
void round_by_products(const WeightedLayer& layer, const InputProducts& products, int64_t largest,
                       IntegerWeights& weights);

}  // namespace skerry::optimise
