// How weights of bytes lie for the target's way to multiply them. Internal to this folder.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "compile/geometry.h"

namespace skerry::compile {

// The four weights of each lane, in the order of Dot<L> (kernels/dot.h).
void append_dot(std::vector<int8_t>& packed, Dots dots, int64_t lanes,
                const std::function<int8_t(int64_t lane, int64_t i)>& at);
// Of one lane, as append_dot() packs them.
int64_t bytes_of_four(Dots dots);

// The tiles of products of bytes, where nobody has measured.
Tiling byte_tiling(const Target& target, int64_t channels, bool one_pixel);

// Values by output channel, with those behind the last one of each group as zeros.
template <class T>
std::vector<T> by_lane(const Tiling& tiling, int64_t channels, int64_t groups,
                       const std::vector<T>& values) {
  std::vector<T> result;
  for (int64_t group = 0; group < groups; ++group) {
    for (const Tile& tile : tiles_of(tiling, channels)) {
      for (int64_t lane = 0; lane < tile.lanes; ++lane) {
        const int64_t c = tile.first + lane;
        result.push_back(c < channels ? values[static_cast<size_t>(group * channels + c)] : T(0));
      }
    }
  }
  return result;
}

}  // namespace skerry::compile
