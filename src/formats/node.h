// Node: a JSON value together with its path in the document, so that every complaint of a parser
// names the place ("Manifests[0].Artifacts[1].URI: …"). Keys and enum names are compared without
// case, null counts as absent, and scalars may be written as strings ("true", "120"), as real
// recipes do. A Node borrows the JSON value.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace skerry::formats {

// a-z and A-Z only: names in these documents are ASCII.
bool equal_ignoring_case(std::string_view a, std::string_view b);

// A table of enum values and their names in documents; the first name of a value is the one
// printed.
template <class E, size_t N>
using EnumNames = std::array<std::pair<E, std::string_view>, N>;

template <class E, size_t N>
std::string_view enum_name(const EnumNames<E, N>& names, E value) {
  for (const auto& [candidate, name] : names) {
    if (candidate == value) return name;
  }
  return {};
}

template <class E, size_t N>
std::optional<E> enum_value(const EnumNames<E, N>& names, std::string_view text) {
  for (const auto& [value, name] : names) {
    if (equal_ignoring_case(name, text)) return value;
  }
  return std::nullopt;
}

class Node {
 public:
  Node(const nlohmann::json& value, std::string path) : value_(&value), path_(std::move(path)) {}

  const nlohmann::json& value() const { return *value_; }
  const std::string& path() const { return path_; }
  bool is_object() const;
  bool is_string() const;

  // kInvalidArgument, "PATH: MESSAGE".
  std::unexpected<Error> wrong(std::string_view message) const;

  // The member of this object, or nothing where it is missing or null. Wrong where this is no
  // object or where two of its keys differ only in case.
  Result<std::optional<Node>> find(std::string_view key) const;
  Result<Node> require(std::string_view key) const;

  // Every member with its key as written. Null members are left out.
  Result<std::vector<std::pair<std::string, Node>>> members() const;
  // Every element; a null element is wrong.
  Result<std::vector<Node>> elements() const;

  // NUL characters are wrong: they would cut names and scripts short further down.
  Result<std::string> as_string() const;
  Result<int64_t> as_integer() const;
  Result<double> as_number() const;
  Result<bool> as_bool() const;
  // Strings, numbers and booleans as text: values of environment variables.
  Result<std::string> as_text() const;
  Result<std::map<std::string, std::string>> as_text_map() const;
  Result<std::vector<std::string>> as_string_list() const;

  // Member `key` into `out`; where it is absent `out` keeps its value.
  Result<> read(std::string_view key, std::string& out) const;
  Result<> read(std::string_view key, int64_t& out) const;
  Result<> read(std::string_view key, bool& out) const;

  template <class E, size_t N>
  Result<E> as_enum(const EnumNames<E, N>& names) const {
    SKERRY_ASSIGN(std::string text, as_string());
    if (auto value = enum_value(names, text)) return *value;
    std::vector<std::string_view> known;
    for (const auto& [value, name] : names) known.push_back(name);
    return unknown_name(text, known);
  }

  template <class E, size_t N>
  Result<> read(std::string_view key, const EnumNames<E, N>& names, E& out) const {
    SKERRY_ASSIGN(auto member, find(key));
    if (!member) return {};
    SKERRY_ASSIGN(out, member->as_enum(names));
    return {};
  }

 private:
  std::unexpected<Error> unknown_name(std::string_view text,
                                      std::span<const std::string_view> known) const;

  const nlohmann::json* value_;
  std::string path_;
};

}  // namespace skerry::formats
