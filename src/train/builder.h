// Adds typed nodes to a graph, with the shorthands that rules of differentiation are written in.
// All shapes are known: a training step has a fixed batch.
#pragma once

#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "graph/inference.h"

namespace skerry::train {

using graph::Attributes;
using graph::Constant;
using graph::DataType;
using graph::Graph;
using graph::Node;
using graph::Op;
using graph::Value;
using Sizes = std::vector<int64_t>;

// Of a value whose shape is known.
Sizes sizes_of(const Value& value);
int64_t count_of(const Value& value);

class Builder {
 public:
  // Before `before`, or at the end.
  explicit Builder(Graph& graph, const Node* before = nullptr) : graph_(graph), before_(before) {}

  Graph& graph() const { return graph_; }

  // The outputs of a new node, typed. Inputs that do not go with the operator are a broken rule,
  // and end the program.
  std::vector<Value*> nodes(Op op, std::vector<Value*> inputs, size_t outputs,
                            Attributes attributes = {}, std::string_view name = {});
  Value* op(Op op, std::vector<Value*> inputs, Attributes attributes = {},
            std::string_view name = {}) {
    return nodes(op, std::move(inputs), 1, std::move(attributes), name)[0];
  }

  // --- Constants --------------------------------------------------------------------------------
  Value* number(double value);  // an FP32 scalar
  Value* floats(const Sizes& shape, const std::vector<float>& values);
  Value* ints(const Sizes& values);  // INT64, one dimension
  Value* filled(const Sizes& shape, float value);

  // --- Arithmetic, with NumPy's broadcasting ----------------------------------------------------
  Value* add(Value* a, Value* b) { return op("Add", {a, b}); }
  Value* sub(Value* a, Value* b) { return op("Sub", {a, b}); }
  Value* mul(Value* a, Value* b) { return op("Mul", {a, b}); }
  Value* div(Value* a, Value* b) { return op("Div", {a, b}); }
  Value* scale(Value* a, double factor) { return factor == 1 ? a : mul(a, number(factor)); }
  Value* plus(Value* a, double term) { return add(a, number(term)); }
  Value* neg(Value* a) { return op("Neg", {a}); }
  Value* square(Value* a) { return mul(a, a); }
  Value* matmul(Value* a, Value* b) { return op("MatMul", {a, b}); }
  // 1 where the comparison holds and 0 elsewhere.
  Value* where(Op comparison, Value* a, Value* b) { return as_float(op(comparison, {a, b})); }
  Value* as_float(Value* a) { return op("Cast", {a}, {{"to", DataType::kFp32}}); }

  // --- Shapes -----------------------------------------------------------------------------------
  Value* reshape(Value* a, const Sizes& shape);  // nothing where it has it
  Value* transpose(Value* a, const Sizes& perm);
  Value* swap(Value* a, size_t first, size_t second);  // two axes
  Value* expand(Value* a, const Sizes& shape);
  Value* slice(Value* a, const Sizes& starts, const Sizes& ends, const Sizes& axes);
  Value* sum(Value* a, const Sizes& axes, bool keep = true);  // over no axes: nothing
  Value* mean(Value* a, const Sizes& axes, bool keep = true);
  Value* sum_all(Value* a);  // a scalar
  // What broadcasting to `a` does backwards: summed to `shape`.
  Value* sum_to(Value* a, const Sizes& shape);

 private:
  Graph& graph_;
  const Node* before_;
  graph::TypeInference inference_;
};

}  // namespace skerry::train
