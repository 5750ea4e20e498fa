// Many elements to one: sums, products, extremes over axes.
#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

// Which axes are reduced; absent where that depends on values that are not known.
Result<std::optional<std::vector<bool>>> reduced_axes(const Inference& inference) {
  const size_t rank = inference.rank(0);
  if (inference.has(1) && count_of(inference.type(1)) != 0) {
    const auto axes = inference.ints(1);
    if (!axes) return std::nullopt;
    std::vector<bool> reduced(rank, false);
    for (const int64_t axis : *axes) {
      SKERRY_ASSIGN(const size_t at, inference.axis(axis, rank));
      reduced[at] = true;
    }
    if (!axes->empty()) return reduced;
  }
  return std::vector<bool>(rank, inference.node().int_of("noop_with_empty_axes") == 0);
}

Result<void> infer_reduce(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0)) return {};
  SKERRY_ASSIGN(const auto reduced, reduced_axes(inference));
  if (!reduced) return {};
  Shape shape;
  for (size_t i = 0; i < reduced->size(); ++i) {
    if (!(*reduced)[i]) shape.push_back(inference.shape(0)[i]);
    if ((*reduced)[i] && inference.node().int_of("keepdims") != 0) shape.emplace_back(1);
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

// Calls f(where the element goes, element), in row-major order of the input.
template <class T, class F>
void for_each_reduced(const Evaluation& run, F&& f) {
  const Array& in = run.in(0);
  std::vector<bool> reduced(in.rank(), run.node().int_of("noop_with_empty_axes") == 0);
  const auto axes = run.has(1) ? run.in(1).to_ints() : std::vector<int64_t>();
  if (!axes.empty()) reduced.assign(in.rank(), false);
  for (const int64_t axis : axes) reduced[Evaluation::axis(axis, in.rank())] = true;
  std::vector<int64_t> strides(in.rank(), 0);
  int64_t stride = 1;
  for (size_t i = in.rank(); i-- > 0;) {
    if (reduced[i]) continue;
    strides[i] = stride;
    stride *= in.shape[i];
  }
  Walk<1> walk(in.shape, {strides});
  for (const T value : in.as<T>()) {
    f(static_cast<size_t>(walk.at()[0]), value);
    walk.next();
  }
}

// Floats are summed in double, integers in their own width.
template <class T>
using Sum = std::conditional_t<std::is_floating_point_v<T>, double, T>;

// finish(fold over step(acc, x) from `start`).
template <auto Start, auto Step, auto Finish>
Result<void> reduce(Evaluation& run) {
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto out = run.out(0).as<T>();
    std::vector<Sum<T>> sums(out.size(), static_cast<Sum<T>>(Start.template operator()<T>()));
    for_each_reduced<T>(run, [&](size_t at, T x) {
      sums[at] = static_cast<Sum<T>>(Step(sums[at], static_cast<Sum<T>>(x)));
    });
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(Finish(sums[i]));
    return {};
  });
}

constexpr auto kZero = []<class T>() { return T{0}; };
constexpr auto kOne = []<class T>() { return T{1}; };
constexpr auto kLowestOf = []<class T>() {
  return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                              : std::numeric_limits<T>::lowest();
};
constexpr auto kHighestOf = []<class T>() {
  return std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity()
                                              : std::numeric_limits<T>::max();
};
constexpr auto kSame = [](auto x) { return x; };
constexpr auto kPlus = [](auto a, auto x) { return a + x; };

Result<void> reduce_mean(Evaluation& run) {
  const double in_count = static_cast<double>(run.in(0).count());
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto out = run.out(0).as<T>();
    std::vector<double> sums(out.size(), 0);
    for_each_reduced<T>(run, [&](size_t at, T x) { sums[at] += static_cast<double>(x); });
    const double count = in_count / static_cast<double>(std::max<size_t>(out.size(), 1));
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(sums[i] / count);
    return {};
  });
}

Result<void> reduce_log_sum_exp(Evaluation& run) {
  return visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto out = run.out(0).as<T>();
    std::vector<double> largest(out.size(), -std::numeric_limits<double>::infinity());
    std::vector<double> sums(out.size(), 0);
    for_each_reduced<T>(run,
                        [&](size_t at, T x) { largest[at] = std::max<double>(largest[at], x); });
    for_each_reduced<T>(run, [&](size_t at, T x) {
      if (std::isfinite(largest[at])) sums[at] += std::exp(x - largest[at]);
    });
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] =
          static_cast<T>(std::isfinite(largest[i]) ? std::log(sums[i]) + largest[i] : largest[i]);
    }
    return {};
  });
}

Result<void> infer_arg(Inference& inference) {
  inference.set(0, DataType::kInt64);
  if (!inference.ranked(0)) return {};
  SKERRY_ASSIGN(const size_t axis,
                inference.axis(inference.node().int_of("axis"), inference.rank(0)));
  Shape shape = inference.shape(0);
  if (shape[axis].is(0)) return inference.refuse("has no element along axis {}", axis);
  if (inference.node().int_of("keepdims") != 0) {
    shape[axis] = Dim(1);
  } else {
    shape.erase(shape.begin() + static_cast<int64_t>(axis));
  }
  inference.set(0, DataType::kInt64, std::move(shape));
  return {};
}

template <bool Max>
Result<void> arg_extreme(Evaluation& run) {
  const bool last = run.node().int_of("select_last_index") != 0;
  const size_t axis = Evaluation::axis(run.node().int_of("axis"), run.in(0).rank());
  const AxisView view = view_along(run.in(0).shape, axis);
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    const auto out = run.out(0).as<int64_t>();
    for (int64_t o = 0; o < view.outer * view.inner; ++o) {
      const int64_t first = o / view.inner * view.size * view.inner + o % view.inner;
      const auto at = [&](int64_t k) { return in[static_cast<size_t>(first + k * view.inner)]; };
      int64_t best = 0;
      for (int64_t k = 1; k < view.size; ++k) {
        const bool better = Max ? at(k) > at(best) : at(k) < at(best);
        if (better || (last && at(k) == at(best))) best = k;
      }
      out[static_cast<size_t>(o)] = best;
    }
    return {};
  });
}

Result<void> infer_cumsum(Inference& inference) {
  const auto axis = inference.ints(1);
  if (axis && inference.ranked(0)) {
    if (axis->size() != 1) return inference.refuse("its axis is one number");
    SKERRY_TRY(inference.axis((*axis)[0], inference.rank(0)));
  }
  return infer_same(inference);
}

Result<void> cumsum(Evaluation& run) {
  const size_t axis = Evaluation::axis(run.in(1).to_ints()[0], run.in(0).rank());
  const bool exclusive = run.node().int_of("exclusive") != 0;
  const bool reverse = run.node().int_of("reverse") != 0;
  const AxisView view = view_along(run.in(0).shape, axis);
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    const auto out = run.out(0).as<T>();
    for (int64_t o = 0; o < view.outer; ++o) {
      for (int64_t i = 0; i < view.inner; ++i) {
        T sum{};
        for (int64_t k = 0; k < view.size; ++k) {
          const int64_t step = reverse ? view.size - 1 - k : k;
          const auto at = static_cast<size_t>((o * view.size + step) * view.inner + i);
          if (exclusive) out[at] = sum;
          sum = static_cast<T>(sum + in[at]);
          if (!exclusive) out[at] = sum;
        }
      }
    }
    return {};
  });
}

constexpr const char* kInputs = "data axes? -> reduced";
constexpr const char* kReduceAttributes = "keepdims:int=1 noop_with_empty_axes:int=0";
constexpr const char* kArgAttributes = "axis:int=0 keepdims:int=1 select_last_index:int=0";

}  // namespace

std::span<const OperatorRow> reduce_rows() {
  static const OperatorRow kRows[] = {
      {"ReduceSum", kInputs, kReduceAttributes, infer_reduce, reduce<kZero, kPlus, kSame>},
      {"ReduceMean", kInputs, kReduceAttributes, infer_reduce, reduce_mean},
      {"ReduceMax", kInputs, kReduceAttributes, infer_reduce,
       reduce<kLowestOf, [](auto a, auto x) { return x > a || is_nan(x) ? x : a; }, kSame>},
      {"ReduceMin", kInputs, kReduceAttributes, infer_reduce,
       reduce<kHighestOf, [](auto a, auto x) { return x < a || is_nan(x) ? x : a; }, kSame>},
      {"ReduceProd", kInputs, kReduceAttributes, infer_reduce,
       reduce<kOne, [](auto a, auto x) { return a * x; }, kSame>},
      {"ReduceL1", kInputs, kReduceAttributes, infer_reduce,
       reduce<kZero, [](auto a, auto x) { return a + (x < 0 ? 0 - x : x); }, kSame>},
      {"ReduceL2", kInputs, kReduceAttributes, infer_reduce,
       reduce<kZero, [](auto a, auto x) { return a + x * x; },
              [](auto x) { return std::sqrt(static_cast<double>(x)); }>},
      {"ReduceSumSquare", kInputs, kReduceAttributes, infer_reduce,
       reduce<kZero, [](auto a, auto x) { return a + x * x; }, kSame>},
      {"ReduceLogSum", kInputs, kReduceAttributes, infer_reduce,
       reduce<kZero, kPlus, [](auto x) { return std::log(static_cast<double>(x)); }>},
      {"ReduceLogSumExp", kInputs, kReduceAttributes, infer_reduce, reduce_log_sum_exp},
      {"ArgMax", "data -> reduced", kArgAttributes, infer_arg, arg_extreme<true>},
      {"ArgMin", "data -> reduced", kArgAttributes, infer_arg, arg_extreme<false>},
      {"CumSum", "x axis:i -> y", "exclusive:int=0 reverse:int=0", infer_cumsum, cumsum},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
