// Graphs to TensorFlow Lite models as stock LiteRT runs them: int8 networks of QLinear operators
// with what only moves elements, and the float operators of networks of images (convolutions,
// products with constants, pools, sums, activations).
#pragma once

#include <string>

#include "graph/graph.h"

namespace skerry::graph::tflite {

// kUnsupported names the first node that has no counterpart. LiteRT rounds as rounding = "litert"
// says, whatever the graph asks for.
Result<std::string> export_bytes(const Graph& graph);
Result<void> export_file(const Graph& graph, const std::string& path);

}  // namespace skerry::graph::tflite
