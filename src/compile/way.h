// The ways in which a layer can be computed: what the tuner chooses from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::compile {

// Of one layer, on one target. By name, the sizes are
//   rows, taps  lanes, vectors, pixels of a tile, chains of sums: dense convolutions and products;
//               weights in the order of the window's rows, or tap by tap
//   winograd    vectors, tiles
//   sparse      vectors of pixels, channels that are taken together
//   depthwise   lanes
struct Way {
  std::string name;
  std::vector<int> sizes;

  bool operator==(const Way&) const = default;
  std::string text() const;  // "rows 16x4x6x0"
};
// Absent where it is no such text, whose sizes are at most 4096.
std::optional<Way> parse_way(std::string_view text);

// Of a dense layer: pixels of its output by row (of a product, one row), channels of a group,
// window.
struct LayerSizes {
  int64_t rows = 0, width = 0, channels = 0, groups = 1;
  int64_t inputs = 0;  // channels of a group
  int64_t taps_h = 1, taps_w = 1;
  bool of_bytes = false;
};

// What was decided about one layer.
struct Choice {
  std::string layer;      // what decides about its speed: "conv fp32 n1 in 8x8x64 out …"
  std::vector<Way> ways;  // of which the first is the one without a tuning
  LayerSizes sizes = {};  // for cost_model.h; none of those that it does not count
  size_t chosen = 0;
  bool is_tuned = false;  // by the caller
  // The program's steps that compute it, with what brings its inputs into place.
  size_t first_step = 0, end_step = 0;
};

}  // namespace skerry::compile
