// Arithmetic with broadcasting; Backward::give() sums what was broadcast.
#include "train/gradient.h"

namespace skerry::train {
namespace {

Result<void> add(Backward& back) {
  for (size_t i = 0; i < back.node().inputs().size(); ++i) {
    if (back.wants(i)) back.give(i, back.gradient());
  }
  return {};
}

Result<void> sub(Backward& back) {
  if (back.wants(0)) back.give(0, back.gradient());
  if (back.wants(1)) back.give(1, back.make.neg(back.gradient()));
  return {};
}

Result<void> mul(Backward& back) {
  if (back.wants(0)) back.give(0, back.make.mul(back.gradient(), back.in(1)));
  if (back.wants(1)) back.give(1, back.make.mul(back.gradient(), back.in(0)));
  return {};
}

Result<void> div(Backward& back) {
  Builder& make = back.make;
  Value* quotient = make.div(back.gradient(), back.in(1));
  if (back.wants(0)) back.give(0, quotient);
  if (back.wants(1)) back.give(1, make.neg(make.mul(quotient, back.out())));
  return {};
}

// The exponent's own gradient holds where the base is positive.
Result<void> pow(Backward& back) {
  Builder& make = back.make;
  Value* x = back.in(0);
  Value* y = back.in(1);
  if (back.wants(0)) {
    Value* lower = make.op("Pow", {x, make.plus(y, -1)});
    back.give(0, make.mul(back.gradient(), make.mul(y, lower)));
  }
  if (back.wants(1)) {
    back.give(1, make.mul(back.gradient(), make.mul(back.out(), make.op("Log", {x}))));
  }
  return {};
}

Result<void> mean(Backward& back) {
  Value* part =
      back.make.scale(back.gradient(), 1.0 / static_cast<double>(back.node().inputs().size()));
  for (size_t i = 0; i < back.node().inputs().size(); ++i) {
    if (back.wants(i)) back.give(i, part);
  }
  return {};
}

// To the inputs that are the extreme; several that are equal share it.
Result<void> extreme(Backward& back) {
  Builder& make = back.make;
  std::vector<Value*> hits;
  Value* count = nullptr;
  for (Value* input : back.node().inputs()) {
    hits.push_back(make.where("Equal", input, back.out()));
    count = count == nullptr ? hits.back() : make.add(count, hits.back());
  }
  Value* part = make.div(back.gradient(), count);
  for (size_t i = 0; i < hits.size(); ++i) {
    if (back.wants(i)) back.give(i, make.mul(part, hits[i]));
  }
  return {};
}

Result<void> where(Backward& back) {
  Builder& make = back.make;
  Value* zero = make.number(0);
  if (back.wants(1)) back.give(1, make.op("Where", {back.in(0), back.gradient(), zero}));
  if (back.wants(2)) back.give(2, make.op("Where", {back.in(0), zero, back.gradient()}));
  return {};
}

Result<void> prelu(Backward& back) {
  Builder& make = back.make;
  Value* zero = make.number(0);
  Value* below = make.op("Less", {back.in(0), zero});
  if (back.wants(0)) {
    Value* slope = make.op("Where", {below, back.in(1), make.number(1)});
    back.give(0, make.mul(back.gradient(), slope));
  }
  if (back.wants(1)) {
    Value* part = make.op("Where", {below, back.in(0), zero});
    back.give(1, make.mul(back.gradient(), part));
  }
  return {};
}

}  // namespace

std::span<const GradientRule> arithmetic_rules() {
  static const GradientRule kRules[] = {
      {"Add", add},     {"Sum", add},     {"Sub", sub},     {"Mul", mul},
      {"Div", div},     {"Pow", pow},     {"Mean", mean},   {"Max", extreme},
      {"Min", extreme}, {"Where", where}, {"PRelu", prelu},
  };
  return kRules;
}

}  // namespace skerry::train
