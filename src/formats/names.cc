// Names: character sets and lengths.
#include "formats/names.h"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::formats {
namespace {

struct Rule {
  std::string_view what;
  std::string_view punctuation;
  size_t max_length;
};

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

Result<std::string> check(std::string_view text, const Rule& rule) {
  const bool is_right =
      !text.empty() && text.size() <= rule.max_length && std::ranges::all_of(text, [&](char c) {
        return is_alphanumeric(c) || rule.punctuation.contains(c);
      });
  if (is_right) return std::string(text);
  return fail(Code::kInvalidArgument,
              fmt::format("'{}' is not a {}: 1 to {} letters, digits and {}",
                          text.substr(0, rule.max_length + 1), rule.what, rule.max_length,
                          rule.punctuation));
}

}  // namespace

Result<ComponentName> parse_component_name(std::string_view text) {
  SKERRY_ASSIGN(auto name, check(text, {"component name", "-_.", 128}));
  if (name.find_first_not_of('.') == std::string::npos) {
    return fail(Code::kInvalidArgument,
                fmt::format("'{}' is not a component name: it needs a letter or digit", name));
  }
  return ComponentName(std::move(name));
}

Result<ThingName> parse_thing_name(std::string_view text) {
  SKERRY_ASSIGN(auto name, check(text, {"thing name", "-_:", 128}));
  return ThingName(std::move(name));
}

Result<ThingGroupName> parse_thing_group_name(std::string_view text) {
  SKERRY_ASSIGN(auto name, check(text, {"thing group name", "-_:", 128}));
  return ThingGroupName(std::move(name));
}

Result<JobId> parse_job_id(std::string_view text) {
  SKERRY_ASSIGN(auto name, check(text, {"job id", "-_", 64}));
  return JobId(std::move(name));
}

}  // namespace skerry::formats
