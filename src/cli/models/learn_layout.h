// Where an ONNX file has the numbers that training changes.
#pragma once

#include <string_view>

#include "base/error.h"
#include "federated/layout.h"
#include "graph/graph.h"

namespace skerry::cli {

// In the order in which devices send them. kUnsupported names a parameter that does not lie in the
// file as floats: skerry model convert writes one in which they do.
Result<federated::Layout> layout_of(std::string_view file, const graph::Graph& model);

}  // namespace skerry::cli
