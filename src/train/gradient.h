// Reverse-mode differentiation of graphs: gradients are nodes of the same standard operators, so
// that whatever runs a model also trains it.
//
//   loss(values) ── nodes backwards, each by the rule of its operator ──► d loss / d value
//
// A rule is a row of the table of its family in train/rules/.
#pragma once

#include <span>
#include <unordered_map>
#include <unordered_set>

#include "train/builder.h"

namespace skerry::train {

// What a rule sees of one node: gradients of its outputs come, gradients of its inputs go.
class Backward {
 public:
  using Gradients = std::unordered_map<const Value*, Value*>;

  Backward(Node& node, Builder& make, const std::unordered_set<const Value*>& needed,
           Gradients& gradients)
      : make(make), node_(node), needed_(needed), gradients_(gradients) {}

  Node& node() const { return node_; }
  Value* in(size_t index) const { return node_.input(index); }
  Value* out(size_t index = 0) const { return node_.output(index); }
  size_t rank(size_t input = 0) const { return sizes_of(*in(input)).size(); }
  // 0 ≤ axis < rank of the first input, from the attribute `name`, which may count from the end.
  size_t axis(std::string_view name = "axis") const;
  // Of an output; null where nothing flows back through it.
  Value* gradient(size_t output = 0) const;
  // Whether the gradient of an input leads to a parameter.
  bool wants(size_t input) const { return in(input) != nullptr && needed_.contains(in(input)); }
  // Adds to what flows into an input, summed to its shape where it was broadcast.
  void give(size_t input, Value* gradient);
  // Numbers of a constant input; refuses where it is none.
  Result<Sizes> constant_ints(size_t input) const;
  std::unexpected<Error> refuse(std::string_view why) const;

  Builder& make;

 private:
  Node& node_;
  const std::unordered_set<const Value*>& needed_;
  Gradients& gradients_;
};

struct GradientRule {
  Op op;
  Result<void> (*run)(Backward& back);
};

// The families.
std::span<const GradientRule> convolution_rules();
std::span<const GradientRule> matmul_rules();
std::span<const GradientRule> pooling_rules();
std::span<const GradientRule> arithmetic_rules();
std::span<const GradientRule> activation_rules();
std::span<const GradientRule> movement_rules();
std::span<const GradientRule> index_rules();
std::span<const GradientRule> reduction_rules();

// For each of `parameters` d loss / d parameter, of its shape; zeros where the loss does not depend
// on it. `loss` is a scalar of `graph`; nodes are added at its end. kUnsupported names the node
// whose operator has no gradient.
Result<std::vector<Value*>> add_gradients(Graph& graph, Value& loss,
                                          std::span<Value* const> parameters);

}  // namespace skerry::train
