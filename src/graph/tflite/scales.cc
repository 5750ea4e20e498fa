// Which input of which operator is a scale.
#include "graph/tflite/scales.h"

#include <algorithm>

#include "graph/evaluation.h"

namespace skerry::graph::tflite {
namespace {

// Where a QLinear operator has scale and zero point (behind it) of what it makes.
std::optional<size_t> output_scale_of(const Node& node) {
  const Op op = node.op();
  if (op == "QLinearConv" || op == "QLinearAdd" || op == "QLinearMul") return 6;
  if (op == "QGemm") return 7;
  if (op == "QuantizeLinear") return 1;
  for (const Op unary : {Op("QLinearAveragePool"), Op("QLinearGlobalAveragePool"),
                         Op("QLinearSigmoid"), Op("QLinearSoftmax")}) {
    if (op == unary) return 3;
  }
  return {};
}

// And of what it reads at `input`.
std::optional<size_t> input_scale_of(const Node& node, size_t input) {
  const Op op = node.op();
  if (op == "DequantizeLinear") return 1;
  if (!output_scale_of(node) || op == "QuantizeLinear") return {};
  if (input == 0) return 1;
  const bool second =
      op == "QLinearConv" || op == "QLinearAdd" || op == "QLinearMul" || op == "QGemm";
  return input == 3 && second ? std::optional<size_t>(4) : std::nullopt;
}

}  // namespace

std::optional<Quantisation> pair_at(const Node& node, size_t scale) {
  const Value* scales = node.input(scale);
  const Value* zeros = node.input(scale + 1);
  if (scales == nullptr || scales->constant() == nullptr) return {};
  Quantisation reals;
  for (const double one : Array::from(scales->constant()->view()).to_doubles()) {
    reals.scales.push_back(static_cast<float>(one));
  }
  reals.zero_points.assign(reals.scales.size(), 0);
  if (zeros == nullptr) return reals;
  if (zeros->constant() == nullptr) return {};
  const auto given = Array::from(zeros->constant()->view()).to_ints();
  for (size_t i = 0; i < reals.zero_points.size() && !given.empty(); ++i) {
    reals.zero_points[i] = given[std::min(i, given.size() - 1)];
  }
  return reals;
}

std::optional<Quantisation> reals_of(const Value& value, int depth) {
  if (value.type().quantisation) return *value.type().quantisation;
  const Node* maker = value.producer();
  if (maker != nullptr) {
    if (const auto scale = output_scale_of(*maker)) return pair_at(*maker, *scale);
    if (maker->input(0) != nullptr && depth < 64) return reals_of(*maker->input(0), depth + 1);
  }
  for (const Use& use : value.uses()) {
    if (use.node == nullptr) continue;
    if (const auto scale = input_scale_of(*use.node, use.index)) return pair_at(*use.node, *scale);
  }
  return {};
}

}  // namespace skerry::graph::tflite
