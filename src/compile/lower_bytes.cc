// Convolutions, sums and pools of bytes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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

// The four weights of each lane, in the order of Dot<L> (kernels/dot.h).
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

// Of one lane, as append_dot() packs them.
int64_t bytes_of_four(Dots dots) {
  return dots == Dots::kPairs || dots == Dots::kWords ? 8 : 4;
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
      call.weights + part.channels.first * fours * bytes_of_four(program.target->dots);
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
                    "  conv_u8<kShape, ConvU8Tile{{.lanes = {}, .vectors = {}, .pixels = {}}}>(\n"
                    "      {} + {}, {} + {}, reinterpret_cast<const int8_t*>(constants + {}),\n"
                    "      reinterpret_cast<const int32_t*>(constants + {}),\n"
                    "      reinterpret_cast<const float*>(constants + {}), {}, {}, {});\n",
                    call.tiling.lanes, call.tiling.vectors, pixels, program.pointer(call.x, false),
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

std::optional<SparseBytes> sparse_bytes(Lowering& lowering, const ByteConv& conv) {
  const ConvGeometry& g = conv.geometry;
  const bool is_product = g.groups == 1 && g.kernel_h * g.kernel_w == 1 && g.stride_h == 1 &&
                          g.stride_w == 1 && g.padding().is_none();
  if (!lowering.program().may_be_sparse || !is_product) return {};
  const auto at = [&](int64_t channel, int64_t i) -> int8_t {
    if (channel >= g.out_c || i >= g.in_c) return 0;
    return conv.weights[static_cast<size_t>(channel * g.in_c + i)];
  };
  const int64_t fours = (g.in_c + 3) / 4;
  auto pattern = sparse_pattern(lowering.target(), {.channels = g.out_c,
                                                    .columns = fours,
                                                    .pixels = g.n * g.out_h * g.out_w,
                                                    .of_bytes = true,
                                                    .is_zero = [&](int64_t channel, int64_t four) {
                                                      return at(channel, 4 * four) == 0 &&
                                                             at(channel, 4 * four + 1) == 0 &&
                                                             at(channel, 4 * four + 2) == 0 &&
                                                             at(channel, 4 * four + 3) == 0;
                                                    }});
  if (!pattern) return {};
  SparseBytes sparse{.pattern = std::move(*pattern)};
  std::vector<int8_t> values;
  sparse.pattern.for_all([&](int64_t channel, int64_t four) {
    append_dot(values, lowering.target().dots, 1,
               [&](int64_t, int64_t i) { return at(channel, 4 * four + i); });
  });
  Constants& constants = lowering.program().constants;
  sparse.values_at = constants.add_all(values);
  sparse.index_at = constants.add_all(sparse.pattern.index);
  sparse.order_at = constants.add_all(sparse.pattern.order);
  sparse.ends_at = constants.add_all(sparse.pattern.ends);
  // Fours of the inputs, sixteen rows of results, and bytes of all channels.
  constexpr int64_t kResultRows = 16;  // of kernels/sparse_u8.h
  const int64_t block = int64_t{sparse.pattern.lanes} * sparse.pattern.vectors;
  const int64_t bytes = (g.out_c + sparse.pattern.together + 3) / 4;
  sparse.turned =
      lowering.new_shared_scratch(DataType::kInt32, (fours + kResultRows + bytes) * block);
  return sparse;
}

Result<void> lower_dense_bytes(Lowering& lowering, const Region& region, ByteConv conv) {
  const ConvGeometry& g = conv.geometry;
  const bool rows = g.dilation_w == 1 && g.groups == 1;
  const int64_t in_c = g.in_c / g.groups, out_c = g.out_c / g.groups;
  Program& program = lowering.program();
  ByteCall call{.conv = conv,
                .tiling = byte_tiling(lowering.target(), out_c, g.out_h * g.out_w * g.n == 1)};
  const Dots dots = lowering.target().dots;
  call.run = rows ? g.kernel_w * in_c : in_c;
  call.taps_w = rows ? 1 : g.kernel_w;
  SKERRY_ASSIGN(call.x, lowering.image(*region.main->input(0), g.padding(), conv.x_zero, true));
  if (!region.sum) call.sparse = sparse_bytes(lowering, conv);
  if (!call.sparse) call.weights = program.constants.add_all(packed_weights(call, dots, rows));
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
  std::string kernel = fmt::format("conv_u8 {}×{}×{}", call.tiling.lanes, call.tiling.vectors,
                                   pixels_of(call.tiling, g.out_w));
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

Result<void> lower_depthwise_bytes(Lowering& lowering, const Region& region, const ByteConv& conv) {
  const ConvGeometry& g = conv.geometry;
  Program& program = lowering.program();
  const int lanes = depthwise_lanes(lowering.target().lanes, g);
  const bool repeats = lanes % g.out_c == 0;  // several pixels in a vector
  const int64_t blocks = (g.out_c + lanes - 1) / lanes, fours = (g.kernel_h + 3) / 4;
  std::vector<int8_t> packed;
  std::vector<int32_t> bias;
  std::vector<float> factors;
  for (int64_t block = 0; block < blocks; ++block) {
    const auto channel_of = [&](int64_t lane) {
      return repeats ? lane % g.out_c : block * lanes + lane;
    };
    for (int64_t four = 0; four < fours; ++four) {
      for (int64_t kx = 0; kx < g.kernel_w; ++kx) {
        append_dot(packed, lowering.target().dots, lanes, [&](int64_t lane, int64_t i) -> int8_t {
          const int64_t c = channel_of(lane), ky = 4 * four + i;
          if (c >= g.out_c || ky >= g.kernel_h) return 0;
          return conv.weights[static_cast<size_t>((c * g.kernel_h + ky) * g.kernel_w + kx)];
        });
      }
    }
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const int64_t c = channel_of(lane);
      bias.push_back(c < g.out_c ? conv.bias[static_cast<size_t>(c)] : 0);
      factors.push_back(c < g.out_c ? conv.factors[static_cast<size_t>(c)] : 0);
    }
  }
  SKERRY_ASSIGN(const View x,
                lowering.image(*region.main->input(0), g.padding(), conv.x_zero, true));
  const View y = lowering.new_image(*region.output);
  lowering.set_view(*region.output, Lowering::as_value(y, region.output->type().rank()));
  const int64_t reach =
      ((g.out_w - 1) * g.stride_w + (g.kernel_w - 1) * g.dilation_w + 1) * g.out_c;
  const int64_t line = (reach + 63) / 64 * 64;
  const View lines = lowering.new_shared_scratch(DataType::kInt32, fours * line + 64);
  const size_t at_w = program.constants.add_all(packed), at_bias = program.constants.add_all(bias);
  const size_t at_factors = program.constants.add_all(factors);
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

// INT8 weights without a zero point, [inner, columns]; absent where they are others.
std::optional<std::vector<int8_t>> product_weights(const Node& node) {
  const graph::Constant* w = Lowering::constant(node.input(1));
  const graph::Constant* zero = Lowering::constant(node.input(3));
  if (w == nullptr || w->shape().size() != 2 || (node.input(3) != nullptr && zero == nullptr)) {
    return {};
  }
  const auto values = graph::Array::from(w->view()).to_ints();
  std::vector<int64_t> zeros = {0};
  if (zero != nullptr) zeros = graph::Array::from(zero->view()).to_ints();
  const auto columns = static_cast<size_t>(w->shape()[1]);
  if (zeros.size() != 1 && zeros.size() != columns) return {};
  std::vector<int8_t> weights;
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t value = values[i] - zeros[zeros.size() == 1 ? 0 : i % columns];
    if (value < INT8_MIN || value > INT8_MAX) return {};
    weights.push_back(static_cast<int8_t>(value));
  }
  return weights;
}

// Bytes where reads over their end meet memory.
Result<View> bytes_in_arena(Lowering& lowering, const Value& value) {
  SKERRY_ASSIGN(View x, lowering.row_major(value));
  if (lowering.program().storage(x).place == Place::kArena) return x;
  View made = lowering.new_row_major(value, x.shape);
  lowering.program().storages[made.storage].is_dense = true;
  SKERRY_TRY(lowering.copy(x, made, value.name()));
  return made;
}

// MatMulInteger as its kernel takes it.
struct ProductCall {
  View x, y;
  std::optional<View> zero;
  int64_t rows = 0, inner = 0, columns = 0;
  Tiling tiling;
  int64_t weights = 0, sums = 0;  // constants
};

std::string product_call(const Program& program, const ProductCall& call, const Share& share) {
  const Tiling& tiling = call.tiling;
  const int64_t pixels = pixels_of(tiling, call.rows), fours = (call.inner + 3) / 4;
  const Dots dots = program.target->dots;
  const ConvShare part = conv_share(share, {.h = 1,
                                            .w = call.rows,
                                            .channels = call.columns,
                                            .pixels = pixels,
                                            .wide = int64_t{tiling.lanes} * tiling.vectors,
                                            .one_group = true,
                                            .reads_weights = call.columns > call.rows});
  if (part.is_empty()) return "";
  const int64_t first = part.channels.first;
  return fmt::format(
      "  constexpr ConvU8Shape kShape = {{.n = 1, .h = 1, .w = {}, .channels = {}, .groups = 1,\n"
      "      .x_pixel = {}, .y_pixel = {}, .stride_h = 1, .stride_w = 1, .fours = {}}};\n"
      "  product_u8<kShape, ConvU8Tile{{.lanes = {}, .vectors = {}, .pixels = {}}}>(\n"
      "      {} + {}, {} + {}, reinterpret_cast<const int8_t*>(constants + {}),\n"
      "      reinterpret_cast<const int32_t*>(constants + {}), {} - {});\n",
      part.columns.count, part.channels.count, call.inner, call.columns, fours, tiling.lanes,
      tiling.vectors, pixels, program.pointer(call.x, false), part.columns.first * call.inner,
      program.pointer(call.y, true), part.columns.first * call.columns + first,
      call.weights + first * fours * bytes_of_four(dots), call.sums + 4 * first,
      dots == Dots::kSigned ? 128 : 0,
      call.zero ? fmt::format("int32_t(*({}))", program.pointer(*call.zero, false)) : "0");
}

}  // namespace

Result<void> lower_product_bytes(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  Program& program = lowering.program();
  const auto weights = product_weights(node);
  if (!weights || node.input(0)->type().element != DataType::kUint8) {
    return refuse(node, "there is code for UINT8 values times a constant matrix of INT8 only");
  }
  const Value* zero = node.input(2);
  if (zero != nullptr && graph::sizes_of(zero->type()) != std::vector<int64_t>{} &&
      graph::sizes_of(zero->type()) != std::vector<int64_t>{1}) {
    return refuse(node, "a zero point for each row has no code");
  }
  const auto& shape = Lowering::constant(node.input(1))->shape();
  const int64_t inner = shape[0], columns = shape[1];
  const auto out_shape = shape_of(*region.output);
  int64_t rows = 1;
  for (const int64_t size : out_shape) rows *= size;
  rows /= columns;
  const Dots dots = lowering.target().dots;
  const Tiling tiling = byte_tiling(lowering.target(), columns, rows == 1);
  std::vector<int8_t> packed;
  std::vector<int32_t> sums(static_cast<size_t>(columns), 0);
  const auto at = [&](int64_t column, int64_t i) -> int8_t {
    return column < columns && i < inner ? (*weights)[static_cast<size_t>(i * columns + column)]
                                         : int8_t{0};
  };
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t i = 0; i < inner; ++i) sums[static_cast<size_t>(c)] += at(c, i);
  }
  for (const Tile& tile : tiles_of(tiling, columns)) {
    for (int64_t four = 0; four < (inner + 3) / 4; ++four) {
      for (int64_t first = 0; first < tile.lanes; first += tiling.lanes) {
        append_dot(packed, dots, tiling.lanes, [&](int64_t lane, int64_t i) {
          return at(tile.first + first + lane, 4 * four + i);
        });
      }
    }
  }
  SKERRY_ASSIGN(const View x, bytes_in_arena(lowering, *node.input(0)));
  std::optional<View> of_zero;
  if (zero != nullptr) of_zero = lowering.view(*zero);
  const View y = lowering.new_row_major(*region.output, out_shape);
  lowering.set_view(*region.output, y);
  const size_t at_w = program.constants.add_all(packed);
  const size_t at_sums = program.constants.add_all(by_lane(tiling, columns, 1, sums));
  std::vector<size_t> reads = {x.storage};
  if (of_zero) reads.push_back(of_zero->storage);
  const int64_t pixels = pixels_of(tiling, rows);
  Step& step =
      lowering.add_step(fmt::format("product_u8 {}×{}×{}", tiling.lanes, tiling.vectors, pixels),
                        region, std::move(reads), {y.storage});
  step.macs = rows * inner * columns;
  step.is_exact = true;
  const ProductCall call{.x = x,
                         .y = y,
                         .zero = of_zero,
                         .rows = rows,
                         .inner = inner,
                         .columns = columns,
                         .tiling = tiling,
                         .weights = static_cast<int64_t>(at_w),
                         .sums = static_cast<int64_t>(at_sums)};
  step.shared_call = [&program, call](const Share& share) {
    return product_call(program, call, share);
  };
  return {};
}

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
