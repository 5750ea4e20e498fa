// Geometry from attributes; tiles from the registers of the target.
#include "compile/geometry.h"

#include <fmt/format.h>

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

std::string tile_text(const Tiling& tiling, int64_t pixels) {
  return fmt::format("{{.lanes = {}, .vectors = {}, .pixels = {}, .chains = {}}}", tiling.lanes,
                     tiling.vectors, pixels, tiling.chains);
}

std::string tiling_text(const Tiling& tiling, int64_t width) {
  const std::string chains = tiling.chains > 0 ? fmt::format(", chains of {}", tiling.chains) : "";
  return fmt::format("{}×{}×{}{}", tiling.lanes, tiling.vectors, pixels_of(tiling, width), chains);
}

int depthwise_lanes(int most, const ConvGeometry& g) {
  if (g.out_c >= most || (g.stride_w == 1 && most % g.out_c == 0)) return most;
  int lanes = most;
  while (lanes > 4 && lanes / 2 >= g.out_c) lanes /= 2;
  return lanes;
}

namespace {

// Chains that the kernels take by themselves (chains_of() in kernels/isa.h).
int usual_chains(int sums) {
  return sums <= 2 ? 4 : sums <= 5 ? 2 : 1;
}

std::vector<int64_t> cut_of(const Tiling& tiling, const TileSpace& space) {
  std::vector<int64_t> cut;
  for (const int64_t width : space.widths) cut.push_back(pixels_of(tiling, width));
  return cut;
}

// Pixels of a tile that cut some width differently from fewer ones.
std::vector<int> pixels_to_try(const Tiling& tile, const TileSpace& space, int most) {
  std::vector<int> result;
  std::vector<int64_t> last;
  for (int pixels = 1; pixels <= most; ++pixels) {
    Tiling tiling = tile;
    tiling.most_pixels = pixels;
    auto cut = cut_of(tiling, space);
    if (cut != std::exchange(last, cut)) result.push_back(pixels);
  }
  return result;
}

}  // namespace

std::vector<Way> tile_ways(const Target& target, const Tiling& usual, const TileSpace& space) {
  std::vector<Way> ways = {
      {space.names[0], {usual.lanes, usual.vectors, usual.most_pixels, usual.chains}}};
  const auto usual_cut = cut_of(usual, space);
  const auto add = [&](const std::string& name, const Tiling& tiling) {
    const bool is_usual = name == space.names[0] && tiling.chains == 0 &&
                          tiling.lanes == usual.lanes && tiling.vectors == usual.vectors &&
                          cut_of(tiling, space) == usual_cut;
    Way way{name, {tiling.lanes, tiling.vectors, tiling.most_pixels, tiling.chains}};
    if (!is_usual && std::ranges::count(ways, way) == 0) ways.push_back(std::move(way));
  };
  const int most_vectors = target.registers >= 32 ? 8 : 6;
  for (const int lanes : {target.lanes, target.lanes / 2, usual.lanes}) {
    const int64_t vectors = (space.channels + lanes - 1) / std::max(lanes, 1);
    for (int v = 1; lanes >= 4 && v <= std::min<int64_t>(vectors, most_vectors); ++v) {
      const int most_sums = target.registers - v - 1;  // with weights, and an input at a time
      const Tiling tile{.lanes = lanes, .vectors = v};
      for (const int pixels : pixels_to_try(tile, space, most_sums / v)) {
        for (const int chains : {0, 1, 2, 4}) {
          const bool fits = v * pixels * chains <= most_sums && chains <= space.run;
          if (!fits || chains == usual_chains(v * pixels)) continue;
          for (const std::string& name : space.names) add(name, {lanes, v, pixels, chains});
        }
      }
    }
  }
  return ways;
}

Tiling tiling_of(const Way& way) {
  return {.lanes = way.sizes[0],
          .vectors = way.sizes[1],
          .most_pixels = way.sizes[2],
          .chains = way.sizes[3]};
}

std::vector<Way> depthwise_ways(const Target& target, int usual_lanes, const ConvGeometry& g) {
  std::vector<Way> ways = {{"depthwise", {usual_lanes}}};
  for (int lanes = target.lanes; lanes >= 4; lanes /= 2) {
    Way way{"depthwise", {depthwise_lanes(lanes, g)}};
    if (std::ranges::count(ways, way) == 0) ways.push_back(std::move(way));
  }
  return ways;
}

LayerSizes layer_sizes(const ConvGeometry& g, bool of_bytes) {
  return {.rows = g.n * g.out_h,
          .width = g.out_w,
          .channels = g.out_c / g.groups,
          .groups = g.groups,
          .inputs = g.in_c / g.groups,
          .taps_h = g.kernel_h,
          .taps_w = g.kernel_w,
          .of_bytes = of_bytes};
}

std::string layer_text(std::string_view kind, const ConvGeometry& g) {
  return fmt::format(
      "{} n{} in {}x{}x{} out {}x{}x{} window {}x{} stride {}x{} dilation {}x{} "
      "groups {}",
      kind, g.n, g.in_h, g.in_w, g.in_c, g.out_h, g.out_w, g.out_c, g.kernel_h, g.kernel_w,
      g.stride_h, g.stride_w, g.dilation_h, g.dilation_w, g.groups);
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
