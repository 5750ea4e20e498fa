// Operators that take values element by element, and reductions.
#include "graph/tflite/lowering.h"

namespace skerry::graph::tflite {
namespace {

// All inputs that are quantised have the scale of the output.
bool has_same_scales(const Lowering& lower) {
  for (size_t i = 0; i < lower.input_count(); ++i) {
    if (lower.has(i) && is_quantised(lower.in_table(i)) &&
        !same_scale(lower.in_table(i), lower.out_table())) {
      return false;
    }
  }
  return true;
}

// On reals, quantised before and behind where the tensors are.
Result<void> unary(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(Value * y, lower.make_elementwise(lower.op(), {x}));
  return lower.set_real(y);
}

// RELU and its like as operators of their own: of one scale, limits on integers.
Result<void> activation(Lowering& lower, int8_t kind) {
  if (!is_quantised(lower.out_table())) {
    SKERRY_ASSIGN(Value * x, lower.real(0));
    SKERRY_ASSIGN(x, lower.activated(x, kind));
    return lower.set(0, x);
  }
  if (!has_same_scales(lower)) {
    return lower.refuse("its input and output have different scales");
  }
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(x, lower.activated(x, kind));
  return lower.set(0, x);
}

Result<void> relu(Lowering& lower) {
  return activation(lower, 1);
}
Result<void> relu_n1_to_1(Lowering& lower) {
  return activation(lower, 2);
}
Result<void> relu_6(Lowering& lower) {
  return activation(lower, 3);
}

Result<void> relu_0_to_1(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(x, lower.make_elementwise("Clip", {x, lower.scalar(0), lower.scalar(1)}));
  return lower.set_real(x);
}

Result<void> logistic(Lowering& lower) {
  if (lower.in_table(0).type != 9 || !is_quantised(lower.out_table())) {
    return unary(lower);
  }
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(Value * x_zero, lower.zero_of(lower.in_table(0)));
  SKERRY_ASSIGN(Value * y_zero, lower.zero_of(lower.out_table()));
  SKERRY_ASSIGN(Value * y, lower.make_elementwise("QLinearSigmoid",
                                                  {x, lower.scale_of(lower.in_table(0)), x_zero,
                                                   lower.scale_of(lower.out_table()), y_zero},
                                                  {{"rounding", std::string("litert")}}));
  return lower.set(0, y);
}

Result<void> leaky_relu(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(Value * y,
                lower.make_elementwise("LeakyRelu", {x}, {{"alpha", lower.real_option(0)}}));
  return lower.set_real(y);
}

Result<void> gelu(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.real(0));
  const std::string how = lower.small_option(0) != 0 ? "tanh" : "none";
  SKERRY_ASSIGN(Value * y, lower.make_elementwise("Gelu", {x}, {{"approximate", how}}));
  return lower.set_real(y);
}

Result<void> rsqrt(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(x, lower.make_elementwise("Sqrt", {x}));
  SKERRY_ASSIGN(x, lower.make_elementwise("Reciprocal", {x}));
  return lower.set_real(x);
}

Result<void> square(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(x, lower.make_elementwise("Mul", {x, x}));
  return lower.set_real(x);
}

Result<void> squared_difference(Lowering& lower) {
  SKERRY_ASSIGN(Value * a, lower.real(0));
  SKERRY_ASSIGN(Value * b, lower.real(1));
  SKERRY_ASSIGN(Value * d, lower.make_elementwise("Sub", {a, b}));
  SKERRY_ASSIGN(d, lower.make_elementwise("Mul", {d, d}));
  return lower.set_real(d);
}

// α in a tensor that broadcasts along the channels.
Result<void> prelu(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(Value * slope, lower.real(1));
  SKERRY_ASSIGN(Value * y, lower.make("PRelu", {x, slope}));
  return lower.set_real(y);
}

Result<void> binary(Lowering& lower) {
  SKERRY_ASSIGN(Value * a, lower.real(0));
  SKERRY_ASSIGN(Value * b, lower.real(1));
  SKERRY_ASSIGN(Value * y, lower.make_elementwise(lower.op(), {a, b}));
  return lower.set_real(y);
}

// With the fused activation on reals, before they are quantised.
Result<void> real_arithmetic(Lowering& lower) {
  SKERRY_ASSIGN(Value * a, lower.real(0));
  SKERRY_ASSIGN(Value * b, lower.real(1));
  SKERRY_ASSIGN(Value * y, lower.make_elementwise(lower.op(), {a, b}));
  const int8_t activation = lower.small_option(0);
  if (!is_quantised(lower.out_table())) {
    SKERRY_ASSIGN(y, lower.activated(y, activation));
    return lower.set(0, y);
  }
  if (activation != 0) return lower.refuse("its activation {} is not supported", activation);
  return lower.set_real(y);
}

bool is_int8_or_16(const TensorTable& tensor) {
  return is_quantised(tensor) && tensor.scales.size() == 1 &&
         (tensor.type == 9 || tensor.type == 3 || tensor.type == 7);
}

// ADD, SUB (of a negative scale, which subtracts) and MUL.
Result<void> arithmetic(Lowering& lower) {
  const TensorTable& a_table = lower.in_table(0);
  const TensorTable& b_table = lower.in_table(1);
  const TensorTable& out = lower.out_table();
  const bool whole = is_int8_or_16(a_table) && is_int8_or_16(b_table) && is_int8_or_16(out) &&
                     a_table.type == b_table.type && a_table.type == out.type;
  if (!whole) return real_arithmetic(lower);
  SKERRY_ASSIGN(Value * a, lower.in(0));
  SKERRY_ASSIGN(Value * b, lower.in(1));
  Value* b_scale = lower.op() == "Sub" ? lower.scalar(-b_table.scales[0]) : lower.scale_of(b_table);
  const Op quantised = lower.op() == "Mul" ? Op("QLinearMul") : Op("QLinearAdd");
  SKERRY_ASSIGN(Value * a_zero, lower.zero_of(a_table));
  SKERRY_ASSIGN(Value * b_zero, lower.zero_of(b_table));
  SKERRY_ASSIGN(Value * y_zero, lower.zero_of(out));
  SKERRY_ASSIGN(Value * y, lower.make_elementwise(quantised,
                                                  {a, lower.scale_of(a_table), a_zero, b, b_scale,
                                                   b_zero, lower.scale_of(out), y_zero},
                                                  {{"rounding", std::string("litert")}}));
  SKERRY_ASSIGN(y, lower.activated(y, lower.small_option(0)));
  return lower.set(0, y);
}

// Order among integers of one scale is that of their reals.
Result<void> extreme(Lowering& lower) {
  const bool whole = is_quantised(lower.out_table()) && has_same_scales(lower);
  if (!whole) return binary(lower);
  SKERRY_ASSIGN(Value * a, lower.in(0));
  SKERRY_ASSIGN(Value * b, lower.in(1));
  SKERRY_ASSIGN(Value * y, lower.make_elementwise(lower.op(), {a, b}));
  return lower.set(0, y);
}

Result<void> not_equal(Lowering& lower) {
  SKERRY_ASSIGN(Value * a, lower.real(0));
  SKERRY_ASSIGN(Value * b, lower.real(1));
  SKERRY_ASSIGN(Value * same, lower.make("Equal", {a, b}));
  SKERRY_ASSIGN(Value * y, lower.make("Not", {same}));
  return lower.set(0, y);
}

Result<void> select(Lowering& lower) {
  SKERRY_ASSIGN(Value * condition, lower.in(0));
  SKERRY_ASSIGN(Value * a, lower.real(1));
  SKERRY_ASSIGN(Value * b, lower.real(2));
  SKERRY_ASSIGN(Value * y, lower.make("Where", {condition, a, b}));
  return lower.set_real(y);
}

Result<void> reduce(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(auto axes, lower.ints(1));
  const bool keep = lower.small_option(0) != 0;
  // The mean over an image is what networks end with.
  if (lower.op() == "ReduceMean" && lower.has_twin(x) && axes == std::vector<int64_t>{1, 2}) {
    SKERRY_ASSIGN(Value * twin, lower.channels_first(x));
    SKERRY_ASSIGN(Value * mean, lower.make("GlobalAveragePool", {twin}));
    if (!keep) {
      SKERRY_ASSIGN(mean, lower.make("Squeeze", {mean, lower.list({2, 3})}));
      return lower.set_real(mean);
    }
    SKERRY_ASSIGN(mean, lower.channels_last(mean));
    return lower.set_real(mean);
  }
  SKERRY_ASSIGN(Value * y,
                lower.make(lower.op(), {x, lower.list(axes)}, {{"keepdims", int64_t{keep}}}));
  return lower.set_real(y);
}

Result<void> arg(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(const auto axis, lower.ints(1));
  if (axis.size() != 1) return lower.refuse("it has {} axes", axis.size());
  SKERRY_ASSIGN(Value * y,
                lower.make(lower.op(), {x}, {{"axis", axis[0]}, {"keepdims", int64_t{0}}}));
  SKERRY_ASSIGN(const DataType type, data_type_of(lower.out_table().type));
  SKERRY_ASSIGN(y, lower.make("Cast", {y}, {{"to", type}}));
  return lower.set(0, y);
}

Result<void> cumsum(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(const auto axis, lower.ints(1));
  if (axis.size() != 1) return lower.refuse("it has {} axes", axis.size());
  Value* at = lower.scalar_int(axis[0]);
  SKERRY_ASSIGN(Value * y, lower.make("CumSum", {x, at},
                                      {{"exclusive", int64_t{lower.small_option(0)}},
                                       {"reverse", int64_t{lower.small_option(1)}}}));
  return lower.set_real(y);
}

Result<void> cast(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  SKERRY_ASSIGN(const DataType type, data_type_of(lower.out_table().type));
  SKERRY_ASSIGN(Value * y, lower.make_elementwise("Cast", {x}, {{"to", type}}));
  return lower.set(0, y);
}

// DENSIFY: constants are dense already.
Result<void> as_it_is(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.in(0));
  return lower.set(0, x);
}

// DEQUANTIZE and QUANTIZE: what they do stands in their tensors.
Result<void> between_kinds(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.real(0));
  return lower.set_real(x);
}

}  // namespace

std::span<const Row> element_rows() {
  static const Row kRows[] = {
      {0, "ADD", arithmetic, "Add"},
      {6, "DEQUANTIZE", between_kinds},
      {8, "FLOOR", unary, "Floor"},
      {14, "LOGISTIC", logistic, "Sigmoid"},
      {18, "MUL", arithmetic, "Mul"},
      {19, "RELU", relu},
      {20, "RELU_N1_TO_1", relu_n1_to_1},
      {21, "RELU6", relu_6},
      {28, "TANH", unary, "Tanh"},
      {40, "MEAN", reduce, "ReduceMean"},
      {41, "SUB", arithmetic, "Sub"},
      {42, "DIV", real_arithmetic, "Div"},
      {47, "EXP", unary, "Exp"},
      {53, "CAST", cast},
      {54, "PRELU", prelu},
      {55, "MAXIMUM", extreme, "Max"},
      {56, "ARG_MAX", arg, "ArgMax"},
      {57, "MINIMUM", extreme, "Min"},
      {58, "LESS", binary, "Less"},
      {59, "NEG", unary, "Neg"},
      {61, "GREATER", binary, "Greater"},
      {62, "GREATER_EQUAL", binary, "GreaterOrEqual"},
      {63, "LESS_EQUAL", binary, "LessOrEqual"},
      {64, "SELECT", select},
      {66, "SIN", unary, "Sin"},
      {71, "EQUAL", binary, "Equal"},
      {72, "NOT_EQUAL", not_equal},
      {73, "LOG", unary, "Log"},
      {74, "SUM", reduce, "ReduceSum"},
      {75, "SQRT", unary, "Sqrt"},
      {76, "RSQRT", rsqrt},
      {78, "POW", binary, "Pow"},
      {79, "ARG_MIN", arg, "ArgMin"},
      {81, "REDUCE_PROD", reduce, "ReduceProd"},
      {82, "REDUCE_MAX", reduce, "ReduceMax"},
      {84, "LOGICAL_OR", binary, "Or"},
      {86, "LOGICAL_AND", binary, "And"},
      {87, "LOGICAL_NOT", unary, "Not"},
      {89, "REDUCE_MIN", reduce, "ReduceMin"},
      {92, "SQUARE", square},
      {98, "LEAKY_RELU", leaky_relu},
      {99, "SQUARED_DIFFERENCE", squared_difference},
      {101, "ABS", unary, "Abs"},
      {104, "CEIL", unary, "Ceil"},
      {108, "COS", unary, "Cos"},
      {111, "ELU", unary, "Elu"},
      {114, "QUANTIZE", between_kinds},
      {116, "ROUND", unary, "Round"},
      {117, "HARD_SWISH", unary, "HardSwish"},
      {123, "SELECT_V2", select},
      {124, "DENSIFY", as_it_is},
      {128, "CUMSUM", cumsum},
      {150, "GELU", gelu},
      {152, "RELU_0_TO_1", relu_0_to_1},
      {158, "SIGN", unary, "Sign"},
  };
  return kRows;
}

}  // namespace skerry::graph::tflite
