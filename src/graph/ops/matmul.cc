// Matrix products. Sums of floats are taken in double, sums of integers wrap in 32 bits.
#include "graph/ops/common.h"
#include "graph/ops/families.h"
#include "graph/ops/quantisation.h"

namespace skerry::graph::ops {
namespace {

Result<void> infer_matmul_shape(Inference& inference, size_t a_at, size_t b_at, DataType element) {
  inference.set(0, element);
  if (!inference.ranked(a_at) || !inference.ranked(b_at)) return {};
  Shape a = inference.shape(a_at);
  Shape b = inference.shape(b_at);
  const bool row = a.size() == 1;
  const bool column = b.size() == 1;
  if (a.empty() || b.empty()) return inference.refuse("multiplies matrices, one input is a scalar");
  if (row) a.insert(a.begin(), Dim(1));
  if (column) b.emplace_back(1);
  const Dim& inner = a.back();
  const Dim& other = b[b.size() - 2];
  if (inner.is_fixed() && other.is_fixed() && inner != other) {
    return inference.refuse("{} times {} do not go together", to_string(inference.type(a_at)),
                            to_string(inference.type(b_at)));
  }
  SKERRY_ASSIGN(Shape shape,
                broadcast(inference, {a.begin(), a.end() - 2}, {b.begin(), b.end() - 2}));
  if (!row) shape.push_back(a[a.size() - 2]);
  if (!column) shape.push_back(b.back());
  inference.set(0, element, std::move(shape));
  return {};
}

Result<void> infer_matmul(Inference& inference) {
  SKERRY_TRY(inference.same_element(0, 1));
  return infer_matmul_shape(inference, 0, 1, inference.element(0));
}

// [batch…, rows, inner] · [batch…, inner, columns], with vectors as matrices.
struct Product {
  Product(const Array& a, const Array& b) : a_shape(a.shape), b_shape(b.shape) {
    if (a_shape.size() == 1) a_shape.insert(a_shape.begin(), 1);
    if (b_shape.size() == 1) b_shape.push_back(1);
    rows = a_shape[a_shape.size() - 2];
    inner = a_shape.back();
    columns = b_shape.back();
    const std::span a_batch = std::span(a_shape).first(a_shape.size() - 2);
    const std::span b_batch = std::span(b_shape).first(b_shape.size() - 2);
    batch.resize(std::max(a_batch.size(), b_batch.size()), 1);
    for (const auto& part : {a_batch, b_batch}) {
      for (size_t i = 0; i < part.size(); ++i) {
        int64_t& size = batch[batch.size() - part.size() + i];
        if (part[i] != 1) size = part[i];
      }
    }
    a_strides = broadcast_strides(a_batch, batch);
    b_strides = broadcast_strides(b_batch, batch);
  }
  // f(batch, row, column, flat index of a's row, flat index of b's column).
  template <class F>
  void for_each(F&& f) const {
    Walk<2> walk(batch, {a_strides, b_strides});
    const int64_t count = product(batch);
    size_t at = 0;
    for (int64_t n = 0; n < count; ++n, walk.next()) {
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < columns; ++c, ++at) {
          f(at, r, c, (walk.at()[0] * rows + r) * inner, walk.at()[1] * inner * columns + c);
        }
      }
    }
  }
  std::vector<int64_t> a_shape, b_shape, batch, a_strides, b_strides;
  int64_t rows, inner, columns;
};

Result<void> matmul(Evaluation& run) {
  const Product shape(run.in(0), run.in(1));
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    using Sum = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;
    const auto a = run.in(0).as<T>();
    const auto b = run.in(1).as<T>();
    const auto out = run.out(0).as<T>();
    shape.for_each([&](size_t at, int64_t, int64_t, int64_t row, int64_t column) {
      Sum sum = 0;
      for (int64_t k = 0; k < shape.inner; ++k) {
        sum += static_cast<Sum>(a[static_cast<size_t>(row + k)]) *
               static_cast<Sum>(b[static_cast<size_t>(column + k * shape.columns)]);
      }
      out[at] = static_cast<T>(sum);
    });
    return {};
  });
}

// A zero point for all, or one for each row of A or column of B.
int64_t zero_at(const std::vector<int64_t>& zeros, int64_t index) {
  if (zeros.empty()) return 0;
  return zeros[zeros.size() == 1 ? 0 : static_cast<size_t>(index) % zeros.size()];
}

// store(output index, column, sum of (a - a_zero)(b - b_zero)).
template <class Store>
Result<void> integer_product(Evaluation& run, size_t b_at, const std::vector<int64_t>& a_zero,
                             const std::vector<int64_t>& b_zero, Store&& store) {
  const Product shape(run.in(0), run.in(b_at));
  return visit_integer(run, run.in(0).type, [&]<class A>(A) -> Result<void> {
    return visit_integer(run, run.in(b_at).type, [&]<class B>(B) -> Result<void> {
      const auto a = run.in(0).as<A>();
      const auto b = run.in(b_at).as<B>();
      shape.for_each([&](size_t at, int64_t r, int64_t c, int64_t row, int64_t column) {
        int64_t sum = 0;
        for (int64_t k = 0; k < shape.inner; ++k) {
          sum += (static_cast<int64_t>(a[static_cast<size_t>(row + k)]) - zero_at(a_zero, r)) *
                 (static_cast<int64_t>(b[static_cast<size_t>(column + k * shape.columns)]) -
                  zero_at(b_zero, c));
        }
        store(at, c, sum);
      });
      return {};
    });
  });
}

Result<void> infer_matmul_integer(Inference& inference) {
  return infer_matmul_shape(inference, 0, 1, DataType::kInt32);
}

Result<void> matmul_integer(Evaluation& run) {
  const auto a_zero = run.has(2) ? run.in(2).to_ints() : std::vector<int64_t>();
  const auto b_zero = run.has(3) ? run.in(3).to_ints() : std::vector<int64_t>();
  return integer_product(run, 1, a_zero, b_zero, [&](size_t at, int64_t, int64_t sum) {
    run.out(0).as<int32_t>()[at] = static_cast<int32_t>(sum);
  });
}

Result<void> infer_qlinear_matmul(Inference& inference) {
  const Dim columns =
      inference.ranked(3) && inference.rank(3) > 1 ? inference.shape(3).back() : Dim();
  for (const size_t i : {1u, 2u, 6u, 7u}) SKERRY_TRY(check_count(inference, i, Dim(1)));
  for (const size_t i : {4u, 5u}) SKERRY_TRY(check_count(inference, i, columns));
  return infer_matmul_shape(inference, 0, 3, inference.element(7));
}

// a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero
Result<void> qlinear_matmul(Evaluation& run) {
  const double a_scale = run.in(1).to_doubles()[0];
  const auto b_scale = run.in(4).to_doubles();
  const double y_scale = run.in(6).to_doubles()[0];
  const int64_t y_zero = run.in(7).to_ints()[0];
  return integer_product(
      run, 3, run.in(2).to_ints(), run.in(5).to_ints(), [&](size_t at, int64_t c, int64_t sum) {
        const double scale = b_scale[static_cast<size_t>(c) % b_scale.size()];
        store_quantised(run.out(0), at, static_cast<double>(sum) * (a_scale * scale / y_scale),
                        y_zero);
      });
}

Result<void> infer_gemm(Inference& inference) {
  SKERRY_TRY(inference.same_element(0, 1));
  SKERRY_TRY(inference.same_element(0, 2));
  inference.set(0, inference.element(0));
  if (!inference.ranked(0) || !inference.ranked(1)) return {};
  const bool a_transposed = inference.node().int_of("transA") != 0;
  const bool b_transposed = inference.node().int_of("transB") != 0;
  const Shape& a = inference.shape(0);
  const Shape& b = inference.shape(1);
  const bool matrices = a.size() == 2 && b.size() == 2;
  const Dim inner = matrices ? a[a_transposed ? 0 : 1] : Dim();
  const Dim other = matrices ? b[b_transposed ? 1 : 0] : Dim();
  if (!matrices || (inner.is_fixed() && other.is_fixed() && inner != other)) {
    return inference.refuse("{} and {} do not multiply{}", to_string(inference.type(0)),
                            to_string(inference.type(1)),
                            a_transposed || b_transposed ? " when transposed" : "");
  }
  Shape shape = {a[a_transposed ? 1 : 0], b[b_transposed ? 0 : 1]};
  SKERRY_TRY(check_broadcast_to(inference, shape, 2));
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

Result<void> gemm(Evaluation& run) {
  const Array& a = run.in(0);
  const Array& b = run.in(1);
  Array& out = run.out(0);
  const bool a_transposed = run.node().int_of("transA") != 0;
  const bool b_transposed = run.node().int_of("transB") != 0;
  const double alpha = run.node().float_of("alpha");
  const double beta = run.node().float_of("beta");
  const int64_t inner = a.shape[a_transposed ? 0 : 1];
  const auto bias_strides =
      run.has(2) ? broadcast_strides(run.in(2).shape, out.shape) : std::vector<int64_t>{0, 0};
  return visit_number(run, a.type, [&]<class T>(T) -> Result<void> {
    const auto at = [](const Array& array, int64_t row, int64_t column) {
      return static_cast<double>(array.as<T>()[static_cast<size_t>(row * array.shape[1] + column)]);
    };
    for (int64_t r = 0; r < out.shape[0]; ++r) {
      for (int64_t c = 0; c < out.shape[1]; ++c) {
        double sum = 0;
        for (int64_t k = 0; k < inner; ++k) {
          sum += (a_transposed ? at(a, k, r) : at(a, r, k)) *
                 (b_transposed ? at(b, c, k) : at(b, k, c));
        }
        sum *= alpha;
        if (run.has(2)) {
          const int64_t bias = r * bias_strides[0] + c * bias_strides[1];
          sum += beta * static_cast<double>(run.in(2).as<T>()[static_cast<size_t>(bias)]);
        }
        out.as<T>()[static_cast<size_t>(r * out.shape[1] + c)] = static_cast<T>(sum);
      }
    }
    return {};
  });
}

// Output elements times the length of the inner dimension.
std::optional<int64_t> matmul_macs(const Node& node) {
  const auto out = count_of(node.output(0)->type());
  const auto& shape = node.input(0)->type().shape;
  if (!out || !shape || shape->empty()) return {};
  const bool transposed = node.op() == "Gemm" && node.int_of("transA") != 0;
  const Dim& inner = transposed ? shape->front() : shape->back();
  if (!inner.is_fixed()) return {};
  return *out * inner.size();
}

}  // namespace

std::span<const OperatorRow> matmul_rows() {
  static const OperatorRow kRows[] = {
      {"MatMul", "A B -> Y", "", infer_matmul, matmul, matmul_macs},
      {"MatMulInteger", "A B a_zero_point? b_zero_point? -> Y", "", infer_matmul_integer,
       matmul_integer, matmul_macs},
      {"QLinearMatMul",
       "a a_scale:f a_zero_point b b_scale:f b_zero_point y_scale:f y_zero_point -> y", "",
       infer_qlinear_matmul, qlinear_matmul, matmul_macs},
      {"Gemm", "A B C? -> Y", "alpha:float=1 beta:float=1 transA:int=0 transB:int=0", infer_gemm,
       gemm, matmul_macs},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
