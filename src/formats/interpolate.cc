// Variables in scripts, and JSON pointers.
#include "formats/interpolate.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "formats/node.h"

namespace skerry::formats {
namespace {

struct Variable {
  std::string_view dependency;
  std::string_view name_space;
  std::string_view key;
  size_t length;  // of the text from "{" to "}"
};

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

bool is_word(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return is_word(c); });
}

// The variable that `text`, which begins with "{", begins with.
std::optional<Variable> variable_at(std::string_view text) {
  const auto end_of_word = [&](size_t from) {
    while (from < text.size() && is_word(text[from])) ++from;
    return from;
  };
  const size_t first = end_of_word(1);
  if (first == 1 || first >= text.size() || text[first] != ':') return std::nullopt;
  const size_t end = text.find_first_of(":}", first + 1);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view head = text.substr(1, first - 1);
  const std::string_view middle = text.substr(first + 1, end - first - 1);
  if (text[end] == '}') return Variable{{}, head, middle, end + 1};

  if (!is_word(middle)) return std::nullopt;
  const size_t last = text.find_first_of(":}", end + 1);
  if (last == std::string_view::npos || text[last] != '}') return std::nullopt;
  return Variable{head, middle, text.substr(end + 1, last - end - 1), last + 1};
}

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

std::string interpolate(std::string_view script, const VariableLookup& lookup) {
  std::string result;
  while (true) {
    const size_t brace = script.find('{');
    result += script.substr(0, brace);
    if (brace == std::string_view::npos) return result;
    script.remove_prefix(brace);

    size_t consumed = 1;
    std::optional<std::string> value;
    if (auto variable = variable_at(script)) {
      value = lookup(variable->dependency, variable->name_space, variable->key);
      if (value) consumed = variable->length;
    }
    result += value ? *value : "{";
    script.remove_prefix(consumed);
  }
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

std::optional<std::string> configuration_text(const nlohmann::json& root,
                                              std::string_view pointer) {
  auto keys = parse_json_pointer(pointer);
  if (!keys) return std::nullopt;
  const nlohmann::json* value = find_at(root, *keys);
  if (value == nullptr) return std::nullopt;
  return value->is_string() ? value->get<std::string>() : json_text(*value);
}

}  // namespace skerry::formats
