// Fours of bytes, or of words.
#include "compile/dots.h"

#include <algorithm>

namespace skerry::compile {

void append_dot(std::vector<int8_t>& packed, Dots dots, int64_t lanes,
                const std::function<int8_t(int64_t lane, int64_t i)>& at) {
  const auto append = [&](int8_t value, bool word) {
    packed.push_back(value);
    if (word) packed.push_back(static_cast<int8_t>(value < 0 ? -1 : 0));
  };
  // What lies together: all four of a lane, the first and third of it, or one of each lane.
  const int64_t parts = dots == Dots::kPairs ? 2 : dots == Dots::kWords ? 4 : 1;
  for (int64_t part = 0; part < parts; ++part) {
    for (int64_t lane = 0; lane < lanes; ++lane) {
      for (int64_t i = part; i < 4; i += parts) append(at(lane, i), parts > 1);
    }
  }
}

int64_t bytes_of_four(Dots dots) {
  return dots == Dots::kPairs || dots == Dots::kWords ? 8 : 4;
}

// Numbers of 16 bits take more registers than bytes; weights do where pixels pass by them, pixels
// do where weights pass by (kInputsStay in kernels/dot.h).
Tiling byte_tiling(const Target& target, int64_t channels, bool one_pixel) {
  if (target.dots == Dots::kPairs && !one_pixel) return tiling_of(target, channels, {4, 8});
  Tiling tiling = tiling_of(target, channels, one_pixel);
  if (target.dots == Dots::kPairs || target.dots == Dots::kWords) {
    tiling.most_pixels = std::max(1, tiling.most_pixels * 2 / 3);
  }
  return tiling;
}

}  // namespace skerry::compile
