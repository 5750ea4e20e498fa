// Elements picked, placed and ordered by indices or by their values.
#include <algorithm>
#include <numeric>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

// An index that may count from the end; -1 where it is out of range.
int64_t wrapped(int64_t index, int64_t size) {
  if (index < 0) index += size;
  return index >= 0 && index < size ? index : -1;
}

Result<void> infer_gather(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0) || !inference.ranked(1)) return {};
  Shape shape = inference.shape(0);
  SKERRY_ASSIGN(const size_t axis, inference.axis(inference.node().int_of("axis"), shape.size()));
  const auto at = shape.begin() + static_cast<int64_t>(axis);
  const auto place = shape.erase(at);
  shape.insert(place, inference.shape(1).begin(), inference.shape(1).end());
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

Result<void> gather(Evaluation& run) {
  const Array& in = run.in(0);
  const auto indices = run.in(1).to_ints();
  const AxisView view =
      view_along(in.shape, Evaluation::axis(run.node().int_of("axis"), in.rank()));
  for (const int64_t index : indices) {
    if (wrapped(index, view.size) < 0) return run.refuse("index {} of {}", index, view.size);
  }
  const auto picks = static_cast<int64_t>(indices.size());
  move_elements(in, run.out(0), [&](size_t i) {
    const auto at = static_cast<int64_t>(i);
    const int64_t pick = wrapped(indices[static_cast<size_t>(at / view.inner % picks)], view.size);
    return (at / view.inner / picks * view.size + pick) * view.inner + at % view.inner;
  });
  return {};
}

Result<void> infer_gather_elements(Inference& inference) {
  inference.set(0, inference.element(0), inference.type(1).shape);
  if (!inference.ranked(0) || !inference.ranked(1)) return {};
  SKERRY_ASSIGN(const size_t axis,
                inference.axis(inference.node().int_of("axis"), inference.rank(0)));
  bool goes = inference.rank(0) == inference.rank(1);
  for (size_t i = 0; goes && i < inference.rank(0); ++i) {
    const Dim& have = inference.shape(0)[i];
    const Dim& want = inference.shape(1)[i];
    goes = i == axis || !have.is_fixed() || !want.is_fixed() || want.size() <= have.size();
  }
  if (!goes) {
    return inference.refuse("indices {} do not go with {}", to_string(inference.type(1)),
                            to_string(inference.type(0)));
  }
  return {};
}

Result<void> gather_elements(Evaluation& run) {
  const Array& in = run.in(0);
  const auto indices = run.in(1).to_ints();
  const size_t axis = Evaluation::axis(run.node().int_of("axis"), in.rank());
  for (const int64_t index : indices) {
    if (wrapped(index, in.shape[axis]) < 0)
      return run.refuse("index {} of {}", index, in.shape[axis]);
  }
  auto strides = strides_of(in.shape);
  const int64_t along = strides[axis];
  strides[axis] = 0;
  Walk<1> walk(run.out(0).shape, {strides});
  move_elements(in, run.out(0), [&](size_t i) {
    const int64_t from = walk.at()[0] + wrapped(indices[i], in.shape[axis]) * along;
    walk.next();
    return from;
  });
  return {};
}

Result<void> infer_gather_nd(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0) || !inference.ranked(1)) return {};
  const Shape& data = inference.shape(0);
  const Shape& indices = inference.shape(1);
  const int64_t batch = inference.node().int_of("batch_dims");
  if (indices.empty()) return inference.refuse("its indices are a scalar");
  if (!indices.back().is_fixed()) return {};
  const int64_t depth = indices.back().size();
  if (batch < 0 || depth < 0 || batch >= static_cast<int64_t>(indices.size()) ||
      batch + depth > static_cast<int64_t>(data.size())) {
    return inference.refuse("indices {} are too deep for {}", to_string(inference.type(1)),
                            to_string(inference.type(0)));
  }
  for (int64_t i = 0; i < batch; ++i) {
    const Dim& a = data[static_cast<size_t>(i)];
    const Dim& b = indices[static_cast<size_t>(i)];
    if (a.is_fixed() && b.is_fixed() && a != b) return inference.refuse("batches differ");
  }
  Shape shape(indices.begin(), indices.end() - 1);
  shape.insert(shape.end(), data.begin() + batch + depth, data.end());
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

// The flat offset that `tuple` points at within dimensions [first, …) of `shape`; -1: out of range.
int64_t offset_of(std::span<const int64_t> tuple, std::span<const int64_t> shape,
                  std::span<const int64_t> strides, size_t first) {
  int64_t offset = 0;
  for (size_t i = 0; i < tuple.size(); ++i) {
    const int64_t at = wrapped(tuple[i], shape[first + i]);
    if (at < 0) return -1;
    offset += at * strides[first + i];
  }
  return offset;
}

Result<void> gather_nd(Evaluation& run) {
  const Array& in = run.in(0);
  const auto indices = run.in(1).to_ints();
  const auto depth = static_cast<size_t>(run.in(1).shape.back());
  const auto batch = static_cast<size_t>(run.node().int_of("batch_dims"));
  const auto strides = strides_of(in.shape);
  const int64_t inner = product(std::span(in.shape).subspan(batch + depth));
  const int64_t batches = product(std::span(in.shape).first(batch));
  const int64_t per_batch = batches == 0 ? 0 : static_cast<int64_t>(in.count()) / batches;
  const int64_t tuples = product(std::span(run.in(1).shape).first(run.in(1).rank() - 1));
  std::vector<int64_t> offsets;
  for (int64_t t = 0; t < tuples; ++t) {
    const std::span tuple = std::span(indices).subspan(static_cast<size_t>(t) * depth, depth);
    const int64_t offset = offset_of(tuple, in.shape, strides, batch);
    if (offset < 0) return run.refuse("index [{}] is out of range", fmt::join(tuple, ","));
    offsets.push_back(t / (tuples / batches) * per_batch + offset);
  }
  move_elements(in, run.out(0), [&](size_t i) {
    const auto at = static_cast<int64_t>(i);
    return offsets[static_cast<size_t>(at / inner)] + at % inner;
  });
  return {};
}

// --- Scatter ------------------------------------------------------------------------------------

Result<void> infer_scatter(Inference& inference) {
  SKERRY_TRY(inference.same_element(0, 2));
  inference.set(0, inference.element(0), inference.type(0).shape);
  if (inference.node().op() == "ScatterElements" && inference.ranked(0)) {
    SKERRY_TRY(inference.axis(inference.node().int_of("axis"), inference.rank(0)));
    const bool ranks = !inference.ranked(1) || inference.rank(1) == inference.rank(0);
    const auto indices = count_of(inference.type(1));
    const auto updates = count_of(inference.type(2));
    if (!ranks || (indices && updates && indices != updates)) {
      return inference.refuse("indices {} and updates {} do not go with {}",
                              to_string(inference.type(1)), to_string(inference.type(2)),
                              to_string(inference.type(0)));
    }
  }
  return {};
}

// out[to] = out[to] ∘ updates[from]; `to` < 0 was checked before.
Result<void> scatter_one(Evaluation& run, int64_t to, int64_t from) {
  const std::string& reduction = run.node().string_of("reduction");
  const Array& updates = run.in(2);
  Array& out = run.out(0);
  const auto target = static_cast<size_t>(to);
  const auto source = static_cast<size_t>(from);
  if (reduction == "none") {
    if (out.type == DataType::kBytes) {
      out.strings[target] = updates.strings[source];
    } else {
      const size_t size = Array::element_size(out.type);
      std::memcpy(out.bytes.data() + target * size, updates.bytes.data() + source * size, size);
    }
    return {};
  }
  return visit_number(run, out.type, [&]<class T>(T) -> Result<void> {
    const T value = updates.as<T>()[source];
    T& place = out.as<T>()[target];
    if (reduction == "add") {
      place = static_cast<T>(place + value);
    } else if (reduction == "mul") {
      place = static_cast<T>(place * value);
    } else if (reduction == "max") {
      place = std::max(place, value);
    } else if (reduction == "min") {
      place = std::min(place, value);
    } else {
      return run.refuse("reduction '{}' is unknown", reduction);
    }
    return {};
  });
}

Result<void> scatter_elements(Evaluation& run) {
  run.out(0) = run.in(0);
  const Array& data = run.in(0);
  const auto indices = run.in(1).to_ints();
  const size_t axis = Evaluation::axis(run.node().int_of("axis"), data.rank());
  auto strides = strides_of(data.shape);
  const int64_t along = strides[axis];
  strides[axis] = 0;
  for (size_t i = 0; i < data.rank(); ++i) {
    if (i != axis && run.in(1).shape[i] > data.shape[i]) return run.refuse("indices are too large");
  }
  Walk<1> walk(run.in(1).shape, {strides});
  for (size_t i = 0; i < indices.size(); ++i) {
    const int64_t at = wrapped(indices[i], data.shape[axis]);
    if (at < 0) return run.refuse("index {} of {}", indices[i], data.shape[axis]);
    SKERRY_TRY(scatter_one(run, walk.at()[0] + at * along, static_cast<int64_t>(i)));
    walk.next();
  }
  return {};
}

Result<void> scatter_nd(Evaluation& run) {
  run.out(0) = run.in(0);
  const Array& data = run.in(0);
  const auto indices = run.in(1).to_ints();
  if (run.in(1).rank() == 0) return run.refuse("indices are a scalar");
  const auto depth = static_cast<size_t>(run.in(1).shape.back());
  if (depth > data.rank()) return run.refuse("indices are deeper than its data");
  const auto strides = strides_of(data.shape);
  const int64_t inner = product(std::span(data.shape).subspan(depth));
  const int64_t tuples = product(std::span(run.in(1).shape).first(run.in(1).rank() - 1));
  if (tuples * inner != static_cast<int64_t>(run.in(2).count())) {
    return run.refuse("{} updates for {} places", run.in(2).count(), tuples * inner);
  }
  for (int64_t t = 0; t < tuples; ++t) {
    const std::span tuple = std::span(indices).subspan(static_cast<size_t>(t) * depth, depth);
    const int64_t offset = offset_of(tuple, data.shape, strides, 0);
    if (offset < 0) return run.refuse("index [{}] is out of range", fmt::join(tuple, ","));
    for (int64_t i = 0; i < inner; ++i) SKERRY_TRY(scatter_one(run, offset + i, t * inner + i));
  }
  return {};
}

// --- By value -----------------------------------------------------------------------------------

Result<void> infer_one_hot(Inference& inference) {
  inference.set(0, inference.element(2));
  if (!inference.ranked(0)) return {};
  Shape shape = inference.shape(0);
  SKERRY_ASSIGN(const size_t axis,
                inference.axis(inference.node().int_of("axis"), shape.size() + 1));
  const auto depth = inference.dims(1);
  const bool known = depth && depth->size() == 1;
  if (known && (*depth)[0].is_fixed() && (*depth)[0].size() < 0) {
    return inference.refuse("its depth is negative");
  }
  shape.insert(shape.begin() + static_cast<int64_t>(axis), known ? (*depth)[0] : Dim());
  inference.set(0, inference.element(2), std::move(shape));
  return {};
}

Result<void> one_hot(Evaluation& run) {
  const auto depths = run.in(1).to_ints();
  if (depths.size() != 1 || depths[0] < 0) return run.refuse("its depth is no size");
  if (run.in(2).count() != 2) return run.refuse("its values are not off and on");
  const auto indices = run.in(0).to_ints();
  const size_t axis = Evaluation::axis(run.node().int_of("axis"), run.in(0).rank() + 1);
  auto shape = run.in(0).shape;
  shape.insert(shape.begin() + static_cast<int64_t>(axis), depths[0]);
  SKERRY_TRY(run.allocate(0, run.in(2).type, shape));
  const AxisView view = view_along(shape, axis);
  move_elements(run.in(2), run.out(0), [&](size_t i) {
    const auto at = static_cast<int64_t>(i);
    const int64_t from = at / view.inner / view.size * view.inner + at % view.inner;
    const int64_t index = wrapped(indices[static_cast<size_t>(from)], view.size);
    return index == at / view.inner % view.size ? 1 : 0;
  });
  return {};
}

Result<void> infer_top_k(Inference& inference) {
  std::optional<Shape> shape = inference.type(0).shape;
  if (shape) {
    SKERRY_ASSIGN(const size_t axis,
                  inference.axis(inference.node().int_of("axis"), shape->size()));
    const auto k = inference.dims(1);
    const Dim& have = (*shape)[axis];
    if (k && k->size() != 1) return inference.refuse("K is one number");
    if (k && (*k)[0].is_fixed() && have.is_fixed() &&
        ((*k)[0].size() < 0 || (*k)[0].size() > have.size())) {
      return inference.refuse("the {} largest of {}", (*k)[0].size(), have.size());
    }
    (*shape)[axis] = k ? (*k)[0] : Dim();
  }
  inference.set(0, inference.element(0), shape);
  inference.set(1, DataType::kInt64, shape);
  return {};
}

Result<void> top_k(Evaluation& run) {
  const Array& in = run.in(0);
  const size_t axis = Evaluation::axis(run.node().int_of("axis"), in.rank());
  const AxisView view = view_along(in.shape, axis);
  const int64_t k = run.in(1).to_ints()[0];
  const bool largest = run.node().int_of("largest") != 0;
  return visit_number(run, in.type, [&]<class T>(T) -> Result<void> {
    std::vector<int64_t> order(static_cast<size_t>(view.size));
    for (int64_t o = 0; o < view.outer * view.inner; ++o) {
      const int64_t first = o / view.inner * view.size * view.inner + o % view.inner;
      const auto value = [&](int64_t i) {
        return in.as<T>()[static_cast<size_t>(first + i * view.inner)];
      };
      std::iota(order.begin(), order.end(), 0);
      // A total order, as sorting wants it: NaN is above everything.
      const auto below = [](T x, T y) { return x < y || (!is_nan(x) && is_nan(y)); };
      std::ranges::sort(order, [&](int64_t a, int64_t b) {
        const bool less = below(value(a), value(b));
        const bool more = below(value(b), value(a));
        return less == more ? a < b : largest ? more : less;
      });
      for (int64_t i = 0; i < k; ++i) {
        const auto to = static_cast<size_t>((o / view.inner * k + i) * view.inner + o % view.inner);
        const int64_t from = order[static_cast<size_t>(i)];
        if (run.wants(0)) run.out(0).as<T>()[to] = value(from);
        if (run.wants(1)) run.out(1).as<int64_t>()[to] = from;
      }
    }
    return {};
  });
}

Result<void> infer_non_zero(Inference& inference) {
  Shape shape(2);
  if (inference.ranked(0)) shape[0] = Dim(static_cast<int64_t>(inference.rank(0)));
  inference.set(0, DataType::kInt64, std::move(shape));
  return {};
}

Result<void> non_zero(Evaluation& run) {
  const Array& in = run.in(0);
  const auto values = in.to_doubles();
  std::vector<std::vector<int64_t>> found;
  Walk<1> walk(in.shape, {std::vector<int64_t>(in.rank(), 0)});
  for (const double value : values) {
    if (value != 0) found.push_back(walk.index());
    walk.next();
  }
  SKERRY_TRY(run.allocate(0, DataType::kInt64,
                          {static_cast<int64_t>(in.rank()), static_cast<int64_t>(found.size())}));
  for (size_t i = 0; i < found.size(); ++i) {
    for (size_t axis = 0; axis < in.rank(); ++axis) {
      run.out(0).as<int64_t>()[axis * found.size() + i] = found[i][axis];
    }
  }
  return {};
}

Result<void> infer_compress(Inference& inference) {
  if (inference.node().find("axis") == nullptr) {
    inference.set(0, inference.element(0), Shape(1));
    return {};
  }
  std::optional<Shape> shape = inference.type(0).shape;
  if (shape) {
    SKERRY_ASSIGN(const size_t axis,
                  inference.axis(inference.node().int_of("axis"), shape->size()));
    (*shape)[axis] = Dim();
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

Result<void> compress(Evaluation& run) {
  const Array& in = run.in(0);
  const bool flat = run.node().find("axis") == nullptr;
  std::vector<int64_t> shape =
      flat ? std::vector<int64_t>{static_cast<int64_t>(in.count())} : in.shape;
  const size_t axis = flat ? 0 : Evaluation::axis(run.node().int_of("axis"), in.rank());
  const AxisView view = view_along(shape, axis);
  std::vector<int64_t> kept;
  const auto condition = run.in(1).as<uint8_t>();
  for (size_t i = 0; i < condition.size() && i < static_cast<size_t>(view.size); ++i) {
    if (condition[i] != 0) kept.push_back(static_cast<int64_t>(i));
  }
  shape[axis] = static_cast<int64_t>(kept.size());
  SKERRY_TRY(run.allocate(0, in.type, std::move(shape)));
  move_elements(in, run.out(0), [&](size_t i) {
    const auto at = static_cast<int64_t>(i);
    const auto picks = static_cast<int64_t>(kept.size());
    const int64_t pick = kept[static_cast<size_t>(at / view.inner % picks)];
    return (at / view.inner / picks * view.size + pick) * view.inner + at % view.inner;
  });
  return {};
}

Result<void> infer_reverse_sequence(Inference& inference) {
  const int64_t batch = inference.node().int_of("batch_axis");
  const int64_t time = inference.node().int_of("time_axis");
  if (batch + time != 1 || batch * time != 0) {
    return inference.refuse("its batch and time axes are 0 and 1, in either order");
  }
  if (inference.ranked(0) && inference.rank(0) < 2) return inference.refuse("takes two dimensions");
  return infer_same(inference);
}

Result<void> reverse_sequence(Evaluation& run) {
  const Array& in = run.in(0);
  const auto batch = static_cast<size_t>(run.node().int_of("batch_axis"));
  const auto time = static_cast<size_t>(run.node().int_of("time_axis"));
  const auto lengths = run.in(1).to_ints();
  if (static_cast<int64_t>(lengths.size()) != in.shape[batch]) return run.refuse("wrong lengths");
  for (const int64_t length : lengths) {
    if (length < 0 || length > in.shape[time]) return run.refuse("length {} is too long", length);
  }
  const auto strides = strides_of(in.shape);
  Walk<1> walk(in.shape, {strides});
  move_elements(in, run.out(0), [&](size_t) {
    const int64_t length = lengths[static_cast<size_t>(walk.index()[batch])];
    const int64_t at = walk.index()[time];
    const int64_t shift = at < length ? length - 1 - 2 * at : 0;
    const int64_t from = walk.at()[0] + shift * strides[time];
    walk.next();
    return from;
  });
  return {};
}

Result<void> infer_trilu(Inference& inference) {
  if (inference.ranked(0) && inference.rank(0) < 2) return inference.refuse("takes matrices");
  return infer_same(inference);
}

Result<void> trilu(Evaluation& run) {
  const Array& in = run.in(0);
  const auto ks = run.has(1) ? run.in(1).to_ints() : std::vector<int64_t>{0};
  if (ks.size() != 1) return run.refuse("k is one number");
  const bool upper = run.node().int_of("upper") != 0;
  const int64_t rows = in.shape[in.rank() - 2];
  const int64_t columns = in.shape.back();
  const int64_t k = std::clamp(ks[0], -rows - 1, columns + 1);
  move_elements(in, run.out(0), [&](size_t i) {
    const auto at = static_cast<int64_t>(i);
    const int64_t diagonal = at % columns - at / columns % rows;
    return (upper ? diagonal >= k : diagonal <= k) ? at : -1;
  });
  return {};
}

}  // namespace

std::span<const OperatorRow> index_rows() {
  constexpr auto kBytes = Halves::kAsBytes;
  static const OperatorRow kRows[] = {
      {"Gather", "data indices:i -> output", "axis:int=0", infer_gather, gather, nullptr, kBytes},
      {"GatherElements", "data indices:i -> output", "axis:int=0", infer_gather_elements,
       gather_elements, nullptr, kBytes},
      {"GatherND", "data indices:i -> output", "batch_dims:int=0", infer_gather_nd, gather_nd,
       nullptr, kBytes},
      {"ScatterElements", "data indices:i updates -> output", "axis:int=0 reduction:string=none",
       infer_scatter, scatter_elements},
      {"ScatterND", "data indices:i updates -> output", "reduction:string=none", infer_scatter,
       scatter_nd},
      {"OneHot", "indices depth values -> output", "axis:int=-1", infer_one_hot, one_hot, nullptr,
       kBytes},
      {"TopK", "X K:i -> Values Indices", "axis:int=-1 largest:int=1 sorted:int=1", infer_top_k,
       top_k},
      {"NonZero", "X -> Y", "", infer_non_zero, non_zero},
      {"Compress", "input condition:b -> output", "axis:int", infer_compress, compress, nullptr,
       kBytes},
      {"ReverseSequence", "input sequence_lens:i -> Y", "batch_axis:int=1 time_axis:int=0",
       infer_reverse_sequence, reverse_sequence, nullptr, kBytes},
      {"Trilu", "input k?:i -> output", "upper:int=1", infer_trilu, trilu, nullptr, kBytes},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
