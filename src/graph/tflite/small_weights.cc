// TFLite dequantises bytes, all by one scale or by one for each channel; it has no blocks.
#include "graph/tflite/small_weights.h"

#include "graph/tflite/scales.h"

namespace skerry::graph::tflite {

std::optional<SmallWeights> small_weights(const Value& value) {
  const Node* maker = value.producer();
  if (maker == nullptr || value.type().element != DataType::kFp32) return {};
  const Constant* constant = maker->input(0) == nullptr ? nullptr : maker->input(0)->constant();
  if (constant == nullptr) return {};
  if (maker->op() == "Cast" && constant->type() == DataType::kFp16) return SmallWeights{constant};
  const bool bytes = constant->type() == DataType::kInt8 || constant->type() == DataType::kUint8;
  if (maker->op() != "DequantizeLinear" || !bytes || maker->int_of("block_size") != 0) return {};
  auto reals = pair_at(*maker, 1);
  if (!reals) return {};
  const auto rank = static_cast<int64_t>(constant->shape().size());
  const int64_t axis = maker->int_of("axis");
  if (reals->scales.size() > 1) reals->axis = axis < 0 ? axis + rank : axis;
  return SmallWeights{constant, std::move(reals)};
}

}  // namespace skerry::graph::tflite
