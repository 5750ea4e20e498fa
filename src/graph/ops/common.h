// What several families share: shape functions of the usual kinds, and walking over arrays.
#pragma once

#include <array>
#include <cmath>
#include <concepts>

#include "graph/evaluation.h"
#include "graph/inference.h"

namespace skerry::graph::ops {

Result<void> infer_same(Inference& inference);       // all outputs as the first input
Result<void> infer_broadcast(Inference& inference);  // of all inputs, which have one element type
Result<Shape> broadcast(const Inference& inference, const Shape& a, const Shape& b);
// Refuses where input `input` does not broadcast to `target` as it is.
Result<void> check_broadcast_to(const Inference& inference, const Shape& target, size_t input);
// Refuses where an input that is there has neither one element nor `count` of them.
Result<void> check_count(const Inference& inference, size_t input, const Dim& count);

// a + b·… where the sizes are known.
Dim plus(const Dim& a, const Dim& b);
Dim times(const Dim& a, const Dim& b);
// Product of the dimensions [begin, end).
Dim product(const Shape& shape, size_t begin, size_t end);

// Of a number of any type.
template <class T>
constexpr bool is_nan(T value) {
  if constexpr (std::floating_point<T>) return std::isnan(value);
  return false;
}

int64_t product(std::span<const int64_t> sizes);
std::vector<int64_t> strides_of(std::span<const int64_t> shape);  // row-major, in elements

// Sizes before an axis, of it, and after it: an array as [outer][size][inner].
struct AxisView {
  int64_t outer, size, inner;
};
AxisView view_along(std::span<const int64_t> shape, size_t axis);

// Steps through all indices of a shape in row-major order, keeping N offsets with strides.
template <size_t N>
class Walk {
 public:
  Walk(std::span<const int64_t> shape, std::array<std::vector<int64_t>, N> strides)
      : shape_(shape), index_(shape.size(), 0), strides_(std::move(strides)) {}

  const std::array<int64_t, N>& at() const { return offsets_; }
  const std::vector<int64_t>& index() const { return index_; }
  void next() {
    for (size_t axis = shape_.size(); axis-- > 0;) {
      for (size_t n = 0; n < N; ++n) offsets_[n] += strides_[n][axis];
      if (++index_[axis] < shape_[axis]) return;
      index_[axis] = 0;
      for (size_t n = 0; n < N; ++n) offsets_[n] -= strides_[n][axis] * shape_[axis];
    }
  }

 private:
  std::span<const int64_t> shape_;
  std::vector<int64_t> index_;
  std::array<std::vector<int64_t>, N> strides_;
  std::array<int64_t, N> offsets_{};
};

// Strides of `shape` as seen from the broadcast shape `out`: 0 where it is repeated.
std::vector<int64_t> broadcast_strides(std::span<const int64_t> shape,
                                       std::span<const int64_t> out);

// Whatever the element is: out[i] = in[source(i)]; an element stays zero (or "") where that is < 0.
template <class F>
void move_elements(const Array& in, Array& out, F&& source) {
  const size_t count = out.count();
  const size_t size = Array::element_size(in.type);
  for (size_t i = 0; i < count; ++i) {
    const int64_t from = source(i);
    if (from < 0) continue;
    if (in.type == DataType::kBytes) {
      out.strings[i] = in.strings[static_cast<size_t>(from)];
    } else {
      std::memcpy(out.bytes.data() + i * size, in.bytes.data() + static_cast<size_t>(from) * size,
                  size);
    }
  }
}

// The same elements in another shape.
void reinterpret_shape(const Array& in, Array& out);

}  // namespace skerry::graph::ops
