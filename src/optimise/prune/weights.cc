// Masks of single weights and blocks.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "optimise/prune/prune.h"
#include "optimise/quantise/weights.h"

namespace skerry::optimise {
namespace {

// Elements in the order of the inner dimension, the one that is summed over: rows of it.
struct Rows {
  std::vector<std::vector<size_t>> elements;
};

Rows rows_of(const WeightedLayer& layer) {
  const AxisSizes sizes = axis_sizes(layer.weights->shape(), layer.axis);
  Rows rows;
  rows.elements.resize(sizes.size);
  const size_t count = sizes.outer * sizes.size * sizes.inner;
  for (size_t i = 0; i < count; ++i) rows.elements[sizes.at(i)].push_back(i);
  return rows;
}

// Groups of elements that become zero together, and how many of all go.
struct Groups {
  std::vector<std::vector<size_t>> members;
  size_t wanted = 0;
};

void zero_least(std::vector<float>& weights, const Groups& groups) {
  std::vector<size_t> order(groups.members.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<double> size(order.size(), 0);
  for (size_t g = 0; g < order.size(); ++g) {
    for (const size_t i : groups.members[g]) size[g] += std::abs(weights[i]);
  }
  std::ranges::sort(
      order, [&](size_t a, size_t b) { return size[a] != size[b] ? size[a] < size[b] : a < b; });
  for (size_t k = 0; k < std::min(groups.wanted, order.size()); ++k) {
    for (const size_t i : groups.members[order[k]]) weights[i] = 0;
  }
}

void prune_row(std::vector<float>& weights, const std::vector<size_t>& row, SparsePattern pattern,
               std::vector<std::vector<size_t>>& blocks) {
  for (size_t begin = 0; begin + 4 <= row.size(); begin += 4) {
    const std::vector<size_t> four(row.begin() + static_cast<std::ptrdiff_t>(begin),
                                   row.begin() + static_cast<std::ptrdiff_t>(begin) + 4);
    if (pattern == SparsePattern::kBlocks) {
      blocks.push_back(four);
    } else {
      zero_least(weights, {{{four[0]}, {four[1]}, {four[2]}, {four[3]}}, 2});
    }
  }
}

std::vector<float> pruned(const WeightedLayer& layer, SparsePattern pattern, double share) {
  const auto values = layer.weights->as<float>();
  std::vector<float> weights(values.begin(), values.end());
  Groups groups;
  if (pattern == SparsePattern::kUnstructured) {
    for (size_t i = 0; i < weights.size(); ++i) groups.members.push_back({i});
  } else {
    for (const auto& row : rows_of(layer).elements) {
      prune_row(weights, row, pattern, groups.members);
    }
  }
  groups.wanted = static_cast<size_t>(share * static_cast<double>(groups.members.size()));
  if (pattern != SparsePattern::kTwoOfFour) zero_least(weights, groups);
  return weights;
}

}  // namespace

Result<size_t> prune_weights(Graph& graph, SparsePattern pattern, double share) {
  if (!(share >= 0 && share <= 1)) {
    return fail(Code::kInvalidArgument, "the share of weights to prune is from 0 to 1");
  }
  size_t zeros = 0;
  for (const auto& node : graph.nodes()) {
    const auto layer = weighted_layer(*node);
    if (!layer) continue;
    const std::vector<float> weights = pruned(*layer, pattern, share);
    const auto before = layer->weights->as<float>();
    for (size_t i = 0; i < weights.size(); ++i) {
      zeros += weights[i] == 0 && before[i] != 0 ? 1 : 0;
    }
    const Constant constant = Constant::of(DataType::kFp32, layer->weights->shape(), weights);
    node->set_input(1, &graph.add_constant(node->input(1)->name(), constant));
  }
  sweep(graph);
  return zeros;
}

}  // namespace skerry::optimise
