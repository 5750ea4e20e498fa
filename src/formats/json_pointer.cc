// JSON pointers as text, and what they name.
#include "formats/json_pointer.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "formats/node.h"

namespace skerry::formats {
namespace {

const nlohmann::json* find_key(const nlohmann::json& object, const std::string& key) {
  if (auto found = object.find(key); found != object.end()) return &*found;
  for (const auto& [name, value] : object.items()) {
    if (equal_ignoring_case(name, key)) return &value;
  }
  return nullptr;
}

const nlohmann::json* find_index(const nlohmann::json& list, const std::string& key) {
  size_t index = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
  const bool is_index =
      error == std::errc() && end == key.data() + key.size() && (key.size() == 1 || key[0] != '0');
  return is_index && index < list.size() ? &list[index] : nullptr;
}

}  // namespace

std::string json_pointer(const std::vector<std::string>& keys) {
  std::string pointer;
  for (const std::string& key : keys) {
    pointer += '/';
    for (const char c : key) {
      if (c == '~') {
        pointer += "~0";
      } else if (c == '/') {
        pointer += "~1";
      } else {
        pointer += c;
      }
    }
  }
  return pointer;
}

Result<std::vector<std::string>> parse_json_pointer(std::string_view text) {
  std::vector<std::string> keys;
  if (text.empty()) return keys;
  if (text[0] != '/') {
    return fail(Code::kInvalidArgument,
                fmt::format("'{}' is not a JSON pointer: it has to start with a slash", text));
  }
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '/') {
      keys.emplace_back();
    } else if (text[i] != '~') {
      keys.back() += text[i];
    } else {
      const char escaped = i + 1 < text.size() ? text[++i] : '\0';
      if (escaped != '0' && escaped != '1') {
        return fail(
            Code::kInvalidArgument,
            fmt::format("'{}' is not a JSON pointer: ~ is written ~0, / in a key ~1", text));
      }
      keys.back() += escaped == '0' ? '~' : '/';
    }
  }
  return keys;
}

const nlohmann::json* find_at(const nlohmann::json& root, const std::vector<std::string>& pointer) {
  const nlohmann::json* value = &root;
  for (const std::string& key : pointer) {
    if (value->is_object()) {
      value = find_key(*value, key);
    } else if (value->is_array()) {
      value = find_index(*value, key);
    } else {
      return nullptr;
    }
    if (value == nullptr) return nullptr;
  }
  return value;
}

}  // namespace skerry::formats
