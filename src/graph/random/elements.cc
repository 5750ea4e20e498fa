// Makers of operators that take values element by element, and of reductions.
#include "graph/random/builder.h"

namespace skerry::graph::random {
namespace {

bool smooth_unary(Builder& builder) {
  static const std::vector<Op> kOps = {
      "Abs",       "Neg",      "Relu",        "Sigmoid",   "Tanh",  "Erf",  "Softsign",
      "Softplus",  "Sin",      "Cos",         "Atan",      "Asinh", "Gelu", "Mish",
      "HardSwish", "Identity", "HardSigmoid", "LeakyRelu", "Elu",   "Celu", "Selu",
      "Abs",       "Relu",     "Identity",    "Relu"};
  Value* x = builder.pick_float(0, 6);
  if (x == nullptr) return false;
  const Op op = builder.one_of(kOps);
  Attributes attributes;
  if (op == "LeakyRelu" && builder.chance(50)) attributes["alpha"] = builder.real(0, 0.5F);
  if (op == "Elu" && builder.chance(50)) attributes["alpha"] = builder.real(0.5F, 1.5F);
  if (op == "HardSigmoid" && builder.chance(50)) attributes["beta"] = builder.real(0, 1);
  if (op == "Gelu" && builder.chance(50)) attributes["approximate"] = std::string("tanh");
  return builder.offer(builder.make(op, {x}, std::move(attributes)));
}

bool rough_unary(Builder& builder) {
  static const std::vector<Op> kOps = {"Ceil", "Floor",  "Round",
                                       "Sign", "Shrink", "ThresholdedRelu"};
  Value* x = builder.pick_float(0, 6);
  return x != nullptr && builder.offer(builder.make(builder.one_of(kOps), {x}));
}

// Functions of what is positive: √, logarithm, 1/x of |x| + 1.
bool positive_unary(Builder& builder) {
  static const std::vector<Op> kOps = {"Sqrt", "Log", "Reciprocal"};
  Value* x = builder.pick_float(0, 6);
  if (x == nullptr) return false;
  Value* above = builder.make("Add", {builder.make("Abs", {x}), &builder.scalar(1)});
  return above != nullptr && builder.offer(builder.make(builder.one_of(kOps), {above}));
}

// Another operand that goes with `x`: a value of the same shape, or constants that broadcast.
Value* partner(Builder& builder, const Value& x) {
  Value* same = builder.pick([&](const Value& other) {
    return other.type().element == DataType::kFp32 && *other.type().shape == *x.type().shape;
  });
  if (same != nullptr && builder.chance(50)) return same;
  const auto tail = tail_of(x);
  if (!tail) return same;
  std::vector<int64_t> shape = *tail;
  for (int64_t& size : shape) size = builder.chance(30) ? 1 : size;
  while (!shape.empty() && builder.chance(20)) shape.erase(shape.begin());
  return &builder.weights(std::move(shape), -2, 2);
}

bool binary(Builder& builder) {
  static const std::vector<Op> kOps = {"Add", "Add", "Sub", "Mul", "Mul",
                                       "Max", "Min", "Sum", "Mean"};
  Value* x = builder.pick_float(0, 6);
  if (x == nullptr) return false;
  Value* y = partner(builder, *x);
  if (y == nullptr) return false;
  const bool turned = builder.chance(30);
  Value* z = builder.make(builder.one_of(kOps), {turned ? y : x, turned ? x : y});
  if (z == nullptr) return false;
  // Products of products leave every range.
  if (z->producer()->op() == "Mul")
    z = builder.make("Clip", {z, &builder.scalar(-8), &builder.scalar(8)});
  return builder.offer(z);
}

bool divide(Builder& builder) {
  Value* x = builder.pick_float(0, 6);
  if (x == nullptr) return false;
  const std::vector<float> divisors = {-2, 0.5F, 1, 3, 4};
  return builder.offer(builder.make("Div", {x, &builder.scalar(builder.one_of(divisors))}));
}

bool clip(Builder& builder) {
  Value* x = builder.pick_float(0, 6);
  if (x == nullptr) return false;
  Value* low = builder.chance(70) ? &builder.scalar(builder.real(-2, 0)) : nullptr;
  Value* high =
      low == nullptr || builder.chance(70) ? &builder.scalar(builder.real(0, 6)) : nullptr;
  std::vector<Value*> inputs = {x, low};
  if (high != nullptr) inputs.push_back(high);
  return builder.offer(builder.make("Clip", std::move(inputs)));
}

bool prelu(Builder& builder) {
  Value* x = builder.pick_float(2, 4);
  if (x == nullptr) return false;
  std::vector<int64_t> slope = {(*tail_of(*x))[0]};
  slope.resize(x->type().rank() - 1, 1);
  return builder.offer(builder.make("PRelu", {x, &builder.weights(slope)}));
}

bool where(Builder& builder) {
  static const std::vector<Op> kOps = {"Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal"};
  Value* x = builder.pick_float(0, 6);
  if (x == nullptr) return false;
  Value* y = partner(builder, *x);
  Value* condition = y != nullptr ? builder.make(builder.one_of(kOps), {x, y}) : nullptr;
  if (condition != nullptr && builder.chance(30)) condition = builder.make("Not", {condition});
  if (condition == nullptr) return false;
  return builder.offer(builder.make("Where", {condition, x, &builder.scalar(0.5F)}));
}

bool softmax(Builder& builder) {
  static const std::vector<Op> kOps = {"Softmax", "Softmax", "LogSoftmax"};
  Value* x = builder.pick_float(1, 5);
  if (x == nullptr) return false;
  const auto rank = static_cast<int64_t>(x->type().rank());
  const Op op = builder.one_of(kOps);
  return builder.offer(builder.make(op, {x}, {{"axis", builder.between(-rank, rank - 1)}}));
}

bool reduce(Builder& builder) {
  static const std::vector<Op> kOps = {"ReduceMean", "ReduceMean", "ReduceSum", "ReduceMax",
                                       "ReduceMin",  "ReduceL1",   "ReduceL2",  "ReduceSumSquare"};
  Value* x = builder.pick_float(1, 5);
  if (x == nullptr) return false;
  const auto rank = static_cast<int64_t>(x->type().rank());
  std::vector<Value*> inputs = {x};
  if (builder.chance(80)) inputs.push_back(&builder.ints({builder.between(-rank, rank - 1)}));
  const Op op = builder.one_of(kOps);
  Value* y = builder.make(op, std::move(inputs), {{"keepdims", builder.between(0, 1)}});
  return builder.offer(y != nullptr ? builder.make("Mul", {y, &builder.scalar(0.25F)}) : nullptr);
}

bool arg(Builder& builder) {
  static const std::vector<Op> kOps = {"ArgMax", "ArgMin"};
  Value* x = builder.pick_float(1, 5);
  if (x == nullptr) return false;
  const auto rank = static_cast<int64_t>(x->type().rank());
  const Op op = builder.one_of(kOps);
  Value* y = builder.make(op, {x}, {{"axis", builder.between(0, rank - 1)}});
  return y != nullptr && builder.offer(builder.make("Cast", {y}, {{"to", DataType::kFp32}}));
}

bool cast(Builder& builder) {
  static const std::vector<DataType> kTypes = {DataType::kFp16, DataType::kInt32, DataType::kFp64,
                                               DataType::kInt64, DataType::kBool};
  Value* x = builder.pick_float(0, 6);
  if (x == nullptr) return false;
  Value* y = builder.make("Cast", {x}, {{"to", builder.one_of(kTypes)}});
  return y != nullptr && builder.offer(builder.make("Cast", {y}, {{"to", DataType::kFp32}}));
}

}  // namespace

std::span<const Maker> element_makers() {
  static const Maker kMakers[] = {
      {"Abs Neg Relu Sigmoid Tanh Erf Softsign Softplus Sin Cos Atan Asinh Gelu Mish HardSwish "
       "Identity HardSigmoid LeakyRelu Elu Celu Selu",
       true, smooth_unary},
      {"Relu", true,
       [](Builder& builder) {
         Value* x = builder.pick_float(0, 6);
         return x != nullptr && builder.offer(builder.make("Relu", {x}));
       }},
      {"Ceil Floor Round Sign Shrink ThresholdedRelu", false, rough_unary},
      {"Sqrt Log Reciprocal Add Abs", true, positive_unary},
      {"Add Sub Mul Max Min Sum Mean Clip", true, binary},
      {"Add", true,
       [](Builder& builder) {
         Value* x = builder.pick_float(0, 6);
         Value* y = x != nullptr ? partner(builder, *x) : nullptr;
         return y != nullptr && builder.offer(builder.make("Add", {x, y}));
       }},
      {"Div", true, divide},
      {"Clip", true, clip},
      {"PRelu", true, prelu},
      {"Greater Less GreaterOrEqual LessOrEqual Equal Not Where", false, where},
      {"Softmax LogSoftmax", true, softmax},
      {"ReduceMean ReduceSum ReduceMax ReduceMin ReduceL1 ReduceL2 ReduceSumSquare Mul", true,
       reduce},
      {"ArgMax ArgMin Cast", false, arg},
      {"Cast", false, cast},
  };
  return kMakers;
}

}  // namespace skerry::graph::random
