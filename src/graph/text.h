// Graphs as text that people read and tests write; what is printed parses to the same graph.
//
//   graph "tiny" {
//     input %x: FP32[batch,3]
//     const %w = FP32[3,2] {1, 2, 3, 4, 5, 6}
//     %y: FP32[batch,2] = Gemm(%x, %w, _) {alpha=0.5} "fc"
//     return %y
//   }
//
// Names of other than letters, digits and _ . : / - stand in quotes; _ is an absent input or
// output. Constants above 64 elements are one word of Base64. Subgraphs follow their node in the
// same form. A type that is not written is inferred.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "graph/graph.h"

namespace skerry::graph {

std::string to_text(const Graph& graph);

// kInvalidArgument with the line. The graph is verified.
Result<std::unique_ptr<Graph>> parse_text(std::string_view text);

}  // namespace skerry::graph
