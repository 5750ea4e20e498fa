// What operators mean: one row each, in the file of its family below graph/ops/, with its
// signature, its shape function and its reference semantics. To add one: its name in graph/op.h,
// its row, and a test.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace skerry::graph {

class Inference;   // graph/inference.h
class Evaluation;  // graph/evaluation.h

enum class AttributeKind {
  kInt,
  kFloat,
  kString,
  kInts,
  kFloats,
  kStrings,
  kType,
  kTensor,
  kGraph
};

struct AttributeSpec {
  std::string name;
  AttributeKind kind = AttributeKind::kInt;
  bool required = false;
  std::optional<Attribute> default_value = {};
};

// Inputs or outputs: the last `max - min` may be absent.
struct Arity {
  std::vector<std::string> names;  // for messages; of a list without end, the last stands for all
  std::vector<char> kinds;         // of element types, one a name: see OperatorRow
  size_t min = 0;
  size_t max = 0;  // SIZE_MAX: any number
};

// Sets the types of the outputs from those of the inputs and, where known, their values.
using InferFunction = Result<void> (*)(Inference&);
// Computes the outputs. Where the shape function knew a shape, its output is allocated.
using EvaluateFunction = Result<void> (*)(Evaluation&);
// Multiply-accumulates of one run, from the types of a node's values; absent where they are open.
using CostFunction = std::optional<int64_t> (*)(const Node&);

// What becomes of FP16 and BF16.
enum class Halves {
  kAsFloat,  // computed in FP32, each output rounded once
  kAsBytes,  // moved, or handled by the operator itself
};

struct OperatorRow {
  Op op;
  // "X W B? -> Y": optional with ?, any number with * (or + for at least one). After a colon, what
  // its elements have to be: i INT32 or INT64, b BOOL, f floating point, s BYTES.
  const char* signature;
  // "axis:int=0 perm:ints to:type!": with =, a default; with !, required; "body:graph", a subgraph.
  const char* attributes;
  InferFunction infer;
  EvaluateFunction evaluate;
  CostFunction macs = nullptr;
  Halves halves = Halves::kAsFloat;
};

struct Operator {
  Op op;
  Arity inputs;
  Arity outputs;
  std::vector<AttributeSpec> attributes;
  std::vector<std::string> subgraphs;
  InferFunction infer = nullptr;
  EvaluateFunction evaluate = nullptr;
  CostFunction macs = nullptr;
  Halves halves = Halves::kAsFloat;

  const AttributeSpec* attribute(std::string_view name) const;  // null where it has none
};

const Operator& operator_of(Op op);

}  // namespace skerry::graph
