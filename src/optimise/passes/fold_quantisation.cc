// Quantising again what was dequantised by the same scale changes nothing. A clip in front of a
// quantisation whose range lies inside the clip's is what saturation does anyway.
#include <cmath>
#include <limits>

#include "graph/ops/quantisation.h"
#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

Result<bool> undo(Node& quantise) {
  const Node* dequantise = made_by(quantise.input(0), "DequantizeLinear");
  if (dequantise == nullptr || !same_constant(dequantise->input(1), quantise.input(1)) ||
      !same_constant(dequantise->input(2), quantise.input(2))) {
    return false;
  }
  if (dequantise->find("axis") != nullptr &&
      quantise.int_of("axis") != dequantise->int_of("axis")) {
    return false;
  }
  Value* stored = dequantise->input(0);
  if (stored->type().element != quantise.output(0)->type().element) return false;
  if (!can_replace(*quantise.output(0), *stored)) return false;
  replace(*quantise.output(0), *stored);
  return true;
}

// Lowest and highest real number that the quantised type can say, and less than half a step inside:
// a bound there is rounded to the same integer.
std::optional<std::pair<double, double>> real_range(const Node& quantise) {
  const auto scale = scalar_of(quantise.input(1));
  if (!scale || *scale <= 0) return {};
  double zero = 0;
  if (quantise.input(2) != nullptr) {
    const Constant* constant = constant_of(quantise.input(2));
    if (constant == nullptr || constant->count() != 1) return {};
    zero = numbers_of(*constant)[0];
  }
  const auto range = graph::ops::range_of(quantise.output(0)->type().element);
  constexpr double kInside = 0.49;
  return std::pair{(static_cast<double>(range.lowest) - zero + kInside) * *scale,
                   (static_cast<double>(range.highest) - zero - kInside) * *scale};
}

std::optional<std::pair<double, double>> clip_range(const Node& clip) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (clip.op() == "Relu") return std::pair{0.0, kInfinity};
  if (clip.op() != "Clip") return {};
  std::pair<double, double> range{-kInfinity, kInfinity};
  if (clip.input(1) != nullptr) {
    const auto lowest = scalar_of(clip.input(1));
    if (!lowest) return {};
    range.first = *lowest;
  }
  if (clip.input(2) != nullptr) {
    const auto highest = scalar_of(clip.input(2));
    if (!highest) return {};
    range.second = *highest;
  }
  return range;
}

Result<bool> absorb_clip(Node& quantise) {
  Node* clip = quantise.input(0)->producer();
  if (clip == nullptr || !has_one_use(*quantise.input(0))) return false;
  const auto clipped = clip_range(*clip);
  const auto real = real_range(quantise);
  if (!clipped || !real || clipped->first > real->first || clipped->second < real->second) {
    return false;
  }
  quantise.set_input(0, clip->input(0));
  return true;
}

}  // namespace

Result<size_t> fold_quantisation(Graph& graph) {
  return rewrite_nodes(graph, [](Node& node) -> Result<bool> {
    if (node.op() != "QuantizeLinear" || node.output(0)->uses().empty()) return false;
    SKERRY_ASSIGN(const bool undone, undo(node));
    return undone ? Result<bool>(true) : absorb_clip(node);
  });
}

}  // namespace skerry::optimise
