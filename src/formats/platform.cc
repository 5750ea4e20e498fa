// Platform labels: exact text, "*", "/regular expression/".
#include "formats/platform.h"

#include <fmt/format.h>

#include <regex>

#include "formats/node.h"

namespace skerry::formats {
namespace {

constexpr size_t kMaxLabel = 256;
constexpr size_t kMaxValue = 256;

bool is_expression(std::string_view label) {
  return label.size() >= 2 && label.starts_with('/') && label.ends_with('/');
}

// "all" and "any" are what the first recipes wrote for "*".
bool fits_everything(std::string_view label) {
  return label == "*" || equal_ignoring_case(label, "all") || equal_ignoring_case(label, "any");
}

// libstdc++'s default matcher backtracks: exponential time, and one stack frame per character. Its
// polynomial one does neither, and refuses back-references.
std::regex compile(std::string_view expression) {
  return std::regex(expression.begin(), expression.end(),
                    std::regex::ECMAScript | std::regex_constants::__polynomial);
}

std::string_view inside_slashes(std::string_view label) {
  return label.substr(1, label.size() - 2);
}

}  // namespace

Result<> check_platform_label(std::string_view label) {
  if (label.size() > kMaxLabel) {
    return fail(Code::kInvalidArgument, fmt::format("longer than {} characters", kMaxLabel));
  }
  if (!is_expression(label)) return {};
  if (label.contains('{')) {
    return fail(Code::kInvalidArgument,
                fmt::format("the regular expression {} holds {{}}: repeat with * or +", label));
  }
  try {
    compile(inside_slashes(label));
    return {};
  } catch (const std::regex_error& error) {
    return fail(Code::kInvalidArgument,
                fmt::format("the regular expression {} is not valid: {}", label, error.what()));
  }
}

bool label_fits(std::string_view label, const std::optional<std::string>& value) {
  if (fits_everything(label)) return true;
  if (!value || value->size() > kMaxValue) return false;
  if (!is_expression(label)) return label == *value;
  try {
    return std::regex_match(*value, compile(inside_slashes(label)));
  } catch (const std::regex_error&) {
    return false;
  }
}

}  // namespace skerry::formats
