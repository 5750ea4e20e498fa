// Convolutions, sums and pools of bytes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compile/dots.h"
#include "compile/geometry.h"
#include "compile/lowering.h"
#include "compile/sparse_pattern.h"
#include "graph/evaluation.h"

namespace skerry::compile {
namespace {

constexpr int64_t kMaxExact = int64_t{1} << 24;  // above, a sum may not be exact in FP32
constexpr int64_t kMaxSum = int64_t{1} << 30;

// What follows a product in registers.
std::string addition_text(const ByteSum& sum) {
  const auto own = *scale_of(*sum.own);
  const auto other = *scale_of(*sum.other);
  const auto y = *scale_of(*sum.quantise);
  return fmt::format("Addition{{{}, {}, {}, {}}}", literal(own.scale), literal(other.scale),
                     other.zero,
                     range_text(sum.limits.value_or(limits_of(DataType::kUint8)), y.zero));
}

// QLinearConv as the kernels take it.
struct ByteConv {
  ConvGeometry geometry;
  std::span<const int8_t> weights;
  std::vector<float> factors;
  std::vector<int32_t> bias;  // with the input's zero point (and shift) taken in
  int64_t x_zero = 0, y_zero = 0;
  bool wide = false;
};

// `shift`: what the kernel takes inputs less (Dots::kSigned).
Result<ByteConv> byte_conv(const Node& node, int64_t shift) {
  const graph::Constant* w = Lowering::constant(node.input(3));
  const graph::Constant* scales = Lowering::constant(node.input(4));
  const auto x_scale = number_of(node.input(1)), y_scale = number_of(node.input(6));
  const auto x_zero = zero_of(node.input(2)), y_zero = zero_of(node.input(7));
  const graph::Constant* zeros = Lowering::constant(node.input(5));
  const graph::Constant* bias = Lowering::constant(node.input(8));
  if (w == nullptr || w->type() != DataType::kInt8 || scales == nullptr || !x_scale || !y_scale ||
      !x_zero || !y_zero || zeros == nullptr || (node.input(8) != nullptr && bias == nullptr)) {
    return refuse(node, "there is code for constant INT8 weights and constant scales only");
  }
  for (const int64_t zero : graph::Array::from(zeros->view()).to_ints()) {
    if (zero != 0) return refuse(node, "weights with a zero point have no code");
  }
  if (node.input(0)->type().element != DataType::kUint8 ||
      node.output(0)->type().element != DataType::kUint8) {
    return refuse(node, "its input and output are not UINT8");
  }
  ByteConv conv{.weights = w->as<int8_t>(), .x_zero = *x_zero, .y_zero = *y_zero};
  SKERRY_ASSIGN(conv.geometry, conv_geometry(node, w->shape()));
  const auto channels = static_cast<size_t>(w->shape()[0]);
  const size_t size = conv.weights.size() / std::max<size_t>(channels, 1);
  const int64_t furthest = std::max(*x_zero, 255 - *x_zero);
  for (size_t c = 0; c < channels; ++c) {
    const double scale = scales->as<float>()[scales->count() == 1 ? 0 : c];
    const double factor = *x_scale * scale / *y_scale;
    conv.factors.push_back(static_cast<float>(factor));
    if (static_cast<double>(conv.factors.back()) != factor) {
      return refuse(node, "its scales are not those of the integer form");
    }
    int64_t sum = 0, reach = 0;
    for (const int8_t weight : conv.weights.subspan(c * size, size)) {
      sum += weight;
      reach += std::abs(static_cast<int64_t>(weight)) * furthest;
    }
    const int64_t start = bias == nullptr ? 0 : bias->as<int32_t>()[c];
    reach += std::abs(start);
    if (reach >= kMaxSum) return refuse(node, "its sums may not fit into 32 bits");
    conv.wide = conv.wide || reach >= kMaxExact;
    conv.bias.push_back(static_cast<int32_t>(start + (shift - *x_zero) * sum));
  }
  return conv;
}

// Fours of weights of which some are not zero, where that is the faster way (kernels/sparse_u8.h).
struct SparseBytes {
  SparsePattern pattern;
  size_t values_at = 0, index_at = 0, order_at = 0, ends_at = 0;
  View turned;
};

struct ByteCall {
  ByteConv conv;
  std::optional<SparseBytes> sparse;
  Tiling tiling;
  int64_t run = 0, taps_w = 0;
  View x, y;
  std::optional<View> added;
  size_t weights = 0, bias = 0, factors = 0;
  std::string range, addition;
};

std::string byte_call(const Program& program, const ByteCall& call, const Share& share) {
  const ConvGeometry& g = call.conv.geometry;
  const auto x = program.strides(call.x);
  const auto y = program.strides(call.y);
  const auto r = call.added ? program.strides(*call.added) : std::vector<int64_t>(4, 0);
  auto [n, h, w] = output_rows(g, {x, y, call.added ? r : y});
  const int64_t pixels = call.sparse
                             ? int64_t{call.sparse->pattern.lanes} * call.sparse->pattern.vectors
                             : pixels_of(call.tiling, w);
  const int64_t fours = g.kernel_h * call.taps_w * ((call.run + 3) / 4);
  const ConvShare part =
      conv_share(share, {.h = h,
                         .w = w,
                         .channels = g.out_c / g.groups,
                         .pixels = pixels,
                         .wide = int64_t{call.tiling.lanes} * call.tiling.vectors,
                         .one_group = g.groups == 1 && !call.sparse,
                         .reads_weights = 4 * fours * g.out_c > n * g.in_c * g.in_h * g.in_w});
  if (part.is_empty()) return "";
  const int64_t weights =
      call.weights + bytes_of_four(program.target->dots) * part.channels.first * fours;
  h = part.rows.count, w = part.columns.count;
  std::string text = fmt::format(
      "  constexpr ConvU8Shape kShape = {{.n = {}, .h = {}, .w = {}, .channels = {}, .groups = "
      "{},\n"
      "      .x_batch = {}, .x_row = {}, .x_pixel = {}, .y_batch = {}, .y_row = {}, .y_pixel = "
      "{},\n"
      "      .r_batch = {}, .r_row = {}, .r_pixel = {}, .stride_h = {}, .stride_w = {},\n"
      "      .taps_h = {}, .taps_w = {}, .step_h = {}, .step_w = {}, .fours = {}, .x_group = {},\n"
      "      .adds = {}, .wide = {}}};\n",
      n, h, w, part.channels.count, g.groups, x[0], x[2], x[3], y[0], y[2], y[3], r[0], r[2], r[3],
      g.stride_h, g.stride_w, g.kernel_h, call.taps_w, g.dilation_h, g.dilation_w,
      (call.run + 3) / 4, g.in_c / g.groups, call.added.has_value(), call.conv.wide);
  if (call.sparse) {
    return text + fmt::format(
                      "  sparse_u8<kShape, {}>({} + {}, {} + {},\n"
                      "      reinterpret_cast<const int8_t*>(constants + {}),\n"
                      "      reinterpret_cast<const uint16_t*>(constants + {}),\n"
                      "      reinterpret_cast<const uint16_t*>(constants + {}),\n"
                      "      reinterpret_cast<const uint32_t*>(constants + {}),\n"
                      "      reinterpret_cast<const int32_t*>(constants + {}),\n"
                      "      reinterpret_cast<const float*>(constants + {}), {}, {});\n",
                      sparse_tile(call.sparse->pattern), program.pointer(call.x, false),
                      part.in_input(g, x), program.pointer(call.y, true), part.in_output(y),
                      call.sparse->values_at, call.sparse->index_at, call.sparse->order_at,
                      call.sparse->ends_at, call.bias, call.factors,
                      Lowering::scratch_of(program, call.sparse->turned, share), call.range);
  }
  return text + fmt::format(
                    "  conv_u8<kShape, ConvU8Tile{}>(\n"
                    "      {} + {}, {} + {}, reinterpret_cast<const int8_t*>(constants + {}),\n"
                    "      reinterpret_cast<const int32_t*>(constants + {}),\n"
                    "      reinterpret_cast<const float*>(constants + {}), {}, {}, {});\n",
                    tile_text(call.tiling, pixels), program.pointer(call.x, false),
                    part.in_input(g, x) - g.pad_top * x[2] - g.pad_left * x[3],
                    program.pointer(call.y, true), part.in_output(y), weights,
                    call.bias + 4 * part.channels.first, call.factors + 4 * part.channels.first,
                    call.added ? fmt::format("{} + {}", program.pointer(*call.added, false),
                                             part.in_output(r))
                               : "nullptr",
                    call.range, call.addition);
}

std::vector<int8_t> packed_weights(const ByteCall& call, Dots dots, bool rows) {
  const ConvGeometry& g = call.conv.geometry;
  const int64_t in_c = g.in_c / g.groups, out_c = g.out_c / g.groups;
  const int64_t taps = g.kernel_h * call.taps_w;
  std::vector<int8_t> packed;
  for (int64_t group = 0; group < g.groups; ++group) {
    const auto at = [&](int64_t channel, int64_t tap, int64_t i) -> int8_t {
      if (channel >= out_c || i >= call.run) return 0;
      const int64_t kx = rows ? i / in_c : tap % call.taps_w;
      const int64_t c = rows ? i % in_c : i;
      const int64_t row = (group * out_c + channel) * in_c + c;
      return call.conv
          .weights[static_cast<size_t>((row * g.kernel_h + tap / call.taps_w) * g.kernel_w + kx)];
    };
    for (const Tile& tile : tiles_of(call.tiling, out_c)) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        for (int64_t four = 0; four < (call.run + 3) / 4; ++four) {
          for (int64_t first = 0; first < tile.lanes; first += call.tiling.lanes) {
            append_dot(packed, dots, call.tiling.lanes, [&](int64_t lane, int64_t i) {
              return at(tile.first + first + lane, tap, 4 * four + i);
            });
          }
        }
      }
    }
  }
  return packed;
}

// The weight of an output channel, or zero behind the last one and the last input.
int8_t product_weight(const ByteConv& conv, int64_t channel, int64_t i) {
  const ConvGeometry& g = conv.geometry;
  if (channel >= g.out_c || i >= g.in_c) return 0;
  return conv.weights[static_cast<size_t>(channel * g.in_c + i)];
}

// By fours of inputs; absent where it is no product.
std::optional<SparseProduct> sparse_product(const Lowering& lowering, const Region& region,
                                            const ByteConv& conv) {
  const ConvGeometry& g = conv.geometry;
  const bool is_product = g.groups == 1 && g.kernel_h * g.kernel_w == 1 && g.stride_h == 1 &&
                          g.stride_w == 1 && g.padding().is_none() && !region.sum;
  if (!lowering.may_be_sparse() || !is_product) return {};
  return SparseProduct{.channels = g.out_c,
                       .columns = (g.in_c + 3) / 4,
                       .pixels = g.n * g.out_h * g.out_w,
                       .of_bytes = true,
                       .is_zero = [&conv](int64_t channel, int64_t four) {
                         bool is_zero = true;
                         for (int64_t i = 4 * four; i < 4 * four + 4; ++i) {
                           is_zero = is_zero && product_weight(conv, channel, i) == 0;
                         }
                         return is_zero;
                       }};
}

SparseBytes sparse_bytes(Lowering& lowering, const ByteConv& conv, const SparseProduct& product,
                         const Way& way) {
  SparseBytes sparse{.pattern = sparse_pattern(lowering.target(), product, way)};
  std::vector<int8_t> values;
  sparse.pattern.for_all([&](int64_t channel, int64_t four) {
    append_dot(values, lowering.target().dots, 1,
               [&](int64_t, int64_t i) { return product_weight(conv, channel, 4 * four + i); });
  });
  Constants& constants = lowering.program().constants;
  sparse.values_at = constants.add_all(values);
  sparse.index_at = constants.add_all(sparse.pattern.index);
  sparse.order_at = constants.add_all(sparse.pattern.order);
  sparse.ends_at = constants.add_all(sparse.pattern.ends);
  // Fours of the inputs, sixteen rows of results, and bytes of all channels.
  constexpr int64_t kResultRows = 16;  // of kernels/sparse_u8.h
  const int64_t block = int64_t{sparse.pattern.lanes} * sparse.pattern.vectors;
  const int64_t bytes = (conv.geometry.out_c + sparse.pattern.together + 3) / 4;
  sparse.turned = lowering.new_shared_scratch(DataType::kInt32,
                                              (product.columns + kResultRows + bytes) * block);
  return sparse;
}

// The tile, or the sparse form, and the order of the weights that goes with it.
void choose_bytes(Lowering& lowering, const Region& region, ByteCall& call) {
  const ConvGeometry& g = call.conv.geometry;
  const bool has_rows = g.dilation_w == 1 && g.groups == 1;
  const int64_t in_c = g.in_c / g.groups, out_c = g.out_c / g.groups;
  call.tiling = byte_tiling(lowering.target(), out_c, g.out_h * g.out_w * g.n == 1);
  TileSpace space{
      .channels = out_c, .widths = {g.out_w, g.n * g.out_h * g.out_w}, .run = (in_c + 3) / 4};
  if (has_rows) space.names.emplace_back("rows");
  if (!has_rows || g.kernel_w > 1) space.names.emplace_back("taps");
  std::vector<Way> ways = tile_ways(lowering.target(), call.tiling, space);
  std::string layer = layer_text("conv u8", g);
  if (region.sum) layer += " adds";
  if (call.conv.wide) layer += " wide";
  const auto product = sparse_product(lowering, region, call.conv);
  if (product) {
    const SparseWays sparse = sparse_ways(lowering.target(), *product);
    ways.insert(ways.end(), sparse.ways.begin(), sparse.ways.end());
    if (sparse.usual) {
      std::erase(ways, *sparse.usual);
      ways.insert(ways.begin(), *sparse.usual);
    }
    if (sparse.zeros_percent > 0) layer += fmt::format(" zeros {}%", sparse.zeros_percent);
  }
  const Way way = lowering.choose(std::move(layer), std::move(ways), layer_sizes(g, true));
  const bool rows = way.name == "rows" || (way.name == "sparse" && has_rows);
  call.run = rows ? g.kernel_w * in_c : in_c;
  call.taps_w = rows ? 1 : g.kernel_w;
  if (way.name == "sparse") {
    call.sparse = sparse_bytes(lowering, call.conv, *product, way);
  } else {
    call.tiling = tiling_of(way);
  }
}

Result<void> lower_dense_bytes(Lowering& lowering, const Region& region, ByteConv conv) {
  const ConvGeometry& g = conv.geometry;
  const int64_t out_c = g.out_c / g.groups;
  Program& program = lowering.program();
  ByteCall call{.conv = conv};
  SKERRY_ASSIGN(call.x, lowering.image(*region.main->input(0), g.padding(), conv.x_zero, true));
  choose_bytes(lowering, region, call);
  if (!call.sparse) {
    const bool rows = call.taps_w != g.kernel_w || g.kernel_w == 1;
    call.weights = program.constants.add_all(packed_weights(call, lowering.target().dots, rows));
  }
  call.bias = program.constants.add_all(by_lane(call.tiling, out_c, g.groups, conv.bias));
  call.factors = program.constants.add_all(by_lane(call.tiling, out_c, g.groups, conv.factors));
  call.range = range_text(region.limits.value_or(limits_of(DataType::kUint8)), conv.y_zero);
  call.addition = region.sum ? addition_text(*region.sum) : "Addition{}";
  std::vector<size_t> reads = {call.x.storage};
  if (region.sum) {
    SKERRY_ASSIGN(call.added, lowering.image(*region.sum->other->input(0), {}, 0, false));
    reads.push_back(call.added->storage);
  }
  call.y = lowering.new_image(*region.output);
  lowering.set_view(*region.output, Lowering::as_value(call.y, region.output->type().rank()));
  std::vector<size_t> writes = {call.y.storage};
  std::string kernel = "conv_u8 " + tiling_text(call.tiling, g.out_w);
  int64_t macs = g.macs();
  if (call.sparse) {
    writes.push_back(call.sparse->turned.storage);
    const SparsePattern& pattern = call.sparse->pattern;
    const int64_t all = g.out_c * ((g.in_c + 3) / 4);
    kernel = "sparse_u8 " + sparse_text(pattern, all) + " fours";
    macs = macs / all * pattern.kept;
  }
  if (conv.wide) kernel += " wide";
  Step& step = lowering.add_step(std::move(kernel), region, std::move(reads), std::move(writes));
  step.macs = macs;
  step.is_exact = true;
  step.shared_call = [&program, call = std::move(call)](const Share& share) {
    return byte_call(program, call, share);
  };
  return {};
}

// By blocks of lanes, those behind the last channel zero.
struct DepthwiseConstants {
  std::vector<int8_t> weights;
  std::vector<int32_t> bias;
  std::vector<float> factors;
};

DepthwiseConstants depthwise_constants(const ByteConv& conv, Dots dots, int lanes) {
  const ConvGeometry& g = conv.geometry;
  const bool repeats = lanes % g.out_c == 0;  // several pixels in a vector
  const int64_t blocks = (g.out_c + lanes - 1) / lanes, fours = (g.kernel_h + 3) / 4;
  DepthwiseConstants packed;
  for (int64_t block = 0; block < blocks; ++block) {
    const auto channel_of = [&](int64_t lane) {
      return repeats ? lane % g.out_c : block * lanes + lane;
    };
    for (int64_t four = 0; four < fours; ++four) {
      for (int64_t kx = 0; kx < g.kernel_w; ++kx) {
        append_dot(packed.weights, dots, lanes, [&](int64_t lane, int64_t i) -> int8_t {
          const int64_t c = channel_of(lane), ky = 4 * four + i;
          if (c >= g.out_c || ky >= g.kernel_h) return 0;
          return conv.weights[static_cast<size_t>((c * g.kernel_h + ky) * g.kernel_w + kx)];
        });
      }
    }
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const int64_t c = channel_of(lane);
      packed.bias.push_back(c < g.out_c ? conv.bias[static_cast<size_t>(c)] : 0);
      packed.factors.push_back(c < g.out_c ? conv.factors[static_cast<size_t>(c)] : 0);
    }
  }
  return packed;
}

Result<void> lower_depthwise_bytes(Lowering& lowering, const Region& region, const ByteConv& conv) {
  const ConvGeometry& g = conv.geometry;
  Program& program = lowering.program();
  const int usual = depthwise_lanes(lowering.target().lanes, g);
  const int lanes = lowering
                        .choose(layer_text("depthwise u8", g) + (conv.wide ? " wide" : ""),
                                depthwise_ways(lowering.target(), usual, g))
                        .sizes[0];
  const DepthwiseConstants packed = depthwise_constants(conv, lowering.target().dots, lanes);
  SKERRY_ASSIGN(const View x,
                lowering.image(*region.main->input(0), g.padding(), conv.x_zero, true));
  const View y = lowering.new_image(*region.output);
  lowering.set_view(*region.output, Lowering::as_value(y, region.output->type().rank()));
  const int64_t reach =
      ((g.out_w - 1) * g.stride_w + (g.kernel_w - 1) * g.dilation_w + 1) * g.out_c;
  const int64_t line = (reach + 63) / 64 * 64;
  const View lines =
      lowering.new_shared_scratch(DataType::kInt32, (g.kernel_h + 3) / 4 * line + 64);
  const size_t at_w = program.constants.add_all(packed.weights);
  const size_t at_bias = program.constants.add_all(packed.bias);
  const size_t at_factors = program.constants.add_all(packed.factors);
  Step& step = lowering.add_step(fmt::format("depthwise_u8 {}{}", lanes, conv.wide ? " wide" : ""),
                                 region, {x.storage}, {y.storage, lines.storage});
  step.macs = g.macs();
  step.is_exact = true;
  step.shared_call = [&program, g, x, y, lines, line, lanes, at_w, at_bias, at_factors,
                      wide = conv.wide,
                      range = range_text(region.limits.value_or(limits_of(DataType::kUint8)),
                                         conv.y_zero)](const Share& share) -> std::string {
    const auto from = program.strides(x);
    const auto to = program.strides(y);
    const Range rows = range_of(share, g.out_h);
    if (rows.count == 0) return "";
    return fmt::format(
        "  constexpr DepthwiseU8Shape kShape = {{.n = {}, .h = {}, .w = {}, .channels = {},\n"
        "      .x_batch = {}, .x_row = {}, .y_batch = {}, .y_row = {}, .x_pixel = {}, .y_pixel = "
        "{},\n"
        "      .stride_h = {}, .stride_w = {}, .taps_h = {}, .taps_w = {}, .step_h = {},\n"
        "      .step_w = {}, .line = {}, .wide = {}}};\n"
        "  depthwise_u8<kShape, {}>({} + {}, {} + {}, reinterpret_cast<const int8_t*>(constants + "
        "{}),\n"
        "      reinterpret_cast<const int32_t*>(constants + {}),\n"
        "      reinterpret_cast<const float*>(constants + {}), {}, {});\n",
        g.n, rows.count, g.out_w, g.out_c, from[0], from[2], to[0], to[2], from[3], to[3],
        g.stride_h, g.stride_w, g.kernel_h, g.kernel_w, g.dilation_h, g.dilation_w, line, wide,
        lanes, program.pointer(x, false),
        rows.first * g.stride_h * from[2] - g.pad_top * from[2] - g.pad_left * from[3],
        program.pointer(y, true), rows.first * to[2], at_w, at_bias, at_factors,
        Lowering::scratch_of(program, lines, share), range);
  };
  return {};
}

}  // namespace

Result<void> lower_qlinear_conv(Lowering& lowering, const Region& region) {
  const bool is_shifted = lowering.target().dots == Dots::kSigned;
  SKERRY_ASSIGN(ByteConv conv, byte_conv(*region.main, is_shifted ? 128 : 0));
  if (is_depthwise(*region.main)) return lower_depthwise_bytes(lowering, region, conv);
  return lower_dense_bytes(lowering, region, std::move(conv));
}

Result<void> lower_add_bytes(Lowering& lowering, const Region& region) {
  Program& program = lowering.program();
  const Value& first = *region.sum->own->input(0);
  const Value& second = *region.sum->other->input(0);
  const auto shape = shape_of(*region.output);
  View a = lowering.view(first), b = lowering.view(second);
  // The same layout for both; an image where the first one is.
  const bool image =
      shape.size() >= 3 && program.storage(a).is_image && !a.reshaped && a.starts.empty();
  View y;
  if (image) {
    SKERRY_ASSIGN(a, lowering.image(first, {}, 0, false));
    SKERRY_ASSIGN(b, lowering.image(second, {}, 0, false));
    y = lowering.new_image(*region.output);
    lowering.set_view(*region.output, Lowering::as_value(y, shape.size()));
  } else {
    SKERRY_ASSIGN(a, lowering.row_major(first));
    SKERRY_ASSIGN(b, lowering.row_major(second));
    y = lowering.new_row_major(*region.output, shape);
    program.storages[y.storage].is_dense = true;
    lowering.set_view(*region.output, y);
  }
  ByteSum sum = *region.sum;
  sum.limits = region.limits;
  const int64_t zero = scale_of(*sum.own)->zero;
  Step& step = lowering.add_step("add_u8", region, {a.storage, b.storage}, {y.storage});
  step.in_place = image && !a.reshaped;
  step.is_exact = true;
  step.call = [&program, a, b, y, image, shape, zero, addition = addition_text(sum),
               lanes = lowering.target().lanes] {
    int64_t n = 1, h = 1, count = 1;
    for (const int64_t size : shape) count *= size;
    std::vector<int64_t> of_a(4, 0), of_b(4, 0), of_y(4, 0);
    if (image) {
      of_a = program.strides(a), of_b = program.strides(b), of_y = program.strides(y);
      n = y.shape[0], h = y.shape[2], count = y.shape[3] * y.shape[1];
      const auto dense = [&](const std::vector<int64_t>& s) {
        return s[2] == count && s[0] == h * count;
      };
      if (dense(of_a) && dense(of_b) && dense(of_y)) {
        count *= n * h;
        n = h = 1;
      }
    }
    return fmt::format(
        "  for (int n = 0; n < {}; ++n) for (int h = 0; h < {}; ++h) {{\n"
        "    add_u8<{}>({} + n * {} + h * {}, {} + n * {} + h * {}, {} + n * {} + h * {}, {}, {}, "
        "{});\n"
        "  }}\n",
        n, h, lanes, program.pointer(a, false), of_a[0], of_a[2], program.pointer(b, false),
        of_b[0], of_b[2], program.pointer(y, true), of_y[0], of_y[2], count, zero, addition);
  };
  return {};
}

}  // namespace skerry::compile
