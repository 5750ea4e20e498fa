// One element from several, broadcast: arithmetic and bits. Integers wrap around.
#include <cmath>
#include <type_traits>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

// Unsigned and at least as wide as int, so that wrapping around is defined.
template <class T>
using Wrapping = std::make_unsigned_t<std::common_type_t<T, int>>;

template <class T, class F>
constexpr T wrapped(T a, T b, F f) {
  if constexpr (std::is_floating_point_v<T>) {
    return f(a, b);
  } else {
    return static_cast<T>(f(static_cast<Wrapping<T>>(a), static_cast<Wrapping<T>>(b)));
  }
}

constexpr auto kAdd = []<class T>(T a, T b) {
  return wrapped(a, b, [](auto x, auto y) { return x + y; });
};
constexpr auto kSub = []<class T>(T a, T b) {
  return wrapped(a, b, [](auto x, auto y) { return x - y; });
};
constexpr auto kMul = []<class T>(T a, T b) {
  return wrapped(a, b, [](auto x, auto y) { return x * y; });
};
// What division by zero is, ONNX leaves open for integers: 0 here. The one overflow wraps.
constexpr auto kDiv = []<class T>(T a, T b) -> T {
  if constexpr (std::is_floating_point_v<T>) {
    return a / b;
  } else {
    if (b == 0) return 0;
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return kSub(T{0}, a);
    return static_cast<T>(a / b);
  }
};
constexpr auto kMax = []<class T>(T a, T b) -> T { return is_nan(a) || a > b ? a : b; };
constexpr auto kMin = []<class T>(T a, T b) -> T { return is_nan(a) || a < b ? a : b; };
constexpr auto kAnd = [](auto a, auto b) { return static_cast<decltype(a)>(a & b); };
constexpr auto kOr = [](auto a, auto b) { return static_cast<decltype(a)>(a | b); };
constexpr auto kXor = [](auto a, auto b) { return static_cast<decltype(a)>(a ^ b); };

// out = f(a, b) over broadcast arrays of one type.
template <class T, class F>
void combine(const Array& a, const Array& b, Array& out, F f) {
  Walk<2> walk(out.shape,
               {broadcast_strides(a.shape, out.shape), broadcast_strides(b.shape, out.shape)});
  const auto x = a.as<T>();
  const auto y = b.as<T>();
  for (T& result : out.as<T>()) {
    result = f(x[static_cast<size_t>(walk.at()[0])], y[static_cast<size_t>(walk.at()[1])]);
    walk.next();
  }
}

template <auto F>
Result<void> binary(Evaluation& run) {
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    combine<T>(run.in(0), run.in(1), run.out(0), F);
    return {};
  });
}

template <auto F>
Result<void> bits(Evaluation& run) {
  return visit_integer(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    combine<T>(run.in(0), run.in(1), run.out(0), F);
    return {};
  });
}

// Any number of inputs, from the left.
template <auto F>
Result<void> fold(Evaluation& run) {
  Array result = run.in(0);
  for (size_t i = 1; i < run.input_count(); ++i) {
    const Type types[] = {{.shape = fixed_shape(result.shape)},
                          {.shape = fixed_shape(run.in(i).shape)}};
    Inference inference(run.node(), {}, {});
    SKERRY_ASSIGN(const Shape shape, broadcast(inference, *types[0].shape, *types[1].shape));
    SKERRY_ASSIGN(Array next,
                  Array::make(result.type, *sizes_of(Type{.shape = shape}), run.max_bytes()));
    SKERRY_TRY(visit_number(run, result.type, [&]<class T>(T) -> Result<void> {
      combine<T>(result, run.in(i), next, F);
      return {};
    }));
    result = std::move(next);
  }
  run.out(0) = std::move(result);
  return {};
}

Result<void> mean(Evaluation& run) {
  SKERRY_TRY(fold<kAdd>(run));
  return visit_float(run, run.out(0).type, [&]<class T>(T) -> Result<void> {
    for (T& value : run.out(0).as<T>()) value /= static_cast<T>(run.input_count());
    return {};
  });
}

Result<void> mod(Evaluation& run) {
  const bool fmod = run.node().int_of("fmod") != 0;
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    combine<T>(run.in(0), run.in(1), run.out(0), [fmod](T a, T b) -> T {
      if constexpr (std::is_floating_point_v<T>) {
        const T rest = std::fmod(a, b);
        return fmod || rest == 0 || (rest < 0) == (b < 0) ? rest : rest + b;
      } else {
        if (b == 0 || (std::is_signed_v<T> && b == static_cast<T>(-1))) return 0;
        const T rest = static_cast<T>(a % b);
        return fmod || rest == 0 || (rest < 0) == (b < 0) ? rest : static_cast<T>(rest + b);
      }
    });
    return {};
  });
}

Result<void> shift(Evaluation& run) {
  const bool left = run.node().string_of("direction") == "LEFT";
  return visit_integer(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    combine<T>(run.in(0), run.in(1), run.out(0), [left](T a, T b) -> T {
      if (static_cast<uint64_t>(b) >= sizeof(T) * 8) return 0;
      const auto wide = static_cast<uint64_t>(static_cast<std::make_unsigned_t<T>>(a));
      return static_cast<T>(left ? wide << b : wide >> b);
    });
    return {};
  });
}

Result<void> infer_pow(Inference& inference) {
  std::optional<Shape> shape;
  if (inference.ranked(0) && inference.ranked(1)) {
    SKERRY_ASSIGN(shape, broadcast(inference, inference.shape(0), inference.shape(1)));
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

// The exponent may have another type; integer powers are exact as long as a double is.
Result<void> power(Evaluation& run) {
  const std::vector<double> exponents = run.in(1).to_doubles();
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const Array& base = run.in(0);
    Array& out = run.out(0);
    Walk<2> walk(out.shape, {broadcast_strides(base.shape, out.shape),
                             broadcast_strides(run.in(1).shape, out.shape)});
    for (T& result : out.as<T>()) {
      const T x = base.as<T>()[static_cast<size_t>(walk.at()[0])];
      const double y = exponents[static_cast<size_t>(walk.at()[1])];
      if constexpr (std::is_same_v<T, float>) {
        result = std::pow(x, static_cast<float>(y));
      } else {
        result = static_cast<T>(std::pow(static_cast<double>(x), y));
      }
      walk.next();
    }
    return {};
  });
}

Result<void> infer_prelu(Inference& inference) {
  SKERRY_TRY(inference.same_element(0, 1));
  inference.set(0, inference.element(0), inference.type(0).shape);
  if (!inference.ranked(0)) return {};
  return check_broadcast_to(inference, inference.shape(0), 1);
}

Result<void> prelu(Evaluation& run) {
  return binary<[]<class T>(T x, T slope) { return x < T{0} ? static_cast<T>(x * slope) : x; }>(
      run);
}

Result<void> clip(Evaluation& run) {
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    const auto out = run.out(0).as<T>();
    for (size_t i = 0; i < in.size(); ++i) {
      T x = in[i];
      if (run.has(1) && x < run.in(1).as<T>()[0]) x = run.in(1).as<T>()[0];
      if (run.has(2) && x > run.in(2).as<T>()[0]) x = run.in(2).as<T>()[0];
      out[i] = x;
    }
    return {};
  });
}

Result<void> infer_clip(Inference& inference) {
  for (size_t i = 1; i < inference.input_count(); ++i) {
    SKERRY_TRY(inference.same_element(0, i));
    if (inference.has(i) && count_of(inference.type(i)).value_or(1) != 1) {
      return inference.refuse("its limits are single numbers, one is {}",
                              to_string(inference.type(i)));
    }
  }
  inference.set(0, inference.element(0), inference.type(0).shape);
  return {};
}

}  // namespace

std::span<const OperatorRow> arithmetic_rows() {
  static const OperatorRow kRows[] = {
      {"Add", "A B -> C", "", infer_broadcast, binary<kAdd>},
      {"Sub", "A B -> C", "", infer_broadcast, binary<kSub>},
      {"Mul", "A B -> C", "", infer_broadcast, binary<kMul>},
      {"Div", "A B -> C", "", infer_broadcast, binary<kDiv>},
      {"Mod", "A B -> C", "fmod:int=0", infer_broadcast, mod},
      {"Pow", "X Y -> Z", "", infer_pow, power},
      {"PRelu", "X slope -> Y", "", infer_prelu, prelu},
      {"Clip", "X min? max? -> Y", "", infer_clip, clip},
      {"Max", "inputs+ -> Y", "", infer_broadcast, fold<kMax>},
      {"Min", "inputs+ -> Y", "", infer_broadcast, fold<kMin>},
      {"Sum", "inputs+ -> Y", "", infer_broadcast, fold<kAdd>},
      {"Mean", "inputs+ -> Y", "", infer_broadcast, mean},
      {"And", "A B -> C", "", infer_broadcast, bits<kAnd>},
      {"Or", "A B -> C", "", infer_broadcast, bits<kOr>},
      {"Xor", "A B -> C", "", infer_broadcast, bits<kXor>},
      {"BitwiseAnd", "A B -> C", "", infer_broadcast, bits<kAnd>},
      {"BitwiseOr", "A B -> C", "", infer_broadcast, bits<kOr>},
      {"BitwiseXor", "A B -> C", "", infer_broadcast, bits<kXor>},
      {"BitShift", "X Y -> Z", "direction:string!", infer_broadcast, shift},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
