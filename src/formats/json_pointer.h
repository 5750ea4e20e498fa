// JSON pointers (RFC 6901): how a {configuration:…} variable, a reset of configuration and a
// message name a place in a document.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::formats {

// "/a/b~1c" → {"a", "b/c"}; "" → {} (the whole document).
Result<std::vector<std::string>> parse_json_pointer(std::string_view text);
// The other way.
std::string json_pointer(const std::vector<std::string>& keys);

// The value that `pointer` names, or null. Keys of objects are compared without case where none is
// the same to the letter: configuration trees are case-insensitive.
const nlohmann::json* find_at(const nlohmann::json& root, const std::vector<std::string>& pointer);

}  // namespace skerry::formats
