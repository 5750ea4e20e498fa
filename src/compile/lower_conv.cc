// Convolutions and products with constant matrices, FP32: packing, tiles, calls.
#include <fmt/format.h>

#include <algorithm>

#include "compile/geometry.h"
#include "compile/lowering.h"
#include "compile/sparse_pattern.h"

namespace skerry::compile {
namespace {

// [tile][tap][element of the run][lanes], zeros behind the last channel. at(channel, tap, element).
template <class At>
std::vector<float> pack(const Tiling& tiling, int64_t channels, int64_t taps, int64_t run,
                        At&& at) {
  std::vector<float> packed;
  for (const Tile& tile : tiles_of(tiling, channels)) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t i = 0; i < run; ++i) {
        for (int64_t lane = 0; lane < tile.lanes; ++lane) {
          const int64_t channel = tile.first + lane;
          packed.push_back(channel < channels ? at(channel, tap, i) : 0.0f);
        }
      }
    }
  }
  return packed;
}

std::vector<float> pack_bias(const Tiling& tiling, int64_t channels, int64_t groups,
                             std::span<const float> bias) {
  std::vector<float> packed;
  for (int64_t group = 0; group < groups; ++group) {
    for (const Tile& tile : tiles_of(tiling, channels)) {
      for (int64_t lane = 0; lane < tile.lanes; ++lane) {
        const int64_t channel = tile.first + lane;
        const bool has = channel < channels && !bias.empty();
        packed.push_back(has ? bias[static_cast<size_t>(group * channels + channel)] : 0.0f);
      }
    }
  }
  return packed;
}

std::string limit_text(const std::optional<float>& limit, const char* otherwise) {
  return limit ? literal(static_cast<float>(*limit)) : otherwise;
}

std::string region_limits(const Region& region) {
  return limit_text(region.low, "-__builtin_inff()") + ", " +
         limit_text(region.high, "__builtin_inff()");
}

// Weights that are not zero, where that is the faster way (kernels/sparse.h).
struct SparseWeights {
  SparsePattern pattern;
  size_t values_at = 0, index_at = 0, order_at = 0, ends_at = 0;
  View turned;
};

// at(channel, input).
template <class At>
SparseWeights sparse_weights(Lowering& lowering, const SparseProduct& product, const Way& way,
                             At&& at) {
  SparseWeights sparse{.pattern = sparse_pattern(lowering.target(), product, way)};
  std::vector<float> values;
  sparse.pattern.for_all([&](int64_t channel, int64_t input) {
    values.push_back(channel < product.channels ? at(channel, input) : 0);
  });
  Constants& constants = lowering.program().constants;
  sparse.values_at = constants.add_all(values);
  sparse.index_at = constants.add_all(sparse.pattern.index);
  sparse.order_at = constants.add_all(sparse.pattern.order);
  sparse.ends_at = constants.add_all(sparse.pattern.ends);
  const int64_t block = int64_t{sparse.pattern.lanes} * sparse.pattern.vectors;
  sparse.turned = lowering.new_shared_scratch(
      DataType::kFp32, (product.columns + product.channels + sparse.pattern.together) * block);
  return sparse;
}

struct DenseCall {
  ConvGeometry geometry;
  Tiling tiling;
  int64_t run = 0, taps_w = 0, taps_h = 0;
  View x, y;
  std::optional<View> added;
  std::optional<SparseWeights> sparse;
  size_t weights = 0, bias = 0;
  std::string limits;
  bool clamps = false;
};

std::string dense_call(const Program& program, const DenseCall& call, const Share& share) {
  const ConvGeometry& g = call.geometry;
  const auto x = program.strides(call.x);
  const auto y = program.strides(call.y);
  const auto r = call.added ? program.strides(*call.added) : std::vector<int64_t>(4, 0);
  auto [n, h, w] = output_rows(g, {x, y, call.added ? r : y});
  const int64_t block =
      call.sparse ? int64_t{call.sparse->pattern.lanes} * call.sparse->pattern.vectors : 0;
  const int64_t pixels = call.sparse ? block : pixels_of(call.tiling, w);
  const ConvShare part =
      conv_share(share, {.h = h,
                         .w = w,
                         .channels = g.out_c / g.groups,
                         .pixels = pixels,
                         .wide = int64_t{call.tiling.lanes} * call.tiling.vectors,
                         .one_group = g.groups == 1 && !call.sparse,
                         .reads_weights = call.taps_h * call.taps_w * call.run * g.out_c >
                                          n * g.in_c * g.in_h * g.in_w});
  if (part.is_empty()) return "";
  const int64_t weights =
      call.weights + 4 * part.channels.first * call.taps_h * call.taps_w * call.run;
  h = part.rows.count, w = part.columns.count;
  std::string text = fmt::format(
      "  constexpr ConvShape kShape = {{.n = {}, .h = {}, .w = {}, .channels = {}, .groups = {},\n"
      "      .x_batch = {}, .x_row = {}, .x_pixel = {}, .y_batch = {}, .y_row = {}, .y_pixel = "
      "{},\n"
      "      .r_batch = {}, .r_row = {}, .r_pixel = {}, .stride_h = {}, .stride_w = {},\n"
      "      .taps_h = {}, .taps_w = {}, .step_h = {}, .step_w = {}, .run = {}, .x_group = {},\n"
      "      .adds = {}, .clamps = {}}};\n",
      n, h, w, part.channels.count, g.groups, x[0], x[2], x[3], y[0], y[2], y[3], r[0], r[2], r[3],
      g.stride_h, g.stride_w, call.taps_h, call.taps_w, g.dilation_h, g.dilation_w, call.run,
      g.in_c / g.groups, call.added.has_value(), call.clamps);
  if (call.sparse) {
    return text + fmt::format(
                      "  sparse<kShape, {}>({} + {}, {} + {},\n"
                      "      reinterpret_cast<const float*>(constants + {}),\n"
                      "      reinterpret_cast<const uint16_t*>(constants + {}),\n"
                      "      reinterpret_cast<const uint16_t*>(constants + {}),\n"
                      "      reinterpret_cast<const uint32_t*>(constants + {}),\n"
                      "      reinterpret_cast<const float*>(constants + {}), {}, {});\n",
                      sparse_tile(call.sparse->pattern), program.pointer(call.x, false),
                      part.in_input(g, x), program.pointer(call.y, true), part.in_output(y),
                      call.sparse->values_at, call.sparse->index_at, call.sparse->order_at,
                      call.sparse->ends_at, call.bias,
                      Lowering::scratch_of(program, call.sparse->turned, share), call.limits);
  }
  return text + fmt::format(
                    "  conv<kShape, ConvTile{}>(\n"
                    "      {} + {}, {} + {}, reinterpret_cast<const float*>(constants + {}),\n"
                    "      reinterpret_cast<const float*>(constants + {}), {}, {});\n",
                    tile_text(call.tiling, pixels), program.pointer(call.x, false),
                    part.in_input(g, x) - g.pad_top * x[2] - g.pad_left * x[3],
                    program.pointer(call.y, true), part.in_output(y), weights,
                    call.bias + 4 * part.channels.first,
                    call.added ? fmt::format("{} + {}", program.pointer(*call.added, false),
                                             part.in_output(r))
                               : "nullptr",
                    call.limits);
}

void add_dense(Lowering& lowering, const Region& region, DenseCall call, int64_t macs) {
  Program& program = lowering.program();
  std::vector<size_t> reads = {call.x.storage};
  if (call.added) reads.push_back(call.added->storage);
  call.limits = region_limits(region);
  call.clamps = region.low || region.high;
  std::vector<size_t> writes = {call.y.storage};
  std::string kernel = "conv " + tiling_text(call.tiling, call.geometry.out_w);
  if (call.sparse) {
    writes.push_back(call.sparse->turned.storage);
    const int64_t all = call.geometry.out_c * call.run;
    kernel = "sparse " + sparse_text(call.sparse->pattern, all);
    macs = macs / all * call.sparse->pattern.kept;
  }
  Step& step = lowering.add_step(std::move(kernel), region, std::move(reads), std::move(writes));
  step.macs = macs;
  step.shared_call = [&program, call](const Share& share) {
    return dense_call(program, call, share);
  };
}

// A row of the window is one run of memory where nothing lies between its pixels.
bool has_rows(const ConvGeometry& g) {
  return g.dilation_w == 1 && g.groups == 1;
}

// What a layer may be computed with, the usual way first.
struct DenseWays {
  std::vector<Way> ways;
  std::optional<SparseProduct> sparse;
  int zeros_percent = 0;
};

void add_first(std::vector<Way>& ways, const Way& first) {
  std::erase(ways, first);
  ways.insert(ways.begin(), first);
}

void add_sparse(const Lowering& lowering, DenseWays& dense, SparseProduct product) {
  const SparseWays sparse = sparse_ways(lowering.target(), product);
  dense.ways.insert(dense.ways.end(), sparse.ways.begin(), sparse.ways.end());
  if (sparse.usual) add_first(dense.ways, *sparse.usual);
  dense.zeros_percent = sparse.zeros_percent;
  dense.sparse = std::move(product);
}

std::string with_zeros(std::string layer, const DenseWays& dense) {
  if (dense.zeros_percent > 0) layer += fmt::format(" zeros {}%", dense.zeros_percent);
  return layer;
}

DenseWays conv_ways(Lowering& lowering, const Region& region, const ConvGeometry& g) {
  const int64_t in_c = g.in_c / g.groups, out_c = g.out_c / g.groups;
  TileSpace space{.channels = out_c, .widths = {g.out_w, g.n * g.out_h * g.out_w}, .run = in_c};
  if (has_rows(g)) space.names.emplace_back("rows");
  if (!has_rows(g) || g.kernel_w > 1) space.names.emplace_back("taps");
  const Tiling usual = tiling_of(lowering.target(), out_c, g.out_h * g.out_w * g.n == 1);
  DenseWays dense{.ways = tile_ways(lowering.target(), usual, space)};
  if (const auto winograd = winograd_ways(lowering.target(), g)) {
    dense.ways.insert(dense.ways.end(), winograd->ways.begin(), winograd->ways.end());
    if (is_winograd(lowering.target(), g)) add_first(dense.ways, winograd->usual);
  }
  const bool is_product = g.groups == 1 && g.kernel_h * g.kernel_w == 1 && g.stride_h == 1 &&
                          g.stride_w == 1 && g.padding().is_none() && region.added == nullptr;
  if (is_product && lowering.may_be_sparse()) {
    const auto w = Lowering::constant(region.main->input(1))->as<float>();
    add_sparse(lowering, dense,
               {.channels = out_c,
                .columns = in_c,
                .pixels = g.n * g.out_h * g.out_w,
                .is_zero = [w, in_c](int64_t channel, int64_t i) {
                  return w[static_cast<size_t>(channel * in_c + i)] == 0;
                }});
  }
  return dense;
}

Result<void> lower_dense_conv(Lowering& lowering, const Region& region, const ConvGeometry& g,
                              const DenseWays& dense, const Way& way) {
  DenseCall call{.geometry = g};
  const int64_t in_c = g.in_c / g.groups, out_c = g.out_c / g.groups;
  const bool rows = way.name == "rows" || (way.name == "sparse" && has_rows(g));
  call.run = rows ? g.kernel_w * in_c : in_c;
  call.taps_h = g.kernel_h;
  call.taps_w = rows ? 1 : g.kernel_w;
  const auto w = Lowering::constant(region.main->input(1))->as<float>();
  if (way.name == "sparse") {
    call.tiling = tiling_of(lowering.target(), out_c, false);
    call.sparse = sparse_weights(lowering, *dense.sparse, way, [&](int64_t channel, int64_t i) {
      return w[static_cast<size_t>(channel * in_c + i)];
    });
  } else {
    call.tiling = tiling_of(way);
  }
  std::vector<float> packed;
  for (int64_t group = 0; group < g.groups && !call.sparse; ++group) {
    const auto at = [&](int64_t channel, int64_t tap, int64_t i) {
      const int64_t ky = tap / call.taps_w;
      const int64_t kx = rows ? i / in_c : tap % call.taps_w;
      const int64_t c = rows ? i % in_c : i;
      return w[static_cast<size_t>(
          (((group * out_c + channel) * in_c + c) * g.kernel_h + ky) * g.kernel_w + kx)];
    };
    const auto part = pack(call.tiling, out_c, call.taps_h * call.taps_w, call.run, at);
    packed.insert(packed.end(), part.begin(), part.end());
  }
  SKERRY_ASSIGN(call.x, lowering.image(*region.main->input(0), g.padding(), 0, false));
  const graph::Constant* bias = Lowering::constant(region.main->input(2));
  if (!call.sparse) call.weights = lowering.program().constants.add_all(packed);
  call.bias = lowering.program().constants.add_all(
      pack_bias(call.tiling, out_c, g.groups, bias ? bias->as<float>() : std::span<const float>()));
  if (region.added != nullptr) {
    SKERRY_ASSIGN(call.added, lowering.image(*region.added, {}, 0, false));
  }
  call.y = lowering.new_image(*region.output);
  lowering.set_view(*region.output, Lowering::as_value(call.y, region.output->type().rank()));
  add_dense(lowering, region, std::move(call), g.macs());
  return {};
}

Result<void> lower_depthwise(Lowering& lowering, const Region& region, const ConvGeometry& g) {
  // Each number is used once for each load, and loads of half a cache line are the faster ones.
  const int usual = depthwise_lanes(std::min(lowering.target().lanes, 8), g);
  const int lanes =
      lowering.choose(layer_text("depthwise fp32", g), depthwise_ways(lowering.target(), usual, g))
          .sizes[0];
  const int64_t taps = g.kernel_h * g.kernel_w;
  const int64_t blocks = (g.out_c + lanes - 1) / lanes;
  const bool repeats = lanes % g.out_c == 0;  // several pixels in a vector
  const auto w = Lowering::constant(region.main->input(1))->as<float>();
  const graph::Constant* bias = Lowering::constant(region.main->input(2));
  std::vector<float> packed, start;
  for (int64_t block = 0; block < blocks; ++block) {
    const auto channel_of = [&](int64_t lane) {
      return repeats ? lane % g.out_c : block * lanes + lane;
    };
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t lane = 0; lane < lanes; ++lane) {
        const int64_t c = channel_of(lane);
        packed.push_back(c < g.out_c ? w[static_cast<size_t>(c * taps + tap)] : 0.0f);
      }
    }
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const int64_t c = channel_of(lane);
      const bool has = bias != nullptr && c < g.out_c;
      start.push_back(has ? bias->as<float>()[static_cast<size_t>(c)] : 0.0f);
    }
  }
  Program& program = lowering.program();
  SKERRY_ASSIGN(const View x, lowering.image(*region.main->input(0), g.padding(), 0, true));
  const View y = lowering.new_image(*region.output);
  lowering.set_view(*region.output, Lowering::as_value(y, region.output->type().rank()));
  const size_t weights = program.constants.add_all(packed);
  const size_t starts = program.constants.add_all(start);
  Step& step =
      lowering.add_step(fmt::format("depthwise {}", lanes), region, {x.storage}, {y.storage});
  step.macs = g.macs();
  step.shared_call = [&program, g, x, y, lanes, weights, starts, limits = region_limits(region),
                      clamps = region.low || region.high](const Share& share) -> std::string {
    const auto from = program.strides(x);
    const auto to = program.strides(y);
    const Range rows = range_of(share, g.out_h);
    if (rows.count == 0) return "";
    return fmt::format(
        "  constexpr DepthwiseShape kShape = {{.n = {}, .h = {}, .w = {}, .channels = {},\n"
        "      .x_batch = {}, .x_row = {}, .y_batch = {}, .y_row = {}, .x_pixel = {}, .y_pixel = "
        "{},\n"
        "      .stride_h = {}, .stride_w = {}, .taps_h = {}, .taps_w = {}, .step_h = {},\n"
        "      .step_w = {}, .clamps = {}}};\n"
        "  depthwise<kShape, {}>({} + {}, {} + {}, reinterpret_cast<const float*>(constants + "
        "{}),\n"
        "      reinterpret_cast<const float*>(constants + {}), {});\n",
        g.n, rows.count, g.out_w, g.out_c, from[0], from[2], to[0], to[2], from[3], to[3],
        g.stride_h, g.stride_w, g.kernel_h, g.kernel_w, g.dilation_h, g.dilation_w, clamps, lanes,
        program.pointer(x, false),
        rows.first * g.stride_h * from[2] - g.pad_top * from[2] - g.pad_left * from[3],
        program.pointer(y, true), rows.first * to[2], weights, starts, limits);
  };
  return {};
}

}  // namespace

Result<void> lower_conv(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  if (node.input(0)->type().element != DataType::kFp32) {
    return refuse(node, "convolutions of " + to_string(node.input(0)->type()) + " have no kernel");
  }
  const graph::Constant* w = Lowering::constant(node.input(1));
  if (w == nullptr || (node.input(2) != nullptr && Lowering::constant(node.input(2)) == nullptr)) {
    return refuse(node, "its weights are no constants");
  }
  SKERRY_ASSIGN(const ConvGeometry geometry, conv_geometry(node, w->shape()));
  if (is_depthwise(node)) return lower_depthwise(lowering, region, geometry);
  const DenseWays dense = conv_ways(lowering, region, geometry);
  std::string layer = layer_text("conv fp32", geometry);
  if (region.added != nullptr) layer += " adds";
  const Way way = lowering.choose(with_zeros(std::move(layer), dense), dense.ways,
                                  layer_sizes(geometry, false));
  if (way.name == "winograd") {
    return lower_winograd(lowering, region, geometry, way, region_limits(region));
  }
  return lower_dense_conv(lowering, region, geometry, dense, way);
}

namespace {

// A[…, K] times a constant [K, N].
Result<void> lower_dense_product(Lowering& lowering, const Region& region, bool transposed,
                                 float alpha, float beta, std::span<const float> bias) {
  const auto& matrix = *Lowering::constant(region.main->input(1));
  const int64_t inner = matrix.shape()[transposed ? 1 : 0];
  const int64_t columns = matrix.shape()[transposed ? 0 : 1];
  SKERRY_ASSIGN(View x, lowering.row_major(*region.main->input(0)));
  const auto out_shape = shape_of(*region.output);
  int64_t rows = 1;
  for (const int64_t size : out_shape) rows *= size;
  rows /= columns;
  DenseCall call{.geometry = {.n = 1,
                              .in_c = inner,
                              .out_c = columns,
                              .in_h = 1,
                              .in_w = rows,
                              .out_h = 1,
                              .out_w = rows},
                 .tiling = tiling_of(lowering.target(), columns, rows == 1),
                 .run = inner,
                 .taps_w = 1,
                 .taps_h = 1};
  const auto w = matrix.as<float>();
  const auto at = [&](int64_t column, int64_t i) {
    return alpha * w[static_cast<size_t>(transposed ? column * inner + i : i * columns + column)];
  };
  DenseWays dense{
      .ways = tile_ways(lowering.target(), call.tiling,
                        {.channels = columns, .widths = {rows}, .run = inner, .names = {"rows"}})};
  if (lowering.may_be_sparse()) {
    add_sparse(lowering, dense,
               {.channels = columns,
                .columns = inner,
                .pixels = rows,
                .is_zero = [&](int64_t c, int64_t i) { return at(c, i) == 0; }});
  }
  const Way way =
      lowering.choose(with_zeros(fmt::format("product fp32 {}x{}x{}", rows, inner, columns), dense),
                      dense.ways, layer_sizes(call.geometry, false));
  if (way.name == "sparse") {
    call.sparse = sparse_weights(lowering, *dense.sparse, way, at);
  } else {
    call.tiling = tiling_of(way);
  }
  std::vector<float> start(bias.begin(), bias.end());
  for (float& each : start) each *= beta;
  const View made = lowering.new_row_major(*region.output, out_shape);
  lowering.program().storages[made.storage].is_dense = true;
  const auto as_image = [](const View& view, int64_t pixels, int64_t channels) {
    View image = Lowering::reshaped(view, {1, 1, pixels, channels});
    image.shape = {1, channels, 1, pixels};
    image.axes = {0, 3, 1, 2};
    return image;
  };
  call.x = as_image(x, rows, inner);
  call.y = as_image(made, rows, columns);
  if (!call.sparse) {
    call.weights = lowering.program().constants.add_all(
        pack(call.tiling, columns, 1, inner,
             [&](int64_t column, int64_t, int64_t i) { return at(column, i); }));
  }
  call.bias = lowering.program().constants.add_all(pack_bias(call.tiling, columns, 1, start));
  lowering.set_view(*region.output, made);
  add_dense(lowering, region, std::move(call), rows * inner * columns);
  return {};
}

// Of two values, by plain loops.
Result<void> lower_plain_product(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  Program& program = lowering.program();
  View a = lowering.view(*node.input(0));
  View b = lowering.view(*node.input(1));
  const bool gemm = node.op() == "Gemm";
  const auto swap_last = [](View& view) {
    std::swap(view.axes[0], view.axes[1]);
    std::swap(view.shape[0], view.shape[1]);
  };
  if (gemm && node.int_of("transA") != 0) swap_last(a);
  if (gemm && node.int_of("transB") != 0) swap_last(b);
  if (a.shape.size() < 2 || b.shape.size() < 2)
    return refuse(node, "multiplies vectors, for which there is no code");
  std::vector<int64_t> shape = shape_of(*node.output(0));
  const View y = lowering.new_row_major(*region.output, shape);
  std::optional<View> c;
  if (gemm && node.input(2) != nullptr) c = lowering.view(*node.input(2));
  if (region.bias != nullptr) return refuse(node, "its bias goes with no code");
  std::vector<size_t> reads = {a.storage, b.storage};
  if (c) reads.push_back(c->storage);
  lowering.set_view(*region.output, y);
  Step& step = lowering.add_step("plain product", region, reads, {y.storage});
  const int64_t inner = a.shape.back();
  step.is_reference = true;
  step.macs = inner;
  for (const int64_t size : shape) step.macs *= size;
  const float alpha = gemm ? node.float_of("alpha") : 1, beta = gemm ? node.float_of("beta") : 1;
  step.shared_call = [&program, a, b, c, y, shape, inner, alpha, beta, region](const Share& share) {
    const auto a_own = program.strides(a);
    const auto b_own = program.strides(b);
    auto a_strides = broadcast_strides(program, a, shape);
    auto b_strides = broadcast_strides(program, b, shape);
    const size_t rank = shape.size();
    a_strides[rank - 1] = 0;  // the inner dimension
    b_strides[rank - 2] = 0;
    b_strides[rank - 1] = b.shape.back() == 1 ? 0 : b_own.back();
    std::vector<Operand> operands = {
        {fmt::format("float* y = {};", program.pointer(y, true)), "y", program.strides(y)},
        {fmt::format("const float* a = {};", program.pointer(a, false)), "a", a_strides},
        {fmt::format("const float* b = {};", program.pointer(b, false)), "b", b_strides}};
    if (c) {
      operands.push_back({fmt::format("const float* c = {};", program.pointer(*c, false)), "c",
                          broadcast_strides(program, *c, shape)});
    }
    return loops(
        shape, operands,
        [&](const auto& at) {
          std::string result = fmt::format("{} * sum", literal(alpha));
          if (c) result += fmt::format(" + {} * {}", literal(beta), at[3]);
          if (region.low) result = fmt::format("larger_of({}, {})", result, literal(*region.low));
          if (region.high)
            result = fmt::format("smaller_of({}, {})", result, literal(*region.high));
          return fmt::format(
              "float sum = 0; const float* p = &{}; const float* q = &{}; "
              "for (int k = 0; k < {}; ++k) sum += p[k * {}] * q[k * {}]; {} = {};",
              at[1], at[2], inner, a_own.back(), b_own[b_own.size() - 2], at[0], result);
        },
        share);
  };
  return {};
}

}  // namespace

Result<void> lower_product(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  if (node.output(0)->type().element != DataType::kFp32) {
    return refuse(node, "products of " + to_string(node.input(0)->type()) + " have no code");
  }
  const graph::Constant* matrix = Lowering::constant(node.input(1));
  const bool gemm = node.op() == "Gemm";
  const graph::Constant* c = gemm ? Lowering::constant(node.input(2)) : region.bias;
  const auto columns = shape_of(*node.output(0)).back();
  const bool has_bias = gemm ? node.input(2) != nullptr : region.bias != nullptr;
  const bool row_bias = !has_bias || (c != nullptr && static_cast<int64_t>(c->count()) == columns &&
                                      !c->shape().empty() && c->shape().back() == columns);
  if (matrix == nullptr || matrix->shape().size() != 2 || !row_bias ||
      (gemm && node.int_of("transA") != 0)) {
    return lower_plain_product(lowering, region);
  }
  return lower_dense_product(lowering, region, gemm && node.int_of("transB") != 0,
                             gemm ? node.float_of("alpha") : 1, gemm ? node.float_of("beta") : 1,
                             has_bias ? c->as<float>() : std::span<const float>());
}

}  // namespace skerry::compile
