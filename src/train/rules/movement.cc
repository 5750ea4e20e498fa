// What only moves elements moves gradients back.
#include <algorithm>

#include "train/gradient.h"

namespace skerry::train {
namespace {

Result<void> reshape(Backward& back) {
  if (back.wants(0)) back.give(0, back.make.reshape(back.gradient(), sizes_of(*back.in(0))));
  return {};
}

Result<void> transpose(Backward& back) {
  Sizes perm = back.node().ints_of("perm");
  const size_t rank = back.rank();
  Sizes inverse(rank);
  for (size_t i = 0; i < rank; ++i) {
    const size_t from = perm.empty() ? rank - 1 - i : static_cast<size_t>(perm[i]);
    inverse[from] = static_cast<int64_t>(i);
  }
  back.give(0, back.make.transpose(back.gradient(), inverse));
  return {};
}

// Backward::give() sums over what was repeated.
Result<void> expand(Backward& back) {
  if (back.wants(0)) back.give(0, back.gradient());
  return {};
}

Result<void> concat(Backward& back) {
  const size_t axis = back.axis();
  int64_t at = 0;
  for (size_t i = 0; i < back.node().inputs().size(); ++i) {
    const int64_t end = at + sizes_of(*back.in(i))[axis];
    if (back.wants(i)) {
      back.give(i, back.make.slice(back.gradient(), {at}, {end}, {static_cast<int64_t>(axis)}));
    }
    at = end;
  }
  return {};
}

Result<void> split(Backward& back) {
  Builder& make = back.make;
  std::vector<Value*> parts;
  for (size_t i = 0; i < back.node().outputs().size(); ++i) {
    Value* gradient = back.gradient(i);
    parts.push_back(gradient != nullptr ? gradient : make.filled(sizes_of(*back.out(i)), 0));
  }
  back.give(0, make.op("Concat", parts, {{"axis", static_cast<int64_t>(back.axis())}}));
  return {};
}

// For each axis the places that were taken, as one index list: zeros, and the rows put there.
Result<void> slice(Backward& back) {
  Builder& make = back.make;
  SKERRY_ASSIGN(const Sizes starts, back.constant_ints(1));
  Sizes axes;
  for (size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (back.in(3) != nullptr) {
    SKERRY_ASSIGN(axes, back.constant_ints(3));
  }
  Sizes steps(starts.size(), 1);
  if (back.in(4) != nullptr) {
    SKERRY_ASSIGN(steps, back.constant_ints(4));
  }
  const Sizes in = sizes_of(*back.in(0));
  const Sizes out = sizes_of(*back.out());
  if (std::ranges::find(out, 0) != out.end()) return {};
  Value* dx = back.gradient();
  const auto rank = static_cast<int64_t>(in.size());
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(axes[i] < 0 ? axes[i] + rank : axes[i]);
    if (steps[i] != 1) {
      // Rows of a matrix that has a one where element k of the output came from.
      int64_t start = starts[i] < 0 ? starts[i] + in[axis] : starts[i];
      start = std::clamp<int64_t>(start, 0, in[axis] - (steps[i] < 0 ? 1 : 0));
      std::vector<float> ones(static_cast<size_t>(out[axis] * in[axis]), 0);
      for (int64_t k = 0; k < out[axis]; ++k) {
        ones[static_cast<size_t>(k * in[axis] + start + k * steps[i])] = 1;
      }
      Value* placed =
          make.matmul(make.swap(dx, axis, in.size() - 1), make.floats({out[axis], in[axis]}, ones));
      dx = make.swap(placed, axis, in.size() - 1);
      continue;
    }
    const int64_t start =
        std::clamp<int64_t>(starts[i] < 0 ? starts[i] + in[axis] : starts[i], 0, in[axis]);
    Sizes pads(2 * in.size(), 0);
    pads[axis] = start;
    pads[in.size() + axis] = in[axis] - start - out[axis];
    dx = make.op("Pad", {dx, make.ints(pads)});
  }
  back.give(0, dx);
  return {};
}

Result<void> pad(Backward& back) {
  if (back.node().string_of("mode") != "constant") return back.refuse("it repeats its input");
  if (!back.wants(0)) return {};
  SKERRY_ASSIGN(const Sizes pads, back.constant_ints(1));
  const Sizes in = sizes_of(*back.in(0));
  const auto rank = static_cast<int64_t>(in.size());
  Sizes axes;
  for (int64_t i = 0; i < rank; ++i) axes.push_back(i);
  if (back.in(3) != nullptr) {
    SKERRY_ASSIGN(axes, back.constant_ints(3));
  }
  Builder& make = back.make;
  Value* dx = back.gradient();
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(axes[i] < 0 ? axes[i] + rank : axes[i]);
    const int64_t before = pads[i];
    const int64_t after = pads[axes.size() + i];
    // Pads below zero cut: what was cut gets zeros.
    const int64_t begin = std::max<int64_t>(before, 0);
    const int64_t end = sizes_of(*dx)[axis] - std::max<int64_t>(after, 0);
    dx = make.slice(dx, {begin}, {end}, {static_cast<int64_t>(axis)});
    if (before >= 0 && after >= 0) continue;
    Sizes back_again(2 * in.size(), 0);
    back_again[axis] = std::max<int64_t>(-before, 0);
    back_again[in.size() + axis] = std::max<int64_t>(-after, 0);
    dx = make.op("Pad", {dx, make.ints(back_again)});
  }
  back.give(0, dx);
  return {};
}

// [repeats₀, size₀, repeats₁, size₁ …], summed over the repeats.
Result<void> tile(Backward& back) {
  SKERRY_ASSIGN(const Sizes repeats, back.constant_ints(1));
  const Sizes in = sizes_of(*back.in(0));
  Sizes split;
  Sizes axes;
  for (size_t i = 0; i < in.size(); ++i) {
    axes.push_back(static_cast<int64_t>(split.size()));
    split.push_back(repeats[i]);
    split.push_back(in[i]);
  }
  Value* sums = back.make.sum(back.make.reshape(back.gradient(), split), axes, false);
  back.give(0, back.make.reshape(sums, in));
  return {};
}

Result<void> depth_to_space(Backward& back) {
  Builder& make = back.make;
  const int64_t block = back.node().int_of("blocksize");
  const Sizes in = sizes_of(*back.in(0));
  if (back.node().string_of("mode") == "DCR") {
    back.give(0, make.op("SpaceToDepth", {back.gradient()}, {{"blocksize", block}}));
    return {};
  }
  const int64_t channels = in[1] / (block * block);
  Value* split = make.reshape(back.gradient(), {in[0], channels, in[2], block, in[3], block});
  back.give(0, make.reshape(make.transpose(split, {0, 1, 3, 5, 2, 4}), in));
  return {};
}

Result<void> space_to_depth(Backward& back) {
  back.give(0, back.make.op("DepthToSpace", {back.gradient()},
                            {{"blocksize", back.node().int_of("blocksize")}}));
  return {};
}

}  // namespace

std::span<const GradientRule> movement_rules() {
  static const GradientRule kRules[] = {
      {"Reshape", reshape},
      {"Flatten", reshape},
      {"Squeeze", reshape},
      {"Unsqueeze", reshape},
      {"Transpose", transpose},
      {"Expand", expand},
      {"Concat", concat},
      {"Split", split},
      {"Slice", slice},
      {"Pad", pad},
      {"Tile", tile},
      {"DepthToSpace", depth_to_space},
      {"SpaceToDepth", space_to_depth},
  };
  return kRules;
}

}  // namespace skerry::train
