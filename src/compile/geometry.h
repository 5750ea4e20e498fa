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

// Whether lower_winograd() (lower_winograd.cc) is for it, where nobody has measured.
bool is_winograd(const Target& target, const ConvGeometry& geometry);
// Those that it can have; of them `usual` is the one without a tuning.
struct WinogradWays {
  std::vector<Way> ways;
  Way usual;
};
std::optional<WinogradWays> winograd_ways(const Target& target, const ConvGeometry& geometry);
Result<void> lower_winograd(Lowering& lowering, const Region& region, const ConvGeometry& geometry,
                            const Way& way, const std::string& limits);

// How output channels are cut into tiles of vectors.
struct Tiling {
  int lanes = 4, vectors = 1;
  int most_pixels = 1;  // that fit into registers with them
  int chains = 0;       // of sums side by side; 0: by how many sums a tile has
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
// As the kernels' ConvTile and ConvU8Tile.
std::string tile_text(const Tiling& tiling, int64_t pixels);
// For people: "16×4×6, 2 chains".
std::string tiling_text(const Tiling& tiling, int64_t width);
int depthwise_lanes(int most, const ConvGeometry& geometry);

// The tiles that the target's registers have room for, `usual` first.
struct TileSpace {
  int64_t channels = 1;
  std::vector<int64_t> widths;     // that an output row may have
  int64_t run = 1;                 // elements of a tap
  std::vector<std::string> names;  // of Way, the usual one first
};
std::vector<Way> tile_ways(const Target& target, const Tiling& usual, const TileSpace& space);
Tiling tiling_of(const Way& way);
std::vector<Way> depthwise_ways(const Target& target, int usual_lanes,
                                const ConvGeometry& geometry);

LayerSizes layer_sizes(const ConvGeometry& geometry, bool of_bytes);
// What decides about a layer's speed, as text.
std::string layer_text(std::string_view kind, const ConvGeometry& geometry);

// An output's rows, by the strides of the images that are gone through together: where rows of a
// product follow each other without a gap, they are one row.
struct OutputRows {
  int64_t n, h, w;
};
OutputRows output_rows(const ConvGeometry& geometry,
                       const std::vector<std::vector<int64_t>>& strides);

// A share of a convolution or a product: whole rows, pixels or channels of its output, whichever
// there are enough of. Tiles stay as they are, so that each sum is taken in the same order.
struct ConvWork {
  int64_t h, w, channels;  // of the output; `channels` of a group
  int64_t pixels, wide;    // of a tile
  bool one_group;          // its channels may be shared
  bool reads_weights;      // more of them than of the input
};
struct ConvShare {
  Range rows, columns, channels;
  bool is_empty() const { return rows.count == 0 || columns.count == 0 || channels.count == 0; }
  // Where it begins, by the strides of an image, in elements.
  int64_t in_input(const ConvGeometry& g, const std::vector<int64_t>& strides) const {
    return rows.first * g.stride_h * strides[2] + columns.first * g.stride_w * strides[3];
  }
  int64_t in_output(const std::vector<int64_t>& strides) const {
    return rows.first * strides[2] + columns.first * strides[3] + channels.first;
  }
};
ConvShare conv_share(const Share& share, const ConvWork& work);

}  // namespace skerry::compile
