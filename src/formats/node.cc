// Node: typed reading of a JSON tree with errors that name the place.
#include "formats/node.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace skerry::formats {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string member_path(const std::string& parent, std::string_view key) {
  return parent.empty() ? std::string(key) : fmt::format("{}.{}", parent, key);
}

// All of `text` as a number, or nothing.
template <class T>
std::optional<T> number_in(std::string_view text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

bool Node::is_object() const {
  return value_->is_object();
}
bool Node::is_string() const {
  return value_->is_string();
}

std::unexpected<Error> Node::wrong(std::string_view message) const {
  return fail(Code::kInvalidArgument, path_.empty() ? fmt::format("the document {}", message)
                                                    : fmt::format("{}: {}", path_, message));
}

std::unexpected<Error> Node::unknown_name(std::string_view text,
                                          std::span<const std::string_view> known) const {
  return wrong(fmt::format("'{}' is not one of {}", text, fmt::join(known, ", ")));
}

Result<std::optional<Node>> Node::find(std::string_view key) const {
  if (!value_->is_object()) return wrong("must be an object");
  std::optional<Node> found;
  for (const auto& [name, value] : value_->items()) {
    if (!equal_ignoring_case(name, key) || value.is_null()) continue;
    if (found) return Node(value, member_path(path_, key)).wrong("stands here twice");
    found = Node(value, member_path(path_, name));
  }
  return found;
}

Result<Node> Node::require(std::string_view key) const {
  SKERRY_ASSIGN(auto member, find(key));
  if (!member) {
    return fail(Code::kInvalidArgument, fmt::format("{}: is missing", member_path(path_, key)));
  }
  return *std::move(member);
}

Result<std::vector<std::pair<std::string, Node>>> Node::members() const {
  if (!value_->is_object()) return wrong("must be an object");
  std::vector<std::pair<std::string, Node>> result;
  for (const auto& [name, value] : value_->items()) {
    if (!value.is_null()) result.emplace_back(name, Node(value, member_path(path_, name)));
  }
  return result;
}

Result<std::vector<Node>> Node::elements() const {
  if (!value_->is_array()) return wrong("must be a list");
  std::vector<Node> result;
  for (const auto& value : *value_) {
    result.emplace_back(value, fmt::format("{}[{}]", path_, result.size()));
    if (value.is_null()) return result.back().wrong("is empty: remove it or fill it in");
  }
  return result;
}

Result<std::string> Node::as_string() const {
  if (!value_->is_string()) return wrong("must be a string");
  const auto& text = value_->get_ref<const std::string&>();
  if (text.find('\0') != std::string::npos) return wrong("holds a NUL character");
  return text;
}

Result<int64_t> Node::as_integer() const {
  if (value_->is_number_unsigned()) {
    const auto number = value_->get<uint64_t>();
    if (number <= static_cast<uint64_t>(INT64_MAX)) return static_cast<int64_t>(number);
  } else if (value_->is_number_integer()) {
    return value_->get<int64_t>();
  } else if (value_->is_number_float()) {
    // Some JSON writers print whole numbers as 60.0.
    const auto number = value_->get<double>();
    if (std::trunc(number) == number && std::abs(number) < 0x1p53) {
      return static_cast<int64_t>(number);
    }
  } else if (value_->is_string()) {
    if (auto number = number_in<int64_t>(value_->get_ref<const std::string&>())) return *number;
  }
  return wrong("must be a whole number");
}

Result<double> Node::as_number() const {
  if (value_->is_number()) return value_->get<double>();
  if (value_->is_string()) {
    auto number = number_in<double>(value_->get_ref<const std::string&>());
    if (number && std::isfinite(*number)) return *number;
  }
  return wrong("must be a number");
}

Result<bool> Node::as_bool() const {
  if (value_->is_boolean()) return value_->get<bool>();
  if (value_->is_string()) {
    const auto& text = value_->get_ref<const std::string&>();
    // YAML 1.1 has more words than two, and readers of recipes take them.
    for (const char* word : {"true", "yes", "on", "y"}) {
      if (equal_ignoring_case(text, word)) return true;
    }
    for (const char* word : {"false", "no", "off", "n"}) {
      if (equal_ignoring_case(text, word)) return false;
    }
  }
  return wrong("must be true or false");
}

Result<std::string> Node::as_text() const {
  if (value_->is_number() || value_->is_boolean()) return value_->dump();
  return as_string();
}

Result<std::map<std::string, std::string>> Node::as_text_map() const {
  SKERRY_ASSIGN(auto entries, members());
  std::map<std::string, std::string> result;
  for (const auto& [key, node] : entries) {
    SKERRY_ASSIGN(result[key], node.as_text());
  }
  return result;
}

Result<std::vector<std::string>> Node::as_string_list() const {
  SKERRY_ASSIGN(auto nodes, elements());
  std::vector<std::string> result;
  for (const Node& node : nodes) {
    SKERRY_ASSIGN(auto text, node.as_string());
    result.push_back(std::move(text));
  }
  return result;
}

Result<> Node::read(std::string_view key, std::string& out) const {
  SKERRY_ASSIGN(auto member, find(key));
  if (!member) return {};
  SKERRY_ASSIGN(out, member->as_string());
  return {};
}

Result<> Node::read(std::string_view key, int64_t& out) const {
  SKERRY_ASSIGN(auto member, find(key));
  if (!member) return {};
  SKERRY_ASSIGN(out, member->as_integer());
  return {};
}

Result<> Node::read(std::string_view key, bool& out) const {
  SKERRY_ASSIGN(auto member, find(key));
  if (!member) return {};
  SKERRY_ASSIGN(out, member->as_bool());
  return {};
}

}  // namespace skerry::formats
