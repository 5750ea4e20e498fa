// Products of matrices.
#include "train/gradient.h"

namespace skerry::train {
namespace {

Result<void> gemm(Backward& back) {
  Value* dy = back.gradient();
  const bool a_turned = back.node().int_of("transA") != 0;
  const bool b_turned = back.node().int_of("transB") != 0;
  const auto product = [&](Value* a, Value* b, bool turn_a, bool turn_b) {
    return back.make.op("Gemm", {a, b},
                        {{"alpha", back.node().float_of("alpha")},
                         {"transA", int64_t{turn_a ? 1 : 0}},
                         {"transB", int64_t{turn_b ? 1 : 0}}});
  };
  if (back.wants(0)) {
    back.give(0, a_turned ? product(back.in(1), dy, b_turned, true)
                          : product(dy, back.in(1), false, !b_turned));
  }
  if (back.wants(1)) {
    back.give(1, b_turned ? product(dy, back.in(0), true, a_turned)
                          : product(back.in(0), dy, !a_turned, false));
  }
  if (back.wants(2)) {
    back.give(2, back.make.scale(dy, static_cast<double>(back.node().float_of("beta"))));
  }
  return {};
}

// Vectors as matrices of one row (left) or one column (right).
Value* as_matrix(Builder& make, Value* value, bool left) {
  const Sizes sizes = sizes_of(*value);
  if (sizes.size() > 1) return value;
  return make.reshape(value, left ? Sizes{1, sizes[0]} : Sizes{sizes[0], 1});
}

Value* turned(Builder& make, Value* value) {
  const size_t rank = sizes_of(*value).size();
  return make.swap(value, rank - 2, rank - 1);
}

Result<void> matmul(Backward& back) {
  Builder& make = back.make;
  Value* a = as_matrix(make, back.in(0), true);
  Value* b = as_matrix(make, back.in(1), false);
  Sizes shape = sizes_of(*back.out());
  if (back.rank(1) == 1) shape.push_back(1);
  if (back.rank(0) == 1) shape.insert(shape.end() - 1, 1);
  Value* dy = make.reshape(back.gradient(), shape);
  if (back.wants(0)) {
    Value* da = make.matmul(dy, turned(make, b));
    back.give(0, make.reshape(make.sum_to(da, sizes_of(*a)), sizes_of(*back.in(0))));
  }
  if (!back.wants(1)) return {};
  // Rows of all matrices at once where the right side is one matrix.
  if (sizes_of(*b).size() == 2 && sizes_of(*a).size() > 2) {
    const Sizes right = sizes_of(*b);
    a = make.reshape(a, {count_of(*a) / right[0], right[0]});
    dy = make.reshape(dy, {count_of(*dy) / right[1], right[1]});
  }
  Value* db = make.matmul(turned(make, a), dy);
  back.give(1, make.reshape(make.sum_to(db, sizes_of(*b)), sizes_of(*back.in(1))));
  return {};
}

}  // namespace

std::span<const GradientRule> matmul_rules() {
  static const GradientRule kRules[] = {{"Gemm", gemm}, {"MatMul", matmul}};
  return kRules;
}

}  // namespace skerry::train
