// Products of bytes with a constant matrix, as whole numbers: MatMulInteger.
#include <fmt/format.h>

#include "compile/dots.h"
#include "compile/geometry.h"
#include "compile/lowering.h"
#include "graph/evaluation.h"

namespace skerry::compile {
namespace {

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
      "  product_u8<kShape, ConvU8Tile{}>(\n"
      "      {} + {}, {} + {}, reinterpret_cast<const int8_t*>(constants + {}),\n"
      "      reinterpret_cast<const int32_t*>(constants + {}), {} - {});\n",
      part.columns.count, part.channels.count, call.inner, call.columns, fours,
      tile_text(tiling, pixels), program.pointer(call.x, false), part.columns.first * call.inner,
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
  const Tiling tiling = tiling_of(lowering.choose(
      fmt::format("product u8 {}x{}x{}", rows, inner, columns),
      tile_ways(lowering.target(), byte_tiling(lowering.target(), columns, rows == 1),
                {.channels = columns, .widths = {rows}, .run = (inner + 3) / 4, .names = {"rows"}}),
      {.rows = 1, .width = rows, .channels = columns, .inputs = inner, .of_bytes = true}));
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
        append_dot(packed, lowering.target().dots, tiling.lanes, [&](int64_t lane, int64_t i) {
          return at(tile.first + first + lane, 4 * four + i);
        });
      }
    }
  }
  SKERRY_ASSIGN(const View x, bytes_in_arena(lowering, *node.input(0)));
  std::optional<View> of_zero;
  std::vector<size_t> reads = {x.storage};
  if (zero != nullptr) {
    of_zero = lowering.view(*zero);
    reads.push_back(of_zero->storage);
  }
  const View y = lowering.new_row_major(*region.output, out_shape);
  lowering.set_view(*region.output, y);
  const size_t at_w = program.constants.add_all(packed);
  const size_t at_sums = program.constants.add_all(by_lane(tiling, columns, 1, sums));
  Step& step = lowering.add_step("product_u8 " + tiling_text(tiling, rows), region,
                                 std::move(reads), {y.storage});
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

}  // namespace skerry::compile
