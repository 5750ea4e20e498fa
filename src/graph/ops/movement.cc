// Elements go elsewhere, unchanged; whatever their type.
#include <algorithm>
#include <numeric>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

Result<std::vector<size_t>> permutation(const Inference& inference, size_t rank) {
  std::vector<size_t> order(rank);
  const auto perm = inference.node().ints_of("perm");
  for (size_t i = 0; i < rank; ++i) order[i] = rank - 1 - i;
  if (perm.empty()) return order;
  std::vector<bool> seen(rank, false);
  for (size_t i = 0; i < perm.size() && perm.size() == rank; ++i) {
    if (perm[i] < 0 || perm[i] >= static_cast<int64_t>(rank) ||
        seen[static_cast<size_t>(perm[i])]) {
      break;
    }
    order[i] = static_cast<size_t>(perm[i]);
    seen[order[i]] = true;
  }
  if (perm.size() != rank || !std::ranges::all_of(seen, std::identity())) {
    return inference.refuse("perm [{}] does not order {} dimensions", fmt::join(perm, ","), rank);
  }
  return order;
}

Result<void> infer_transpose(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0)) return {};
  SKERRY_ASSIGN(const auto order, permutation(inference, inference.rank(0)));
  Shape shape;
  for (const size_t from : order) shape.push_back(inference.shape(0)[from]);
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

// out[index] = in[offset + index · strides]
void gather_strided(const Array& in, Array& out, int64_t offset, std::vector<int64_t> strides) {
  Walk<1> walk(out.shape, {std::move(strides)});
  move_elements(in, out, [&](size_t) {
    const int64_t from = offset + walk.at()[0];
    walk.next();
    return from;
  });
}

Result<void> transpose(Evaluation& run) {
  const Array& in = run.in(0);
  SKERRY_ASSIGN(const auto order, permutation(Inference(run.node(), {}, {}), in.rank()));
  const auto own = strides_of(in.shape);
  std::vector<int64_t> strides;
  for (const size_t from : order) strides.push_back(own[from]);
  gather_strided(in, run.out(0), 0, std::move(strides));
  return {};
}

Result<void> infer_expand(Inference& inference) {
  inference.set(0, inference.element(0));
  const auto target = inference.dims(1);
  if (!inference.ranked(0) || !target) return {};
  for (const Dim& dim : *target) {
    if (dim.is_fixed() && dim.size() < 0) return inference.refuse("its shape has a negative size");
  }
  SKERRY_ASSIGN(Shape shape, broadcast(inference, inference.shape(0), *target));
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

Result<void> expand(Evaluation& run) {
  gather_strided(run.in(0), run.out(0), 0, broadcast_strides(run.in(0).shape, run.out(0).shape));
  return {};
}

Result<void> infer_concat(Inference& inference) {
  inference.set(0, inference.element(0));
  for (size_t i = 0; i < inference.input_count(); ++i) {
    SKERRY_TRY(inference.same_element(0, i));
    if (!inference.ranked(i)) return {};
  }
  Shape shape = inference.shape(0);
  SKERRY_ASSIGN(const size_t axis, inference.axis(inference.node().int_of("axis"), shape.size()));
  for (size_t i = 1; i < inference.input_count(); ++i) {
    const Shape& next = inference.shape(i);
    bool goes = next.size() == shape.size();
    for (size_t d = 0; goes && d < shape.size(); ++d) {
      if (d == axis) continue;
      goes = !next[d].is_fixed() || !shape[d].is_fixed() || next[d] == shape[d];
      if (!shape[d].is_fixed()) shape[d] = next[d].is_unknown() ? shape[d] : next[d];
    }
    if (!goes) {
      return inference.refuse("{} and {} do not join along axis {}", to_string(inference.type(0)),
                              to_string(inference.type(i)), axis);
    }
    shape[axis] = plus(shape[axis], next[axis]);
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

Result<void> concat(Evaluation& run) {
  Array& out = run.out(0);
  const size_t axis = Evaluation::axis(run.node().int_of("axis"), out.rank());
  const AxisView view = view_along(out.shape, axis);
  int64_t first = 0;
  for (const Array* in : run.inputs()) {
    const int64_t size = in->shape[axis];
    move_elements(*in, out, [&](size_t i) {
      const int64_t inner = static_cast<int64_t>(i) % view.inner;
      const int64_t along = static_cast<int64_t>(i) / view.inner % view.size - first;
      const int64_t outer = static_cast<int64_t>(i) / view.inner / view.size;
      return along < 0 || along >= size ? -1 : (outer * size + along) * view.inner + inner;
    });
    first += size;
  }
  return {};
}

// The sizes of the parts; absent where they are open.
Result<std::optional<std::vector<Dim>>> split_sizes(const Inference& inference, const Dim& whole) {
  const size_t count = inference.output_count();
  if (inference.has(1)) {
    const auto sizes = inference.ints(1);
    if (!sizes) return std::nullopt;
    int64_t sum = 0;
    for (const int64_t size : *sizes)
      sum += size < 0 || size > (int64_t{1} << 40) ? INT32_MIN : size;
    if (sizes->size() != count || (whole.is_fixed() && sum != whole.size())) {
      return inference.refuse("parts of [{}] do not make up {} in {} outputs",
                              fmt::join(*sizes, ","), to_string(whole), count);
    }
    return fixed_shape(*sizes);
  }
  if (!whole.is_fixed() || count == 0) return std::nullopt;
  const auto parts = static_cast<int64_t>(count);
  const int64_t size = (whole.size() + parts - 1) / parts;
  std::vector<Dim> sizes(count, Dim(size));
  const int64_t last = whole.size() - size * (parts - 1);
  if (last < 0) return inference.refuse("{} cannot be split into {}", whole.size(), parts);
  sizes.back() = Dim(last);
  return sizes;
}

Result<void> infer_split(Inference& inference) {
  for (size_t i = 0; i < inference.output_count(); ++i) inference.set(i, inference.element(0));
  if (!inference.ranked(0)) return {};
  Shape shape = inference.shape(0);
  SKERRY_ASSIGN(const size_t axis, inference.axis(inference.node().int_of("axis"), shape.size()));
  SKERRY_ASSIGN(const auto sizes, split_sizes(inference, shape[axis]));
  for (size_t i = 0; i < inference.output_count(); ++i) {
    shape[axis] = sizes ? (*sizes)[i] : Dim();
    inference.set(i, inference.element(0), shape);
  }
  return {};
}

Result<void> split(Evaluation& run) {
  const Array& in = run.in(0);
  const size_t axis = Evaluation::axis(run.node().int_of("axis"), in.rank());
  const auto strides = strides_of(in.shape);
  int64_t first = 0;
  for (Array& out : run.outputs) {
    if (out.rank() != in.rank()) continue;
    gather_strided(in, out, first * strides[axis], strides);
    first += out.shape[axis];
  }
  return {};
}

// --- Slices -------------------------------------------------------------------------------------

struct Range {
  int64_t start, step, count;
};

Range range_of(int64_t start, int64_t end, int64_t step, int64_t size) {
  const auto from_end = [size](int64_t at) { return at < 0 ? at + size : at; };
  if (step > 0) {
    start = std::clamp<int64_t>(from_end(std::max(start, -size)), 0, size);
    end = std::clamp<int64_t>(from_end(std::max(end, -size)), 0, size);
    // Not (end - start + step - 1): a step may be INT64_MAX.
    return {start, step, end > start ? (end - start - 1) / step + 1 : 0};
  }
  start = std::clamp<int64_t>(from_end(std::max(start, -size - 1)), -1, size - 1);
  end = end < -size ? -1 : std::clamp<int64_t>(from_end(end), -1, size - 1);
  const int64_t down = step == INT64_MIN ? INT64_MAX : -step;
  return {start, -down, start > end ? (start - end - 1) / down + 1 : 0};
}

struct SliceSpec {
  std::vector<int64_t> starts, ends, axes, steps;
};

Result<void> check_slice(const Inference& inference, const SliceSpec& spec, size_t rank) {
  if (spec.ends.size() != spec.starts.size() || spec.axes.size() != spec.starts.size() ||
      spec.steps.size() != spec.starts.size()) {
    return inference.refuse("starts, ends, axes and steps have {}, {}, {} and {} numbers",
                            spec.starts.size(), spec.ends.size(), spec.axes.size(),
                            spec.steps.size());
  }
  std::vector<bool> seen(rank, false);
  for (size_t i = 0; i < spec.axes.size(); ++i) {
    SKERRY_ASSIGN(const size_t axis, inference.axis(spec.axes[i], rank));
    if (seen[axis]) return inference.refuse("axis {} is cut twice", axis);
    seen[axis] = true;
    if (spec.steps[i] == 0) return inference.refuse("a step is 0");
  }
  return {};
}

// Absent entries: axes 0, 1, … and steps of 1.
SliceSpec completed(std::vector<int64_t> starts, std::vector<int64_t> ends,
                    std::optional<std::vector<int64_t>> axes,
                    std::optional<std::vector<int64_t>> steps) {
  if (!axes) {
    axes.emplace(starts.size());
    std::iota(axes->begin(), axes->end(), 0);
  }
  if (!steps) steps.emplace(starts.size(), 1);
  return {std::move(starts), std::move(ends), std::move(*axes), std::move(*steps)};
}

Result<void> infer_slice(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0)) return {};
  Shape shape = inference.shape(0);
  const auto axes = inference.ints(3);
  const auto steps = inference.ints(4);
  const auto starts = inference.ints(1);
  const auto ends = inference.ints(2);
  const bool open = (inference.has(3) && !axes) || (inference.has(4) && !steps);
  if (open || !starts || !ends) {
    // Which axes are cut may still be known.
    if (!axes) return inference.set(0, inference.element(0), Shape(shape.size())), Result<void>();
    for (const int64_t axis : *axes) {
      SKERRY_ASSIGN(const size_t at, inference.axis(axis, shape.size()));
      shape[at] = Dim();
    }
    inference.set(0, inference.element(0), std::move(shape));
    return {};
  }
  const SliceSpec spec = completed(*starts, *ends, axes, steps);
  SKERRY_TRY(check_slice(inference, spec, shape.size()));
  for (size_t i = 0; i < spec.axes.size(); ++i) {
    Dim& dim = shape[Evaluation::axis(spec.axes[i], shape.size())];
    const bool whole = spec.starts[i] == 0 && spec.ends[i] >= INT32_MAX && spec.steps[i] == 1;
    if (dim.is_fixed()) {
      dim = Dim(range_of(spec.starts[i], spec.ends[i], spec.steps[i], dim.size()).count);
    } else if (!whole) {
      dim = Dim();
    }
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

Result<void> slice(Evaluation& run) {
  const Array& in = run.in(0);
  const auto optional_ints = [&](size_t i) {
    return run.has(i) ? std::optional(run.in(i).to_ints()) : std::nullopt;
  };
  const SliceSpec spec =
      completed(run.in(1).to_ints(), run.in(2).to_ints(), optional_ints(3), optional_ints(4));
  const auto own = strides_of(in.shape);
  std::vector<int64_t> strides = own;
  int64_t offset = 0;
  for (size_t i = 0; i < spec.axes.size(); ++i) {
    const size_t axis = Evaluation::axis(spec.axes[i], in.rank());
    const Range range = range_of(spec.starts[i], spec.ends[i], spec.steps[i], in.shape[axis]);
    offset += range.start * own[axis];
    strides[axis] = range.count > 1 ? range.step * own[axis] : 0;
  }
  gather_strided(in, run.out(0), offset, std::move(strides));
  return {};
}

// --- Pad, Tile ----------------------------------------------------------------------------------

Result<std::vector<size_t>> pad_axes(const Inference& inference, size_t rank) {
  std::vector<size_t> axes(rank);
  std::iota(axes.begin(), axes.end(), 0);
  const auto given = inference.ints(3);
  if (!given) return axes;
  axes.clear();
  for (const int64_t axis : *given) {
    SKERRY_ASSIGN(const size_t at, inference.axis(axis, rank));
    axes.push_back(at);
  }
  return axes;
}

Result<void> infer_pad(Inference& inference) {
  inference.set(0, inference.element(0));
  SKERRY_TRY(inference.same_element(0, 2));
  if (!inference.ranked(0)) return {};
  Shape shape = inference.shape(0);
  const auto pads = inference.ints(1);
  if (!pads || (inference.has(3) && !inference.ints(3))) {
    inference.set(0, inference.element(0), Shape(shape.size()));
    return {};
  }
  SKERRY_ASSIGN(const auto axes, pad_axes(inference, shape.size()));
  if (pads->size() != 2 * axes.size()) {
    return inference.refuse("{} pads for {} axes", pads->size(), axes.size());
  }
  const std::string& mode = inference.node().string_of("mode");
  for (size_t i = 0; i < axes.size(); ++i) {
    const Dim before = shape[axes[i]];
    const int64_t largest = std::max((*pads)[i], (*pads)[i + axes.size()]);
    if (std::max(std::abs((*pads)[i] / 2), std::abs((*pads)[i + axes.size()] / 2)) > INT32_MAX) {
      return inference.refuse("a pad is out of range");
    }
    if (before.is_fixed() && mode != "constant" && largest > 0 &&
        (before.is(0) || (mode == "reflect" && largest >= before.size()))) {
      return inference.refuse("pads [{}] are too large for mode {}", fmt::join(*pads, ","), mode);
    }
    shape[axes[i]] = plus(before, Dim((*pads)[i] + (*pads)[i + axes.size()]));
    if (shape[axes[i]].is_fixed() && shape[axes[i]].size() < 0) {
      return inference.refuse("negative pads leave nothing along axis {}", axes[i]);
    }
  }
  for (const std::string_view known : {"constant", "reflect", "edge", "wrap"}) {
    if (mode == known) return inference.set(0, inference.element(0), shape), Result<void>();
  }
  return inference.refuse("mode '{}' is unknown", mode);
}

// Where position `at` of a padded axis comes from; -1: the constant.
int64_t pad_source(const std::string& mode, int64_t at, int64_t size) {
  if (at >= 0 && at < size) return at;
  if (mode == "constant" || size == 0) return -1;
  if (mode == "edge") return at < 0 ? 0 : size - 1;
  if (mode == "wrap") return ((at % size) + size) % size;
  if (size == 1) return 0;
  const int64_t period = 2 * (size - 1);
  const int64_t folded = ((at % period) + period) % period;
  return folded < size ? folded : period - folded;
}

Result<void> pad(Evaluation& run) {
  const Array& in = run.in(0);
  Array& out = run.out(0);
  const auto pads = run.in(1).to_ints();
  const std::string& mode = run.node().string_of("mode");
  std::vector<int64_t> before(in.rank(), 0);
  const auto axes = run.has(3) ? run.in(3).to_ints() : std::vector<int64_t>();
  for (size_t i = 0; i < pads.size() / 2; ++i) {
    before[axes.empty() ? i : Evaluation::axis(axes[i], in.rank())] = pads[i];
  }
  if (run.has(2) && run.in(2).count() > 0) move_elements(run.in(2), out, [](size_t) { return 0; });
  const auto strides = strides_of(in.shape);
  Walk<1> walk(out.shape, {std::vector<int64_t>(out.rank(), 0)});
  move_elements(in, out, [&](size_t) {
    int64_t from = 0;
    for (size_t axis = 0; axis < in.rank(); ++axis) {
      const int64_t at = pad_source(mode, walk.index()[axis] - before[axis], in.shape[axis]);
      if (at < 0) {
        from = -1;
        break;
      }
      from += at * strides[axis];
    }
    walk.next();
    return from;
  });
  return {};
}

Result<void> infer_tile(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0)) return {};
  Shape shape = inference.shape(0);
  const auto repeats = inference.dims(1);
  if (repeats && repeats->size() != shape.size()) {
    return inference.refuse("{} repeats for {} dimensions", repeats->size(), shape.size());
  }
  for (size_t i = 0; i < shape.size(); ++i) {
    if (repeats && (*repeats)[i].is_fixed() && (*repeats)[i].size() < 0) {
      return inference.refuse("a number of repeats is negative");
    }
    shape[i] = repeats ? times(shape[i], (*repeats)[i]) : Dim();
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

Result<void> tile(Evaluation& run) {
  const Array& in = run.in(0);
  const auto strides = strides_of(in.shape);
  Walk<1> walk(run.out(0).shape, {std::vector<int64_t>(in.rank(), 0)});
  move_elements(in, run.out(0), [&](size_t) {
    int64_t from = 0;
    for (size_t axis = 0; axis < in.rank(); ++axis) {
      from += walk.index()[axis] % in.shape[axis] * strides[axis];
    }
    walk.next();
    return from;
  });
  return {};
}

// --- Blocks of space and depth ------------------------------------------------------------------

Result<void> infer_depth(Inference& inference) {
  const int64_t block = inference.node().int_of("blocksize");
  const bool to_space = inference.node().op() == "DepthToSpace";
  inference.set(0, inference.element(0));
  if (!inference.ranked(0)) return {};
  Shape shape = inference.shape(0);
  if (shape.size() != 4 || block < 1 || block > 65536) {
    return inference.refuse("takes [batch, channels, height, width] and blocks of at least 1");
  }
  for (const size_t axis : {1u, 2u, 3u}) {
    const bool grows = (axis != 1) == to_space;
    const int64_t factor = axis == 1 ? block * block : block;
    if (grows) {
      shape[axis] = times(shape[axis], Dim(factor));
    } else if (!shape[axis].is_fixed()) {
      shape[axis] = Dim();
    } else if (shape[axis].size() % factor != 0) {
      return inference.refuse("{} is not a multiple of {}", shape[axis].size(), factor);
    } else {
      shape[axis] = Dim(shape[axis].size() / factor);
    }
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

// The flat index in the deep form of (channel, y, x) in the wide form.
int64_t deep_index(int64_t n, int64_t c, int64_t y, int64_t x, int64_t block,
                   std::span<const int64_t> deep, bool crd) {
  const int64_t wide_channels = deep[1] / (block * block);
  const int64_t part = y % block * block + x % block;
  const int64_t channel = crd ? c * block * block + part : part * wide_channels + c;
  return ((n * deep[1] + channel) * deep[2] + y / block) * deep[3] + x / block;
}

Result<void> depth_to_space(Evaluation& run) {
  const bool crd = run.node().string_of("mode") == "CRD";
  const int64_t block = run.node().int_of("blocksize");
  Walk<1> walk(run.out(0).shape, {std::vector<int64_t>(4, 0)});
  move_elements(run.in(0), run.out(0), [&](size_t) {
    const auto index = walk.index();
    walk.next();
    return deep_index(index[0], index[1], index[2], index[3], block, run.in(0).shape, crd);
  });
  return {};
}

Result<void> space_to_depth(Evaluation& run) {
  const int64_t block = run.node().int_of("blocksize");
  const Array& in = run.in(0);
  Walk<1> walk(run.out(0).shape, {std::vector<int64_t>(4, 0)});
  move_elements(in, run.out(0), [&](size_t) {
    const auto& at = walk.index();
    const int64_t part = at[1] / in.shape[1];
    const int64_t y = at[2] * block + part / block;
    const int64_t x = at[3] * block + part % block;
    const int64_t from =
        ((at[0] * in.shape[1] + at[1] % in.shape[1]) * in.shape[2] + y) * in.shape[3] + x;
    walk.next();
    return from;
  });
  return {};
}

}  // namespace

std::span<const OperatorRow> movement_rows() {
  constexpr auto kBytes = Halves::kAsBytes;
  static const OperatorRow kRows[] = {
      {"Transpose", "data -> transposed", "perm:ints", infer_transpose, transpose, nullptr, kBytes},
      {"Expand", "input shape:i -> output", "", infer_expand, expand, nullptr, kBytes},
      {"Concat", "inputs+ -> concat_result", "axis:int!", infer_concat, concat, nullptr, kBytes},
      {"Split", "input split?:i -> outputs+", "axis:int=0 num_outputs:int", infer_split, split,
       nullptr, kBytes},
      {"Slice", "data starts:i ends:i axes?:i steps?:i -> output", "", infer_slice, slice, nullptr,
       kBytes},
      {"Pad", "data pads:i constant_value? axes?:i -> output", "mode:string=constant", infer_pad,
       pad, nullptr, kBytes},
      {"Tile", "input repeats:i -> output", "", infer_tile, tile, nullptr, kBytes},
      {"DepthToSpace", "input -> output", "blocksize:int! mode:string=DCR", infer_depth,
       depth_to_space, nullptr, kBytes},
      {"SpaceToDepth", "input -> output", "blocksize:int!", infer_depth, space_to_depth, nullptr,
       kBytes},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
