// Pools, softmax, reductions: FP32.
#include <fmt/format.h>

#include <algorithm>

#include "compile/geometry.h"
#include "compile/lowering.h"

namespace skerry::compile {

Result<ConvGeometry> pool_geometry(const Node& node) {
  if (node.op() == "MaxPool" || node.op() == "AveragePool") return conv_geometry(node, {});
  const auto x = shape_of(*node.input(0));
  if (x.size() != 3 && x.size() != 4)
    return refuse(node, "pools over other than one or two dimensions");
  ConvGeometry g{.n = x[0], .in_c = x[1], .out_c = x[1]};
  g.in_h = g.kernel_h = x.size() == 4 ? x[2] : 1;
  g.in_w = g.kernel_w = x.back();
  return g;
}

Result<void> lower_pool(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  if (node.op() == "MaxPool" && node.input(0)->type().element == DataType::kUint8) {
    return lower_max_pool_bytes(lowering, region);
  }
  if (node.input(0)->type().element != DataType::kFp32) {
    return refuse(node, "pools of " + to_string(node.input(0)->type()) + " have no kernel");
  }
  if (node.output(1) != nullptr) return refuse(node, "its second output has no code");
  SKERRY_ASSIGN(const ConvGeometry g, pool_geometry(node));
  if (g.dilation_h != 1 || g.dilation_w != 1) return refuse(node, "dilated pools have no code");
  const bool average = node.op() == "AveragePool" || node.op() == "GlobalAveragePool";
  int64_t divide = 0;
  if (node.op() == "AveragePool" && node.int_of("count_include_pad") != 0) {
    divide = g.kernel_h * g.kernel_w;
    const Padding behind = g.padding();
    // What ceil_mode adds behind the padding does not count.
    if (g.ceil_mode && behind.after != std::array<int64_t, 2>{}) {
      return refuse(node, "averages with padding and ceil_mode have no code");
    }
  }
  Program& program = lowering.program();
  SKERRY_ASSIGN(const View x, lowering.image(*node.input(0), {}, 0, false));
  const View y = lowering.new_image(*region.output);
  lowering.set_view(*region.output, Lowering::as_value(y, region.output->type().rank()));
  int lanes = lowering.target().lanes;
  while (lanes > 4 && lanes / 2 >= g.out_c) lanes /= 2;
  Step& step = lowering.add_step(fmt::format("pool {}", lanes), region, {x.storage}, {y.storage});
  step.call = [&program, g, x, y, lanes, average, divide] {
    const auto from = program.strides(x);
    const auto to = program.strides(y);
    return fmt::format(
        "  constexpr PoolShape kShape = {{.n = {}, .h = {}, .w = {}, .channels = {}, .in_h = {},\n"
        "      .in_w = {}, .x_batch = {}, .x_row = {}, .y_batch = {}, .y_row = {}, .x_pixel = {},\n"
        "      .y_pixel = {}, .stride_h = {}, .stride_w = {}, .taps_h = {}, .taps_w = {},\n"
        "      .pad_h = {}, .pad_w = {}, .divide = {}, .average = {}}};\n"
        "  pool<kShape, {}>({}, {});\n",
        g.n, g.out_h, g.out_w, g.out_c, g.in_h, g.in_w, from[0], from[2], to[0], to[2], from[3],
        to[3], g.stride_h, g.stride_w, g.kernel_h, g.kernel_w, g.pad_top, g.pad_left, divide,
        average, lanes, program.pointer(x, false), program.pointer(y, true));
  };
  return {};
}

Result<void> lower_softmax(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  if (node.input(0)->type().element != DataType::kFp32) return refuse(node, "is not FP32");
  const View x = lowering.view(*node.input(0));
  const View y = lowering.new_row_major(*region.output, x.shape);
  const int64_t given = node.int_of("axis");
  const auto axis =
      static_cast<size_t>(given < 0 ? given + static_cast<int64_t>(x.shape.size()) : given);
  Program& program = lowering.program();
  lowering.set_view(*region.output, y);
  Step& step = lowering.add_step("softmax", region, {x.storage}, {y.storage});
  step.shared_call = [&program, x, y, axis](const Share& share) {
    std::vector<int64_t> shape = x.shape;
    const int64_t count = std::exchange(shape[axis], 1);
    const auto from = program.strides(x);
    const auto to = program.strides(y);
    return loops(
        shape,
        {{fmt::format("float* y = {};", program.pointer(y, true)), "y", to},
         {fmt::format("const float* x = {};", program.pointer(x, false)), "x", from}},
        [&](const auto& at) {
          return fmt::format("softmax_row(&{}, {}, &{}, {}, {});", at[1], from[axis], at[0],
                             to[axis], count);
        },
        share);
  };
  return {};
}

namespace {

// Which axes go, and what the result is before kept axes of one are dropped.
Result<std::vector<bool>> reduced_axes(const Node& node, size_t rank) {
  std::vector<int64_t> axes;
  if (node.input(1) != nullptr) {
    const graph::Constant* constant = Lowering::constant(node.input(1));
    if (constant == nullptr) return refuse(node, "its axes are no constants");
    axes = graph::ints_of(*constant).value_or(axes);
  }
  const bool none = axes.empty() && node.int_of("noop_with_empty_axes") != 0;
  std::vector<bool> reduced(rank, axes.empty() && !none);
  for (const int64_t axis : axes) {
    reduced[static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis)] = true;
  }
  return reduced;
}

struct Fold {
  graph::Op op;
  const char* start;
  const char* step;  // {0} the value, {1} the element
};
constexpr Fold kFolds[] = {{"ReduceMean", "0", "{0} += {1}"},
                           {"ReduceSum", "0", "{0} += {1}"},
                           {"ReduceProd", "1", "{0} *= {1}"},
                           {"ReduceMax", "-__builtin_inff()", "{0} = larger_of({0}, {1})"},
                           {"ReduceMin", "__builtin_inff()", "{0} = smaller_of({0}, {1})"}};

}  // namespace

Result<void> lower_reduce(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  if (node.input(0)->type().element != DataType::kFp32) return refuse(node, "is not FP32");
  const View x = lowering.view(*node.input(0));
  SKERRY_ASSIGN(const std::vector<bool> reduced, reduced_axes(node, x.shape.size()));
  std::vector<int64_t> kept = x.shape, inner(x.shape.size(), 1);
  int64_t count = 1;
  for (size_t i = 0; i < kept.size(); ++i) {
    if (!reduced[i]) continue;
    inner[i] = std::exchange(kept[i], 1);
    count *= inner[i];
  }
  Program& program = lowering.program();
  const View made = lowering.new_row_major(*region.output, kept);
  program.storages[made.storage].is_dense = true;
  lowering.set_view(*region.output, Lowering::reshaped(made, shape_of(*region.output)));
  const Fold& fold = *std::ranges::find(kFolds, node.op(), &Fold::op);
  Step& step = lowering.add_step("plain reduction", region, {x.storage}, {made.storage});
  step.is_reference = true;
  step.shared_call = [&program, x, made, kept, inner, count, &fold,
                      mean = node.op() == "ReduceMean"](const Share& share) {
    const auto from = program.strides(x);
    std::string inside;
    std::string at = "0";
    for (size_t i = 0; i < inner.size(); ++i) {
      if (inner[i] == 1) continue;
      inside += fmt::format("for (int k{0} = 0; k{0} < {1}; ++k{0}) ", i, inner[i]);
      at += fmt::format(" + k{} * {}", i, from[i]);
    }
    return loops(
        kept,
        {{fmt::format("float* y = {};", program.pointer(made, true)), "y", program.strides(made)},
         {fmt::format("const float* x = {};", program.pointer(x, false)), "x", from}},
        [&](const auto& element) {
          const std::string each = fmt::format("p[{}]", at);
          return fmt::format("const float* p = &{}; float value = {}; {}{}; {} = value{};",
                             element[1], fold.start, inside,
                             fmt::format(fmt::runtime(fold.step), "value", each), element[0],
                             mean ? fmt::format(" / {}.0f", count) : "");
        },
        share);
  };
  return {};
}

// The index of the largest or smallest element along an axis, the first or the last such.
Result<void> lower_arg(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  const View x = lowering.view(*node.input(0));
  Program& program = lowering.program();
  const std::string_view type = c_type(program.storage(x).type);
  const int64_t given = node.int_of("axis");
  const auto axis =
      static_cast<size_t>(given < 0 ? given + static_cast<int64_t>(x.shape.size()) : given);
  std::vector<int64_t> kept = x.shape;
  const int64_t count = std::exchange(kept[axis], 1);
  const View made = lowering.new_row_major(*region.output, kept);
  program.storages[made.storage].is_dense = true;
  lowering.set_view(*region.output, Lowering::reshaped(made, shape_of(*region.output)));
  const std::string better = fmt::format("{}{}", node.op() == "ArgMax" ? ">" : "<",
                                         node.int_of("select_last_index") != 0 ? "=" : "");
  Step& step = lowering.add_step("loop", region, {x.storage}, {made.storage});
  step.is_exact = true;
  step.call = [&program, x, made, kept, axis, count, type, better] {
    const auto from = program.strides(x);
    return loops(
        kept,
        {{fmt::format("int64_t* y = {};", program.pointer(made, true)), "y", program.strides(made)},
         {fmt::format("const {}* x = {};", type, program.pointer(x, false)), "x", from}},
        [&](const auto& at) {
          return fmt::format(
              "const {0}* p = &{1}; int best = 0; for (int k = 1; k < {2}; ++k) "
              "if (p[k * {3}] {4} p[best * {3}]) best = k; {5} = best;",
              type, at[1], count, from[axis], better, at[0]);
        });
  };
  return {};
}

}  // namespace skerry::compile
