// Constants of quantisation.
#include "compile/quantised.h"

#include <algorithm>

#include "graph/evaluation.h"
#include "graph/ops/quantisation.h"

namespace skerry::compile {

using graph::Array;
using graph::Constant;
using graph::Node;
using graph::Value;
using tensor::DataType;

int64_t Scale::stored(double real) const {
  return graph::ops::quantise(static_cast<float>(real) / scale, zero, type);
}

Limits limits_of(DataType type) {
  const auto range = graph::ops::range_of(type);
  return {range.lowest, range.highest};
}

std::optional<double> number_of(const Value* value) {
  const Constant* constant = value == nullptr ? nullptr : value->constant();
  if (constant == nullptr || constant->count() != 1) return {};
  return Array::from(constant->view()).to_doubles()[0];
}

std::optional<int64_t> zero_of(const Value* value) {
  const Constant* constant = value == nullptr ? nullptr : value->constant();
  if (constant == nullptr || constant->count() != 1) return {};
  return Array::from(constant->view()).to_ints()[0];
}

std::optional<Scale> scale_of(const Node& node) {
  const bool makes = node.op() == "QuantizeLinear";
  const DataType type = (makes ? node.output(0) : node.input(0))->type().element;
  const DataType real = (makes ? node.input(0) : node.output(0))->type().element;
  if ((type != DataType::kInt8 && type != DataType::kUint8) || real != DataType::kFp32) return {};
  const auto scale = number_of(node.input(1));
  const auto zero = node.input(2) == nullptr ? std::optional<int64_t>(0) : zero_of(node.input(2));
  if (!scale || !zero) return {};
  return Scale{static_cast<float>(*scale), *zero, type};
}

std::optional<std::vector<double>> reals_of(const Value* value) {
  if (value == nullptr) return {};
  if (value->constant() != nullptr) return Array::from(value->constant()->view()).to_doubles();
  const Node* node = value->producer();
  if (node == nullptr || node->op() != "DequantizeLinear" ||
      node->input(0)->constant() == nullptr || node->input(1)->constant() == nullptr) {
    return {};
  }
  if (node->input(2) != nullptr && node->input(2)->constant() == nullptr) return {};
  const auto stored = Array::from(node->input(0)->constant()->view()).to_ints();
  const auto scales = Array::from(node->input(1)->constant()->view()).to_doubles();
  const auto zeros = node->input(2) == nullptr
                         ? std::vector<int64_t>(scales.size(), 0)
                         : Array::from(node->input(2)->constant()->view()).to_ints();
  if (scales.size() != 1 && scales.size() != stored.size()) return {};
  std::vector<double> reals;
  for (size_t i = 0; i < stored.size(); ++i) {
    const size_t at = scales.size() == 1 ? 0 : i;
    reals.push_back(static_cast<double>(stored[i] - zeros[at]) * scales[at]);
  }
  return reals;
}

std::optional<SignedWeights> signed_weights_of(const Value* value, int64_t axis) {
  const Node* node = value == nullptr ? nullptr : value->producer();
  if (node == nullptr || node->op() != "DequantizeLinear") return {};
  const Constant* stored = node->input(0)->constant();
  const Constant* scales = node->input(1)->constant();
  const Constant* zeros = node->input(2) == nullptr ? nullptr : node->input(2)->constant();
  if (stored == nullptr || scales == nullptr || (node->input(2) != nullptr && zeros == nullptr))
    return {};
  if (stored->type() != DataType::kInt8 && stored->type() != DataType::kUint8) return {};
  const auto rank = static_cast<int64_t>(stored->shape().size());
  const int64_t along = node->int_of("axis");
  const bool by_axis = scales->count() > 1;
  if (by_axis && ((along < 0 ? along + rank : along) != axis || node->int_of("block_size") > 0))
    return {};
  const int64_t shift = stored->type() == DataType::kUint8 ? 128 : 0;
  if (zeros != nullptr || shift != 0) {
    const auto numbers =
        zeros == nullptr ? std::vector<int64_t>{0} : Array::from(zeros->view()).to_ints();
    if (std::ranges::any_of(numbers, [&](int64_t zero) { return zero != shift; })) return {};
  }
  std::vector<int8_t> values;
  for (const int64_t each : Array::from(stored->view()).to_ints()) {
    values.push_back(static_cast<int8_t>(each - shift));
  }
  const auto reals = Array::from(scales->view()).to_doubles();
  return SignedWeights{Constant::of(DataType::kInt8, stored->shape(), values),
                       {reals.begin(), reals.end()}};
}

}  // namespace skerry::compile
