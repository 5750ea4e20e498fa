// Convolutions, fully connected layers, pools, normalisations, matrix products.
#include <algorithm>
#include <span>

#include "graph/tflite/lowering.h"

namespace skerry::graph::tflite {
namespace {

std::string padding(int8_t value) {
  return value == 0 ? "SAME_UPPER" : "VALID";
}

// The inputs of a QLinear operator for a tensor: value, scale, zero point.
Result<void> add_quantised(Lowering& lower, std::vector<Value*>& inputs, Value* value,
                           const TensorTable& tensor) {
  if (tensor.scales.empty()) return lower.refuse("'{}' has no scale", tensor.name);
  if (value != nullptr) inputs.push_back(value);
  inputs.push_back(lower.scale_of(tensor));
  SKERRY_ASSIGN(Value * zero, lower.zero_of(tensor));
  inputs.push_back(zero);
  return {};
}

// Conv or QLinearConv of values with channels first; `weights` are [out, in, …].
Result<Value*> convolution(Lowering& lower, Value* x, Value* weights, Attributes attributes) {
  const TensorTable& w_table = lower.in_table(1);
  if (!is_quantised(lower.out_table())) {
    if (is_quantised(w_table)) {
      SKERRY_ASSIGN(Value * zero, lower.zero_of(w_table));
      SKERRY_ASSIGN(weights,
                    lower.make("DequantizeLinear", {weights, lower.scale_of(w_table), zero},
                               {{"axis", int64_t{0}}}));
    } else if (weights->type().element == DataType::kFp16) {
      SKERRY_ASSIGN(weights, lower.make("Cast", {weights}, {{"to", DataType::kFp32}}));
    }
    std::vector<Value*> inputs = {x, weights};
    if (lower.has(2)) {
      SKERRY_ASSIGN(Value * bias, lower.real(2));
      inputs.push_back(bias);
    }
    return lower.make("Conv", std::move(inputs), std::move(attributes));
  }
  std::vector<Value*> inputs;
  SKERRY_TRY(add_quantised(lower, inputs, x, lower.in_table(0)));
  SKERRY_TRY(add_quantised(lower, inputs, weights, w_table));
  SKERRY_TRY(add_quantised(lower, inputs, nullptr, lower.out_table()));
  if (lower.has(2)) {
    SKERRY_ASSIGN(Value * bias, lower.in(2));
    inputs.push_back(bias);
  }
  attributes["rounding"] = std::string("litert");
  return lower.make("QLinearConv", std::move(inputs), std::move(attributes));
}

// ONNX Runtime has no padding by name for windows with holes, nor for those that are smaller than
// their step: where the sizes are known, it is said. `kernel` is [height, width].
void say_padding(Attributes& attributes, const Value& x, std::span<const int64_t> kernel) {
  if (attributes.at("auto_pad") != Attribute(std::string("SAME_UPPER"))) return;
  const auto& strides = std::get<std::vector<int64_t>>(attributes.at("strides"));
  std::vector<int64_t> dilations = {1, 1};
  if (const auto set = attributes.find("dilations"); set != attributes.end()) {
    dilations = std::get<std::vector<int64_t>>(set->second);
  }
  std::vector<int64_t> pads(4, 0);
  bool by_name = true;
  for (size_t axis = 0; axis < 2; ++axis) {
    const Dim& size = (*x.type().shape)[axis + 2];
    if (!size.is_fixed() || strides[axis] < 1) return;
    const int64_t outputs = (size.size() + strides[axis] - 1) / strides[axis];
    const int64_t extent = (kernel[axis] - 1) * dilations[axis] + 1;
    const int64_t total =
        std::max<int64_t>(0, (outputs - 1) * strides[axis] + extent - size.size());
    pads[axis] = total / 2;
    pads[axis + 2] = total - total / 2;
    by_name = by_name && dilations[axis] <= 1 && extent >= strides[axis];
  }
  if (by_name) return;
  attributes["auto_pad"] = std::string("NOTSET");
  attributes["pads"] = std::move(pads);
}

void say_padding(Attributes& attributes, const Value& x, const Value& w) {
  if (const auto sizes = sizes_of(w.type())) {
    say_padding(attributes, x, std::span(*sizes).subspan(2));
  }
}

// Where TFLite convolves floats with 8-bit weights, the input is real and the weights become so.
Result<Value*> image(Lowering& lower, size_t i) {
  SKERRY_ASSIGN(Value * x, is_quantised(lower.out_table()) ? lower.in(i) : lower.real(i));
  if (!x->type().shape || x->type().rank() != 4) {
    return lower.refuse("takes four dimensions, it is given {}", to_string(x->type()));
  }
  return lower.channels_first(x);
}

Result<void> set_image(Lowering& lower, Value* made, int8_t activation) {
  SKERRY_ASSIGN(Value * last, lower.channels_last(made));
  SKERRY_ASSIGN(last, lower.activated(last, activation));
  return lower.set(0, last);
}

Result<void> conv_2d(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, image(lower, 0));
  SKERRY_ASSIGN(Value * w, lower.in(1));
  SKERRY_ASSIGN(w, lower.permuted(w, {0, 3, 1, 2}));
  Attributes attributes = {
      {"auto_pad", padding(lower.small_option(0))},
      {"strides", std::vector<int64_t>{lower.option(2), lower.option(1)}},
      {"dilations", std::vector<int64_t>{lower.option(5, 1), lower.option(4, 1)}}};
  if (!w->type().shape) return lower.refuse("the rank of its weights is open");
  const Dim& channels = (*x->type().shape)[1];
  const Dim& own = (*w->type().shape)[1];
  if (channels.is_fixed() && own.is_fixed() && own.size() > 0 && channels != own) {
    attributes["group"] = channels.size() / own.size();
  }
  say_padding(attributes, *x, *w);
  SKERRY_ASSIGN(Value * y, convolution(lower, x, w, std::move(attributes)));
  return set_image(lower, y, lower.small_option(3));
}

Result<void> depthwise_conv_2d(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, image(lower, 0));
  SKERRY_ASSIGN(Value * w, lower.in(1));
  SKERRY_ASSIGN(w, lower.permuted(w, {3, 0, 1, 2}));  // [1, h, w, out] to [out, 1, h, w]
  const Dim& channels = (*x->type().shape)[1];
  if (!channels.is_fixed()) return lower.refuse("the number of its channels is open");
  Attributes attributes = {
      {"auto_pad", padding(lower.small_option(0))},
      {"strides", std::vector<int64_t>{lower.option(2), lower.option(1)}},
      {"dilations", std::vector<int64_t>{lower.option(6, 1), lower.option(5, 1)}},
      {"group", channels.size()}};
  say_padding(attributes, *x, *w);
  SKERRY_ASSIGN(Value * y, convolution(lower, x, w, std::move(attributes)));
  return set_image(lower, y, lower.small_option(4));
}

// Output shape, weights [out, h, w, in], input, bias?
Result<void> transpose_conv(Lowering& lower) {
  SKERRY_ASSIGN(const auto shape, lower.ints(0));
  if (shape.size() != 4) return lower.refuse("its output has {} dimensions", shape.size());
  SKERRY_ASSIGN(Value * x, lower.real(2));
  SKERRY_ASSIGN(x, lower.channels_first(x));
  SKERRY_ASSIGN(Value * w, lower.real(1));
  SKERRY_ASSIGN(w, lower.permuted(w, {3, 0, 1, 2}));
  std::vector<Value*> inputs = {x, w};
  if (lower.has(3)) {
    SKERRY_ASSIGN(Value * bias, lower.real(3));
    inputs.push_back(bias);
  }
  SKERRY_ASSIGN(Value * y,
                lower.make("ConvTranspose", std::move(inputs),
                           {{"auto_pad", std::string("SAME_UPPER")},
                            {"output_shape", std::vector<int64_t>{shape[1], shape[2]}},
                            {"strides", std::vector<int64_t>{lower.option(2), lower.option(1)}}}));
  SKERRY_ASSIGN(Value * last, lower.channels_last(y));
  if (!is_quantised(lower.out_table())) {
    SKERRY_ASSIGN(last, lower.activated(last, lower.small_option(3)));
  }
  return lower.set_real(last);
}

// Input of any rank as rows of what the weights [out, in] take.
Result<Value*> rows_for(Lowering& lower, Value* x, const Value& weights) {
  const auto sizes = sizes_of(weights.type());
  if (!sizes || sizes->size() != 2) {
    return lower.refuse("its weights are {}", to_string(weights.type()));
  }
  if (x->type().shape && x->type().rank() == 2 && (*x->type().shape)[1].is((*sizes)[1])) return x;
  return lower.make("Reshape", {x, lower.list({-1, (*sizes)[1]})});
}

Result<Value*> product_of(Lowering& lower, Value* x, Value* w) {
  if (!is_quantised(lower.out_table())) {
    SKERRY_ASSIGN(w, lower.real(1));
    std::vector<Value*> inputs = {x, w};
    if (lower.has(2)) {
      SKERRY_ASSIGN(Value * bias, lower.real(2));
      inputs.push_back(bias);
    }
    return lower.make("Gemm", std::move(inputs), {{"transB", int64_t{1}}});
  }
  std::vector<Value*> inputs;
  SKERRY_TRY(add_quantised(lower, inputs, x, lower.in_table(0)));
  SKERRY_TRY(add_quantised(lower, inputs, w, lower.in_table(1)));
  Value* bias = nullptr;
  if (lower.has(2)) {
    SKERRY_ASSIGN(bias, lower.in(2));
  }
  inputs.push_back(bias);
  SKERRY_TRY(add_quantised(lower, inputs, nullptr, lower.out_table()));
  return lower.make("QGemm", std::move(inputs),
                    {{"transB", int64_t{1}}, {"rounding", std::string("litert")}});
}

Result<void> fully_connected(Lowering& lower) {
  if (lower.small_option(1) != 0) return lower.refuse("its weights are shuffled");
  SKERRY_ASSIGN(Value * x, is_quantised(lower.out_table()) ? lower.in(0) : lower.real(0));
  SKERRY_ASSIGN(Value * w, lower.in(1));
  const std::optional<Shape> wide = x->type().shape;
  SKERRY_ASSIGN(x, rows_for(lower, x, *w));
  SKERRY_ASSIGN(Value * y, product_of(lower, x, w));
  SKERRY_ASSIGN(y, lower.activated(y, lower.small_option(0)));
  if (lower.small_option(2) != 0 && wide && wide->size() != 2) {
    std::vector<int64_t> shape;
    for (size_t i = 0; i + 1 < wide->size(); ++i) {
      if (!(*wide)[i].is_fixed() && i > 0) return lower.refuse("an inner dimension is open");
      shape.push_back((*wide)[i].is_fixed() ? (*wide)[i].size() : -1);
    }
    shape.push_back((*sizes_of(w->type()))[0]);
    SKERRY_ASSIGN(y, lower.make("Reshape", {y, lower.list(shape)}));
  }
  return lower.set(0, y);
}

Result<void> pool(Lowering& lower) {
  const bool average = lower.code() == 1;
  const bool quantised = is_quantised(lower.out_table());
  SKERRY_ASSIGN(Value * x, image(lower, 0));
  Attributes attributes = {
      {"auto_pad", padding(lower.small_option(0))},
      {"strides", std::vector<int64_t>{lower.option(2), lower.option(1)}},
      {"kernel_shape", std::vector<int64_t>{lower.option(4), lower.option(3)}}};
  say_padding(attributes, *x, std::get<std::vector<int64_t>>(attributes.at("kernel_shape")));
  if (quantised && !same_scale(lower.in_table(0), lower.out_table())) {
    return lower.refuse("its input and output have different scales");
  }
  std::vector<Value*> inputs;
  if (average && quantised) {
    SKERRY_TRY(add_quantised(lower, inputs, x, lower.in_table(0)));
    SKERRY_TRY(add_quantised(lower, inputs, nullptr, lower.out_table()));
    attributes["rounding"] = std::string("litert");
  } else {
    inputs.push_back(x);
  }
  const Op op = !average ? Op("MaxPool") : quantised ? Op("QLinearAveragePool") : Op("AveragePool");
  SKERRY_ASSIGN(Value * y, lower.make(op, std::move(inputs), std::move(attributes)));
  return set_image(lower, y, lower.small_option(5));
}

Result<void> softmax(Lowering& lower) {
  const TensorTable& out = lower.out_table();
  const bool one_256th = out.scales.size() == 1 && out.scales[0] == 1.0F / 256 &&
                         out.zero_points.size() == 1 && out.zero_points[0] == -128;
  const float beta = lower.real_option(0);
  if (out.type == 9 && lower.in_table(0).type == 9 && one_256th && beta == 1) {
    SKERRY_ASSIGN(Value * x, lower.in(0));
    std::vector<Value*> inputs;
    SKERRY_TRY(add_quantised(lower, inputs, x, lower.in_table(0)));
    SKERRY_TRY(add_quantised(lower, inputs, nullptr, out));
    SKERRY_ASSIGN(Value * y, lower.make("QLinearSoftmax", std::move(inputs),
                                        {{"axis", int64_t{-1}},
                                         {"opset", int64_t{13}},
                                         {"rounding", std::string("litert")}}));
    return lower.set(0, y);
  }
  SKERRY_ASSIGN(Value * x, lower.real(0));
  if (beta != 1) {
    SKERRY_ASSIGN(x, lower.make("Mul", {x, lower.scalar(beta)}));
  }
  SKERRY_ASSIGN(Value * y, lower.make("Softmax", {x}, {{"axis", int64_t{-1}}}));
  return lower.set_real(y);
}

Result<void> log_softmax(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(Value * y, lower.make("LogSoftmax", {x}, {{"axis", int64_t{-1}}}));
  return lower.set_real(y);
}

Result<void> l2_normalisation(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(Value * y,
                lower.make("LpNormalization", {x}, {{"axis", int64_t{-1}}, {"p", int64_t{2}}}));
  return lower.set_real(y);
}

Result<void> batch_matmul(Lowering& lower) {
  std::vector<Value*> factors;
  for (const size_t i : {0u, 1u}) {
    SKERRY_ASSIGN(Value * factor, lower.real(i));
    if (lower.small_option(static_cast<unsigned>(i)) != 0) {
      if (!factor->type().shape) return lower.refuse("the rank of a factor is open");
      std::vector<int64_t> order(factor->type().rank());
      for (size_t at = 0; at < order.size(); ++at) order[at] = static_cast<int64_t>(at);
      if (order.size() >= 2) std::swap(order[order.size() - 1], order[order.size() - 2]);
      SKERRY_ASSIGN(factor, lower.permuted(factor, order));
    }
    factors.push_back(factor);
  }
  SKERRY_ASSIGN(Value * y, lower.make("MatMul", std::move(factors)));
  return lower.set_real(y);
}

Result<void> resize(Lowering& lower) {
  const bool bilinear = lower.code() == 23;
  const unsigned first = bilinear ? 2 : 0;
  const bool align = lower.small_option(first) != 0;
  const bool half = lower.small_option(first + 1) != 0;
  SKERRY_ASSIGN(const auto size, lower.ints(1));
  SKERRY_ASSIGN(Value * x, bilinear ? lower.real(0) : lower.in(0));
  SKERRY_ASSIGN(Value * twin, lower.channels_first(x));
  if (size.size() != 2) return lower.refuse("it has {} sizes", size.size());
  Attributes attributes = {{"mode", std::string(bilinear ? "linear" : "nearest")},
                           {"axes", std::vector<int64_t>{2, 3}},
                           {"coordinate_transformation_mode", std::string(align  ? "align_corners"
                                                                          : half ? "half_pixel"
                                                                                 : "asymmetric")}};
  if (!bilinear) {
    attributes["nearest_mode"] = std::string(align || half ? "round_prefer_ceil" : "floor");
  }
  SKERRY_ASSIGN(Value * y, lower.make("Resize", {twin, nullptr, nullptr, lower.list(size)},
                                      std::move(attributes)));
  SKERRY_ASSIGN(Value * last, lower.channels_last(y));
  return bilinear ? lower.set_real(last) : lower.set(0, last);
}

}  // namespace

std::span<const Row> layer_rows() {
  static const Row kRows[] = {
      {1, "AVERAGE_POOL_2D", pool},
      {3, "CONV_2D", conv_2d},
      {4, "DEPTHWISE_CONV_2D", depthwise_conv_2d},
      {9, "FULLY_CONNECTED", fully_connected},
      {11, "L2_NORMALIZATION", l2_normalisation},
      {17, "MAX_POOL_2D", pool},
      {23, "RESIZE_BILINEAR", resize},
      {25, "SOFTMAX", softmax},
      {50, "LOG_SOFTMAX", log_softmax},
      {67, "TRANSPOSE_CONV", transpose_conv},
      {97, "RESIZE_NEAREST_NEIGHBOR", resize},
      {126, "BATCH_MATMUL", batch_matmul},
  };
  return kRows;
}

}  // namespace skerry::graph::tflite
