// Convolutions of 3×3 by Winograd's algorithm: when, and with which weights.
#include <fmt/format.h>

#include <algorithm>

#include "compile/geometry.h"
#include "compile/lowering.h"

namespace skerry::compile {
namespace {

// What the weights may take once transformed, so that a core's second cache holds them.
constexpr int64_t kMaxWeightBytes = 512 << 10;
// And what is not worth trying.
constexpr int64_t kMostWeightBytes = 4 << 20;

// G g Gᵀ of one 3×3 window.
std::array<double, 16> transformed(std::span<const float> g) {
  constexpr double kG[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
  std::array<double, 16> result{};
  for (size_t a = 0; a < 4; ++a) {
    for (size_t b = 0; b < 4; ++b) {
      for (size_t y = 0; y < 3; ++y) {
        for (size_t x = 0; x < 3; ++x) result[4 * a + b] += kG[a][y] * kG[b][x] * g[3 * y + x];
      }
    }
  }
  return result;
}

struct WinogradCall {
  ConvGeometry geometry;
  int lanes = 0, vectors = 0, tiles = 0;
  View x, y, scratch;
  std::optional<View> added;
  size_t weights = 0, bias = 0;
  std::string limits;
  bool clamps = false;
};

std::string winograd_call(const Program& program, const WinogradCall& call, const Share& share) {
  const ConvGeometry& g = call.geometry;
  const auto x = program.strides(call.x);
  const auto y = program.strides(call.y);
  const auto r = call.added ? program.strides(*call.added) : std::vector<int64_t>(4, 0);
  const Range rows = range_of(share, g.out_h, 2);
  if (rows.count == 0) return "";
  return fmt::format(
      "  constexpr WinogradShape kShape = {{.n = {}, .h = {}, .w = {}, .in = {}, .out = {},\n"
      "      .x_batch = {}, .x_row = {}, .y_batch = {}, .y_row = {}, .y_pixel = {}, .r_batch = "
      "{},\n"
      "      .r_row = {}, .r_pixel = {}, .adds = {}, .clamps = {}}};\n"
      "  winograd<kShape, WinogradTile{{.lanes = {}, .vectors = {}, .tiles = {}}}>(\n"
      "      {} + {}, {} + {}, reinterpret_cast<const float*>(constants + {}),\n"
      "      reinterpret_cast<const float*>(constants + {}), {}, {}, {});\n",
      g.n, rows.count, g.out_w, g.in_c, g.out_c, x[0], x[2], y[0], y[2], y[3], r[0], r[2], r[3],
      call.added.has_value(), call.clamps, call.lanes, call.vectors, call.tiles,
      program.pointer(call.x, false), rows.first * x[2] - g.pad_top * x[2] - g.pad_left * x[3],
      program.pointer(call.y, true), rows.first * y[2], call.weights, call.bias,
      call.added ? fmt::format("{} + {}", program.pointer(*call.added, false), rows.first * r[2])
                 : "nullptr",
      Lowering::scratch_of(program, call.scratch, share), call.limits);
}

}  // namespace

bool is_winograd(const Target& target, const ConvGeometry& g) {
  return winograd_ways(target, g) && 16 * g.in_c * g.out_c * 4 <= kMaxWeightBytes &&
         g.n * g.out_h * g.out_w >= 64;
}

std::optional<WinogradWays> winograd_ways(const Target& target, const ConvGeometry& g) {
  const bool window = g.kernel_h == 3 && g.kernel_w == 3 && g.stride_h == 1 && g.stride_w == 1 &&
                      g.dilation_h == 1 && g.dilation_w == 1 && g.groups == 1;
  if (!window || g.in_c % target.lanes != 0 || g.out_c % target.lanes != 0 ||
      16 * g.in_c * g.out_c * 4 > kMostWeightBytes || g.n * g.out_h * g.out_w < 16) {
    return {};
  }
  const bool many = target.registers >= 32;
  const int64_t blocks = g.out_c / target.lanes;
  int vectors = many ? 4 : 2;
  while (blocks % vectors != 0) --vectors;
  WinogradWays result{.ways = {}, .usual = {"winograd", {vectors, (many ? 16 : 8) / vectors}}};
  for (vectors = 1; vectors <= (many ? 4 : 2); ++vectors) {
    if (blocks % vectors != 0) continue;
    for (const int tiles : {2, 3, 4, 6, 8, 12, 16, 24}) {
      const bool fits = vectors * tiles + vectors < target.registers;
      if (fits && tiles <= g.n * g.out_h * g.out_w / 4) {
        result.ways.push_back({"winograd", {vectors, tiles}});
      }
    }
  }
  return result;
}

Result<void> lower_winograd(Lowering& lowering, const Region& region, const ConvGeometry& g,
                            const Way& way, const std::string& limits) {
  Program& program = lowering.program();
  WinogradCall call{.geometry = g,
                    .lanes = lowering.target().lanes,
                    .vectors = way.sizes[0],
                    .tiles = way.sizes[1],
                    .limits = limits};
  const auto w = Lowering::constant(region.main->input(1))->as<float>();
  std::vector<float> packed(static_cast<size_t>(16 * g.in_c * g.out_c));
  const int64_t wide = int64_t{call.lanes} * call.vectors;
  for (int64_t o = 0; o < g.out_c; ++o) {
    for (int64_t i = 0; i < g.in_c; ++i) {
      const auto u = transformed(w.subspan(static_cast<size_t>((o * g.in_c + i) * 9), 9));
      for (int64_t k = 0; k < 16; ++k) {
        const int64_t at = k * g.in_c * g.out_c + (o / wide * g.in_c + i) * wide + o % wide;
        packed[static_cast<size_t>(at)] = static_cast<float>(u[static_cast<size_t>(k)]);
      }
    }
  }
  // Whole tiles: an odd last row or column reads one further.
  Padding padding = g.padding();
  padding.after[0] += g.out_h % 2;
  padding.after[1] += g.out_w % 2;
  SKERRY_ASSIGN(call.x, lowering.image(*region.main->input(0), padding, 0, false));
  const graph::Constant* bias = Lowering::constant(region.main->input(2));
  std::vector<float> start(static_cast<size_t>(g.out_c), 0);
  if (bias != nullptr) std::ranges::copy(bias->as<float>(), start.begin());
  call.weights = program.constants.add_all(packed);
  call.bias = program.constants.add_all(start);
  call.clamps = region.low || region.high;
  std::vector<size_t> reads = {call.x.storage};
  if (region.added != nullptr) {
    SKERRY_ASSIGN(call.added, lowering.image(*region.added, {}, 0, false));
    reads.push_back(call.added->storage);
  }
  call.y = lowering.new_image(*region.output);
  lowering.set_view(*region.output, Lowering::as_value(call.y, region.output->type().rank()));
  call.scratch = lowering.new_shared_scratch(DataType::kFp32, 16 * call.tiles * (g.in_c + g.out_c));
  Step& step =
      lowering.add_step(fmt::format("winograd {}×{}×{}", call.lanes, call.vectors, call.tiles),
                        region, std::move(reads), {call.y.storage, call.scratch.storage});
  step.macs = g.macs();
  step.shared_call = [&program, call = std::move(call)](const Share& share) {
    return winograd_call(program, call, share);
  };
  return {};
}

}  // namespace skerry::compile
