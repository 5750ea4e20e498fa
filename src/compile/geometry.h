// Numbers that convolutions and pools are cut by. Internal to this folder.
#pragma once

#include "compile/lowering.h"

namespace skerry::compile {

struct ConvGeometry {
  int64_t n = 1, in_c = 1, out_c = 1, groups = 1;
  int64_t in_h = 1, in_w = 1, out_h = 1, out_w = 1;
  int64_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  int64_t pad_top = 0, pad_left = 0;
  bool ceil_mode = false;

  // What the windows reach beyond the input.
  Padding padding() const;
  int64_t macs() const { return n * out_h * out_w * out_c * kernel_h * kernel_w * in_c / groups; }
};

// Of Conv, QLinearConv (its weights' shape is given) and pools (empty).
Result<ConvGeometry> conv_geometry(const Node& node, const std::vector<int64_t>& weights);

// The same of pools over everything.
Result<ConvGeometry> pool_geometry(const Node& node);

// Whether lower_winograd() (lower_winograd.cc) is for it.
bool is_winograd(const Target& target, const ConvGeometry& geometry);
Result<void> lower_winograd(Lowering& lowering, const Region& region, const ConvGeometry& geometry,
                            const std::string& limits);

// How output channels are cut into tiles of vectors.
struct Tiling {
  int lanes = 4, vectors = 1;
  int most_pixels = 1;  // that fit into registers with them
};
struct Tile {
  int64_t first, lanes;  // channels, with those behind the last one
};
// What a tile may take: vectors of channels, and sums, which are those times pixels.
struct TileLimits {
  int vectors, sums;
};
Tiling tiling_of(const Target& target, int64_t channels, const TileLimits& limits);
Tiling tiling_of(const Target& target, int64_t channels, bool one_pixel);
std::vector<Tile> tiles_of(const Tiling& tiling, int64_t channels);
int64_t pixels_of(const Tiling& tiling, int64_t width);
int depthwise_lanes(int most, const ConvGeometry& geometry);

}  // namespace skerry::compile
