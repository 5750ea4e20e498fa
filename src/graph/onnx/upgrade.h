// Older versions of operators to the newest, which is the one that graphs have.
#pragma once

#include "graph/inference.h"

namespace skerry::graph::onnx {

// A node that is about to be made.
struct Pending {
  std::string op_type;
  NodeSpec spec;
  int64_t version = 0;  // of the operator set that it was written for
  // Makes a node before this one, with its types.
  std::function<Result<Value*>(Op op, std::vector<Value*> inputs, Attributes attributes)> make;
  Graph* graph = nullptr;

  Value* input(size_t i) const { return i < spec.inputs.size() ? spec.inputs[i] : nullptr; }
  void set_input(size_t i, Value* value);
  Value* constant(Constant value);
  // Takes an attribute away; null where it is not there (or is no list of integers).
  std::optional<std::vector<int64_t>> take_ints(std::string_view name);
  std::optional<Attribute> take(std::string_view name);
};

// kUnsupported where an old form has no counterpart.
Result<void> upgrade(Pending& node);

}  // namespace skerry::graph::onnx
