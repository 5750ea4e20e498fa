// Floats that a file keeps as integers or halves, and that engines make before the first run.
#pragma once

#include <optional>

#include "graph/graph.h"

namespace skerry::graph::tflite {

struct SmallWeights {
  const Constant* constant = nullptr;
  std::optional<Quantisation> reals = {};  // of integers
};

// What `value` is made of, by a DequantizeLinear of bytes or a Cast of halves; absent where it is
// something else.
std::optional<SmallWeights> small_weights(const Value& value);

}  // namespace skerry::graph::tflite
