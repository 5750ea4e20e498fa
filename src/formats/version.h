// Versions (semver 2.0.0) and the npm-style ranges that component dependencies are written in.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::formats {

// A component version: at most 64 characters, each number at most 999999. Ordered by semver
// precedence, then by build metadata, so that the order is total and == means the same text.
class Version {
 public:
  Version() = default;  // 0.0.0
  Version(uint32_t major, uint32_t minor, uint32_t patch, std::string prerelease = {});

  static Result<Version> parse(std::string_view text);

  uint32_t major() const { return major_; }
  uint32_t minor() const { return minor_; }
  uint32_t patch() const { return patch_; }
  const std::string& prerelease() const { return prerelease_; }  // "alpha.1", without the dash
  std::string str() const;

  // Semver precedence: build metadata plays no part.
  std::strong_ordering compare_precedence(const Version& other) const;
  std::strong_ordering operator<=>(const Version& other) const;
  bool operator==(const Version& other) const = default;

 private:
  uint32_t major_ = 0;
  uint32_t minor_ = 0;
  uint32_t patch_ = 0;
  std::string prerelease_;
  std::string build_;
};

// What npm's `semver` accepts by default: exact, = > >= < <= ^ ~, x and *, hyphen ranges, a space
// for "and", || for "or". A prerelease matches only where a comparator names a prerelease of the
// same major.minor.patch. At most 256 characters.
class VersionRange {
 public:
  VersionRange() = default;  // matches every release, as "*"

  static Result<VersionRange> parse(std::string_view text);
  static VersionRange exactly(const Version& version);

  bool matches(const Version& version) const;
  const std::string& str() const { return text_; }  // as it was written
  bool operator==(const VersionRange& other) const { return text_ == other.text_; }

  enum class Operator { kLess, kLessOrEqual, kGreater, kGreaterOrEqual, kEqual };
  struct Comparator {
    Operator op;
    Version version;
  };

 private:
  // Alternatives of comparators that all have to hold; an empty alternative matches every release.
  std::vector<std::vector<Comparator>> alternatives_ = {{}};
  std::string text_ = "*";
};

}  // namespace skerry::formats
