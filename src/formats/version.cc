// Versions: parsing and order (https://semver.org, version 2.0.0).
#include "formats/version.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace skerry::formats {
namespace {

constexpr size_t kMaxLength = 64;
constexpr uint32_t kMaxPart = 999'999;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_number(std::string_view text) {
  return std::ranges::all_of(text, is_digit);
}
bool is_identifier_letter(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

std::unexpected<Error> wrong(std::string_view text, std::string_view why) {
  return fail(Code::kInvalidArgument,
              fmt::format("'{}' is not a version: {}", text.substr(0, kMaxLength), why));
}

// A number without leading zeros and within the limit.
std::optional<uint32_t> part_value(std::string_view text) {
  if (text.empty() || text.size() > 6 || !is_number(text)) return std::nullopt;
  if (text.size() > 1 && text[0] == '0') return std::nullopt;
  uint32_t value = 0;
  for (char c : text) value = value * 10 + static_cast<uint32_t>(c - '0');
  return value;
}

// The text before the next dot, which is taken off `rest`.
std::string_view next_identifier(std::string_view& rest) {
  const size_t dot = rest.find('.');
  const std::string_view head = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  return head;
}

// Dot-separated identifiers of letters, digits and dashes, none empty.
bool are_identifiers(std::string_view text, bool allow_leading_zeros) {
  if (text.empty() || text.ends_with('.')) return false;
  while (!text.empty()) {
    const std::string_view identifier = next_identifier(text);
    if (identifier.empty() || !std::ranges::all_of(identifier, is_identifier_letter)) return false;
    const bool has_leading_zero = identifier.size() > 1 && identifier[0] == '0';
    if (!allow_leading_zeros && has_leading_zero && is_number(identifier)) return false;
  }
  return true;
}

// Numbers by value and below words; words by their bytes.
std::strong_ordering compare_identifiers(std::string_view a, std::string_view b) {
  const bool a_is_number = is_number(a);
  if (a_is_number != is_number(b)) {
    return a_is_number ? std::strong_ordering::less : std::strong_ordering::greater;
  }
  if (a_is_number && a.size() != b.size()) return a.size() <=> b.size();
  return a <=> b;
}

std::strong_ordering compare_prereleases(std::string_view a, std::string_view b) {
  // A version without a prerelease is the later one.
  if (a.empty() || b.empty()) return b.size() <=> a.size();
  while (!a.empty() && !b.empty()) {
    const auto order = compare_identifiers(next_identifier(a), next_identifier(b));
    if (order != 0) return order;
  }
  return a.size() <=> b.size();
}

}  // namespace

Version::Version(uint32_t major, uint32_t minor, uint32_t patch, std::string prerelease)
    : major_(major), minor_(minor), patch_(patch), prerelease_(std::move(prerelease)) {}

Result<Version> Version::parse(std::string_view text) {
  if (text.size() > kMaxLength) {
    return wrong(text, fmt::format("longer than {} characters", kMaxLength));
  }
  Version version;
  std::string_view numbers = text;
  if (const size_t plus = numbers.find('+'); plus != std::string_view::npos) {
    version.build_ = numbers.substr(plus + 1);
    numbers = numbers.substr(0, plus);
    if (!are_identifiers(version.build_, /*allow_leading_zeros=*/true)) {
      return wrong(text, "after + come letters, digits and dashes, parted by dots");
    }
  }
  if (const size_t dash = numbers.find('-'); dash != std::string_view::npos) {
    version.prerelease_ = numbers.substr(dash + 1);
    numbers = numbers.substr(0, dash);
    if (!are_identifiers(version.prerelease_, /*allow_leading_zeros=*/false)) {
      return wrong(text,
                   "after - come letters, digits and dashes, parted by dots, numbers without "
                   "leading zeros");
    }
  }
  if (std::ranges::count(numbers, '.') != 2) return wrong(text, "want MAJOR.MINOR.PATCH");
  for (uint32_t* part : {&version.major_, &version.minor_, &version.patch_}) {
    auto value = part_value(next_identifier(numbers));
    if (!value) {
      return wrong(text, fmt::format("want MAJOR.MINOR.PATCH, each 0 to {} without leading zeros",
                                     kMaxPart));
    }
    *part = *value;
  }
  return version;
}

std::string Version::str() const {
  std::string text = fmt::format("{}.{}.{}", major_, minor_, patch_);
  if (!prerelease_.empty()) text += '-' + prerelease_;
  if (!build_.empty()) text += '+' + build_;
  return text;
}

std::strong_ordering Version::compare_precedence(const Version& other) const {
  if (auto order = major_ <=> other.major_; order != 0) return order;
  if (auto order = minor_ <=> other.minor_; order != 0) return order;
  if (auto order = patch_ <=> other.patch_; order != 0) return order;
  return compare_prereleases(prerelease_, other.prerelease_);
}

std::strong_ordering Version::operator<=>(const Version& other) const {
  const auto order = compare_precedence(other);
  return order != 0 ? order : build_ <=> other.build_;
}

}  // namespace skerry::formats
