// Operators that move elements or change shapes: integers stay what they are.
#include <algorithm>
#include <numeric>

#include "graph/tflite/lowering.h"

namespace skerry::graph::tflite {
namespace {

// An axis that may count from the end.
Result<size_t> axis_of(const Lowering& lower, int64_t axis, size_t rank) {
  const int64_t at = axis < 0 ? axis + static_cast<int64_t>(rank) : axis;
  if (at < 0 || at >= static_cast<int64_t>(rank)) return lower.refuse("axis {} of {}", axis, rank);
  return static_cast<size_t>(at);
}

// What axis i of channels last is with channels first.
constexpr int64_t kFirst[] = {0, 2, 3, 1};

Result<size_t> rank_of(const Lowering& lower, const Value& value) {
  if (!value.type().shape) return lower.refuse("the rank of its input is open");
  return value.type().rank();
}

Result<void> reshape(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  std::vector<int64_t> shape = lower.list_option(0);
  if (lower.has(1)) {
    SKERRY_ASSIGN(const Value* given, lower.in(1));
    if (given->constant() == nullptr) {
      SKERRY_ASSIGN(Value * target, lower.in(1));
      SKERRY_ASSIGN(target, lower.make("Cast", {target}, {{"to", DataType::kInt64}}));
      SKERRY_ASSIGN(Value * y, lower.make("Reshape", {x, target}, {{"allowzero", int64_t{1}}}));
      return lower.set(0, y);
    }
    SKERRY_ASSIGN(shape, lower.ints(1));
  }
  SKERRY_ASSIGN(Value * y, lower.make("Reshape", {x, lower.list(shape)}));
  return lower.set(0, y);
}

// What only takes dimensions of one away or puts them in.
Result<void> to_declared_shape(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  const TensorTable& out = lower.out_table();
  std::vector<int64_t> shape = out.shape;
  for (size_t i = 0; i < shape.size() && i < out.signature.size(); ++i) {
    if (out.signature[i] < 0) shape[i] = -1;
  }
  if (std::ranges::count(shape, -1) > 1) return lower.refuse("several dimensions are open");
  SKERRY_ASSIGN(Value * y, lower.make("Reshape", {x, lower.list(shape)}));
  return lower.set(0, y);
}

Result<void> transpose(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(auto perm, lower.ints(1));
  SKERRY_ASSIGN(Value * y, lower.make("Transpose", {x}, {{"perm", std::move(perm)}}));
  return lower.set(0, y);
}

// [begin, end] a dimension to ONNX's begins, then ends.
Result<void> pad(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(const auto pairs, lower.ints(1));
  SKERRY_ASSIGN(const size_t rank, rank_of(lower, *x));
  if (pairs.size() != 2 * rank) return lower.refuse("its pads are {} numbers", pairs.size());
  const bool twin = rank == 4 && lower.has_twin(x);
  std::vector<int64_t> pads(2 * rank);
  for (size_t i = 0; i < rank; ++i) {
    const auto at = twin ? static_cast<size_t>(kFirst[i]) : i;
    pads[at] = pairs[2 * i];
    pads[rank + at] = pairs[2 * i + 1];
  }
  if (twin) {
    SKERRY_ASSIGN(x, lower.channels_first(x));
  }
  std::vector<Value*> inputs = {x, lower.list(pads)};
  Attributes attributes;
  if (lower.code() == 100) {
    if (lower.small_option(0) != 0) return lower.refuse("its mode SYMMETRIC is not supported");
    attributes["mode"] = std::string("reflect");
  } else if (lower.has(2)) {
    SKERRY_ASSIGN(Value * value, lower.in(2));
    SKERRY_ASSIGN(value, lower.make("Reshape", {value, lower.list({})}));
    inputs.push_back(value);
  } else if (is_quantised(lower.in_table(0))) {
    SKERRY_ASSIGN(Value * zero, lower.zero_of(lower.in_table(0)));
    inputs.push_back(zero);
  }
  SKERRY_ASSIGN(Value * y, lower.make("Pad", std::move(inputs), std::move(attributes)));
  if (twin) {
    SKERRY_ASSIGN(y, lower.channels_last(y));
  }
  return lower.set(0, y);
}

Result<void> concatenation(Lowering& lower) {
  bool whole = true;
  bool twins = true;
  std::vector<Value*> inputs;
  for (size_t i = 0; i < lower.input_count(); ++i) {
    SKERRY_ASSIGN(Value * x, lower.in(i));
    whole = whole && same_scale(lower.in_table(i), lower.out_table());
    twins = twins && lower.has_twin(x);
    inputs.push_back(x);
  }
  if (inputs.empty()) return lower.refuse("it has no input");
  SKERRY_ASSIGN(const size_t rank, rank_of(lower, *inputs[0]));
  SKERRY_ASSIGN(const size_t axis, axis_of(lower, lower.option(0), rank));
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (whole && twins) {
      SKERRY_ASSIGN(inputs[i], lower.channels_first(inputs[i]));
    } else if (!whole) {
      SKERRY_ASSIGN(inputs[i], lower.real(i));
    }
  }
  const int64_t at = whole && twins ? kFirst[axis] : static_cast<int64_t>(axis);
  SKERRY_ASSIGN(Value * y, lower.make("Concat", std::move(inputs), {{"axis", at}}));
  if (!whole) return lower.set_real(y);
  if (twins) {
    SKERRY_ASSIGN(y, lower.channels_last(y));
  }
  SKERRY_ASSIGN(y, lower.activated(y, lower.small_option(1)));
  return lower.set(0, y);
}

Result<void> set_all(Lowering& lower, const std::vector<Value*>& made) {
  for (size_t i = 0; i < made.size(); ++i) SKERRY_TRY(lower.set(i, made[i]));
  return {};
}

// Axis, value; or value, sizes, axis.
Result<void> split(Lowering& lower) {
  const bool sized = lower.code() == 102;
  SKERRY_ASSIGN(Value * x, lower.in(sized ? 0 : 1));
  SKERRY_ASSIGN(const auto axis, lower.ints(sized ? 2 : 0));
  if (axis.size() != 1) return lower.refuse("it has {} axes", axis.size());
  Attributes attributes = {{"axis", axis[0]}};
  std::vector<Value*> inputs = {x};
  if (sized) {
    SKERRY_ASSIGN(const auto sizes, lower.ints(1));
    inputs.push_back(lower.list(sizes));
  } else {
    attributes["num_outputs"] = static_cast<int64_t>(lower.output_count());
  }
  SKERRY_ASSIGN(const auto made, lower.make_many("Split", std::move(inputs), std::move(attributes),
                                                 lower.output_count()));
  return set_all(lower, made);
}

Result<void> pack(Lowering& lower) {
  std::vector<Value*> inputs;
  for (size_t i = 0; i < lower.input_count(); ++i) {
    SKERRY_ASSIGN(Value * x, lower.in(i));
    SKERRY_ASSIGN(x, lower.make("Unsqueeze", {x, lower.list({lower.option(1)})}));
    inputs.push_back(x);
  }
  if (inputs.empty()) return lower.refuse("it has no input");
  SKERRY_ASSIGN(Value * y, lower.make("Concat", std::move(inputs), {{"axis", lower.option(1)}}));
  return lower.set(0, y);
}

Result<void> unpack(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  const size_t count = lower.output_count();
  SKERRY_ASSIGN(const auto parts, lower.make_many("Split", {x},
                                                  {{"axis", lower.option(1)},
                                                   {"num_outputs", static_cast<int64_t>(count)}},
                                                  count));
  for (size_t i = 0; i < count; ++i) {
    SKERRY_ASSIGN(Value * y, lower.make("Squeeze", {parts[i], lower.list({lower.option(1)})}));
    SKERRY_TRY(lower.set(i, y));
  }
  return {};
}

Result<void> slice(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(const auto begin, lower.ints(1));
  SKERRY_ASSIGN(const auto size, lower.ints(2));
  if (begin.size() != size.size()) return lower.refuse("its begin and size differ in length");
  std::vector<int64_t> end(begin.size());
  for (size_t i = 0; i < end.size(); ++i) end[i] = size[i] < 0 ? INT64_MAX : begin[i] + size[i];
  SKERRY_ASSIGN(Value * y, lower.make("Slice", {x, lower.list(begin), lower.list(end)}));
  return lower.set(0, y);
}

Result<void> strided_slice(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(auto begin, lower.ints(1));
  SKERRY_ASSIGN(auto end, lower.ints(2));
  SKERRY_ASSIGN(const auto steps, lower.ints(3));
  if (lower.option(2) != 0 || lower.option(3) != 0 || lower.small_option(5) != 0) {
    return lower.refuse("ellipses, new axes and offsets are not supported");
  }
  if (begin.size() != end.size() || begin.size() != steps.size()) {
    return lower.refuse("its begin, end and strides differ in length");
  }
  std::vector<int64_t> shrunk;
  for (size_t i = 0; i < begin.size(); ++i) {
    const int64_t bit = int64_t{1} << i;
    const bool backwards = steps[i] < 0;
    if ((lower.option(0) & bit) != 0) begin[i] = backwards ? INT64_MAX : 0;
    if ((lower.option(1) & bit) != 0) end[i] = backwards ? INT64_MIN : INT64_MAX;
    if ((lower.option(4) & bit) == 0) continue;
    end[i] = begin[i] == -1 ? INT64_MAX : begin[i] + 1;
    shrunk.push_back(static_cast<int64_t>(i));
  }
  std::vector<int64_t> axes(begin.size());
  std::iota(axes.begin(), axes.end(), int64_t{0});
  SKERRY_ASSIGN(Value * y, lower.make("Slice", {x, lower.list(begin), lower.list(end),
                                                lower.list(axes), lower.list(steps)}));
  if (!shrunk.empty()) {
    SKERRY_ASSIGN(y, lower.make("Squeeze", {y, lower.list(shrunk)}));
  }
  return lower.set(0, y);
}

Result<void> reverse(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(const auto axes, lower.ints(1));
  const std::vector<int64_t> begin(axes.size(), -1);
  const std::vector<int64_t> end(axes.size(), INT64_MIN);
  SKERRY_ASSIGN(Value * y, lower.make("Slice", {x, lower.list(begin), lower.list(end),
                                                lower.list(axes), lower.list(begin)}));
  return lower.set(0, y);
}

Result<void> gather(Lowering& lower) {
  if (lower.option(1) != 0) return lower.refuse("batch dimensions are not supported");
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(Value * indices, lower.in(1));
  SKERRY_ASSIGN(Value * y, lower.make("Gather", {x, indices}, {{"axis", lower.option(0)}}));
  return lower.set(0, y);
}

Result<void> gather_nd(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(Value * indices, lower.in(1));
  SKERRY_ASSIGN(indices, lower.make("Cast", {indices}, {{"to", DataType::kInt64}}));
  SKERRY_ASSIGN(Value * y, lower.make("GatherND", {x, indices}));
  return lower.set(0, y);
}

// TILE and BROADCAST_TO: a value and a list.
Result<void> by_list(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(const auto sizes, lower.ints(1));
  SKERRY_ASSIGN(Value * y, lower.make(lower.op(), {x, lower.list(sizes)}));
  return lower.set(0, y);
}

Result<void> depth_and_space(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(x, lower.channels_first(x));
  SKERRY_ASSIGN(Value * y, lower.make(lower.op(), {x}, {{"blocksize", lower.option(0)}}));
  SKERRY_ASSIGN(y, lower.channels_last(y));
  return lower.set(0, y);
}

Result<void> shape_of(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(Value * y, lower.make("Shape", {x}));
  SKERRY_ASSIGN(const DataType type, data_type_of(lower.out_table().type));
  SKERRY_ASSIGN(y, lower.make("Cast", {y}, {{"to", type}}));
  return lower.set(0, y);
}

Result<void> top_k(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(const auto k, lower.ints(1));
  SKERRY_ASSIGN(const auto made, lower.make_many("TopK", {x, lower.list(k)}, {}, 2));
  SKERRY_TRY(lower.set(0, made[0]));
  SKERRY_ASSIGN(Value * indices, lower.make("Cast", {made[1]}, {{"to", DataType::kInt32}}));
  return lower.set(1, indices);
}

}  // namespace

std::span<const Row> movement_rows() {
  static const Row kRows[] = {
      {2, "CONCATENATION", concatenation},
      {5, "DEPTH_TO_SPACE", depth_and_space, "DepthToSpace"},
      {22, "RESHAPE", reshape},
      {26, "SPACE_TO_DEPTH", depth_and_space, "SpaceToDepth"},
      {34, "PAD", pad},
      {36, "GATHER", gather},
      {39, "TRANSPOSE", transpose},
      {43, "SQUEEZE", to_declared_shape},
      {45, "STRIDED_SLICE", strided_slice},
      {48, "TOPK_V2", top_k},
      {49, "SPLIT", split},
      {60, "PADV2", pad},
      {65, "SLICE", slice},
      {69, "TILE", by_list, "Tile"},
      {70, "EXPAND_DIMS", to_declared_shape},
      {77, "SHAPE", shape_of},
      {83, "PACK", pack},
      {88, "UNPACK", unpack},
      {100, "MIRROR_PAD", pad},
      {102, "SPLIT_V", split},
      {105, "REVERSE_V2", reverse},
      {107, "GATHER_ND", gather_nd},
      {130, "BROADCAST_TO", by_list, "Expand"},
  };
  return kRows;
}

}  // namespace skerry::graph::tflite
