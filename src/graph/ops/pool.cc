// Pools over windows and over everything.
#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/ops/common.h"
#include "graph/ops/families.h"
#include "graph/ops/window.h"

namespace skerry::graph::ops {
namespace {

Result<void> infer_pool(Inference& inference) {
  for (size_t i = 0; i < inference.output_count(); ++i) {
    inference.set(i, i == 0 ? inference.element(0) : DataType::kInt64);
  }
  if (!inference.ranked(0)) return {};
  Shape shape = inference.shape(0);
  if (shape.size() < 3) {
    return inference.refuse("takes [batch, channels, spatial…], it is given {}",
                            to_string(inference.type(0)));
  }
  SKERRY_ASSIGN(Window window, window_of(inference, shape.size() - 2, {}));
  for (size_t axis = 0; axis + 2 < shape.size(); ++axis) {
    SKERRY_ASSIGN(shape[axis + 2], output_size(inference, window, axis, shape[axis + 2]));
  }
  for (size_t i = 0; i < inference.output_count(); ++i) {
    inference.set(i, inference.outputs()[i].element, shape);
  }
  return {};
}

// For each window: visit(flat input index of its channel's first element, output index, window
// index along the space).
template <class F>
void for_each_output(const Array& in, const Array& out, F&& f) {
  const std::span<const int64_t> out_space = std::span(out.shape).subspan(2);
  const int64_t in_size = product(std::span(in.shape).subspan(2));
  const int64_t planes = in.shape[0] * in.shape[1];
  const int64_t out_size = product(out_space);
  for (int64_t plane = 0; plane < planes; ++plane) {
    Walk<1> walk(out_space, {strides_of(out_space)});
    for (int64_t o = 0; o < out_size; ++o, walk.next()) {
      f(plane * in_size, static_cast<size_t>(plane * out_size + o), walk.index());
    }
  }
}

// A flat index with the last axis changing slowest among the spatial ones (storage_order 1).
int64_t column_major(int64_t plane_offset, int64_t at, std::span<const int64_t> space) {
  int64_t result = 0;
  int64_t stride = product(space);
  for (size_t axis = space.size(); axis-- > 0;) {
    stride /= space[axis];
    result += at % space[axis] * stride;
    at /= space[axis];
  }
  return plane_offset + result;
}

Result<void> max_pool(Evaluation& run) {
  const Array& in = run.in(0);
  const std::span<const int64_t> space = std::span(in.shape).subspan(2);
  const Window window = resolved_window(run, {}, space);
  const bool columns = run.node().int_of("storage_order") != 0;
  return visit_number(run, in.type, [&]<class T>(T) -> Result<void> {
    for_each_output(in, run.out(0), [&](int64_t plane, size_t o, const auto& index) {
      T best = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                    : std::numeric_limits<T>::lowest();
      int64_t best_at = -1;
      for_each_in_window(window, space, index, [&](int64_t, int64_t at) {
        const T value = in.as<T>()[static_cast<size_t>(plane + at)];
        if (best_at >= 0 && !(value > best)) return;
        best = value;
        best_at = at;
      });
      run.out(0).as<T>()[o] = best;
      if (run.wants(1)) {
        run.out(1).as<int64_t>()[o] =
            columns ? column_major(plane, best_at, space) : plane + best_at;
      }
    });
    return {};
  });
}

// How many places of the window at `index` lie inside the padded input.
int64_t padded_places(const Window& window, std::span<const int64_t> space,
                      std::span<const int64_t> index) {
  int64_t count = 1;
  for (size_t axis = 0; axis < space.size(); ++axis) {
    int64_t inside = 0;
    for (int64_t k = 0; k < window.kernel[axis]; ++k) {
      const int64_t at = index[axis] * window.strides[axis] + k * window.dilations[axis];
      inside += at < space[axis] + window.pads_begin[axis] + window.pads_end[axis] ? 1 : 0;
    }
    count *= inside;
  }
  return count;
}

Result<void> average_pool(Evaluation& run) {
  const Array& in = run.in(0);
  const std::span<const int64_t> space = std::span(in.shape).subspan(2);
  const Window window = resolved_window(run, {}, space);
  const bool pads_count = run.node().int_of("count_include_pad") != 0;
  return visit_float(run, in.type, [&]<class T>(T) -> Result<void> {
    for_each_output(in, run.out(0), [&](int64_t plane, size_t o, const auto& index) {
      double sum = 0;
      int64_t count = 0;
      for_each_in_window(window, space, index, [&](int64_t, int64_t at) {
        sum += in.as<T>()[static_cast<size_t>(plane + at)];
        ++count;
      });
      if (pads_count) count = padded_places(window, space, index);
      run.out(0).as<T>()[o] = static_cast<T>(sum / static_cast<double>(count));
    });
    return {};
  });
}

Result<void> lp_pool(Evaluation& run) {
  const Array& in = run.in(0);
  const std::span<const int64_t> space = std::span(in.shape).subspan(2);
  const Window window = resolved_window(run, {}, space);
  const auto p = static_cast<double>(run.node().int_of("p"));
  return visit_float(run, in.type, [&]<class T>(T) -> Result<void> {
    for_each_output(in, run.out(0), [&](int64_t plane, size_t o, const auto& index) {
      double sum = 0;
      for_each_in_window(window, space, index, [&](int64_t, int64_t at) {
        sum +=
            std::pow(std::abs(static_cast<double>(in.as<T>()[static_cast<size_t>(plane + at)])), p);
      });
      run.out(0).as<T>()[o] = static_cast<T>(std::pow(sum, 1 / p));
    });
    return {};
  });
}

Result<void> infer_global(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0)) return {};
  Shape shape = inference.shape(0);
  if (shape.size() < 2) {
    return inference.refuse("takes [batch, channels, spatial…], it is given {}",
                            to_string(inference.type(0)));
  }
  std::fill(shape.begin() + 2, shape.end(), Dim(1));
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

// out[plane] = finish(fold of the plane's elements from 0 with step, how many).
template <class Step, class Finish>
Result<void> fold_planes(Evaluation& run, double start, Step step, Finish finish) {
  const Array& in = run.in(0);
  const auto size = static_cast<size_t>(product(std::span(in.shape).subspan(2)));
  return visit_float(run, in.type, [&]<class T>(T) -> Result<void> {
    const auto out = run.out(0).as<T>();
    for (size_t plane = 0; plane < out.size(); ++plane) {
      double value = start;
      for (const T x : in.as<T>().subspan(plane * size, size)) {
        value = step(value, static_cast<double>(x));
      }
      out[plane] = static_cast<T>(finish(value, static_cast<double>(size)));
    }
    return {};
  });
}

Result<void> global_average(Evaluation& run) {
  return fold_planes(
      run, 0, [](double a, double x) { return a + x; }, [](double a, double n) { return a / n; });
}
Result<void> global_max(Evaluation& run) {
  return fold_planes(
      run, -std::numeric_limits<double>::infinity(),
      [](double a, double x) { return x > a ? x : a; }, [](double a, double) { return a; });
}
Result<void> global_lp(Evaluation& run) {
  const auto p = static_cast<double>(run.node().int_of("p"));
  return fold_planes(
      run, 0, [p](double a, double x) { return a + std::pow(std::abs(x), p); },
      [p](double a, double) { return std::pow(a, 1 / p); });
}

Result<void> infer_unpool(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0)) return {};
  Shape shape = inference.shape(0);
  if (shape.size() < 3) return inference.refuse("takes [batch, channels, spatial…]");
  const size_t spatial = shape.size() - 2;
  const auto kernel = inference.node().ints_of("kernel_shape");
  auto strides = inference.node().ints_of("strides");
  auto pads = inference.node().ints_of("pads");
  strides.resize(spatial, 1);
  pads.resize(2 * spatial, 0);
  const auto is_size = [](int64_t size) { return size >= 0 && size < (int64_t{1} << 30); };
  if (kernel.size() != spatial || !std::ranges::all_of(kernel, is_size) ||
      !std::ranges::all_of(strides, is_size) || !std::ranges::all_of(pads, is_size)) {
    return inference.refuse("its window does not go with {}", to_string(inference.type(0)));
  }
  if (inference.has(2)) {
    const auto sizes = inference.dims(2);
    if (sizes) inference.set(0, inference.element(0), sizes);
    return {};
  }
  for (size_t axis = 0; axis < spatial; ++axis) {
    shape[axis + 2] = plus(times(plus(shape[axis + 2], Dim(-1)), Dim(strides[axis])),
                           Dim(kernel[axis] - pads[axis] - pads[axis + spatial]));
    if (shape[axis + 2].is_fixed() && shape[axis + 2].size() < 0) {
      return inference.refuse("its padding leaves no output");
    }
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

// The indices count within the shape that the pooled tensor had: that of the attributes.
Result<void> unpool(Evaluation& run) {
  const Array& in = run.in(0);
  const auto indices = run.in(1).to_ints();
  const auto kernel = run.node().ints_of("kernel_shape");
  auto strides = run.node().ints_of("strides");
  auto pads = run.node().ints_of("pads");
  const size_t spatial = in.rank() - 2;
  strides.resize(spatial, 1);
  pads.resize(2 * spatial, 0);
  if (indices.size() != in.count() || run.out(0).rank() != in.rank()) {
    return run.refuse("its indices do not go with X");
  }
  std::vector<int64_t> inner = in.shape;
  for (size_t axis = 0; axis < spatial; ++axis) {
    inner[axis + 2] =
        (in.shape[axis + 2] - 1) * strides[axis] + kernel[axis] - pads[axis] - pads[axis + spatial];
  }
  const auto out_strides = strides_of(run.out(0).shape);
  const size_t size = Array::element_size(in.type);
  for (size_t i = 0; i < indices.size(); ++i) {
    int64_t rest = indices[i];
    int64_t at = 0;
    for (size_t axis = inner.size(); axis-- > 0;) {
      if (inner[axis] < 1 || rest < 0) return run.refuse("index {} is out of range", indices[i]);
      at += rest % inner[axis] * out_strides[axis];
      rest /= inner[axis];
    }
    if (rest != 0 || at >= static_cast<int64_t>(run.out(0).count())) {
      return run.refuse("index {} is out of range", indices[i]);
    }
    std::memcpy(run.out(0).bytes.data() + static_cast<size_t>(at) * size,
                in.bytes.data() + i * size, size);
  }
  return {};
}

}  // namespace

std::span<const OperatorRow> pool_rows() {
  static const OperatorRow kRows[] = {
      {"MaxPool", "X -> Y Indices?",
       "auto_pad:string=NOTSET ceil_mode:int=0 dilations:ints kernel_shape:ints! pads:ints "
       "storage_order:int=0 strides:ints",
       infer_pool, max_pool},
      {"AveragePool", "X -> Y",
       "auto_pad:string=NOTSET ceil_mode:int=0 count_include_pad:int=0 dilations:ints "
       "kernel_shape:ints! pads:ints strides:ints",
       infer_pool, average_pool},
      {"LpPool", "X -> Y",
       "auto_pad:string=NOTSET ceil_mode:int=0 dilations:ints kernel_shape:ints! p:int=2 "
       "pads:ints strides:ints",
       infer_pool, lp_pool},
      {"GlobalAveragePool", "X -> Y", "", infer_global, global_average},
      {"GlobalMaxPool", "X -> Y", "", infer_global, global_max},
      {"GlobalLpPool", "X -> Y", "p:int=2", infer_global, global_lp},
      {"MaxUnpool", "X I:i output_shape?:i -> output", "kernel_shape:ints! pads:ints strides:ints",
       infer_unpool, unpool, nullptr, Halves::kAsBytes},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
