// Between FP32 and bytes, and tables for what is done to bytes one by one.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "compile/lowering.h"
#include "graph/evaluation.h"
#include "graph/executor.h"

namespace skerry::compile {
namespace {

// Strides of a parameter with one number for each slice along the node's axis.
std::vector<int64_t> along(const Node& node, const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 0);
  const int64_t axis = node.int_of("axis");
  strides[static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(shape.size()) : axis)] = 1;
  return strides;
}

// Whether quotient<false>() of kernels/quantised.h is right for this scale.
bool has_quotient(float scale) {
  const auto bits = std::bit_cast<uint32_t>(scale);
  return scale > 1e-30f && scale < 1e30f && (bits & 0x7fffff) != 0x7fffff;
}

// QuantizeLinear or DequantizeLinear: one scale and zero point for all, or one for each slice.
struct Conversion {
  View x, y;
  std::vector<int32_t> zeros;
  float first_scale = 0;
  size_t at_scales = 0, at_zeros = 0;  // of several
  std::string element;                 // with {y}, {x}, {scale}, {zero}
  std::string
      row;  // of one scale: with {y}, {x}, {count}, {scale}, {inverse}, {zero}, {plain}; or ""
};

std::string conversion_call(const Program& program, const Node& node, const Conversion& call,
                            const Share& share) {
  const MemoryOrder order(call.y);
  std::vector<Operand> operands = {
      {fmt::format("{}* y = {};", c_type(program.storage(call.y).type),
                   program.pointer(call.y, true)),
       "y", order(program.strides(call.y))},
      {fmt::format("const {}* x = {};", c_type(program.storage(call.x).type),
                   program.pointer(call.x, false)),
       "x", order(program.strides(call.x))}};
  const auto shape = order(call.y.shape);
  if (call.zeros.size() > 1) {
    const auto by_axis = order(along(node, call.y.shape));
    operands.push_back(
        {fmt::format("const float* scale = (const float*)(constants + {});", call.at_scales),
         "scale", by_axis});
    operands.push_back(
        {fmt::format("const int32_t* zero = (const int32_t*)(constants + {});", call.at_zeros),
         "zero", by_axis});
    return loops(
        shape, operands,
        [&](const auto& at) {
          return fmt::format(fmt::runtime(call.element), fmt::arg("y", at[0]), fmt::arg("x", at[1]),
                             fmt::arg("scale", at[2]), fmt::arg("zero", at[3]));
        },
        share);
  }
  const std::string scale = literal(call.first_scale);
  const std::string zero = fmt::format("({})", call.zeros[0]);
  if (!call.row.empty()) {
    const auto rows = row_loops(
        shape, operands,
        [&](const auto& at, int64_t count) {
          return fmt::format(fmt::runtime(call.row), fmt::arg("y", at[0]), fmt::arg("x", at[1]),
                             fmt::arg("count", count), fmt::arg("scale", scale),
                             fmt::arg("zero", zero),
                             fmt::arg("inverse", literal(1 / call.first_scale)),
                             fmt::arg("plain", !has_quotient(call.first_scale)));
        },
        share);
    if (rows) return *rows;
  }
  return loops(
      shape, operands,
      [&](const auto& at) {
        return fmt::format(fmt::runtime(call.element), fmt::arg("y", at[0]), fmt::arg("x", at[1]),
                           fmt::arg("scale", scale), fmt::arg("zero", zero));
      },
      share);
}

Result<void> add_conversion(Lowering& lowering, const Region& region, Conversion call) {
  const Node& node = *region.main;
  Program& program = lowering.program();
  const graph::Constant* scale = Lowering::constant(node.input(1));
  const graph::Constant* zero = Lowering::constant(node.input(2));
  if (scale == nullptr || scale->type() != DataType::kFp32 || scale->count() == 0 ||
      (node.input(2) != nullptr && zero == nullptr) || node.int_of("block_size") > 0) {
    return refuse(node, "there is code for constant FP32 scales without blocks only");
  }
  call.x = lowering.view(*node.input(0));
  const auto shape = shape_of(*region.output);
  // One channel lies in the same order either way.
  const bool one_channel = (shape.size() == 3 || shape.size() == 4) && shape[1] == 1;
  const bool image = program.storage(call.x).is_image && !call.x.reshaped && call.x.starts.empty();
  call.y = image || one_channel
               ? Lowering::as_value(lowering.new_image(*region.output), shape.size())
               : lowering.new_row_major(*region.output, shape);
  lowering.set_view(*region.output, call.y);
  call.zeros.resize(scale->count(), 0);
  if (zero != nullptr) {
    const auto ints = graph::Array::from(zero->view()).to_ints();
    for (size_t i = 0; i < call.zeros.size(); ++i) call.zeros[i] = static_cast<int32_t>(ints[i]);
  }
  call.first_scale = scale->as<float>()[0];
  if (call.zeros.size() > 1) {
    call.at_scales = program.constants.add(scale->bytes());
    call.at_zeros = program.constants.add_all(call.zeros);
  }
  Step& step = lowering.add_step("loop", region, {call.x.storage}, {call.y.storage});
  step.is_exact = true;
  step.shared_call = [&program, &node, call = std::move(call)](const Share& share) {
    return conversion_call(program, node, call, share);
  };
  return {};
}

}  // namespace

Result<void> lower_quantise(Lowering& lowering, const Region& region) {
  const DataType type = region.output->type().element;
  if (region.main->input(0)->type().element != DataType::kFp32 ||
      (type != DataType::kUint8 && type != DataType::kInt8)) {
    return refuse(*region.main, "there is code from FP32 to 8 bits only");
  }
  const auto [low, high] = limits_of(type);
  return add_conversion(
      lowering, region,
      {.element = fmt::format("{{y}} = quantised({{x}} / {{scale}}, {{zero}}, {}, {});", low, high),
       .row = fmt::format("quantise_row<{}, {{plain}}>(&{{x}}, &{{y}}, {{count}}, {{scale}}, "
                          "{{inverse}}, {{zero}}, {}, {});",
                          lowering.target().lanes, low, high)});
}

Result<void> lower_dequantise(Lowering& lowering, const Region& region) {
  if (region.output->type().element != DataType::kFp32) {
    return refuse(*region.main, "there is code for FP32 only");
  }
  return add_conversion(lowering, region,
                        {.element = "{y} = static_cast<float>({x} - {zero}) * {scale};"});
}

namespace {

// What the reference executor makes of each byte, by its pattern of bits.
Result<std::vector<uint8_t>> table_of(const Region& region) {
  graph::Graph graph;
  const DataType from = region.source->type().element;
  std::unordered_map<const Value*, Value*> copies;
  const graph::Type type{.element = from, .shape = graph::fixed_shape(std::vector<int64_t>{256})};
  copies[region.source] = &graph.add_input("x", type);
  std::vector<const Node*> nodes = region.nodes;
  const Node* first = nodes.front();
  if (first->op() != "DequantizeLinear") nodes.insert(nodes.begin(), first->input(0)->producer());
  for (const Node* node : nodes) {
    std::vector<Value*> inputs;
    for (const Value* input : node->inputs()) {
      if (input == nullptr) {
        inputs.push_back(nullptr);
      } else if (input->constant() != nullptr) {
        inputs.push_back(&graph.add_constant("", *input->constant()));
      } else {
        inputs.push_back(copies.at(input));
      }
    }
    Value& made = graph.add(node->op(), inputs, node->attributes());
    made.set_type({.element = node->output(0)->type().element, .shape = type.shape});
    copies[node->output(0)] = &made;
  }
  graph.add_output(*copies.at(region.output));
  tensor::Tensor x{"x", from, {256}, tensor::Bytes(256)};
  for (size_t i = 0; i < 256; ++i) x.bytes[i] = static_cast<std::byte>(i);
  graph::Executor executor(graph);
  const std::vector<tensor::TensorView> inputs = {x.view()};
  SKERRY_ASSIGN(const auto outputs, executor.run(inputs));
  std::vector<uint8_t> table;
  for (const std::byte each : outputs[0].bytes) table.push_back(static_cast<uint8_t>(each));
  return table;
}

}  // namespace

Result<void> lower_table(Lowering& lowering, const Region& region) {
  Program& program = lowering.program();
  SKERRY_ASSIGN(const std::vector<uint8_t> table, table_of(region));
  const View x = lowering.view(*region.source);
  const auto shape = shape_of(*region.output);
  const bool image = program.storage(x).is_image && !x.reshaped && x.starts.empty();
  const View y = image ? Lowering::as_value(lowering.new_image(*region.output), shape.size())
                       : lowering.new_row_major(*region.output, shape);
  lowering.set_view(*region.output, y);
  bool flips = true;  // from signed to unsigned or back
  for (size_t i = 0; i < table.size(); ++i) flips = flips && table[i] == (i ^ 0x80);
  const size_t at_table = flips ? 0 : program.constants.add_all(table);
  Step& step = lowering.add_step(flips ? "flip" : "table", region, {x.storage}, {y.storage});
  step.is_exact = true;
  step.call = [&program, x, y, shape, flips, at_table] {
    const MemoryOrder order(y);
    const auto bytes = [&](const View& view, bool writes) {
      return fmt::format("({}uint8_t*){}", writes ? "" : "const ", program.pointer(view, writes));
    };
    return fmt::format("  const uint8_t* table = constants + {};\n  (void)table;\n", at_table) +
           loops(order(shape),
                 {{fmt::format("uint8_t* y = {};", bytes(y, true)), "y", order(program.strides(y))},
                  {fmt::format("const uint8_t* x = {};", bytes(x, false)), "x",
                   order(program.strides(x))}},
                 [&](const auto& at) {
                   return flips ? fmt::format("{} = {} ^ 0x80;", at[0], at[1])
                                : fmt::format("{} = table[{}];", at[0], at[1]);
                 });
  };
  return {};
}

// Its scale and zero point are values, too.
Result<void> lower_quantise_dynamic(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  Program& program = lowering.program();
  SKERRY_ASSIGN(const View x, lowering.row_major(*node.input(0)));
  const View y = lowering.new_row_major(*node.output(0), x.shape);
  const View scale = lowering.new_scratch(DataType::kFp32, 1);
  const View zero = lowering.new_scratch(DataType::kUint8, 1);
  program.storages[y.storage].is_dense = true;
  lowering.set_view(*node.output(0), y);
  for (const auto& [output, view] : {std::pair(1u, scale), std::pair(2u, zero)}) {
    if (node.output(output) == nullptr) continue;
    lowering.set_view(*node.output(output), Lowering::reshaped(view, {}));
  }
  Step& step = lowering.add_step(kQuantiseDynamic, region, {x.storage},
                                 {y.storage, scale.storage, zero.storage});
  step.is_exact = true;
  step.call = [&program, x, y, scale, zero, lanes = lowering.target().lanes] {
    int64_t count = 1;
    for (const int64_t size : x.shape) count *= size;
    return fmt::format("  quantise_dynamic<{}>({}, {}, {}, {}, {});\n", lanes,
                       program.pointer(x, false), program.pointer(y, true),
                       program.pointer(scale, true), program.pointer(zero, true), count);
  };
  return {};
}

}  // namespace skerry::compile
