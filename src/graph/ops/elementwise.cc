// One element from one.
#include <cmath>
#include <numbers>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

// out = f(in) in the element's own precision.
template <auto F>
Result<void> map_float(Evaluation& run) {
  return visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    const auto out = run.out(0).as<T>();
    for (size_t i = 0; i < in.size(); ++i) out[i] = static_cast<T>(F(in[i]));
    return {};
  });
}

template <auto F>
Result<void> map_number(Evaluation& run) {
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    const auto out = run.out(0).as<T>();
    for (size_t i = 0; i < in.size(); ++i) out[i] = static_cast<T>(F(in[i]));
    return {};
  });
}

// The same with one or two attributes.
template <auto F>
Result<void> map_with(Evaluation& run, const char* first, const char* second = nullptr) {
  return visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const T a = run.node().float_of(first);
    const T b = second != nullptr ? run.node().float_of(second) : 0;
    const auto in = run.in(0).as<T>();
    const auto out = run.out(0).as<T>();
    for (size_t i = 0; i < in.size(); ++i) out[i] = F(in[i], a, b);
    return {};
  });
}

constexpr auto kAbs = []<class T>(T x) { return x < T{0} ? static_cast<T>(T{0} - x) : x; };
constexpr auto kSign = []<class T>(T x) { return T(x > T{0}) - T(x < T{0}); };
constexpr auto kNeg = []<class T>(T x) { return static_cast<T>(T{0} - x); };
constexpr auto kRelu = []<class T>(T x) { return x > T{0} ? x : (is_nan(x) ? x : T{0}); };
constexpr auto kSigmoid = []<class T>(T x) {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const T e = std::exp(x);
  return e / (1 + e);
};
constexpr auto kSoftplus = []<class T>(T x) {
  return std::max(x, T{0}) + std::log1p(std::exp(-std::abs(x)));
};

Result<void> infer_like_float(Inference& inference) {
  if (!tensor::is_float(inference.element(0))) {
    return inference.refuse("takes floating point, it is given {}", to_string(inference.type(0)));
  }
  return infer_same(inference);
}

Result<void> gelu(Evaluation& run) {
  const bool tanh_form = run.node().string_of("approximate") == "tanh";
  return visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    const auto out = run.out(0).as<T>();
    const T c = std::sqrt(2 / std::numbers::pi_v<T>);
    for (size_t i = 0; i < in.size(); ++i) {
      const T x = in[i];
      out[i] = x / 2 *
               (1 + (tanh_form ? std::tanh(c * (x + T(0.044715) * x * x * x))
                               : std::erf(x / std::numbers::sqrt2_v<T>)));
    }
    return {};
  });
}

Result<void> leaky_relu(Evaluation& run) {
  return map_with<[]<class T>(T x, T a, T) { return x < 0 ? a * x : x; }>(run, "alpha");
}
Result<void> elu(Evaluation& run) {
  return map_with<[]<class T>(T x, T a, T) { return x < 0 ? a * std::expm1(x) : x; }>(run, "alpha");
}
Result<void> celu(Evaluation& run) {
  return map_with<[]<class T>(T x, T a, T) {
    return std::max(x, T{0}) + std::min(T{0}, a * std::expm1(x / a));
  }>(run, "alpha");
}
Result<void> selu(Evaluation& run) {
  return map_with<[]<class T>(T x, T a, T g) { return x > 0 ? g * x : g * a * std::expm1(x); }>(
      run, "alpha", "gamma");
}
Result<void> hard_sigmoid(Evaluation& run) {
  return map_with<[]<class T>(T x, T a, T b) { return std::max(T{0}, std::min(T{1}, a * x + b)); }>(
      run, "alpha", "beta");
}
Result<void> thresholded_relu(Evaluation& run) {
  return map_with<[]<class T>(T x, T a, T) { return x > a ? x : T{0}; }>(run, "alpha");
}

Result<void> shrink(Evaluation& run) {
  const double lambda = run.node().float_of("lambd");
  const double bias = run.node().float_of("bias");
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    const auto out = run.out(0).as<T>();
    for (size_t i = 0; i < in.size(); ++i) {
      const double x = static_cast<double>(in[i]);
      out[i] = static_cast<T>(x < -lambda ? x + bias : x > lambda ? x - bias : 0);
    }
    return {};
  });
}

Result<void> infer_test(Inference& inference) {
  inference.set(0, DataType::kBool, inference.type(0).shape);
  return {};
}

template <auto F>
Result<void> test_float(Evaluation& run) {
  return visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    const auto out = run.out(0).as<uint8_t>();
    for (size_t i = 0; i < in.size(); ++i) out[i] = F(run.node(), in[i]) ? 1 : 0;
    return {};
  });
}

constexpr auto kIsNan = []<class T>(const Node&, T x) { return std::isnan(x); };
constexpr auto kIsInf = []<class T>(const Node& node, T x) {
  return std::isinf(x) && node.int_of(x > 0 ? "detect_positive" : "detect_negative") != 0;
};

Result<void> invert(Evaluation& run) {
  const auto in = run.in(0).as<uint8_t>();
  const auto out = run.out(0).as<uint8_t>();
  for (size_t i = 0; i < in.size(); ++i) out[i] = in[i] == 0 ? 1 : 0;
  return {};
}

Result<void> bitwise_not(Evaluation& run) {
  return visit_integer(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    const auto out = run.out(0).as<T>();
    for (size_t i = 0; i < in.size(); ++i) out[i] = static_cast<T>(~in[i]);
    return {};
  });
}

template <auto F>
constexpr OperatorRow float_row(Op op) {
  return {op, "X -> Y", "", infer_like_float, map_float<F>};
}

// Functions of <cmath>, which cannot be template arguments themselves.
#define SKERRY_FLOAT_FUNCTION(expression) [](auto x) { return expression; }

}  // namespace

std::span<const OperatorRow> elementwise_rows() {
  static const OperatorRow kRows[] = {
      {"Abs", "X -> Y", "", infer_same, map_number<kAbs>},
      {"Neg", "X -> Y", "", infer_same, map_number<kNeg>},
      {"Sign", "X -> Y", "", infer_same, map_number<kSign>},
      {"Relu", "X -> Y", "", infer_same, map_number<kRelu>},
      float_row<SKERRY_FLOAT_FUNCTION(std::acos(x))>("Acos"),
      float_row<SKERRY_FLOAT_FUNCTION(std::acosh(x))>("Acosh"),
      float_row<SKERRY_FLOAT_FUNCTION(std::asin(x))>("Asin"),
      float_row<SKERRY_FLOAT_FUNCTION(std::asinh(x))>("Asinh"),
      float_row<SKERRY_FLOAT_FUNCTION(std::atan(x))>("Atan"),
      float_row<SKERRY_FLOAT_FUNCTION(std::atanh(x))>("Atanh"),
      float_row<SKERRY_FLOAT_FUNCTION(std::ceil(x))>("Ceil"),
      float_row<SKERRY_FLOAT_FUNCTION(std::cos(x))>("Cos"),
      float_row<SKERRY_FLOAT_FUNCTION(std::cosh(x))>("Cosh"),
      float_row<SKERRY_FLOAT_FUNCTION(std::erf(x))>("Erf"),
      float_row<SKERRY_FLOAT_FUNCTION(std::exp(x))>("Exp"),
      float_row<SKERRY_FLOAT_FUNCTION(std::floor(x))>("Floor"),
      float_row<SKERRY_FLOAT_FUNCTION(std::log(x))>("Log"),
      float_row<SKERRY_FLOAT_FUNCTION(1 / x)>("Reciprocal"),
      float_row<SKERRY_FLOAT_FUNCTION(std::nearbyint(x))>("Round"),  // ties to even
      float_row<SKERRY_FLOAT_FUNCTION(std::sin(x))>("Sin"),
      float_row<SKERRY_FLOAT_FUNCTION(std::sinh(x))>("Sinh"),
      float_row<SKERRY_FLOAT_FUNCTION(std::sqrt(x))>("Sqrt"),
      float_row<SKERRY_FLOAT_FUNCTION(std::tan(x))>("Tan"),
      float_row<SKERRY_FLOAT_FUNCTION(std::tanh(x))>("Tanh"),
      float_row<SKERRY_FLOAT_FUNCTION(x / (1 + std::abs(x)))>("Softsign"),
      float_row<SKERRY_FLOAT_FUNCTION(x * std::tanh(kSoftplus(x)))>("Mish"),
      float_row<SKERRY_FLOAT_FUNCTION(
          x * std::max<decltype(x)>(0, std::min<decltype(x)>(1, x / 6 + decltype(x)(0.5))))>(
          "HardSwish"),
      float_row<kSigmoid>("Sigmoid"),
      float_row<kSoftplus>("Softplus"),
      {"Gelu", "X -> Y", "approximate:string=none", infer_like_float, gelu},
      {"LeakyRelu", "X -> Y", "alpha:float=0.01", infer_like_float, leaky_relu},
      {"Elu", "X -> Y", "alpha:float=1", infer_like_float, elu},
      {"Celu", "X -> Y", "alpha:float=1", infer_like_float, celu},
      {"Selu", "X -> Y",
       "alpha:float=1.67326319217681884765625 gamma:float=1.05070102214813232421875",
       infer_like_float, selu},
      {"HardSigmoid", "X -> Y", "alpha:float=0.2 beta:float=0.5", infer_like_float, hard_sigmoid},
      {"ThresholdedRelu", "X -> Y", "alpha:float=1", infer_like_float, thresholded_relu},
      {"Shrink", "X -> Y", "lambd:float=0.5 bias:float=0", infer_same, shrink},
      {"IsNaN", "X -> Y", "", infer_test, test_float<kIsNan>},
      {"IsInf", "X -> Y", "detect_negative:int=1 detect_positive:int=1", infer_test,
       test_float<kIsInf>},
      {"Not", "X -> Y", "", infer_same, invert},
      {"BitwiseNot", "X -> Y", "", infer_same, bitwise_not},
      {"Identity", "X -> Y", "", infer_same,
       [](Evaluation& run) -> Result<void> {
         run.out(0) = run.in(0);
         return {};
       },
       nullptr, Halves::kAsBytes},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
