// What passes are made of: looking at the neighbourhood of a node, and putting other nodes there.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace skerry::optimise {

using graph::Attributes;
using graph::Constant;
using graph::DataType;
using graph::Graph;
using graph::Node;
using graph::Op;
using graph::Type;
using graph::Value;

// --- Looking ------------------------------------------------------------------------------------

// Null where another operator makes it.
Node* made_by(const Value* value, Op op);
// The same, where nothing else reads it either.
Node* made_only_for_here(const Value* value, Op op);
bool has_one_use(const Value& value);  // and is no output

const Constant* constant_of(const Value* value);      // null where it is none
std::optional<double> scalar_of(const Value* value);  // of a constant of one element
std::optional<std::vector<int64_t>> ints_of(const Value* value);
std::vector<double> numbers_of(const Constant& constant);
// The same value, or equal constants.
bool same_constant(const Value* a, const Value* b);
// All equal for certain: element type and every dimension.
bool same_type(const Type& a, const Type& b);
// Value and constant of a node with two inputs one of which is a constant; null where none is.
// `constant_at` is its place.
struct Operand {
  Value* value = nullptr;
  const Constant* constant = nullptr;
  size_t constant_at = 0;
};
Operand operand_of(const Node& node);
// The constant's numbers for each of `channels` along `axis` of something of `rank` dimensions;
// absent where it varies along another axis, or would broadcast to more dimensions.
std::optional<std::vector<double>> per_channel(const Constant& constant, size_t rank, size_t axis,
                                               int64_t channels);

// --- Changing -----------------------------------------------------------------------------------

// Calls `rewrite` for each node, subgraphs included, until it changes nothing, and erases what
// nobody reads any more. `rewrite` is true where it changed something; it does not erase.
Result<size_t> rewrite_nodes(Graph& graph, const std::function<Result<bool>(Node&)>& rewrite);
// Nodes and constants that nobody reads; their number.
size_t sweep(Graph& graph);

// An output of a graph keeps its name, so only what a node makes for no other output can take its
// place.
bool can_replace(const Value& old, const Value& with);
// Everything that reads `old` reads `with`, which can take its place.
void replace(Value& old, Value& with);
// The same for a value that stands for the same as `old` did, and is called so from now on.
void take_over(Value& old, Value& with);

// The first output of a new node before `before`, typed. kInvalidArgument where it cannot be.
Result<Value*> insert(Node& before, Op op, std::vector<Value*> inputs, Attributes attributes = {},
                      std::string_view name = {});
Value& add_constant(Node& beside, std::string_view name, Constant constant);
// Numbers rounded to `type`, a float type.
Constant floats(DataType type, std::vector<int64_t> shape, std::span<const double> numbers);

}  // namespace skerry::optimise
