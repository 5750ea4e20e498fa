// Makers of operators that move elements or change shapes.
#include <numeric>

#include "graph/random/builder.h"

namespace skerry::graph::random {
namespace {

int64_t rank_of(const Value& value) {
  return static_cast<int64_t>(value.type().rank());
}

// An axis behind the first, which may be open.
int64_t inner_axis(Builder& builder, const Value& value) {
  return builder.between(1, rank_of(value) - 1);
}

bool reshape(Builder& builder) {
  Value* x = builder.pick_float(2, 5);
  if (x == nullptr) return false;
  const auto tail = *tail_of(*x);
  const int64_t size = std::accumulate(tail.begin(), tail.end(), int64_t{1}, std::multiplies<>());
  std::vector<int64_t> shape = {0};
  for (int64_t rest = size; rest > 1 && shape.size() < 4;) {
    std::vector<int64_t> divisors;
    for (int64_t d = 1; d <= rest; ++d) {
      if (rest % d == 0) divisors.push_back(d);
    }
    const int64_t next = shape.size() == 3 ? rest : builder.one_of(divisors);
    shape.push_back(next);
    rest /= next;
  }
  const int64_t made =
      std::accumulate(shape.begin() + 1, shape.end(), int64_t{1}, std::multiplies<>());
  if (made != size) shape.push_back(size / made);
  if (shape.size() > 1 && builder.chance(30)) shape.back() = -1;
  return builder.offer(builder.make("Reshape", {x, &builder.ints(std::move(shape))}));
}

// The shape comes from a value, as exporters of frameworks write it.
bool reshape_by_shape(Builder& builder) {
  Value* x = builder.pick_float(3, 4);
  if (x == nullptr) return false;
  Value* shape = builder.make("Shape", {x});
  Value* first = shape != nullptr ? builder.make("Gather", {shape, &builder.ints({0})}) : nullptr;
  Value* target = first != nullptr
                      ? builder.make("Concat", {first, &builder.ints({-1})}, {{"axis", int64_t{0}}})
                      : nullptr;
  return target != nullptr && builder.offer(builder.make("Reshape", {x, target}));
}

bool flatten(Builder& builder) {
  Value* x = builder.pick_float(2, 5);
  return x != nullptr && builder.offer(builder.make("Flatten", {x}));
}

bool transpose(Builder& builder) {
  Value* x = builder.pick_float(2, 5);
  if (x == nullptr) return false;
  std::vector<int64_t> perm(x->type().rank());
  std::iota(perm.begin(), perm.end(), int64_t{0});
  // An open dimension stays in front, where the makers expect it.
  const int64_t first = (*x->type().shape)[0].is_fixed() ? 0 : 1;
  const auto last = static_cast<int64_t>(perm.size()) - 1;
  for (int64_t i = last; i > first; --i) {
    std::swap(perm[static_cast<size_t>(i)], perm[static_cast<size_t>(builder.between(first, i))]);
  }
  return builder.offer(builder.make("Transpose", {x}, {{"perm", std::move(perm)}}));
}

bool unsqueeze(Builder& builder) {
  Value* x = builder.pick_float(1, 4);
  if (x == nullptr) return false;
  return builder.offer(
      builder.make("Unsqueeze", {x, &builder.ints({builder.between(1, rank_of(*x))})}));
}

bool squeeze(Builder& builder) {
  Value* x = builder.pick([](const Value& value) {
    const auto tail = value.type().element == DataType::kFp32 && value.type().rank() > 1
                          ? tail_of(value)
                          : std::nullopt;
    return tail && tail->back() == 1;
  });
  return x != nullptr && builder.offer(builder.make("Squeeze", {x, &builder.ints({-1})}));
}

bool concat(Builder& builder) {
  Value* x = builder.pick_float(2, 5);
  if (x == nullptr) return false;
  Value* y = builder.pick([&](const Value& other) {
    return other.type().element == DataType::kFp32 && other.type().shape == x->type().shape;
  });
  return builder.offer(builder.make("Concat", {x, y}, {{"axis", inner_axis(builder, *x)}}));
}

bool split(Builder& builder) {
  Value* x = builder.pick_float(2, 5);
  if (x == nullptr) return false;
  const int64_t axis = inner_axis(builder, *x);
  const int64_t size = (*x->type().shape)[static_cast<size_t>(axis)].size();
  if (size < 2) return false;
  const int64_t first = builder.between(1, size - 1);
  Node* node = builder.add("Split", {x, &builder.ints({first, size - first})}, {{"axis", axis}}, 2);
  if (node == nullptr) return false;
  builder.offer(node->output(0));
  return builder.offer(node->output(1));
}

bool slice(Builder& builder) {
  Value* x = builder.pick_float(2, 5);
  if (x == nullptr) return false;
  const int64_t axis = inner_axis(builder, *x);
  const int64_t size = (*x->type().shape)[static_cast<size_t>(axis)].size();
  if (size < 2) return false;
  if (builder.chance(25)) {  // backwards
    return builder.offer(
        builder.make("Slice", {x, &builder.ints({-1}), &builder.ints({INT64_MIN}),
                               &builder.ints({axis}), &builder.ints({-builder.between(1, 2)})}));
  }
  const int64_t start = builder.between(0, size - 1);
  const int64_t end = builder.chance(40) ? INT64_MAX : builder.between(start + 1, size);
  return builder.offer(
      builder.make("Slice", {x, &builder.ints({start}), &builder.ints({end}), &builder.ints({axis}),
                             &builder.ints({builder.between(1, 2)})}));
}

bool pad(Builder& builder) {
  static const std::vector<std::string> kModes = {"constant", "constant", "edge", "reflect"};
  Value* x = builder.pick_float(2, 4);
  if (x == nullptr) return false;
  const size_t rank = x->type().rank();
  const auto axis = static_cast<size_t>(inner_axis(builder, *x));
  const std::string& mode = builder.one_of(kModes);
  const int64_t size = (*x->type().shape)[axis].size();
  const int64_t most = mode == "reflect" ? std::min<int64_t>(2, size - 1) : 2;
  std::vector<int64_t> pads(2 * rank, 0);
  pads[axis] = builder.between(0, most);
  pads[rank + axis] = builder.between(0, most);
  std::vector<Value*> inputs = {x, &builder.ints(std::move(pads))};
  if (mode == "constant" && builder.chance(50)) inputs.push_back(&builder.scalar(0.5F));
  Attributes attributes;
  if (mode != "constant") attributes["mode"] = mode;
  return builder.offer(builder.make("Pad", std::move(inputs), std::move(attributes)));
}

bool tile(Builder& builder) {
  Value* x = builder.pick_float(2, 4);
  if (x == nullptr) return false;
  std::vector<int64_t> repeats(x->type().rank(), 1);
  repeats[static_cast<size_t>(inner_axis(builder, *x))] = 2;
  return builder.offer(builder.make("Tile", {x, &builder.ints(std::move(repeats))}));
}

bool expand(Builder& builder) {
  Value* x = builder.pick_float(1, 4);
  if (x == nullptr) return false;
  std::vector<int64_t> shape(x->type().rank(), 1);
  for (int64_t& size : shape) size = builder.chance(30) ? 2 : 1;
  return builder.offer(builder.make("Expand", {x, &builder.ints(std::move(shape))}));
}

bool depth_to_space(Builder& builder) {
  static const std::vector<std::string> kModes = {"DCR", "CRD"};
  Value* x = builder.pick_float(4, 4);
  if (x == nullptr) return false;
  const auto tail = *tail_of(*x);
  if (tail[0] % 4 == 0) {
    return builder.offer(builder.make(
        "DepthToSpace", {x}, {{"blocksize", int64_t{2}}, {"mode", builder.one_of(kModes)}}));
  }
  if (tail[1] % 2 != 0 || tail[2] % 2 != 0) return false;
  return builder.offer(builder.make("SpaceToDepth", {x}, {{"blocksize", int64_t{2}}}));
}

bool gather(Builder& builder) {
  Value* x = builder.pick_float(2, 4);
  if (x == nullptr) return false;
  const int64_t axis = inner_axis(builder, *x);
  const int64_t size = (*x->type().shape)[static_cast<size_t>(axis)].size();
  std::vector<int64_t> indices;
  for (int64_t i = builder.between(1, 4); i > 0; --i) {
    indices.push_back(builder.between(-size, size - 1));
  }
  return builder.offer(
      builder.make("Gather", {x, &builder.ints(std::move(indices))}, {{"axis", axis}}));
}

bool top_k(Builder& builder) {
  Value* x = builder.pick_float(2, 4);
  if (x == nullptr) return false;
  Node* node = builder.add("TopK", {x, &builder.ints({1})}, {{"axis", inner_axis(builder, *x)}}, 2);
  return node != nullptr && builder.offer(node->output(0));
}

}  // namespace

std::span<const Maker> movement_makers() {
  static const Maker kMakers[] = {
      {"Reshape", true, reshape},
      {"Shape Gather Concat Reshape", true, reshape_by_shape},
      {"Flatten", true, flatten},
      {"Transpose", true, transpose},
      {"Transpose", true, transpose},
      {"Unsqueeze", true, unsqueeze},
      {"Squeeze", true, squeeze},
      {"Concat", true, concat},
      {"Split", true, split},
      {"Slice", true, slice},
      {"Pad", true, pad},
      {"Tile", true, tile},
      {"Expand", true, expand},
      {"DepthToSpace SpaceToDepth", true, depth_to_space},
      {"Gather", true, gather},
      {"TopK", true, top_k},
  };
  return kMakers;
}

}  // namespace skerry::graph::random
