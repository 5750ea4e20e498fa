// Makers of operators with subgraphs.
#include "graph/random/builder.h"

namespace skerry::graph::random {
namespace {

// A few elementwise nodes in a subgraph, from `value` on.
Value& steps(Builder& builder, Graph& body, Value& value) {
  static const std::vector<Op> kOps = {"Relu", "Tanh", "Neg", "Sigmoid", "Softsign"};
  Value* at = &value;
  for (int64_t i = builder.between(1, 3); i > 0; --i) {
    at = &body.add(builder.one_of(kOps), {at}, {}, "b");
  }
  return *at;
}

bool branch(Builder& builder) {
  Value* x = builder.pick_float(0, 5);
  if (x == nullptr) return false;
  Value* condition = builder.pick([](const Value& value) {
    return value.type().element == DataType::kBool && value.type().rank() == 0;
  });
  if (condition == nullptr) condition = &builder.graph().add_input("c", {DataType::kBool, Shape()});
  Node* node = builder.add("If", {condition}, {}, 1, [&](Node& made) {
    for (int i = 0; i < 2; ++i) {
      Graph& body = made.add_subgraph();
      body.name = i == 0 ? "then" : "else";
      body.add_output(steps(builder, body, *x));
    }
  });
  return node != nullptr && builder.offer(node->output(0));
}

bool loop(Builder& builder) {
  Value* x = builder.pick_float(0, 4);
  if (x == nullptr) return false;
  Value* rounds = &builder.graph().add_constant("n", Constant::of_int(builder.between(1, 3)));
  Node* node = builder.add("Loop", {rounds, nullptr, x}, {}, 2, [&](Node& made) {
    Graph& body = made.add_subgraph();
    body.name = "body";
    body.add_input("i", {DataType::kInt64, Shape()});
    Value& go = body.add_input("go", {DataType::kBool, Shape()});
    Value& carried = body.add_input("carried", x->type());
    body.add_output(body.add("Identity", {&go}, {}, "b"));
    Value& next = steps(builder, body, carried);
    body.add_output(next);
    body.add_output(body.add("Abs", {&next}, {}, "b"));
  });
  return node != nullptr && builder.offer(node->output(0));
}

bool scan(Builder& builder) {
  Value* x = builder.pick_float(2, 4);
  if (x == nullptr) return false;
  const auto tail = *tail_of(*x);
  Value& state = builder.weights(tail);
  Node* node =
      builder.add("Scan", {&state, x}, {{"num_scan_inputs", int64_t{1}}}, 2, [&](Node& made) {
        Graph& body = made.add_subgraph();
        body.name = "body";
        const Type type{DataType::kFp32, fixed_shape(tail)};
        Value& sum = body.add_input("sum", type);
        Value& slice = body.add_input("slice", type);
        Value& next = body.add("Add", {&sum, &slice}, {}, "b");
        body.add_output(next);
        body.add_output(steps(builder, body, next));
      });
  return node != nullptr && builder.offer(node->output(1));
}

}  // namespace

std::span<const Maker> control_makers() {
  static const Maker kMakers[] = {
      {"If Relu Tanh Neg Sigmoid Softsign", true, branch},
      {"Loop Identity Abs Relu Tanh Neg Sigmoid Softsign", true, loop},
      {"Scan Add Relu Tanh Neg Sigmoid Softsign", true, scan},
  };
  return kMakers;
}

}  // namespace skerry::graph::random
