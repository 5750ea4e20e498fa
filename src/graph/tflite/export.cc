// Node by node in the graph's order. TFLite's images have channels last: a value with channels
// first is written as the tensor that has them last, and transposed only where something else than
// a layer of images reads it.
#include "graph/tflite/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "graph/evaluation.h"
#include "graph/operator.h"
#include "graph/tflite/constants.h"
#include "graph/tflite/scales.h"
#include "graph/tflite/small_weights.h"
#include "graph/tflite/window.h"
#include "graph/tflite/writer.h"
#include "io/files.h"

namespace skerry::graph::tflite {
namespace {

// Codes of operators, and of their options in the union.
constexpr int32_t kAdd = 0, kAveragePool = 1, kConcatenation = 2, kConv = 3, kDepthwiseConv = 4,
                  kDequantize = 6, kFullyConnected = 9, kLogistic = 14, kMaxPool = 17, kMul = 18,
                  kRelu = 19, kRelu6 = 21, kReshape = 22, kSoftmax = 25, kTanh = 28, kPad = 34,
                  kTranspose = 39, kSub = 41, kDiv = 42, kMaximum = 55, kMinimum = 57,
                  kQuantize = 114, kHardSwish = 117;
constexpr uint8_t kConvOptions = 1, kDepthwiseOptions = 2, kPoolOptions = 5, kFullyOptions = 8,
                  kSoftmaxOptions = 9, kConcatenationOptions = 10, kAddOptions = 11,
                  kMulOptions = 21, kSubOptions = 28, kDivOptions = 29;

const std::vector<int64_t> kToLast = {0, 2, 3, 1};
const std::vector<int64_t> kToFirst = {0, 3, 1, 2};

class Exporter {
 public:
  Result<std::string> run(const Graph& graph) {
    std::vector<NamedTensor> inputs;
    std::vector<NamedTensor> outputs;
    for (const auto& input : graph.inputs()) {
      SKERRY_TRY(check(*input));
      plain_[input.get()] = model_.tensor(input->name(), input->type(), reals(*input));
      inputs.push_back({input->name(), plain_.at(input.get())});
    }
    for (const auto& node : graph.nodes()) {
      if (auto done = add(*node); !done) {
        return fail(done.error().with_context(node->describe()));
      }
    }
    for (const Value* output : graph.outputs()) {
      SKERRY_ASSIGN(const int32_t tensor, plain(*output));
      outputs.push_back({output->name(), tensor});
    }
    return model_.finish(graph.name, inputs, outputs);
  }

 private:
  template <class... Args>
  static std::unexpected<Error> refuse(fmt::format_string<Args...> text, Args&&... args) {
    return fail(Code::kUnsupported, fmt::format(text, std::forward<Args>(args)...));
  }

  static Result<void> check(const Value& value) {
    SKERRY_TRY(number_of(value.type().element));
    if (!value.type().shape) return refuse("the rank of '{}' is open", value.name());
    return {};
  }

  static std::optional<Quantisation> reals(const Value& value) {
    if (tensor::is_float(value.type().element) || value.type().element == DataType::kInt64)
      return {};
    return reals_of(value);
  }

  static Type with_channels_last(const Type& type) {
    const Shape& shape = *type.shape;
    return {type.element, Shape{shape[0], shape[2], shape[3], shape[1]}};
  }

  int32_t numbers(const std::vector<int64_t>& values, std::vector<int64_t> shape) {
    const std::vector<int32_t> narrow(values.begin(), values.end());
    return model_.constant("list", Constant::of(DataType::kInt32, std::move(shape), narrow));
  }

  // --- Tensors ----------------------------------------------------------------------------------
  // The tensor of a value in the graph's own order of dimensions.
  Result<int32_t> plain(const Value& value) {
    const auto found = plain_.find(&value);
    if (found != plain_.end()) return found->second;
    if (value.constant() != nullptr) {
      SKERRY_TRY(check(value));
      return plain_[&value] = model_.constant(value.name(), *value.constant(), reals(value));
    }
    if (const auto kept = small_weights(value)) {
      SKERRY_ASSIGN(plain_[&value], floats(value.name(), *kept->constant, kept->reals));
      return plain_.at(&value);
    }
    const auto last = last_.find(&value);
    if (last == last_.end()) return refuse("'{}' is made by nothing", value.name());
    const int32_t made = model_.tensor(value.name(), value.type(), reals(value));
    model_.node(kTranspose, 2, {last->second, numbers(kToFirst, {4})}, {made});
    return plain_[&value] = made;
  }

  // The same with channels last.
  Result<int32_t> last(const Value& value) {
    const auto found = last_.find(&value);
    if (found != last_.end()) return found->second;
    if (!value.type().shape || value.type().rank() != 4) {
      return refuse("takes images, it is given {}", to_string(value.type()));
    }
    SKERRY_ASSIGN(const int32_t from, plain(value));
    const int32_t made =
        model_.tensor(value.name() + "/last", with_channels_last(value.type()), reals(value));
    model_.node(kTranspose, 2, {from, numbers(kToLast, {4})}, {made});
    return last_[&value] = made;
  }

  Result<int32_t> make_plain(const Value& value) {
    SKERRY_TRY(check(value));
    return plain_[&value] = model_.tensor(value.name(), value.type(), reals(value));
  }

  Result<int32_t> make_last(const Value& value) {
    SKERRY_TRY(check(value));
    if (value.type().rank() != 4) return refuse("makes {}", to_string(value.type()));
    return last_[&value] = model_.tensor(value.name() + "/last", with_channels_last(value.type()),
                                         reals(value));
  }

  // The tensor of floats that a constant stands for; engines make it once, before the first run.
  Result<int32_t> floats(const std::string& name, const Constant& constant,
                         const std::optional<Quantisation>& reals) {
    SKERRY_TRY(number_of(constant.type()));
    if (constant.type() == DataType::kFp32) return model_.constant(name, constant);
    const int32_t small = model_.constant(name + "/small", constant, reals);
    Shape shape;
    for (const int64_t size : constant.shape()) shape.emplace_back(size);
    const int32_t made = model_.tensor(name, Type{DataType::kFp32, std::move(shape)}, {});
    const int32_t version = !reals ? 3 : reals->scales.size() > 1 ? 5 : 2;
    model_.node(kDequantize, version, {small}, {made});
    return made;
  }

  // --- Windows ----------------------------------------------------------------------------------
  // The image with explicit pads around it, filled with what stands for zero.
  Result<int32_t> padded(const Value& value, const Window& window) {
    SKERRY_ASSIGN(const int32_t from, last(value));
    const auto& p = window.pads;
    if (std::ranges::all_of(p, [](int64_t pad) { return pad == 0; })) return from;
    Type type = with_channels_last(value.type());
    for (size_t axis = 0; axis < 2; ++axis) {
      Dim& size = (*type.shape)[axis + 1];
      if (size.is_fixed()) size = Dim(size.size() + p[axis] + p[axis + 2]);
    }
    const int32_t made = model_.tensor(value.name() + "/padded", type, reals(value));
    model_.node(kPad, 2, {from, numbers({0, 0, p[0], p[2], p[1], p[3], 0, 0}, {4, 2})}, {made});
    return made;
  }

  // --- Operators --------------------------------------------------------------------------------
  Result<void> add(const Node& node) {
    struct Row {
      Op op;
      Result<void> (Exporter::*add)(const Node&);
    };
    static const Row kRows[] = {
        {"QLinearConv", &Exporter::conv},
        {"Conv", &Exporter::conv},
        {"QGemm", &Exporter::gemm},
        {"Gemm", &Exporter::gemm},
        {"MatMul", &Exporter::gemm},
        {"QLinearAdd", &Exporter::binary},
        {"QLinearMul", &Exporter::binary},
        {"Add", &Exporter::binary},
        {"Mul", &Exporter::binary},
        {"Sub", &Exporter::binary},
        {"Div", &Exporter::binary},
        {"QLinearAveragePool", &Exporter::pool},
        {"QLinearGlobalAveragePool", &Exporter::pool},
        {"AveragePool", &Exporter::pool},
        {"GlobalAveragePool", &Exporter::pool},
        {"MaxPool", &Exporter::pool},
        {"QLinearSoftmax", &Exporter::softmax},
        {"Softmax", &Exporter::softmax},
        {"QLinearSigmoid", &Exporter::same_place},
        {"Sigmoid", &Exporter::same_place},
        {"Tanh", &Exporter::same_place},
        {"HardSwish", &Exporter::same_place},
        {"QuantizeLinear", &Exporter::same_place},
        {"DequantizeLinear", &Exporter::same_place},
        {"Clip", &Exporter::clip},
        {"Relu", &Exporter::clip},
        {"Transpose", &Exporter::transpose},
        {"Reshape", &Exporter::reshape},
        {"Flatten", &Exporter::reshape},
        {"Squeeze", &Exporter::reshape},
        {"Unsqueeze", &Exporter::reshape},
        {"Identity", &Exporter::reshape},
        {"Concat", &Exporter::concat},
    };
    if (small_weights(*node.output(0))) return {};  // written where it is read
    for (const Row& row : kRows) {
      if (row.op == node.op()) return (this->*row.add)(node);
    }
    return refuse("it is not among the operators that are exported to TensorFlow Lite");
  }

  static bool is_integer(const Node& node) { return node.op().name().starts_with("Q"); }

  // The stored weights of a layer; null where they are computed.
  static const Constant* stored_weights(const Node& node) {
    const Value& value = *node.input(is_integer(node) ? 3 : 1);
    if (value.constant() != nullptr) return value.constant();
    const auto kept = is_integer(node) ? std::nullopt : small_weights(value);
    return kept ? kept->constant : nullptr;
  }

  // With their dimensions in `order`; `axis` is the one of the channels then.
  Result<int32_t> weights(const Node& node, const std::vector<int64_t>& order, int64_t axis) {
    SKERRY_ASSIGN(const Constant moved, permuted_constant(*stored_weights(node), order));
    if (!is_integer(node)) {
      const Value& value = *node.input(1);
      auto kept = small_weights(value).value_or(SmallWeights{});
      if (kept.reals) kept.reals->axis = std::ranges::find(order, kept.reals->axis) - order.begin();
      return floats(value.name(), moved, kept.reals);
    }
    auto reals = pair_at(node, 4);
    if (!reals) return refuse("its weights' scales are computed");
    if (std::ranges::any_of(reals->zero_points, [](int64_t zero) { return zero != 0; }) ||
        moved.type() != DataType::kInt8) {
      return refuse("its weights are not symmetric INT8");
    }
    reals->axis = axis;
    return model_.constant(node.input(3)->name(), moved, reals);
  }

  // INT32, of scale x · w.
  Result<int32_t> bias(const Node& node, size_t input) {
    const Value* value = node.input(input);
    if (value == nullptr) return -1;
    if (!is_integer(node)) {
      if (value->constant() == nullptr) return refuse("its bias is computed");
      const auto count = static_cast<int64_t>(value->constant()->count());
      const std::span<const std::byte> bytes = value->constant()->bytes();
      SKERRY_ASSIGN(const Constant flat, Constant::make(value->constant()->type(), {count},
                                                        {bytes.begin(), bytes.end()}));
      return model_.constant(value->name(), flat);
    }
    if (value->constant() == nullptr || value->type().element != DataType::kInt32) {
      return refuse("its bias is no constant of INT32");
    }
    SKERRY_ASSIGN(const Quantisation reals, bias_reals(node));
    return model_.constant(value->name(), *value->constant(), reals);
  }

  static Result<Quantisation> bias_reals(const Node& node) {
    const auto x = pair_at(node, 1);
    const auto w = pair_at(node, 4);
    if (!x || !w) return refuse("its scales are computed");
    Quantisation reals;
    for (const float scale : w->scales) reals.scales.push_back(scale * x->scales[0]);
    reals.zero_points.assign(reals.scales.size(), 0);
    return reals;
  }

  Result<int32_t> zero_bias(const Node& node, int64_t channels) {
    const auto count = static_cast<size_t>(channels);
    const std::string name = node.output(0)->name() + "/bias";
    if (!is_integer(node)) {
      const std::vector<float> zeros(count);
      return model_.constant(name, Constant::of(DataType::kFp32, {channels}, zeros));
    }
    SKERRY_ASSIGN(const Quantisation reals, bias_reals(node));
    const std::vector<int32_t> zeros(count);
    return model_.constant(name, Constant::of(DataType::kInt32, {channels}, zeros), reals);
  }

  Result<void> conv(const Node& node) {
    const Constant* w = stored_weights(node);
    if (w == nullptr || w->shape().size() != 4) {
      return refuse("its weights are no constant of four dimensions");
    }
    const auto& shape = w->shape();
    const int64_t group = node.int_of("group");
    const bool depthwise = group > 1 && shape[1] == 1;
    const std::vector<int64_t> kernel = {shape[2], shape[3]};
    SKERRY_ASSIGN(const Window window, window_of(node, kernel));
    SKERRY_ASSIGN(const int32_t x, padded(*node.input(0), window));
    const std::vector<int64_t> order = {depthwise ? 1 : 0, 2, 3, depthwise ? 0 : 1};
    SKERRY_ASSIGN(const int32_t weight, weights(node, order, depthwise ? 3 : 0));
    SKERRY_ASSIGN(int32_t b, bias(node, is_integer(node) ? 8 : 2));
    // Stock kernels of convolutions want a bias.
    if (b < 0) {
      SKERRY_ASSIGN(b, zero_bias(node, shape[0]));
    }
    SKERRY_ASSIGN(const int32_t y, make_last(*node.output(0)));
    FlatTable options;
    options.scalar<int8_t>(0, window.same ? 0 : 1);
    options.scalar<int32_t>(1, static_cast<int32_t>(window.strides[1]));
    options.scalar<int32_t>(2, static_cast<int32_t>(window.strides[0]));
    if (depthwise) options.scalar<int32_t>(3, static_cast<int32_t>(shape[0] / group));
    const unsigned dilation = depthwise ? 5 : 4;
    options.scalar<int32_t>(dilation, static_cast<int32_t>(window.dilations[1]));
    options.scalar<int32_t>(dilation + 1, static_cast<int32_t>(window.dilations[0]));
    model_.node(depthwise ? kDepthwiseConv : kConv, 3, {x, weight, b}, {y},
                depthwise ? kDepthwiseOptions : kConvOptions, std::move(options));
    return {};
  }

  Result<void> gemm(const Node& node) {
    const bool whole = is_integer(node);
    const bool plain_product = node.op() == "MatMul";
    const Constant* w = stored_weights(node);
    if (w == nullptr || w->shape().size() != 2) {
      return refuse("its weights are no constant of two dimensions");
    }
    const bool scaled =
        !plain_product && (node.int_of("transA") != 0 || node.float_of("alpha") != 1 ||
                           (!whole && node.float_of("beta") != 1));
    if (scaled) return refuse("only alpha = 1, beta = 1 and rows in A are exported");
    const bool rows = !plain_product && node.int_of("transB") != 0;
    const Value* c = node.input(2);
    if (!whole && c != nullptr && c->constant() != nullptr &&
        static_cast<int64_t>(c->constant()->count()) != w->shape()[rows ? 0 : 1]) {
      return refuse("its bias is not one number for each column");
    }
    SKERRY_ASSIGN(const int32_t x, plain(*node.input(0)));
    SKERRY_ASSIGN(const int32_t weight, weights(node, {rows ? 0 : 1, rows ? 1 : 0}, 0));
    SKERRY_ASSIGN(const int32_t b, bias(node, whole ? 6 : 2));
    SKERRY_ASSIGN(const int32_t y, make_plain(*node.output(0)));
    FlatTable options;
    if (node.output(0)->type().rank() > 2) options.scalar<int8_t>(2, 1);  // keep_num_dims
    model_.node(kFullyConnected, whole ? 4 : 5, {x, weight, b}, {y}, kFullyOptions,
                std::move(options));
    return {};
  }

  // Both with channels last where both have them, or as they are.
  Result<void> binary(const Node& node) {
    const Value& a = *node.input(0);
    const bool whole = is_integer(node);
    const Value& b = *node.input(whole ? 3 : 1);
    if (whole && pair_at(node, 4) && pair_at(node, 4)->scales[0] < 0) return refuse("it subtracts");
    const bool images = last_.contains(&a) && last_.contains(&b);
    SKERRY_ASSIGN(const int32_t x, images ? last(a) : plain(a));
    SKERRY_ASSIGN(const int32_t z, images ? last(b) : plain(b));
    SKERRY_ASSIGN(const int32_t y,
                  images ? make_last(*node.output(0)) : make_plain(*node.output(0)));
    const auto [code, options] = node.op() == "Sub"   ? std::pair(kSub, kSubOptions)
                                 : node.op() == "Div" ? std::pair(kDiv, kDivOptions)
                                 : node.op() == "Mul" || node.op() == "QLinearMul"
                                     ? std::pair(kMul, kMulOptions)
                                     : std::pair(kAdd, kAddOptions);
    model_.node(code, whole ? 2 : 1, {x, z}, {y}, options);
    return {};
  }

  Result<void> pool(const Node& node) {
    const Value& x = *node.input(0);
    const bool global = node.op() == "QLinearGlobalAveragePool" || node.op() == "GlobalAveragePool";
    std::vector<int64_t> kernel;
    Window window{.strides = {1, 1}, .dilations = {1, 1}, .pads = {0, 0, 0, 0}};
    if (global) {
      const auto sizes = sizes_of(
          Type{x.type().element, Shape(x.type().shape->begin() + 1, x.type().shape->end())});
      if (!sizes || sizes->size() != 3) return refuse("its image is open");
      kernel = {(*sizes)[1], (*sizes)[2]};
    } else {
      kernel = node.ints_of("kernel_shape");
      if (kernel.size() != 2 || node.int_of("ceil_mode") != 0)
        return refuse("its window has no counterpart");
      SKERRY_ASSIGN(window, window_of(node, kernel));
    }
    const bool average = node.op() != "MaxPool";
    const bool pads = std::ranges::any_of(window.pads, [](int64_t p) { return p != 0; });
    if (pads || window.dilations != std::vector<int64_t>{1, 1} ||
        (average && !global && window.same && node.int_of("count_include_pad") != 0)) {
      return refuse("its window has no counterpart");
    }
    SKERRY_ASSIGN(const int32_t from, last(x));
    SKERRY_ASSIGN(const int32_t y, make_last(*node.output(0)));
    // TFLite's averages keep the scale; another one comes behind.
    const bool rescaled = average && is_integer(node) && reals_of(x) != reals_of(*node.output(0));
    const int32_t made = rescaled
                             ? model_.tensor(node.output(0)->name() + "/mean",
                                             with_channels_last(node.output(0)->type()), reals(x))
                             : y;
    FlatTable options;
    options.scalar<int8_t>(0, window.same ? 0 : 1);
    options.scalar<int32_t>(1, static_cast<int32_t>(window.strides[1]));
    options.scalar<int32_t>(2, static_cast<int32_t>(window.strides[0]));
    options.scalar<int32_t>(3, static_cast<int32_t>(kernel[1]));
    options.scalar<int32_t>(4, static_cast<int32_t>(kernel[0]));
    model_.node(average ? kAveragePool : kMaxPool, 2, {from}, {made}, kPoolOptions,
                std::move(options));
    if (rescaled) model_.node(kQuantize, 2, {made}, {y});
    return {};
  }

  Result<void> softmax(const Node& node) {
    const int64_t axis = node.int_of("axis");
    const auto& shape = node.input(0)->type().shape;
    if (!shape || (axis != -1 && axis != static_cast<int64_t>(shape->size()) - 1)) {
      return refuse("only the last axis is exported");
    }
    SKERRY_ASSIGN(const int32_t x, plain(*node.input(0)));
    SKERRY_ASSIGN(const int32_t y, make_plain(*node.output(0)));
    FlatTable options;
    options.scalar<float>(0, 1);
    model_.node(kSoftmax, 2, {x}, {y}, kSoftmaxOptions, std::move(options));
    return {};
  }

  // One input, one output, element by element: with channels where they are.
  Result<std::pair<int32_t, int32_t>> in_place(const Node& node) {
    const Value& x = *node.input(0);
    const bool image = last_.contains(&x);
    SKERRY_ASSIGN(const int32_t from, image ? last(x) : plain(x));
    SKERRY_ASSIGN(const int32_t y,
                  image ? make_last(*node.output(0)) : make_plain(*node.output(0)));
    return std::pair(from, y);
  }

  Result<void> same_place(const Node& node) {
    const Op op = node.op();
    const int32_t code = op == "QuantizeLinear"     ? kQuantize
                         : op == "DequantizeLinear" ? kDequantize
                         : op == "Tanh"             ? kTanh
                         : op == "HardSwish"        ? kHardSwish
                                                    : kLogistic;
    if ((code == kQuantize || code == kDequantize) && count_of(node.input(1)->type()) != 1) {
      return refuse("only one scale for all is exported");
    }
    SKERRY_ASSIGN(const auto tensors, in_place(node));
    model_.node(code, code == kDequantize ? 2 : 1, {tensors.first}, {tensors.second});
    return {};
  }

  // Limits of integers: the larger of it and one, the smaller of it and the other.
  Result<void> clip(const Node& node) {
    if (node.input(0)->type().element == DataType::kFp32) return clip_reals(node);
    if (node.input(0)->type().element != DataType::kInt8) return refuse("only INT8 is exported");
    SKERRY_ASSIGN(auto tensors, in_place(node));
    const Value& out = *node.output(0);
    const bool image = last_.contains(&out);
    const auto limit = [&](int64_t value) {
      return model_.constant(
          "limit",
          Constant::of(DataType::kInt8, {}, std::vector<int8_t>{static_cast<int8_t>(value)}),
          reals(out));
    };
    const auto bound = [&](size_t input, int64_t otherwise) -> Result<int64_t> {
      const Value* value = node.input(input);
      if (value == nullptr) return otherwise;
      if (value->constant() == nullptr) return refuse("its limits are computed");
      return int64_t{value->constant()->as<int8_t>()[0]};
    };
    const bool relu = node.op() == "Relu";  // of the integers themselves
    SKERRY_ASSIGN(const int64_t low, relu ? Result<int64_t>(0) : bound(1, -128));
    SKERRY_ASSIGN(const int64_t high, relu ? Result<int64_t>(127) : bound(2, 127));
    const Type type = image ? with_channels_last(out.type()) : out.type();
    const int32_t between = model_.tensor(out.name() + "/low", type, reals(out));
    model_.node(kMaximum, 2, {tensors.first, limit(low)}, {between});
    model_.node(kMinimum, 2, {between, limit(high)}, {tensors.second});
    return {};
  }

  Result<void> clip_reals(const Node& node) {
    SKERRY_ASSIGN(auto tensors, in_place(node));
    const auto limit = [&](size_t input) -> std::optional<float> {
      if (node.op() == "Relu") return input == 1 ? std::optional(0.0F) : std::nullopt;
      const Value* value = node.input(input);
      return value == nullptr ? std::nullopt : std::optional(value->constant()->as<float>()[0]);
    };
    for (const size_t input : {1, 2}) {
      if (node.input(input) != nullptr && node.input(input)->constant() == nullptr) {
        return refuse("its limits are computed");
      }
    }
    const auto low = limit(1);
    const auto high = limit(2);
    if (low == 0.0F && (!high || *high == 6.0F)) {
      model_.node(high ? kRelu6 : kRelu, 1, {tensors.first}, {tensors.second});
      return {};
    }
    const auto number = [&](float value) {
      return model_.constant("limit", Constant::of_float(value));
    };
    const Value& out = *node.output(0);
    const Type type = last_.contains(&out) ? with_channels_last(out.type()) : out.type();
    const int32_t between = model_.tensor(out.name() + "/low", type, {});
    model_.node(kMaximum, 1, {tensors.first, number(low.value_or(-INFINITY))}, {between});
    model_.node(kMinimum, 1, {between, number(high.value_or(INFINITY))}, {tensors.second});
    return {};
  }

  Result<void> transpose(const Node& node) {
    const Value& x = *node.input(0);
    const Value& y = *node.output(0);
    const auto perm = node.ints_of("perm");
    if (perm == kToFirst) {
      SKERRY_ASSIGN(last_[&y], plain(x));
      return {};
    }
    if (perm == kToLast && last_.contains(&x)) {
      plain_[&y] = last_.at(&x);
      return {};
    }
    if (perm.empty()) return refuse("its order is not given");
    SKERRY_ASSIGN(const int32_t from, plain(x));
    SKERRY_ASSIGN(const int32_t to, make_plain(y));
    model_.node(kTranspose, 2, {from, numbers(perm, {static_cast<int64_t>(perm.size())})}, {to});
    return {};
  }

  // Whatever keeps the elements in their order, to the shape that is known of the output.
  Result<void> reshape(const Node& node) {
    SKERRY_ASSIGN(const int32_t x, plain(*node.input(0)));
    SKERRY_ASSIGN(const int32_t y, make_plain(*node.output(0)));
    std::vector<int64_t> shape;
    for (const Dim& dim : *node.output(0)->type().shape)
      shape.push_back(dim.is_fixed() ? dim.size() : -1);
    if (std::ranges::count(shape, -1) > 1) return refuse("several dimensions of it are open");
    model_.node(kReshape, 1, {x, numbers(shape, {static_cast<int64_t>(shape.size())})}, {y});
    return {};
  }

  Result<void> concat(const Node& node) {
    bool images = true;
    for (const Value* input : node.inputs()) {
      images = images && last_.contains(input);
      if (reals(*input) != reals(*node.output(0)))
        return refuse("its inputs have different scales");
    }
    const auto rank =
        static_cast<int64_t>(node.output(0)->type().shape ? node.output(0)->type().rank() : 0);
    int64_t axis = node.int_of("axis");
    if (axis < 0) axis += rank;
    constexpr int64_t kLastAxis[] = {0, 3, 1, 2};
    if (images) axis = kLastAxis[axis];
    std::vector<int32_t> inputs;
    for (const Value* input : node.inputs()) {
      SKERRY_ASSIGN(const int32_t tensor, images ? last(*input) : plain(*input));
      inputs.push_back(tensor);
    }
    SKERRY_ASSIGN(const int32_t y,
                  images ? make_last(*node.output(0)) : make_plain(*node.output(0)));
    FlatTable options;
    options.scalar<int32_t>(0, static_cast<int32_t>(axis));
    model_.node(kConcatenation, 2, inputs, {y}, kConcatenationOptions, std::move(options));
    return {};
  }

  ModelWriter model_;
  std::unordered_map<const Value*, int32_t> plain_;  // in the graph's order of dimensions
  std::unordered_map<const Value*, int32_t> last_;   // with channels last
};

}  // namespace

Result<std::string> export_bytes(const Graph& graph) {
  return Exporter().run(graph);
}

Result<void> export_file(const Graph& graph, const std::string& path) {
  SKERRY_ASSIGN(const std::string bytes, export_bytes(graph));
  io::RealFiles files;
  return io::write_file_atomic(files, path, bytes, 0644);
}

}  // namespace skerry::graph::tflite
