// JsonPtr: a JSON value held inside a document's struct without its header naming JSON's own.
// Shared, because documents are copied between steps and the value never changes; read it as *ptr
// after including <nlohmann/json.hpp>.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::formats {

using JsonPtr = std::shared_ptr<const nlohmann::json>;

struct JsonLimits {
  size_t size_bytes = 1 << 20;
  int depth = 64;
};

// Untrusted JSON text. kResourceExhausted past a limit; kInvalidArgument says where the text is
// wrong.
Result<nlohmann::json> parse_json(std::string_view text, const JsonLimits& limits = {});

// Whether brackets outside strings are nested deeper than that, without parsing: printing and
// destroying a deep tree recurse.
bool is_deeper_than(std::string_view json_text, int limit);

// The same from YAML: plain scalars become numbers, booleans and null as in YAML 1.2, but digits
// with a leading zero stay strings (account numbers, file modes). Aliases are refused: a few of
// them can stand for gigabytes.
Result<nlohmann::json> parse_yaml(std::string_view text, const JsonLimits& limits = {});

// The line, from 1, at which the value of a path such as "rules[2].above" (Node::path()) stands in
// a text that parse_yaml() has read; where there is none, of the nearest value around it.
size_t line_in_yaml(std::string_view text, std::string_view path);

// Compact text. Bytes that are not UTF-8 are replaced, so that this cannot fail.
std::string json_text(const nlohmann::json& value);

JsonPtr share(nlohmann::json value);

}  // namespace skerry::formats
