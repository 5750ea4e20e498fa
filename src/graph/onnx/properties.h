// What graphs say and ONNX has no place for: in the metadata of nodes and values, under our own
// prefix, where programs that do not know it pass over it.
#pragma once

#include <string>
#include <string_view>

#include "graph/shape.h"

namespace skerry::graph::onnx {

inline constexpr std::string_view kPropertyPrefix = "skerry.";

// True for an attribute that only our operators have; its value is a text.
bool is_property(std::string_view attribute);

// "0; 0.5,0.25; 0,-3": axis, scales, zero points.
std::string quantisation_text(const Quantisation& quantisation);
Result<Quantisation> parse_quantisation(std::string_view text);

}  // namespace skerry::graph::onnx
