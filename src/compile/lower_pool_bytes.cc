// Pools of bytes.
#include <fmt/format.h>

#include "compile/geometry.h"
#include "compile/lowering.h"

namespace skerry::compile {

std::string range_text(Limits limits, int64_t zero) {
  return fmt::format("Range{{{}.0f, {}.0f, {}}}", limits.low - zero, limits.high - zero, zero);
}

namespace {

// Pools: average as text of kernels/pool_u8.h, or none.
Result<void> add_pool(Lowering& lowering, const Region& region, const Value& source,
                      const std::string& average) {
  const Node& node = *region.main;
  SKERRY_ASSIGN(const ConvGeometry g, pool_geometry(node));
  if (g.dilation_h != 1 || g.dilation_w != 1) return refuse(node, "dilated pools have no code");
  Program& program = lowering.program();
  SKERRY_ASSIGN(const View x, lowering.image(source, {}, 0, false));
  const View y = lowering.new_image(*region.output);
  lowering.set_view(*region.output, Lowering::as_value(y, region.output->type().rank()));
  int lanes = lowering.target().lanes;
  while (lanes > 4 && lanes / 2 >= g.out_c) lanes /= 2;
  Step& step =
      lowering.add_step(fmt::format("pool_u8 {}", lanes), region, {x.storage}, {y.storage});
  step.is_exact = true;
  step.call = [&program, g, x, y, lanes, average] {
    const auto from = program.strides(x);
    const auto to = program.strides(y);
    return fmt::format(
        "  constexpr PoolU8Shape kShape = {{.n = {}, .h = {}, .w = {}, .channels = {}, .in_h = "
        "{},\n"
        "      .in_w = {}, .x_batch = {}, .x_row = {}, .y_batch = {}, .y_row = {}, .x_pixel = {},\n"
        "      .y_pixel = {}, .stride_h = {}, .stride_w = {}, .taps_h = {}, .taps_w = {},\n"
        "      .pad_h = {}, .pad_w = {}, .average = {}}};\n"
        "  pool_u8<kShape, {}>({}, {}, Average{{{}}});\n",
        g.n, g.out_h, g.out_w, g.out_c, g.in_h, g.in_w, from[0], from[2], to[0], to[2], from[3],
        to[3], g.stride_h, g.stride_w, g.kernel_h, g.kernel_w, g.pad_top, g.pad_left,
        !average.empty(), lanes, program.pointer(x, false), program.pointer(y, true), average);
  };
  return {};
}

}  // namespace

Result<void> lower_max_pool_bytes(Lowering& lowering, const Region& region) {
  if (region.main->output(1) != nullptr)
    return refuse(*region.main, "its second output has no code");
  return add_pool(lowering, region, *region.main->input(0), "");
}

Result<void> lower_average_bytes(Lowering& lowering, const Region& region) {
  const Node* from = region.main->input(0)->producer();
  const Node* scaled = region.nodes[1];
  const float factor = scaled->op() == "Mul" ? static_cast<float>(*number_of(scaled->input(1))) : 1;
  const auto y = *scale_of(*region.nodes.back());
  return add_pool(lowering, region, *region.source,
                  fmt::format("{}, {}, {}", scale_of(*from)->zero, literal(factor),
                              range_text(limits_of(DataType::kUint8), y.zero)));
}

}  // namespace skerry::compile
