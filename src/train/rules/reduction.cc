// Reductions, and the softmaxes, whose gradients are some.
#include <algorithm>
#include <numeric>

#include "train/gradient.h"

namespace skerry::train {
namespace {

// 0 ≤ axis < rank, of a reduction's second input or all.
Result<Sizes> reduced_axes(const Backward& back) {
  const auto rank = static_cast<int64_t>(back.rank());
  Sizes axes;
  if (back.in(1) != nullptr) {
    SKERRY_ASSIGN(axes, back.constant_ints(1));
  }
  if (axes.empty() && back.node().int_of("noop_with_empty_axes") == 0) {
    axes.resize(back.rank());
    std::iota(axes.begin(), axes.end(), 0);
  }
  for (int64_t& axis : axes) axis = axis < 0 ? axis + rank : axis;
  return axes;
}

// With the reduced axes as 1.
struct Reduced {
  Sizes axes;
  Sizes kept;
  double count = 1;
};

Result<Reduced> reduced(const Backward& back) {
  Reduced result;
  SKERRY_ASSIGN(result.axes, reduced_axes(back));
  result.kept = sizes_of(*back.in(0));
  for (const int64_t axis : result.axes) {
    result.count *= static_cast<double>(result.kept[static_cast<size_t>(axis)]);
    result.kept[static_cast<size_t>(axis)] = 1;
  }
  return result;
}

enum class Kind { kSum, kMean, kSumSquare, kL1, kL2, kLogSumExp, kExtreme };

template <Kind kind>
Result<void> reduction(Backward& back) {
  if (!back.wants(0)) return {};
  Builder& make = back.make;
  Value* x = back.in(0);
  SKERRY_ASSIGN(const Reduced how, reduced(back));
  Value* dy = make.reshape(back.gradient(), how.kept);
  Value* y = make.reshape(back.out(), how.kept);
  Value* dx = nullptr;
  if (kind == Kind::kSum) dx = make.expand(dy, sizes_of(*x));
  if (kind == Kind::kMean) dx = make.expand(make.scale(dy, 1 / how.count), sizes_of(*x));
  if (kind == Kind::kSumSquare) dx = make.mul(make.scale(dy, 2), x);
  if (kind == Kind::kL1) dx = make.mul(dy, make.op("Sign", {x}));
  if (kind == Kind::kL2) dx = make.mul(make.div(dy, y), x);
  if (kind == Kind::kLogSumExp) dx = make.mul(dy, make.op("Exp", {make.sub(x, y)}));
  if (kind == Kind::kExtreme) {
    Value* hits = make.where("Equal", x, y);
    dx = make.mul(make.div(dy, make.sum(hits, how.axes)), hits);
  }
  back.give(0, dx);
  return {};
}

Result<void> softmax(Backward& back) {
  Builder& make = back.make;
  Value* y = back.out();
  const Sizes axis = {static_cast<int64_t>(back.axis())};
  Value* mean = make.sum(make.mul(back.gradient(), y), axis);
  back.give(0, make.mul(y, make.sub(back.gradient(), mean)));
  return {};
}

Result<void> log_softmax(Backward& back) {
  Builder& make = back.make;
  Value* total = make.sum(back.gradient(), {static_cast<int64_t>(back.axis())});
  Value* share = make.op("Exp", {back.out()});
  back.give(0, make.sub(back.gradient(), make.mul(share, total)));
  return {};
}

// Sums from the other end.
Result<void> cumulative(Backward& back) {
  const int64_t reversed = back.node().int_of("reverse") != 0 ? 0 : 1;
  back.give(0,
            back.make.op("CumSum", {back.gradient(), back.in(1)},
                         {{"reverse", reversed}, {"exclusive", back.node().int_of("exclusive")}}));
  return {};
}

}  // namespace

std::span<const GradientRule> reduction_rules() {
  static const GradientRule kRules[] = {
      {"ReduceSum", reduction<Kind::kSum>},
      {"ReduceMean", reduction<Kind::kMean>},
      {"ReduceSumSquare", reduction<Kind::kSumSquare>},
      {"ReduceL1", reduction<Kind::kL1>},
      {"ReduceL2", reduction<Kind::kL2>},
      {"ReduceLogSumExp", reduction<Kind::kLogSumExp>},
      {"ReduceMax", reduction<Kind::kExtreme>},
      {"ReduceMin", reduction<Kind::kExtreme>},
      {"Softmax", softmax},
      {"LogSoftmax", log_softmax},
      {"CumSum", cumulative},
  };
  return kRules;
}

}  // namespace skerry::train
