// What only reads or changes shapes.
#include <algorithm>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

Result<void> keep_elements(Evaluation& run) {
  reinterpret_shape(run.in(0), run.out(0));
  return {};
}

// The largest part of `in` that is divided by the known part of `target`, for -1.
Result<Dim> inferred_size(const Inference& inference, const Shape& in, const Shape& target,
                          size_t open) {
  Dim have = product(in, 0, in.size());
  Dim rest(1);
  // A symbol on both sides divides itself away.
  Shape left = in;
  for (size_t i = 0; i < target.size(); ++i) {
    if (i == open) continue;
    const auto same = std::ranges::find_if(
        left, [&](const Dim& dim) { return !dim.is_fixed() && dim.same_as(target[i]); });
    if (same != left.end()) {
      left.erase(same);
      have = product(left, 0, left.size());
    } else {
      rest = times(rest, target[i]);
    }
  }
  if (!have.is_fixed() || !rest.is_fixed()) return rest.is(1) ? have : Dim();
  if (rest.size() == 0 || have.size() % rest.size() != 0) {
    return inference.refuse("{} elements cannot have the shape wanted", have.size());
  }
  return Dim(have.size() / rest.size());
}

Result<void> infer_reshape(Inference& inference) {
  inference.set(0, inference.element(0));
  const auto target = inference.dims(1);
  if (!target) {
    const auto rank = count_of(inference.type(1));
    if (rank && *rank <= 64) {
      inference.set(0, inference.element(0), Shape(static_cast<size_t>(*rank)));
    }
    return {};
  }
  const bool zero_copies = inference.node().int_of("allowzero") == 0;
  Shape shape = *target;
  std::optional<size_t> open;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i].is(0) && zero_copies) {
      if (!inference.ranked(0)) {
        shape[i] = Dim();
      } else if (i >= inference.rank(0)) {
        return inference.refuse("its shape copies dimension {}, the input has {}", i,
                                inference.rank(0));
      } else {
        shape[i] = inference.shape(0)[i];
      }
    } else if (shape[i].is(-1)) {
      if (open) return inference.refuse("its shape has -1 twice");
      open = i;
    } else if (shape[i].is_fixed() && shape[i].size() < 0) {
      return inference.refuse("its shape has a dimension {}", shape[i].size());
    }
  }
  if (open) {
    shape[*open] = Dim();
    if (inference.ranked(0)) {
      SKERRY_ASSIGN(shape[*open], inferred_size(inference, inference.shape(0), shape, *open));
    }
  }
  const auto have = count_of(inference.type(0));
  const auto want = count_of(Type{.shape = shape});
  if (have && want && *have != *want) {
    return inference.refuse("{} cannot have the shape {}", to_string(inference.type(0)),
                            to_string(Type{inference.element(0), shape}));
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

Result<void> infer_flatten(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0)) return {};
  const auto rank = static_cast<int64_t>(inference.rank(0));
  int64_t axis = inference.node().int_of("axis");
  if (axis < -rank || axis > rank) return inference.refuse("axis {} of {} dimensions", axis, rank);
  if (axis < 0) axis += rank;
  const Shape& shape = inference.shape(0);
  inference.set(0, inference.element(0),
                Shape{product(shape, 0, static_cast<size_t>(axis)),
                      product(shape, static_cast<size_t>(axis), shape.size())});
  return {};
}

Result<void> infer_squeeze(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0)) return {};
  const Shape& in = inference.shape(0);
  std::vector<bool> gone(in.size(), false);
  if (inference.has(1)) {
    const auto axes = inference.ints(1);
    if (!axes) return {};
    for (const int64_t axis : *axes) {
      SKERRY_ASSIGN(const size_t at, inference.axis(axis, in.size()));
      if (in[at].is_fixed() && !in[at].is(1)) {
        return inference.refuse("dimension {} of {} is not 1", at, to_string(inference.type(0)));
      }
      gone[at] = true;
    }
  } else {
    for (size_t i = 0; i < in.size(); ++i) {
      if (!in[i].is_fixed()) return {};
      gone[i] = in[i].is(1);
    }
  }
  Shape shape;
  for (size_t i = 0; i < in.size(); ++i) {
    if (!gone[i]) shape.push_back(in[i]);
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

Result<void> infer_unsqueeze(Inference& inference) {
  inference.set(0, inference.element(0));
  const auto axes = inference.ints(1);
  if (!inference.ranked(0) || !axes) return {};
  const size_t rank = inference.rank(0) + axes->size();
  std::vector<bool> added(rank, false);
  for (const int64_t axis : *axes) {
    SKERRY_ASSIGN(const size_t at, inference.axis(axis, rank));
    if (added[at]) return inference.refuse("axis {} is given twice", axis);
    added[at] = true;
  }
  Shape shape;
  size_t next = 0;
  for (size_t i = 0; i < rank; ++i) {
    shape.push_back(added[i] ? Dim(1) : inference.shape(0)[next++]);
  }
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

std::pair<int64_t, int64_t> shape_range(const Node& node, size_t dimensions) {
  const auto rank = static_cast<int64_t>(dimensions);
  const auto clamped = [rank](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const int64_t begin = clamped(node.int_of("start"));
  const int64_t end = node.find("end") != nullptr ? clamped(node.int_of("end")) : rank;
  return {begin, std::max(begin, end)};
}

Result<void> infer_shape(Inference& inference) {
  if (!inference.ranked(0)) {
    inference.set(0, DataType::kInt64, Shape(1));
    return {};
  }
  const auto [begin, end] = shape_range(inference.node(), inference.rank(0));
  inference.set(0, DataType::kInt64, Shape{Dim(end - begin)});
  return {};
}

Result<void> shape_of_input(Evaluation& run) {
  const auto [begin, end] = shape_range(run.node(), run.in(0).rank());
  for (int64_t i = begin; i < end; ++i) {
    run.out(0).as<int64_t>()[static_cast<size_t>(i - begin)] =
        run.in(0).shape[static_cast<size_t>(i)];
  }
  return {};
}

Result<void> infer_size(Inference& inference) {
  inference.set(0, DataType::kInt64, Shape());
  return {};
}

Result<void> size_of_input(Evaluation& run) {
  run.out(0).as<int64_t>()[0] = static_cast<int64_t>(run.in(0).count());
  return {};
}

}  // namespace

std::span<const OperatorRow> shape_rows() {
  static const OperatorRow kRows[] = {
      {"Reshape", "data shape:i -> reshaped", "allowzero:int=0", infer_reshape, keep_elements,
       nullptr, Halves::kAsBytes},
      {"Flatten", "input -> output", "axis:int=1", infer_flatten, keep_elements, nullptr,
       Halves::kAsBytes},
      {"Squeeze", "data axes?:i -> squeezed", "", infer_squeeze, keep_elements, nullptr,
       Halves::kAsBytes},
      {"Unsqueeze", "data axes:i -> expanded", "", infer_unsqueeze, keep_elements, nullptr,
       Halves::kAsBytes},
      {"Shape", "data -> shape", "start:int=0 end:int", infer_shape, shape_of_input, nullptr,
       Halves::kAsBytes},
      {"Size", "data -> size", "", infer_size, size_of_input, nullptr, Halves::kAsBytes},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
