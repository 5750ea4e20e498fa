// Functions of each element: dx = dy · f'(x), f' from the output where that is cheaper.
#include <cmath>
#include <numbers>

#include "train/gradient.h"

namespace skerry::train {
namespace {

using Slope = Value* (*)(Builder& make, const Backward& back);

template <Slope slope>
Result<void> elementwise(Backward& back) {
  if (back.wants(0)) back.give(0, back.make.mul(back.gradient(), slope(back.make, back)));
  return {};
}

Value* one_minus(Builder& make, Value* value) {
  return make.sub(make.number(1), value);
}

double attribute(const Backward& back, std::string_view name) {
  return static_cast<double>(back.node().float_of(name));
}

// `a` where the input is above 0, `b` elsewhere.
Value* by_sign(Builder& make, const Backward& back, Value* a, Value* b) {
  return make.op("Where", {make.op("Greater", {back.in(0), make.number(0)}), a, b});
}

// From the output, so that the input need not be kept and Conv and Relu can still be one kernel.
Value* relu(Builder& make, const Backward& back) {
  return make.where("Greater", back.out(), make.number(0));
}
Value* sigmoid(Builder& make, const Backward& back) {
  return make.mul(back.out(), one_minus(make, back.out()));
}
Value* tanh(Builder& make, const Backward& back) {
  return one_minus(make, make.square(back.out()));
}
Value* exp(Builder&, const Backward& back) {
  return back.out();
}
Value* log(Builder& make, const Backward& back) {
  return make.op("Reciprocal", {back.in(0)});
}
Value* sqrt(Builder& make, const Backward& back) {
  return make.div(make.number(0.5), back.out());
}
Value* reciprocal(Builder& make, const Backward& back) {
  return make.neg(make.square(back.out()));
}
Value* neg(Builder& make, const Backward&) {
  return make.number(-1);
}
Value* abs(Builder& make, const Backward& back) {
  return make.op("Sign", {back.in(0)});
}
Value* sin(Builder& make, const Backward& back) {
  return make.op("Cos", {back.in(0)});
}
Value* cos(Builder& make, const Backward& back) {
  return make.neg(make.op("Sin", {back.in(0)}));
}
Value* erf(Builder& make, const Backward& back) {
  Value* bell = make.op("Exp", {make.neg(make.square(back.in(0)))});
  return make.scale(bell, 2 * std::numbers::inv_sqrtpi);
}
Value* leaky_relu(Builder& make, const Backward& back) {
  return by_sign(make, back, make.number(1), make.number(attribute(back, "alpha")));
}
// α(e^x − 1) below 0: its slope is output + α.
Value* elu(Builder& make, const Backward& back) {
  return by_sign(make, back, make.number(1), make.plus(back.out(), attribute(back, "alpha")));
}
Value* celu(Builder& make, const Backward& back) {
  const double alpha = attribute(back, "alpha");
  return by_sign(make, back, make.number(1), make.plus(make.scale(back.out(), 1 / alpha), 1));
}
Value* selu(Builder& make, const Backward& back) {
  const double gamma = attribute(back, "gamma");
  return by_sign(make, back, make.number(gamma),
                 make.plus(back.out(), gamma * attribute(back, "alpha")));
}
Value* softplus(Builder& make, const Backward& back) {
  return make.op("Sigmoid", {back.in(0)});
}
Value* softsign(Builder& make, const Backward& back) {
  return make.op("Reciprocal", {make.square(make.plus(make.op("Abs", {back.in(0)}), 1))});
}
Value* thresholded_relu(Builder& make, const Backward& back) {
  return make.where("Greater", back.in(0), make.number(attribute(back, "alpha")));
}
Value* hard_sigmoid(Builder& make, const Backward& back) {
  Value* above = make.where("Greater", back.out(), make.number(0));
  Value* below = make.where("Less", back.out(), make.number(1));
  return make.scale(make.mul(above, below), attribute(back, "alpha"));
}
// x·clip(x/6 + 1/2, 0, 1): 0 below −3, 1 above 3, x/3 + 1/2 between.
Value* hard_swish(Builder& make, const Backward& back) {
  Value* x = back.in(0);
  Value* above = make.where("GreaterOrEqual", x, make.number(3));
  Value* inside =
      make.mul(make.where("Greater", x, make.number(-3)), make.where("Less", x, make.number(3)));
  return make.add(above, make.mul(inside, make.plus(make.scale(x, 1.0 / 3), 0.5)));
}
// x·tanh(s), s = softplus(x): tanh(s) + x·(1 − tanh²(s))·sigmoid(x).
Value* mish(Builder& make, const Backward& back) {
  Value* x = back.in(0);
  Value* t = make.op("Tanh", {make.op("Softplus", {x})});
  Value* bend = make.mul(make.mul(x, one_minus(make, make.square(t))), make.op("Sigmoid", {x}));
  return make.add(t, bend);
}
// x·Φ(x), or the form with tanh.
Value* gelu(Builder& make, const Backward& back) {
  Value* x = back.in(0);
  if (back.node().string_of("approximate") == "tanh") {
    const double k = std::sqrt(2 / std::numbers::pi);
    Value* square = make.square(x);
    Value* inner = make.mul(make.scale(x, k), make.plus(make.scale(square, 0.044715), 1));
    Value* t = make.op("Tanh", {inner});
    Value* slope = make.scale(make.plus(make.scale(square, 3 * 0.044715), 1), k);
    Value* bend = make.mul(make.mul(x, one_minus(make, make.square(t))), slope);
    return make.scale(make.add(make.plus(t, 1), bend), 0.5);
  }
  Value* cumulative =
      make.scale(make.plus(make.op("Erf", {make.scale(x, std::numbers::sqrt2 / 2)}), 1), 0.5);
  Value* density = make.scale(make.op("Exp", {make.scale(make.square(x), -0.5)}),
                              std::numbers::inv_sqrtpi / std::numbers::sqrt2);
  return make.add(cumulative, make.mul(x, density));
}

// Inside of its limits, which are part of the range.
Result<void> clip(Backward& back) {
  Builder& make = back.make;
  if (!back.wants(0)) return {};
  Value* dx = back.gradient();
  if (back.in(1) != nullptr) {
    dx = make.mul(dx, make.where("GreaterOrEqual", back.in(0), back.in(1)));
  }
  if (back.in(2) != nullptr) {
    dx = make.mul(dx, make.where("LessOrEqual", back.in(0), back.in(2)));
  }
  back.give(0, dx);
  return {};
}

Result<void> same(Backward& back) {
  if (back.wants(0)) back.give(0, back.gradient());
  return {};
}

// Steps are flat: nothing flows back; but for Round, which is `same`: what is trained to be rounded
// could not learn (Bengio et al., 2013, the straight-through estimator).
Result<void> flat(Backward&) {
  return {};
}

}  // namespace

std::span<const GradientRule> activation_rules() {
  static const GradientRule kRules[] = {
      {"Relu", elementwise<relu>},
      {"Sigmoid", elementwise<sigmoid>},
      {"Tanh", elementwise<tanh>},
      {"Exp", elementwise<exp>},
      {"Log", elementwise<log>},
      {"Sqrt", elementwise<sqrt>},
      {"Reciprocal", elementwise<reciprocal>},
      {"Neg", elementwise<neg>},
      {"Abs", elementwise<abs>},
      {"Sin", elementwise<sin>},
      {"Cos", elementwise<cos>},
      {"Erf", elementwise<erf>},
      {"LeakyRelu", elementwise<leaky_relu>},
      {"Elu", elementwise<elu>},
      {"Celu", elementwise<celu>},
      {"Selu", elementwise<selu>},
      {"Softplus", elementwise<softplus>},
      {"Softsign", elementwise<softsign>},
      {"ThresholdedRelu", elementwise<thresholded_relu>},
      {"HardSigmoid", elementwise<hard_sigmoid>},
      {"HardSwish", elementwise<hard_swish>},
      {"Mish", elementwise<mish>},
      {"Gelu", elementwise<gelu>},
      {"Clip", clip},
      {"Identity", same},
      {"Cast", same},
      {"Dropout", same},
      {"Floor", flat},
      {"Ceil", flat},
      {"Round", same},
      {"Sign", flat},
  };
  return kRules;
}

}  // namespace skerry::train
