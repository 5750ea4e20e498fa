// Variables in scripts.
#include "formats/interpolate.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/json_pointer.h"
#include "formats/json_ptr.h"

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

std::optional<std::string> configuration_text(const nlohmann::json& root,
                                              std::string_view pointer) {
  auto keys = parse_json_pointer(pointer);
  if (!keys) return std::nullopt;
  const nlohmann::json* value = find_at(root, *keys);
  if (value == nullptr) return std::nullopt;
  return value->is_string() ? value->get<std::string>() : json_text(*value);
}

}  // namespace skerry::formats
