// What callers of an artifact hand over and get, where that is not the graph's inputs and outputs
// as they are: shapes that are chosen, inputs that have one value, state that stays from run to
// run.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "graph/graph.h"

namespace skerry::compile {

struct InterfaceOptions {
  // Of inputs, by name; open dimensions that are not named become 1.
  std::map<std::string, std::vector<int64_t>, std::less<>> shapes = {};
  // Inputs that always have this value, in all elements: the code is made for it, and a run with
  // another one is refused.
  std::map<std::string, double, std::less<>> values = {};
  // Inputs that are, in each run, what an output was in the one before; zeros in the first.
  std::vector<std::pair<std::string, std::string>> states = {};
};

// By place among the graph's inputs and outputs.
struct FixedInput {
  size_t input = 0;
  graph::Constant value;
};
struct StatePair {
  size_t input = 0, output = 0;
};
struct Interface {
  std::vector<FixedInput> fixed;
  std::vector<StatePair> states;

  const FixedInput* fixed_input(size_t input) const;  // null: callers may give any value
  const StatePair* state_of_input(size_t input) const;
  const StatePair* state_of_output(size_t output) const;
};

// A copy with every shape known, that reads no fixed input. kInvalidArgument names what does not
// exist, or does not fit.
Result<std::unique_ptr<graph::Graph>> with_interface(const graph::Graph& graph,
                                                     const InterfaceOptions& options,
                                                     Interface& interface);
// What of `options` goes with the graph once it is prepared: `states` need the outputs' shapes.
Result<void> find_states(const graph::Graph& graph, const InterfaceOptions& options,
                         Interface& interface);

}  // namespace skerry::compile
