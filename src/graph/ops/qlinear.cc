// Operators on quantised tensors that ONNX itself does not have: those of ONNX Runtime's quantiser
// (domain com.microsoft), which is also what TFLite's become.
#include <cmath>

#include "graph/ops/common.h"
#include "graph/ops/families.h"
#include "graph/ops/requantise.h"
#include "graph/ops/window.h"

namespace skerry::graph::ops {
namespace {

Result<void> check_narrow(const Inference& inference) {
  switch (inference.element(0)) {
    case DataType::kInt8:
    case DataType::kUint8:
    case DataType::kInt16:
    case DataType::kUint16:
      return check_rounding(inference);
    default:
      return inference.refuse("takes integers of 8 or 16 bits, it is given {}",
                              to_string(inference.type(0)));
  }
}

// One scale and one zero point, at inputs `scale` and behind it.
Result<void> check_pair(const Inference& inference, size_t scale) {
  SKERRY_TRY(check_count(inference, scale, Dim(1)));
  return check_count(inference, scale + 1, Dim(1));
}

double scale_at(const Evaluation& run, size_t input) {
  return run.in(input).to_doubles()[0];
}

int64_t zero_at(const Evaluation& run, size_t input) {
  return run.has(input) ? run.in(input).to_ints()[0] : 0;
}

// --- A, scale, zero, B, scale, zero, C scale, zero? ----------------------------------------------

Result<void> infer_binary(Inference& inference) {
  for (const size_t at : {1u, 4u, 6u}) SKERRY_TRY(check_pair(inference, at));
  SKERRY_TRY(check_narrow(inference));
  SKERRY_TRY(inference.same_element(0, 3));
  std::optional<Shape> shape;
  if (inference.ranked(0) && inference.ranked(3)) {
    SKERRY_ASSIGN(shape, broadcast(inference, inference.shape(0), inference.shape(3)));
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

template <class F>
void for_each_pair(Evaluation& run, F&& store) {
  const auto a = run.in(0).to_ints();
  const auto b = run.in(3).to_ints();
  const int64_t a_zero = zero_at(run, 2);
  const int64_t b_zero = zero_at(run, 5);
  Array& out = run.out(0);
  Walk<2> walk(out.shape, {broadcast_strides(run.in(0).shape, out.shape),
                           broadcast_strides(run.in(3).shape, out.shape)});
  for (size_t i = 0; i < out.count(); ++i, walk.next()) {
    store(i, a[static_cast<size_t>(walk.at()[0])] - a_zero,
          b[static_cast<size_t>(walk.at()[1])] - b_zero);
  }
}

// A negative scale of B subtracts it.
Result<void> qlinear_add(Evaluation& run) {
  const double a_scale = scale_at(run, 1);
  const double b_scale = scale_at(run, 4);
  const double c_scale = scale_at(run, 6);
  const int64_t zero = zero_at(run, 7);
  Array& out = run.out(0);
  if (!is_litert(run.node())) {
    for_each_pair(run, [&](size_t i, int64_t a, int64_t b) {
      const double sum = static_cast<double>(a) * a_scale + static_cast<double>(b) * b_scale;
      store_quantised(out, i, sum / c_scale, zero);
    });
    return {};
  }
  const int headroom = out.type == DataType::kInt16 ? 15 : 20;
  const double twice = 2 * std::max(a_scale, std::abs(b_scale));
  const auto a_factor = FixedMultiplier::of(a_scale / twice);
  const auto b_factor = FixedMultiplier::of(std::abs(b_scale) / twice);
  const auto c_factor = FixedMultiplier::of(twice / ((1 << headroom) * c_scale));
  for_each_pair(run, [&](size_t i, int64_t a, int64_t b) {
    const int32_t x = a_factor.times(static_cast<int32_t>(a << headroom));
    const int32_t y = b_factor.times(static_cast<int32_t>(b << headroom));
    Requantiser::store_saturated(out, i, c_factor.times(b_scale < 0 ? x - y : x + y) + zero);
  });
  return {};
}

Result<void> qlinear_mul(Evaluation& run) {
  // LiteRT computes the factor in FP32.
  const auto a_scale = static_cast<float>(scale_at(run, 1));
  const auto b_scale = static_cast<float>(scale_at(run, 4));
  const auto c_scale = static_cast<float>(scale_at(run, 6));
  const double factor = is_litert(run.node()) ? static_cast<double>(a_scale * b_scale / c_scale)
                                              : scale_at(run, 1) * scale_at(run, 4) / c_scale;
  const std::vector<double> one = {factor};
  const Requantiser requantiser(run.node(), DataType::kInt8, 1, one, 1, zero_at(run, 7));
  for_each_pair(
      run, [&](size_t i, int64_t a, int64_t b) { requantiser.store(run.out(0), i, 0, a * b); });
  return {};
}

// --- A [m, k], B [k, n] or turned, C? [n] --------------------------------------------------------

Result<void> infer_qgemm(Inference& inference) {
  SKERRY_TRY(check_pair(inference, 1));
  SKERRY_TRY(check_narrow(inference));
  if (!inference.has(7) || !inference.has(8)) {
    return inference.refuse("results that are not quantised (no y_scale) are not supported");
  }
  SKERRY_TRY(check_pair(inference, 7));
  SKERRY_TRY(inference.same_element(0, 8));
  inference.set(0, inference.element(8));
  if (!inference.ranked(0) || !inference.ranked(3)) return {};
  const bool a_turned = inference.node().int_of("transA") != 0;
  const bool b_turned = inference.node().int_of("transB") != 0;
  const Shape& a = inference.shape(0);
  const Shape& b = inference.shape(3);
  const bool matrices = a.size() == 2 && b.size() == 2;
  const Dim inner = matrices ? a[a_turned ? 0 : 1] : Dim();
  const Dim other = matrices ? b[b_turned ? 1 : 0] : Dim();
  if (!matrices || (inner.is_fixed() && other.is_fixed() && inner != other)) {
    return inference.refuse("{} and {} do not multiply", to_string(inference.type(0)),
                            to_string(inference.type(3)));
  }
  const Dim columns = b[b_turned ? 0 : 1];
  for (const size_t at : {4u, 5u}) SKERRY_TRY(check_count(inference, at, columns));
  const auto bias = inference.has(6) ? count_of(inference.type(6)) : std::nullopt;
  if (bias && columns.is_fixed() && *bias != columns.size()) {
    return inference.refuse("its bias has {} numbers for {} columns", *bias, columns.size());
  }
  inference.set(0, inference.element(8), Shape{a[a_turned ? 1 : 0], columns});
  return {};
}

Result<void> qgemm(Evaluation& run) {
  const Array& out = run.out(0);
  const bool a_turned = run.node().int_of("transA") != 0;
  const bool b_turned = run.node().int_of("transB") != 0;
  const auto a = run.in(0).to_ints();
  const auto b = run.in(3).to_ints();
  const int64_t a_zero = zero_at(run, 2);
  const auto b_zeros = run.in(5).to_ints();
  const auto bias = run.has(6) ? run.in(6).to_ints() : std::vector<int64_t>();
  const Requantiser requantiser(run.node(), run.in(0).type,
                                scale_at(run, 1) * run.node().float_of("alpha"),
                                run.in(4).to_doubles(), scale_at(run, 7), zero_at(run, 8));
  const int64_t rows = out.shape[0];
  const int64_t columns = out.shape[1];
  const int64_t inner = run.in(0).shape[a_turned ? 0 : 1];
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const auto channel = static_cast<size_t>(c);
      const int64_t b_zero = b_zeros[b_zeros.size() > 1 ? channel : 0];
      int64_t sum = bias.empty() ? 0 : bias[channel];
      for (int64_t k = 0; k < inner; ++k) {
        sum += (a[static_cast<size_t>(a_turned ? k * rows + r : r * inner + k)] - a_zero) *
               (b[static_cast<size_t>(b_turned ? c * inner + k : k * columns + c)] - b_zero);
      }
      requantiser.store(run.out(0), static_cast<size_t>(r * columns + c), channel, sum);
    }
  }
  return {};
}

std::optional<int64_t> gemm_macs(const Node& node) {
  const auto out = count_of(node.output(0)->type());
  const auto a = sizes_of(node.input(0)->type());
  if (!out || !a || a->size() != 2) return {};
  return *out * (*a)[node.int_of("transA") != 0 ? 0 : 1];
}

// --- X, scale, zero, Y scale, zero? --------------------------------------------------------------

Result<void> infer_unary(Inference& inference) {
  for (const size_t at : {1u, 3u}) SKERRY_TRY(check_pair(inference, at));
  SKERRY_TRY(check_narrow(inference));
  if (inference.node().definition().attribute("axis") != nullptr && inference.ranked(0)) {
    SKERRY_TRY(inference.axis(inference.node().int_of("axis"), inference.rank(0)));
  }
  inference.set(0, inference.element(0), inference.type(0).shape);
  return {};
}

// LiteRT's kernels for these are tables, made with a factor instead of a division.
template <class F>
Result<void> by_table(Evaluation& run, F&& f) {
  const double x_scale = scale_at(run, 1);
  const double y_scale = scale_at(run, 3);
  const int64_t x_zero = zero_at(run, 2);
  const int64_t y_zero = zero_at(run, 4);
  const bool litert = is_litert(run.node());
  const auto in = run.in(0).to_ints();
  for (size_t i = 0; i < in.size(); ++i) {
    if (!litert) {
      const double y = f(static_cast<double>(in[i] - x_zero) * x_scale);
      store_quantised(run.out(0), i, y / y_scale, y_zero);
      continue;
    }
    const float x = static_cast<float>(x_scale) * static_cast<float>(in[i] - x_zero);
    store_quantised(run.out(0), i, std::round(f(x) * (1.0F / static_cast<float>(y_scale))), y_zero);
  }
  return {};
}

Result<void> sigmoid(Evaluation& run) {
  return by_table(run, []<class T>(T x) { return T{1} / (T{1} + std::exp(-x)); });
}

Result<void> quantised_leaky_relu(Evaluation& run) {
  const float alpha = run.node().float_of("alpha");
  return by_table(run, [alpha]<class T>(T x) { return x < 0 ? static_cast<T>(alpha) * x : x; });
}

Result<void> softmax(Evaluation& run) {
  const Array& x = run.in(0);
  const AxisView view = view_along(x.shape, Evaluation::axis(run.node().int_of("axis"), x.rank()));
  if (view.size == 0) return {};
  const auto in = x.to_ints();
  const double x_scale = scale_at(run, 1);
  const double y_scale = scale_at(run, 3);
  const int64_t zero = zero_at(run, 4);
  const FixedSoftmax fixed(x_scale);
  for (int64_t row = 0; row < view.outer * view.inner; ++row) {
    const int64_t first = row / view.inner * view.size * view.inner + row % view.inner;
    const int64_t* const from = in.data() + first;
    if (is_litert(run.node())) {
      fixed.row(from, view.size, view.inner, [&](int64_t i, int32_t share) {
        Requantiser::store_saturated(run.out(0), static_cast<size_t>(first + i * view.inner),
                                     share + zero);
      });
      continue;
    }
    int64_t highest = from[0];
    for (int64_t i = 0; i < view.size; ++i) highest = std::max(highest, from[i * view.inner]);
    double sum = 0;
    const auto power = [&](int64_t i) {
      return std::exp(static_cast<double>(from[i * view.inner] - highest) * x_scale);
    };
    for (int64_t i = 0; i < view.size; ++i) sum += power(i);
    for (int64_t i = 0; i < view.size; ++i) {
      store_quantised(run.out(0), static_cast<size_t>(first + i * view.inner),
                      power(i) / sum / y_scale, zero);
    }
  }
  return {};
}

// --- Pools --------------------------------------------------------------------------------------

Result<void> infer_average(Inference& inference) {
  SKERRY_TRY(infer_unary(inference));
  if (inference.node().int_of("channels_last") != 0) {
    return inference.refuse("channels_last is not supported");
  }
  if (!inference.ranked(0)) return {};
  Shape shape = inference.shape(0);
  if (shape.size() < 3) {
    return inference.refuse("takes [batch, channels, spatial…], it is given {}",
                            to_string(inference.type(0)));
  }
  if (inference.node().op() == "QLinearGlobalAveragePool") {
    for (size_t axis = 2; axis < shape.size(); ++axis) shape[axis] = Dim(1);
  } else {
    SKERRY_ASSIGN(Window window, window_of(inference, shape.size() - 2, {}));
    for (size_t axis = 0; axis + 2 < shape.size(); ++axis) {
      SKERRY_ASSIGN(shape[axis + 2], output_size(inference, window, axis, shape[axis + 2]));
    }
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

void store_average(Evaluation& run, size_t at, int64_t sum, int64_t seen, int64_t divisor) {
  if (seen == 0) return;
  // LiteRT's scales are one, and zero points average like numbers.
  if (is_litert(run.node())) {
    const int64_t half = sum > 0 ? seen / 2 : -(seen / 2);
    return Requantiser::store_saturated(run.out(0), at, (sum + half) / seen);
  }
  const double real = static_cast<double>(sum - seen * zero_at(run, 2)) * scale_at(run, 1) /
                      static_cast<double>(divisor);
  store_quantised(run.out(0), at, real / scale_at(run, 3), zero_at(run, 4));
}

Result<void> quantised_average_pool(Evaluation& run) {
  const Array& x = run.in(0);
  const Array& out = run.out(0);
  const std::span<const int64_t> space = std::span(x.shape).subspan(2);
  const std::span<const int64_t> out_space = std::span(out.shape).subspan(2);
  const bool global = run.node().op() == "QLinearGlobalAveragePool";
  const Window window = global ? Window{.kernel = {space.begin(), space.end()},
                                        .strides = std::vector<int64_t>(space.size(), 1),
                                        .dilations = std::vector<int64_t>(space.size(), 1),
                                        .pads_begin = std::vector<int64_t>(space.size(), 0),
                                        .pads_end = std::vector<int64_t>(space.size(), 0)}
                               : resolved_window(run, {}, space);
  const bool with_pads = !global && run.node().int_of("count_include_pad") != 0;
  const auto in = x.to_ints();
  const int64_t in_size = product(space);
  const int64_t out_size = product(out_space);
  for (int64_t plane = 0; plane < x.shape[0] * x.shape[1]; ++plane) {
    Walk<1> walk(out_space, {strides_of(out_space)});
    for (int64_t o = 0; o < out_size; ++o, walk.next()) {
      int64_t sum = 0;
      int64_t seen = 0;
      for_each_in_window(window, space, walk.index(), [&](int64_t, int64_t at) {
        sum += in[static_cast<size_t>(plane * in_size + at)];
        ++seen;
      });
      store_average(run, static_cast<size_t>(plane * out_size + o), sum, seen,
                    with_pads ? product(window.kernel) : seen);
    }
  }
  return {};
}

constexpr const char* kBinary =
    "A A_scale:f A_zero_point B B_scale:f B_zero_point C_scale:f C_zero_point? -> C";
constexpr const char* kUnary = "X X_scale:f X_zero_point Y_scale:f Y_zero_point? -> Y";
constexpr const char* kRounding = "rounding:string=even";

}  // namespace

std::span<const OperatorRow> qlinear_rows() {
  static const OperatorRow kRows[] = {
      {"QGemm",
       "A a_scale:f a_zero_point B b_scale:f b_zero_point C?:i y_scale?:f y_zero_point? -> Y",
       "alpha:float=1 transA:int=0 transB:int=0 rounding:string=even", infer_qgemm, qgemm,
       gemm_macs},
      {"QLinearAdd", kBinary, kRounding, infer_binary, qlinear_add},
      {"QLinearMul", kBinary, kRounding, infer_binary, qlinear_mul},
      {"QLinearAveragePool", kUnary,
       "auto_pad:string=NOTSET ceil_mode:int=0 channels_last:int=0 count_include_pad:int=0 "
       "kernel_shape:ints! pads:ints strides:ints rounding:string=even",
       infer_average, quantised_average_pool},
      {"QLinearGlobalAveragePool", kUnary, "channels_last:int=0 rounding:string=even",
       infer_average, quantised_average_pool},
      {"QLinearLeakyRelu", kUnary, "alpha:float=0.01 rounding:string=even", infer_unary,
       quantised_leaky_relu},
      {"QLinearSigmoid", kUnary, kRounding, infer_unary, sigmoid},
      {"QLinearSoftmax", kUnary, "axis:int=-1 opset:int! rounding:string=even", infer_unary,
       softmax},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
