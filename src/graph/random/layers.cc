// Makers of the layers of networks: convolutions, pools, matrix products, norms, recurrences.
#include <algorithm>

#include "graph/random/builder.h"

namespace skerry::graph::random {
namespace {

// Strides, pads and dilations for a kernel over `spatial` axes.
Attributes window(Builder& builder, const std::vector<int64_t>& kernel, bool dilated) {
  Attributes attributes;
  const size_t spatial = kernel.size();
  if (builder.chance(60)) attributes["kernel_shape"] = kernel;
  if (builder.chance(40)) {
    attributes["strides"] = std::vector<int64_t>(spatial, builder.between(1, 2));
  }
  if (dilated && builder.chance(20)) attributes["dilations"] = std::vector<int64_t>(spatial, 2);
  // ONNX Runtime has no padding by name for windows with holes, nor for those that are smaller than
  // their step.
  const auto strides = attributes.find("strides");
  const int64_t step =
      strides == attributes.end() ? 1 : std::get<std::vector<int64_t>>(strides->second)[0];
  if (builder.chance(20) && std::ranges::min(kernel) >= step) {
    const std::vector<std::string> modes = {"SAME_UPPER", "SAME_LOWER", "VALID"};
    attributes["auto_pad"] = builder.one_of(modes);
    attributes.erase("dilations");
  } else if (builder.chance(60)) {
    std::vector<int64_t> pads;
    for (size_t i = 0; i < 2 * spatial; ++i) {
      pads.push_back(builder.between(0, kernel[i % spatial] - 1));
    }
    attributes["pads"] = std::move(pads);
  }
  return attributes;
}

std::vector<int64_t> kernel_for(Builder& builder, const std::vector<int64_t>& tail) {
  std::vector<int64_t> kernel;
  for (size_t i = 1; i < tail.size(); ++i) {
    kernel.push_back(builder.between(1, std::min<int64_t>(3, tail[i])));
  }
  return kernel;
}

bool conv(Builder& builder) {
  Value* x = builder.pick_float(3, 5);
  if (x == nullptr) return false;
  const auto tail = *tail_of(*x);
  const int64_t channels = tail[0];
  const auto kernel = kernel_for(builder, tail);
  const std::vector<int64_t> groupings = {1, 1, 1, channels, channels % 2 == 0 ? 2 : 1};
  const int64_t group = builder.one_of(groupings);
  const int64_t out = group == 1 ? builder.channels(3) : group * builder.between(1, 3);
  Attributes attributes = window(builder, kernel, true);
  if (group != 1 || builder.chance(20)) attributes["group"] = group;
  std::vector<int64_t> shape = {out, channels / group};
  shape.insert(shape.end(), kernel.begin(), kernel.end());
  std::vector<Value*> inputs = {x, &builder.weights(std::move(shape))};
  if (builder.chance(70)) inputs.push_back(&builder.weights({out}));
  return builder.offer(builder.make("Conv", std::move(inputs), std::move(attributes)));
}

bool conv_transpose(Builder& builder) {
  Value* x = builder.pick_float(3, 4);
  if (x == nullptr) return false;
  const auto tail = *tail_of(*x);
  const auto kernel = kernel_for(builder, tail);
  const int64_t out = builder.between(1, 3);
  std::vector<int64_t> shape = {tail[0], out};
  shape.insert(shape.end(), kernel.begin(), kernel.end());
  Attributes attributes;
  if (builder.chance(50)) {
    attributes["strides"] = std::vector<int64_t>(kernel.size(), builder.between(1, 2));
  }
  std::vector<Value*> inputs = {x, &builder.weights(std::move(shape))};
  if (builder.chance(50)) inputs.push_back(&builder.weights({out}));
  return builder.offer(builder.make("ConvTranspose", std::move(inputs), std::move(attributes)));
}

bool pool(Builder& builder) {
  static const std::vector<Op> kOps = {"MaxPool", "AveragePool"};
  Value* x = builder.pick_float(3, 4);
  if (x == nullptr) return false;
  const Op op = builder.one_of(kOps);
  const auto kernel = kernel_for(builder, *tail_of(*x));
  Attributes attributes = window(builder, kernel, false);
  attributes["kernel_shape"] = kernel;
  if (op == "AveragePool" && builder.chance(40)) attributes["count_include_pad"] = int64_t{1};
  return builder.offer(builder.make(op, {x}, std::move(attributes)));
}

bool global_pool(Builder& builder) {
  static const std::vector<Op> kOps = {"GlobalAveragePool", "GlobalMaxPool"};
  Value* x = builder.pick_float(3, 4);
  return x != nullptr && builder.offer(builder.make(builder.one_of(kOps), {x}));
}

bool gemm(Builder& builder) {
  Value* x = builder.pick_float(2, 2);
  if (x == nullptr) return false;
  const int64_t in = (*tail_of(*x))[0];
  const int64_t out = builder.channels(6);
  const bool turned = builder.chance(50);
  Attributes attributes;
  if (turned) attributes["transB"] = int64_t{1};
  if (builder.chance(20)) attributes["alpha"] = 0.5F;
  std::vector<Value*> inputs = {
      x, &builder.weights(turned ? std::vector<int64_t>{out, in} : std::vector<int64_t>{in, out})};
  if (builder.chance(70)) inputs.push_back(&builder.weights({out}));
  return builder.offer(builder.make("Gemm", std::move(inputs), std::move(attributes)));
}

bool matmul(Builder& builder) {
  Value* x = builder.pick_float(2, 4);
  if (x == nullptr) return false;
  Value* y =
      builder.make("MatMul", {x, &builder.weights({tail_of(*x)->back(), builder.channels(6)})});
  return builder.offer(y);
}

// x·xᵀ as in attention, scaled.
bool attention(Builder& builder) {
  Value* x = builder.pick_float(3, 3);
  if (x == nullptr) return false;
  Value* turned = builder.make("Transpose", {x}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  Value* scores = builder.make("MatMul", {x, turned});
  Value* scaled = builder.make("Mul", {scores, &builder.scalar(0.25F)});
  Value* weights = builder.make("Softmax", {scaled});
  return builder.offer(builder.make("MatMul", {weights, x}));
}

// The operator itself: of one or more heads, with a mask, causal, capped.
bool attention_operator(Builder& builder) {
  Value* x = builder.pick_float(3, 4);
  if (x == nullptr) return false;
  const std::vector<int64_t> tail = *tail_of(*x);
  Attributes attributes;
  if (tail.size() == 2) {
    const int64_t heads = tail[1] % 2 == 0 && builder.chance(50) ? 2 : 1;
    attributes["q_num_heads"] = attributes["kv_num_heads"] = heads;
  }
  if (builder.chance(30)) attributes["is_causal"] = int64_t{1};
  if (builder.chance(30)) attributes["softcap"] = 2.0F;
  if (builder.chance(50)) attributes["scale"] = 0.5F;
  std::vector<Value*> inputs = {x, x, x};
  const int64_t length = tail[tail.size() - 2];
  if (builder.chance(40)) inputs.push_back(&builder.weights({length, length}));
  return builder.offer(builder.make("Attention", std::move(inputs), std::move(attributes)));
}

bool batch_norm(Builder& builder) {
  Value* x = builder.pick_float(2, 4);
  if (x == nullptr) return false;
  const int64_t channels = (*tail_of(*x))[0];
  return builder.offer(
      builder.make("BatchNormalization",
                   {x, &builder.weights({channels}, 0.5F, 1.5F), &builder.weights({channels}),
                    &builder.weights({channels}), &builder.weights({channels}, 0.5F, 2)}));
}

bool layer_norm(Builder& builder) {
  Value* x = builder.pick_float(2, 4);
  if (x == nullptr) return false;
  const int64_t size = tail_of(*x)->back();
  std::vector<Value*> inputs = {x, &builder.weights({size}, 0.5F, 1.5F)};
  if (builder.chance(70)) inputs.push_back(&builder.weights({size}));
  // A large epsilon: of numbers that are all the same, the variance is rounding.
  return builder.offer(builder.make("LayerNormalization", std::move(inputs),
                                    {{"axis", int64_t{-1}}, {"epsilon", 0.1F}}));
}

// As encoders have it: only a product reads what is normalised.
bool normalised_matmul(Builder& builder) {
  Value* x = builder.pick_float(2, 4);
  if (x == nullptr) return false;
  const int64_t size = tail_of(*x)->back();
  Value* normal = builder.make("LayerNormalization", {x, &builder.weights({size}, 0.5F, 1.5F)},
                               {{"axis", int64_t{-1}}, {"epsilon", 0.1F}});
  return builder.offer(
      builder.make("MatMul", {normal, &builder.weights({size, builder.channels(6)})}));
}

bool instance_norm(Builder& builder) {
  Value* x = builder.pick_float(3, 4);
  if (x == nullptr) return false;
  const int64_t channels = (*tail_of(*x))[0];
  return builder.offer(
      builder.make("InstanceNormalization",
                   {x, &builder.weights({channels}, 0.5F, 1.5F), &builder.weights({channels})},
                   {{"epsilon", 0.1F}}));
}

bool local_response(Builder& builder) {
  Value* x = builder.pick_float(4, 4);
  return x != nullptr && builder.offer(builder.make("LRN", {x}, {{"size", int64_t{3}}}));
}

bool recurrent(Builder& builder) {
  static const std::vector<Op> kOps = {"LSTM", "GRU", "RNN"};
  Value* x = builder.pick_float(3, 3);
  if (x == nullptr) return false;
  const Op op = builder.one_of(kOps);
  const int64_t gates = op == "LSTM" ? 4 : op == "GRU" ? 3 : 1;
  const std::vector<std::string> directions = {"forward", "reverse", "bidirectional"};
  const std::string& direction = builder.one_of(directions);
  const int64_t both = direction == "bidirectional" ? 2 : 1;
  const int64_t hidden = builder.between(1, 4);
  const int64_t in = tail_of(*x)->back();
  std::vector<Value*> inputs = {x, &builder.weights({both, gates * hidden, in}),
                                &builder.weights({both, gates * hidden, hidden})};
  if (builder.chance(70)) inputs.push_back(&builder.weights({both, 2 * gates * hidden}));
  Attributes attributes = {{"hidden_size", hidden}, {"direction", direction}};
  if (op == "GRU" && builder.chance(50)) attributes["linear_before_reset"] = int64_t{1};
  Node* node = builder.add(op, std::move(inputs), std::move(attributes), 2);
  if (node == nullptr) return false;
  builder.offer(node->output(0));
  return builder.offer(node->output(1));
}

bool resize(Builder& builder) {
  Value* x = builder.pick_float(4, 4);
  if (x == nullptr) return false;
  Value* scales = &builder.graph().add_constant(
      "s", Constant::of(DataType::kFp32, {4}, std::vector<float>{1, 1, 2, 2}));
  const bool linear = builder.chance(50);
  Attributes attributes = {{"mode", std::string(linear ? "linear" : "nearest")}};
  const std::string how = linear ? "half_pixel" : "asymmetric";
  attributes["coordinate_transformation_mode"] = how;
  if (!linear) attributes["nearest_mode"] = std::string("floor");
  return builder.offer(builder.make("Resize", {x, nullptr, scales}, std::move(attributes)));
}

}  // namespace

std::span<const Maker> layer_makers() {
  static const Maker kMakers[] = {
      {"Conv", true, conv},
      {"Conv", true, conv},
      {"ConvTranspose", true, conv_transpose},
      {"MaxPool AveragePool", true, pool},
      {"GlobalAveragePool GlobalMaxPool", true, global_pool},
      {"Gemm", true, gemm},
      {"Gemm", true, gemm},
      {"MatMul", true, matmul},
      {"MatMul", true, matmul},
      {"Transpose MatMul Mul Softmax", true, attention},
      {"Attention", true, attention_operator},
      {"BatchNormalization", true, batch_norm},
      {"LayerNormalization", true, layer_norm},
      {"LayerNormalization MatMul", true, normalised_matmul},
      {"InstanceNormalization", true, instance_norm},
      {"LRN", true, local_response},
      {"LSTM GRU RNN", true, recurrent},
      {"Resize", true, resize},
  };
  return kMakers;
}

}  // namespace skerry::graph::random
