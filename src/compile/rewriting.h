// Making nodes in the place of others: what plain_form.cc and its siblings share. Internal to this
// folder.
#pragma once

#include <optional>
#include <vector>

#include "graph/constant.h"
#include "graph/graph.h"

namespace skerry::compile {

using graph::Constant;
using graph::Graph;
using graph::Node;
using graph::Value;
using tensor::DataType;

// Values in the place of what `node` makes; each call adds a node before it.
class Maker {
 public:
  Maker(Graph& graph, Node& node) : graph_(graph), node_(node) {}

  const Node& node() const { return node_; }
  Value* make(graph::Op op, std::vector<Value*> inputs, graph::Attributes attributes = {});

  Value* ints(const std::vector<int64_t>& values);
  Value* number(float value);
  Value* floats(const std::vector<int64_t>& shape, const std::vector<float>& values);
  Value* constant(Constant constant) { return &graph_.add_constant("", std::move(constant)); }

  Value* add(Value* a, Value* b) { return make("Add", {a, b}); }
  Value* sub(Value* a, Value* b) { return make("Sub", {a, b}); }
  Value* mul(Value* a, Value* b) { return make("Mul", {a, b}); }
  Value* div(Value* a, Value* b) { return make("Div", {a, b}); }
  Value* reshape(Value* value, const std::vector<int64_t>& shape);
  Value* slice(Value* value, int64_t axis, int64_t from, int64_t to);
  // The elements of these indices along an axis of `size`; the value itself where that is all.
  Value* gather(Value* value, int64_t axis, int64_t size, const std::vector<int64_t>& indices);
  Value* reduce(graph::Op op, Value* value, const std::vector<int64_t>& axes);

  // What takes the place of the node's outputs; null: nobody reads that one.
  void replace(const std::vector<Value*>& results);

 private:
  Graph& graph_;
  Node& node_;
};

// `made` is read instead of `old`, under its name where callers know that.
void take_place(Graph& graph, Value& old, Value& made);

// All sizes of an FP32 value; absent for other types and open shapes.
std::optional<std::vector<int64_t>> fp32_shape(const Value* value);
std::optional<std::vector<int64_t>> known_shape(const Value* value);
// The integers of a constant; absent where it is none.
std::optional<std::vector<int64_t>> constant_ints(const Value* value);
// The numbers of an FP32 constant.
std::optional<std::vector<float>> constant_floats(const Value* value);

// True where the node is gone: others stand in its place.
bool plain_recurrent(Maker& maker);       // plain_recurrent.cc: LSTM, GRU, RNN
bool plain_conv_transpose(Maker& maker);  // plain_image.cc
bool plain_max_pool(Maker& maker);        // of dilated windows
bool plain_depth(Maker& maker);           // DepthToSpace, SpaceToDepth
Result<bool> plain_resize(Maker& maker);

}  // namespace skerry::compile
