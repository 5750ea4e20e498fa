// Makers of quantised operators: QDQ, QOperator, dynamic, weights alone.
#include "graph/random/builder.h"

namespace skerry::graph::random {
namespace {

// 8-bit numbers that stand for reals, and their parameters.
struct Quantised {
  Value* values;
  Value* scale;
  Value* zero;
};

Value& small_scale(Builder& builder) {
  const std::vector<float> scales = {0.03125F, 0.0625F, 0.05F, 0.1F};
  return builder.scalar(builder.one_of(scales));
}

DataType byte_type(Builder& builder) {
  return builder.chance(60) ? DataType::kInt8 : DataType::kUint8;
}

Value& zero_of(Builder& builder, DataType type) {
  return builder.byte(
      type, type == DataType::kInt8 ? builder.between(-10, 10) : builder.between(118, 138));
}

Quantised quantised(Builder& builder, Value* x) {
  Value& zero = zero_of(builder, byte_type(builder));
  Value& scale = small_scale(builder);
  return {builder.make("QuantizeLinear", {x, &scale, &zero}), &scale, &zero};
}

bool give_back(Builder& builder, Value* y, Value& scale, Value& zero) {
  return builder.offer(builder.make("DequantizeLinear", {y, &scale, &zero}));
}

// INT8 weights, whose zero points are 0; a scale for each of the first dimension, or one.
Quantised weights(Builder& builder, std::vector<int64_t> shape, bool per_channel) {
  std::vector<int8_t> numbers(tensor::element_count(shape).value_or(0));
  for (int8_t& number : numbers) number = static_cast<int8_t>(builder.between(-60, 60));
  const int64_t count = per_channel ? shape[0] : 1;
  std::vector<float> scales(static_cast<size_t>(count));
  for (float& scale : scales) scale = builder.real(0.002F, 0.01F);
  const std::vector<int8_t> zeros(scales.size(), 0);
  const std::vector<int64_t> sizes =
      per_channel ? std::vector<int64_t>{count} : std::vector<int64_t>();
  Graph& graph = builder.graph();
  return {&graph.add_constant("qw", Constant::of(DataType::kInt8, std::move(shape), numbers)),
          &graph.add_constant("qs", Constant::of(DataType::kFp32, sizes, scales)),
          &graph.add_constant("qz", Constant::of(DataType::kInt8, sizes, zeros))};
}

bool fake_quantise(Builder& builder) {
  Value* x = builder.pick_float(1, 5);
  if (x == nullptr) return false;
  const Quantised q = quantised(builder, x);
  return give_back(builder, q.values, *q.scale, *q.zero);
}

std::vector<int64_t> conv_shape(Builder& builder, const Value& x) {
  const auto tail = *tail_of(x);
  std::vector<int64_t> shape = {builder.between(1, 4), tail[0]};
  for (size_t i = 1; i < tail.size(); ++i) {
    shape.push_back(builder.between(1, std::min<int64_t>(3, tail[i])));
  }
  return shape;
}

bool qdq_conv(Builder& builder) {
  Value* x = builder.pick_float(3, 4);
  if (x == nullptr) return false;
  const Quantised in = quantised(builder, x);
  const Quantised w = weights(builder, conv_shape(builder, *x), builder.chance(60));
  Value* wide = builder.make("DequantizeLinear", {in.values, in.scale, in.zero});
  Value* w_wide =
      builder.make("DequantizeLinear", {w.values, w.scale, w.zero}, {{"axis", int64_t{0}}});
  Value* y = builder.make("Conv", {wide, w_wide});
  if (y != nullptr && builder.chance(50)) y = builder.make("Relu", {y});
  const Quantised out = quantised(builder, y);
  return give_back(builder, out.values, *out.scale, *out.zero);
}

bool qlinear_conv(Builder& builder) {
  Value* x = builder.pick_float(3, 4);
  if (x == nullptr) return false;
  const Quantised in = quantised(builder, x);
  const Quantised w = weights(builder, conv_shape(builder, *x), builder.chance(60));
  Value& scale = small_scale(builder);
  // ONNX Runtime wants one type for input and output.
  Value& zero = zero_of(builder, in.zero->type().element);
  return give_back(builder,
                   builder.make("QLinearConv", {in.values, in.scale, in.zero, w.values, w.scale,
                                                w.zero, &scale, &zero}),
                   scale, zero);
}

bool qlinear_matmul(Builder& builder) {
  Value* x = builder.pick_float(2, 4);
  if (x == nullptr) return false;
  const Quantised in = quantised(builder, x);
  const Quantised w = weights(builder, {tail_of(*x)->back(), builder.between(1, 5)}, false);
  Value& scale = small_scale(builder);
  Value& zero = zero_of(builder, in.zero->type().element);
  return give_back(builder,
                   builder.make("QLinearMatMul", {in.values, in.scale, in.zero, w.values, w.scale,
                                                  w.zero, &scale, &zero}),
                   scale, zero);
}

bool dynamic_matmul(Builder& builder) {
  Value* x = builder.pick_float(2, 4);
  if (x == nullptr) return false;
  Node* q = builder.add("DynamicQuantizeLinear", {x}, {}, 3);
  if (q == nullptr) return false;
  const Quantised w = weights(builder, {tail_of(*x)->back(), builder.between(1, 5)}, false);
  Value* sums = builder.make("MatMulInteger", {q->output(0), w.values, q->output(2), w.zero});
  Value* reals = builder.make("Cast", {sums}, {{"to", DataType::kFp32}});
  Value* scale = builder.make("Mul", {q->output(1), w.scale});
  return builder.offer(builder.make("Mul", {reals, scale}));
}

// Nothing is rounded while it runs.
bool weights_alone(Builder& builder) {
  Value* x = builder.pick_float(2, 2);
  if (x == nullptr) return false;
  const Quantised w = weights(builder, {builder.between(1, 5), tail_of(*x)->back()}, true);
  Value* wide =
      builder.make("DequantizeLinear", {w.values, w.scale, w.zero}, {{"axis", int64_t{0}}});
  return wide != nullptr &&
         builder.offer(builder.make("Gemm", {x, wide}, {{"transB", int64_t{1}}}));
}

}  // namespace

std::span<const Maker> quantised_makers() {
  static const Maker kMakers[] = {
      {"QuantizeLinear DequantizeLinear", false, fake_quantise},
      {"QuantizeLinear DequantizeLinear Conv Relu", false, qdq_conv},
      {"QuantizeLinear DequantizeLinear QLinearConv", false, qlinear_conv},
      {"QuantizeLinear DequantizeLinear QLinearMatMul", false, qlinear_matmul},
      {"DynamicQuantizeLinear MatMulInteger Cast Mul", false, dynamic_matmul},
      {"DequantizeLinear Gemm", true, weights_alone},
  };
  return kMakers;
}

}  // namespace skerry::graph::random
