// Operators that take element by element, as loops over an expression.
#include <fmt/format.h>

#include <algorithm>

#include "compile/lowering.h"

namespace skerry::compile {
namespace {

// {0}, {1}, {2} are the operands' elements.
struct Expression {
  graph::Op op;
  const char* text;
  bool integers = false;  // also right for INT32 and INT64
  bool is_plain = true;   // not worth a word in the report
};

constexpr Expression kExpressions[] = {
    {"Add", "{0} + {1}", true},
    {"Sub", "{0} - {1}", true},
    {"Mul", "{0} * {1}", true},
    {"Div", "{0} / {1}"},
    {"Max", "larger_of({0}, {1})"},
    {"Min", "smaller_of({0}, {1})"},
    {"Relu", "larger_of({0}, 0.0f)"},
    {"Neg", "-{0}", true},
    {"Abs", "__builtin_fabsf({0})"},
    {"Sqrt", "sqrt_of({0})"},
    {"Reciprocal", "1.0f / {0}"},
    {"Exp", "exp_of({0})"},
    {"Sigmoid", "sigmoid_of({0})"},
    {"Tanh", "tanh_of({0})"},
    {"Erf", "erf_of({0})"},
    {"HardSwish", "{0} * smaller_of(larger_of({0} * 0x1.555556p-3f + 0.5f, 0.0f), 1.0f)"},
    {"Floor", "floor_of({0})"},
    {"Ceil", "ceil_of({0})"},
    {"Round", "round_of({0})"},
    {"IsNaN", "{0} != {0}"},
    {"Sign", "sign_of({0})"},
    {"Log", "log_of({0})"},
    {"Softplus", "softplus_of({0})"},
    {"Softsign", "{0} / (1.0f + __builtin_fabsf({0}))"},
    {"Mish", "{0} * tanh_of(softplus_of({0}))"},
    {"PRelu", "{0} < 0 ? {1} * {0} : {0}"},
    {"Where", "{0} ? {1} : {2}", true},
    {"Equal", "{0} == {1}", true},
    {"Greater", "{0} > {1}", true},
    {"GreaterOrEqual", "{0} >= {1}", true},
    {"Less", "{0} < {1}", true},
    {"LessOrEqual", "{0} <= {1}", true},
    {"And", "{0} & {1}", true},
    {"Or", "{0} | {1}", true},
    {"Xor", "{0} ^ {1}", true},
    {"Not", "!{0}", true},
};

const Expression* find_expression(graph::Op op) {
  const auto* found = std::ranges::find(kExpressions, op, &Expression::op);
  return found == std::end(kExpressions) ? nullptr : found;
}

std::optional<float> constant_scalar(const Value* value) {
  const graph::Constant* constant = Lowering::constant(value);
  if (constant == nullptr || constant->count() != 1 || constant->type() != DataType::kFp32)
    return {};
  return constant->as<float>()[0];
}

// With parameters of the node; and those that want a look at the types.
Result<std::string> special_expression(const Node& node) {
  if (node.op() == "Clip") {
    std::string text = "{0}";
    for (const size_t i : {1u, 2u}) {
      if (node.input(i) == nullptr) continue;
      const auto limit = constant_scalar(node.input(i));
      if (!limit) return refuse(node, "its limits are no constants");
      text = fmt::format("{}({}, {})", i == 1 ? "larger_of" : "smaller_of", text, literal(*limit));
    }
    return text;
  }
  if (node.op() == "LeakyRelu") {
    return fmt::format("{{0}} < 0 ? {} * {{0}} : {{0}}", literal(node.float_of("alpha")));
  }
  if (node.op() == "Elu") {
    return fmt::format("{{0}} < 0 ? {} * (exp_of({{0}}) - 1.0f) : {{0}}",
                       literal(node.float_of("alpha")));
  }
  if (node.op() == "Celu") {
    const std::string alpha = literal(node.float_of("alpha"));
    return fmt::format("{{0}} < 0 ? {0} * (exp_of({{0}} / {0}) - 1.0f) : {{0}}", alpha);
  }
  if (node.op() == "Selu") {
    return fmt::format("{1} * ({{0}} < 0 ? {0} * (exp_of({{0}}) - 1.0f) : {{0}})",
                       literal(node.float_of("alpha")), literal(node.float_of("gamma")));
  }
  if (node.op() == "ThresholdedRelu") {
    return fmt::format("{{0}} > {} ? {{0}} : 0.0f", literal(node.float_of("alpha")));
  }
  if (node.op() == "HardSigmoid") {
    return fmt::format("smaller_of(larger_of({} * {{0}} + {}, 0.0f), 1.0f)",
                       literal(node.float_of("alpha")), literal(node.float_of("beta")));
  }
  if (node.op() == "Gelu" && node.string_of("approximate") == "none") {
    return "0.5f * {0} * (1.0f + erf_of({0} * 0x1.6a09e6p-1f))";
  }
  if (node.op() == "Pow") {
    const auto power = constant_scalar(node.input(1));
    if (power == 2.0f) return "{0} * {0}";
    if (power == 3.0f) return "{0} * {0} * {0}";
    if (power == 0.5f) return "sqrt_of({0})";
    if (power == 1.0f) return "{0}";
    if (power == 4.0f) return "({0} * {0}) * ({0} * {0})";
    if (power == -1.0f) return "1.0f / {0}";
    if (power == -0.5f) return "1.0f / sqrt_of({0})";
    return refuse(node, "only powers of -1, -0.5, 0.5, 1, 2, 3 and 4 have code");
  }
  if (node.op() == "Cast" || node.op() == "CastLike") {
    const DataType to = node.output(0)->type().element;
    const DataType from = node.input(0)->type().element;
    if (to == DataType::kBool) return "{0} != 0";
    const bool to_integer = tensor::is_float(from) && to != DataType::kFp32;
    return fmt::format("static_cast<{}>({}{{0}})", c_type(to), to_integer ? "(int64_t)" : "");
  }
  return refuse(node, "the compiler has neither a kernel nor plain loops for this operator");
}

constexpr graph::Op kSpecial[] = {"Clip",        "LeakyRelu",       "Elu",  "Celu", "Selu",
                                  "HardSigmoid", "ThresholdedRelu", "Gelu", "Pow",  "Cast",
                                  "CastLike"};

Result<std::string> expression_of(const Node& node) {
  const Expression* expression = find_expression(node.op());
  if (expression == nullptr) return special_expression(node);
  for (const Value* input : node.inputs()) {
    const DataType type = input->type().element;
    const bool integer =
        type == DataType::kInt32 || type == DataType::kInt64 || type == DataType::kBool;
    if (type != DataType::kFp32 && !(expression->integers && integer)) {
      return refuse(node, "on " + to_string(input->type()) + " it has no code");
    }
  }
  if (node.inputs().size() > 3 ||
      (node.inputs().size() < 2 && (node.op() == "Max" || node.op() == "Min"))) {
    return refuse(node, "there is code for two inputs only");
  }
  return expression->text;
}

}  // namespace

bool is_elementwise(graph::Op op) {
  return find_expression(op) != nullptr || std::ranges::count(kSpecial, op) > 0;
}

Result<void> lower_elementwise(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  SKERRY_ASSIGN(const std::string expression, expression_of(node));
  Program& program = lowering.program();
  std::vector<View> views;
  std::vector<size_t> reads;
  for (const Value* input : node.inputs()) {
    const bool is_parameter = node.op() == "Clip" || node.op() == "Pow" || node.op() == "CastLike";
    if (is_parameter && !views.empty()) break;
    views.push_back(lowering.view(*input));
    reads.push_back(views.back().storage);
  }
  const auto shape = shape_of(*region.output);
  // In the layout of the first input that has the whole shape.
  const auto whole = std::ranges::find(views, shape, &View::shape);
  View y;
  bool in_place = false;
  if (whole != views.end() && program.storage(*whole).is_image && !whole->reshaped &&
      whole->starts.empty()) {
    y = Lowering::as_value(lowering.new_image(*region.output), shape.size());
  } else {
    y = lowering.new_row_major(*region.output, shape);
  }
  if (whole != views.end()) {
    in_place = !whole->reshaped && whole->starts.empty() && whole->axes == y.axes;
    std::swap(reads[0], reads[static_cast<size_t>(whole - views.begin())]);
  }
  lowering.set_view(*region.output, y);
  Step& step = lowering.add_step("loop", region, reads, {y.storage});
  step.in_place = in_place;
  step.value_bytes = program.bytes_seen(y);
  for (const View& each : views) *step.value_bytes += program.bytes_seen(each);
  step.shared_call = [&program, views, y, shape, expression](const Share& share) {
    const MemoryOrder sorted(y);
    std::vector<Operand> operands = {
        {fmt::format("{}* y = {};", c_type(program.storage(y).type), program.pointer(y, true)), "y",
         sorted(program.strides(y))}};
    for (size_t i = 0; i < views.size(); ++i) {
      operands.push_back({fmt::format("const {}* x{} = {};", c_type(program.storage(views[i]).type),
                                      i, program.pointer(views[i], false)),
                          fmt::format("x{}", i),
                          sorted(broadcast_strides(program, views[i], shape))});
    }
    return loops(
        sorted(shape), operands,
        [&](const auto& at) {
          const std::string third = at.size() > 3 ? at[3] : "", second = at.size() > 2 ? at[2] : "";
          return at[0] + " = " + fmt::format(fmt::runtime(expression), at[1], second, third) + ";";
        },
        share);
  };
  return {};
}

}  // namespace skerry::compile
