// What a file says of a step, checked.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "pipeline/step.h"

namespace skerry::pipeline {
namespace {

constexpr size_t kMaxListed = 4096;  // of a list of numbers
constexpr uint64_t kMaxLinesBytes = 16 << 20;

}  // namespace

Result<std::optional<formats::Node>> Settings::find(std::string_view key) {
  note(key);
  return node_.find(key);
}

std::unexpected<Error> Settings::wrong(std::string_view key, std::string_view message) const {
  return fail(Code::kInvalidArgument, fmt::format("{}.{}: {}", node_.path(), key, message));
}

Result<int64_t> Settings::integer(std::string_view key, int64_t least, int64_t most,
                                  std::optional<int64_t> otherwise) {
  SKERRY_ASSIGN(const auto found, find(key));
  if (!found && otherwise) return *otherwise;
  if (!found) return wrong(key, "is missing");
  SKERRY_ASSIGN(const int64_t value, found->as_integer());
  if (value >= least && value <= most) return value;
  return found->wrong(fmt::format("must be {} to {}", least, most));
}

Result<double> Settings::number(std::string_view key, double least, double most,
                                std::optional<double> otherwise) {
  SKERRY_ASSIGN(const auto found, find(key));
  if (!found && otherwise) return *otherwise;
  if (!found) return wrong(key, "is missing");
  SKERRY_ASSIGN(const double value, found->as_number());
  if (value >= least && value <= most) return value;
  return found->wrong(fmt::format("must be {} to {}", least, most));
}

Result<std::vector<double>> Settings::numbers(std::string_view key) {
  SKERRY_ASSIGN(const auto found, find(key));
  std::vector<double> values;
  if (!found) return values;
  SKERRY_ASSIGN(const auto elements, found->elements());
  if (elements.size() > kMaxListed) return found->wrong("has too many numbers");
  for (const formats::Node& element : elements) {
    SKERRY_ASSIGN(const double value, element.as_number());
    if (!std::isfinite(value)) return element.wrong("must be a finite number");
    values.push_back(value);
  }
  return values;
}

Result<std::vector<int64_t>> Settings::integers(std::string_view key) {
  SKERRY_ASSIGN(const auto found, node(key));
  std::vector<int64_t> values;
  SKERRY_ASSIGN(const auto elements, found.elements());
  if (elements.size() > kMaxListed) return found.wrong("has too many numbers");
  for (const formats::Node& element : elements) {
    SKERRY_ASSIGN(const int64_t value, element.as_integer());
    values.push_back(value);
  }
  return values;
}

Result<bool> Settings::flag(std::string_view key, bool otherwise) {
  SKERRY_ASSIGN(const auto found, find(key));
  return found ? found->as_bool() : Result<bool>(otherwise);
}

Result<std::optional<std::string>> Settings::text(std::string_view key) {
  SKERRY_ASSIGN(const auto found, find(key));
  if (!found) return std::optional<std::string>();
  SKERRY_ASSIGN(std::string text, found->as_string());
  return std::optional(std::move(text));
}

Result<std::string> Settings::choice(std::string_view key,
                                     std::span<const std::string_view> names) {
  SKERRY_ASSIGN(const auto given, text(key));
  if (!given) return std::string(names[0]);
  if (std::ranges::count(names, *given) > 0) return *given;
  return wrong(key, fmt::format("'{}' is none of: {}", *given, fmt::join(names, ", ")));
}

Result<std::vector<std::string>> Settings::lines(std::string_view key) {
  SKERRY_ASSIGN(const auto path, text(key));
  if (!path) return wrong(key, "is missing: a file of the package, with one entry a line");
  auto bytes = source_.read(*path, std::min(max_file_bytes_, kMaxLinesBytes));
  if (!bytes) return wrong(key, bytes.error().message());
  std::string_view rest(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  std::vector<std::string> lines;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (lines.empty()) return wrong(key, fmt::format("'{}' is empty", *path));
  return lines;
}

Result<formats::Node> Settings::node(std::string_view key) {
  SKERRY_ASSIGN(const auto found, find(key));
  if (!found) return wrong(key, "is missing");
  return *found;
}

Result<void> Settings::check_all_known() const {
  SKERRY_ASSIGN(const auto members, node_.members());
  for (const auto& [key, member] : members) {
    const bool is_known = std::ranges::any_of(
        known_, [&](const std::string& known) { return formats::equal_ignoring_case(known, key); });
    if (is_known) continue;
    return member.wrong(
        fmt::format("is no setting of this step; it has: {}", fmt::join(known_, ", ")));
  }
  return {};
}

}  // namespace skerry::pipeline
