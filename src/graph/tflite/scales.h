// What integers stand for in a graph of QLinear operators: their scales are inputs of the
// operators.
#pragma once

#include <optional>

#include "graph/graph.h"

namespace skerry::graph::tflite {

// Of the inputs `scale` and the one behind it; absent where they are computed.
std::optional<Quantisation> pair_at(const Node& node, size_t scale);

// What an integer value stands for: its maker says it, or what it passes through, or its readers.
std::optional<Quantisation> reals_of(const Value& value, int depth = 0);

}  // namespace skerry::graph::tflite
