// Shared parts of shape functions and kernels.
#include "graph/ops/common.h"

namespace skerry::graph::ops {

Result<void> infer_same(Inference& inference) {
  for (size_t i = 0; i < inference.output_count(); ++i) {
    inference.set(i, inference.element(0), inference.type(0).shape);
  }
  return {};
}

Result<Shape> broadcast(const Inference& inference, const Shape& a, const Shape& b) {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape result = longer;
  const size_t lead = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    const Dim& x = longer[lead + i];
    const Dim& y = shorter[i];
    if (x.same_as(y) || y.is(1)) continue;
    if (x.is(1)) {
      result[lead + i] = y;
    } else if (x.is_fixed() && y.is_fixed()) {
      return inference.refuse("{} and {} do not broadcast", to_string(Type{.shape = a}),
                              to_string(Type{.shape = b}));
    } else {
      result[lead + i] = x.is_fixed() ? x : y.is_fixed() ? y : Dim();
    }
  }
  return result;
}

Result<void> check_broadcast_to(const Inference& inference, const Shape& target, size_t input) {
  if (!inference.has(input) || !inference.ranked(input)) return {};
  SKERRY_ASSIGN(const Shape joined, broadcast(inference, target, inference.shape(input)));
  bool same = joined.size() == target.size();
  for (size_t i = 0; same && i < target.size(); ++i) {
    same = !target[i].is_fixed() || !joined[i].is_fixed() || target[i] == joined[i];
  }
  if (same) return {};
  return inference.refuse("{} does not broadcast to {}", to_string(inference.type(input)),
                          to_string(Type{inference.element(input), target}));
}

Result<void> check_count(const Inference& inference, size_t input, const Dim& count) {
  const auto have = inference.has(input) ? count_of(inference.type(input)) : std::nullopt;
  if (!have || *have == 1 || !count.is_fixed() || *have == count.size()) return {};
  return inference.refuse("input {} has {} elements, it needs one or {}", input, *have,
                          count.size());
}

Result<void> infer_broadcast(Inference& inference) {
  std::optional<Shape> shape = inference.type(0).shape;
  for (size_t i = 1; i < inference.input_count(); ++i) {
    SKERRY_TRY(inference.same_element(0, i));
    if (!shape || !inference.ranked(i)) {
      shape.reset();
      continue;
    }
    SKERRY_ASSIGN(shape, broadcast(inference, *shape, inference.shape(i)));
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

Dim plus(const Dim& a, const Dim& b) {
  int64_t sum = 0;
  if (a.is(0)) return b;
  if (b.is(0)) return a;
  if (!a.is_fixed() || !b.is_fixed() || __builtin_add_overflow(a.size(), b.size(), &sum)) return {};
  return Dim(sum);
}

Dim times(const Dim& a, const Dim& b) {
  int64_t result = 0;
  if (a.is(1)) return b;
  if (b.is(1)) return a;
  if (a.is(0) || b.is(0)) return Dim(0);
  if (!a.is_fixed() || !b.is_fixed() || __builtin_mul_overflow(a.size(), b.size(), &result)) {
    return {};
  }
  return Dim(result);
}

Dim product(const Shape& shape, size_t begin, size_t end) {
  Dim result(1);
  for (size_t i = begin; i < end; ++i) result = times(result, shape[i]);
  return result;
}

int64_t product(std::span<const int64_t> sizes) {
  int64_t result = 1;
  for (const int64_t size : sizes) result *= size;
  return result;
}

std::vector<int64_t> strides_of(std::span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

AxisView view_along(std::span<const int64_t> shape, size_t axis) {
  return {product(shape.first(axis)), shape[axis], product(shape.subspan(axis + 1))};
}

std::vector<int64_t> broadcast_strides(std::span<const int64_t> shape,
                                       std::span<const int64_t> out) {
  const std::vector<int64_t> own = strides_of(shape);
  std::vector<int64_t> strides(out.size(), 0);
  const size_t lead = out.size() - shape.size();
  for (size_t i = 0; i < shape.size(); ++i) strides[lead + i] = shape[i] == 1 ? 0 : own[i];
  return strides;
}

void reinterpret_shape(const Array& in, Array& out) {
  out.bytes = in.bytes;
  out.strings = in.strings;
}

}  // namespace skerry::graph::ops
