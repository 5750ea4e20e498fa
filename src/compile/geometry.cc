// Geometry from attributes; tiles from the registers of the target.
#include "compile/geometry.h"

#include <algorithm>
#include <utility>

#include "graph/inference.h"
#include "graph/ops/window.h"

namespace skerry::compile {

Padding ConvGeometry::padding() const {
  Padding padding;
  padding.before = {pad_top, pad_left};
  const auto behind = [](int64_t out, int64_t stride, int64_t kernel, int64_t dilation, int64_t pad,
                         int64_t in) {
    return std::max<int64_t>(0, (out - 1) * stride + (kernel - 1) * dilation + 1 - pad - in);
  };
  padding.after = {behind(out_h, stride_h, kernel_h, dilation_h, pad_top, in_h),
                   behind(out_w, stride_w, kernel_w, dilation_w, pad_left, in_w)};
  return padding;
}

Result<ConvGeometry> conv_geometry(const Node& node, const std::vector<int64_t>& weights) {
  const auto x = shape_of(*node.input(0));
  const auto y = shape_of(*node.output(0));
  if (x.size() != 3 && x.size() != 4) {
    return refuse(node, "it has " + std::to_string(x.size() - 2) +
                            " spatial dimensions; there are kernels for one and two");
  }
  const size_t spatial = x.size() - 2;
  const graph::Inference inference(node, {}, {});
  std::vector<int64_t> kernel;
  if (!weights.empty()) kernel.assign(weights.begin() + 2, weights.end());
  SKERRY_ASSIGN(graph::ops::Window window,
                graph::ops::window_of(inference, spatial, std::move(kernel)));
  for (size_t i = 0; i < spatial; ++i) graph::ops::resolve_padding(window, i, x[i + 2]);
  const size_t w = spatial - 1;
  ConvGeometry g{.n = x[0], .in_c = x[1], .out_c = y[1]};
  if (!weights.empty()) g.groups = node.int_of("group");
  g.in_w = x.back();
  g.out_w = y.back();
  g.kernel_w = window.kernel[w];
  g.stride_w = window.strides[w];
  g.dilation_w = window.dilations[w];
  g.pad_left = window.pads_begin[w];
  g.ceil_mode = window.ceil_mode;
  if (spatial == 2) {
    g.in_h = x[2];
    g.out_h = y[2];
    g.kernel_h = window.kernel[0];
    g.stride_h = window.strides[0];
    g.dilation_h = window.dilations[0];
    g.pad_top = window.pads_begin[0];
  }
  return g;
}

Tiling tiling_of(const Target& target, int64_t channels, const TileLimits& limits) {
  Tiling tiling{.lanes = target.lanes};
  while (tiling.lanes > 4 && tiling.lanes / 2 >= channels) tiling.lanes /= 2;
  const int64_t vectors = (channels + tiling.lanes - 1) / tiling.lanes;
  const int64_t tiles = (vectors + limits.vectors - 1) / limits.vectors;
  tiling.vectors = static_cast<int>((vectors + tiles - 1) / tiles);
  tiling.most_pixels = std::max(1, limits.sums / tiling.vectors);
  return tiling;
}

Tiling tiling_of(const Target& target, int64_t channels, bool one_pixel) {
  const bool many = target.registers >= 32;
  // One pixel: the sums of as many vectors hide how long each addition takes.
  if (one_pixel) return tiling_of(target, channels, TileLimits{many ? 8 : 6, 1});
  return tiling_of(target, channels, many ? TileLimits{4, 24} : TileLimits{2, 12});
}

std::vector<Tile> tiles_of(const Tiling& tiling, int64_t channels) {
  std::vector<Tile> tiles;
  const int64_t wide = int64_t{tiling.lanes} * tiling.vectors;
  for (int64_t first = 0; first < channels; first += wide) {
    const int64_t left = std::min(wide, channels - first);
    tiles.push_back({first, (left + tiling.lanes - 1) / tiling.lanes * tiling.lanes});
  }
  return tiles;
}

int64_t pixels_of(const Tiling& tiling, int64_t width) {
  const int64_t tiles = (width + tiling.most_pixels - 1) / tiling.most_pixels;
  return (width + tiles - 1) / tiles;
}

int depthwise_lanes(int most, const ConvGeometry& g) {
  if (g.out_c >= most || (g.stride_w == 1 && most % g.out_c == 0)) return most;
  int lanes = most;
  while (lanes > 4 && lanes / 2 >= g.out_c) lanes /= 2;
  return lanes;
}

OutputRows output_rows(const ConvGeometry& g, const std::vector<std::vector<int64_t>>& strides) {
  OutputRows rows{g.n, g.out_h, g.out_w};
  if (g.kernel_h * g.kernel_w != 1 || g.stride_h != 1 || g.stride_w != 1) return rows;
  const auto follow = [&](size_t outer) {
    return std::ranges::all_of(strides, [&](const auto& s) { return s[outer] == rows.w * s[3]; });
  };
  if (rows.h > 1 && follow(2)) rows.w *= std::exchange(rows.h, 1);
  if (rows.h == 1 && rows.n > 1 && follow(0)) rows.w *= std::exchange(rows.n, 1);
  return rows;
}

ConvShare conv_share(const Share& share, const ConvWork& work) {
  ConvShare result{{0, work.h}, {0, work.w}, {0, work.channels}};
  if (share.of == 1) return result;
  const int64_t tiles = (work.channels + work.wide - 1) / work.wide;
  // Nearly as much for each: at most a tenth more than the mean.
  const auto is_even = [&](int64_t units) {
    const int64_t most = (units + share.of - 1) / share.of;
    return most * share.of * 10 <= units * 11;
  };
  const int64_t blocks = (work.w + work.pixels - 1) / work.pixels;
  const bool by_weights = work.one_group && work.reads_weights && is_even(tiles);
  if (!by_weights && work.h >= share.of) {
    result.rows = range_of(share, work.h);
  } else if (!by_weights && (is_even(blocks) || !work.one_group || blocks >= tiles)) {
    result.columns = range_of(share, work.w, work.pixels);
  } else {
    result.channels = range_of(share, work.channels, work.wide);
  }
  return result;
}

}  // namespace skerry::compile
