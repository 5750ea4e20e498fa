// Strides, dilations and pads of an operator on images.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace skerry::graph::tflite {

struct Window {
  std::vector<int64_t> strides, dilations;  // of height and width
  std::vector<int64_t> pads;                // above, left, below, right
  bool same = false;                        // TFLite's SAME; `pads` are zeros then
};

// Explicit pads that are those of SAME become SAME. kUnsupported for SAME_LOWER.
Result<Window> window_of(const Node& node, const std::vector<int64_t>& kernel);

}  // namespace skerry::graph::tflite
