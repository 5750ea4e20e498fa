// Version ranges as npm reads them (its `semver`, not loose, prereleases not included). A range is
// rewritten into comparators: ^1.2 becomes >=1.2.0 <2.0.0-0. Upper bounds end in -0, the lowest
// prerelease, so that 2.0.0-alpha is not below 2.0.0.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "formats/version.h"

namespace skerry::formats {
namespace {

using Comparator = VersionRange::Comparator;
using Operator = VersionRange::Operator;
using Comparators = std::vector<Comparator>;

constexpr size_t kMaxRangeLength = 256;
constexpr std::string_view kSpace = " \t\r\n\v\f";

// "1.x", "1.2", "*": parts from the first x on are absent.
struct Partial {
  std::optional<uint32_t> major;
  std::optional<uint32_t> minor;
  std::optional<uint32_t> patch;
  std::string prerelease;

  Version floor() const {
    return Version(major.value_or(0), minor.value_or(0), patch.value_or(0), prerelease);
  }
};

Version lowest_of(uint32_t major, uint32_t minor, uint32_t patch) {
  return Version(major, minor, patch, "0");
}

// No version is below 0.0.0-0.
Comparators nothing() {
  return {{Operator::kLess, lowest_of(0, 0, 0)}};
}

// The first version after those that share the parts which `partial` names.
Version end_of(const Partial& partial) {
  if (!partial.minor) return lowest_of(*partial.major + 1, 0, 0);
  return lowest_of(*partial.major, *partial.minor + 1, 0);
}

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

bool is_wildcard(std::string_view part) {
  return part == "x" || part == "X" || part == "*";
}

std::string_view take_until_dot(std::string_view& rest) {
  const size_t dot = rest.find('.');
  const std::string_view part = rest.substr(0, dot);
  rest.remove_prefix(dot == std::string_view::npos ? rest.size() : dot + 1);
  return part;
}

// [v]MAJOR[.MINOR[.PATCH[-PRERELEASE][+BUILD]]]; a number may be x where those right of it are, too
// (npm ignores them behind ^ and ~; elsewhere it refuses them as this does).
Result<Partial> parse_partial(std::string_view text) {
  const auto wrong = [&] {
    return fail(Code::kInvalidArgument,
                fmt::format("'{}' is not MAJOR[.MINOR[.PATCH]], each a number or x", text));
  };
  std::string_view rest = text;
  if (rest.starts_with('v')) rest.remove_prefix(1);
  if (rest.empty()) return wrong();
  const size_t suffix = rest.find_first_of("-+");
  std::string_view numbers = rest.substr(0, suffix);
  const auto dots = std::ranges::count(numbers, '.');
  if (dots > 2 || numbers.ends_with('.')) return wrong();
  if (suffix != std::string_view::npos && dots != 2) return wrong();

  // The numbers and the suffix are checked as those of a version, with 0 for each x.
  Partial partial;
  std::string filled;
  bool is_after_wildcard = false;
  for (auto* part : {&partial.major, &partial.minor, &partial.patch}) {
    const std::string_view number = numbers.empty() ? "x" : take_until_dot(numbers);
    if (is_after_wildcard && !is_wildcard(number)) return wrong();
    is_after_wildcard = is_wildcard(number);
    if (!is_after_wildcard) *part = 0;
    filled += is_wildcard(number) ? "0" : std::string(number);
    if (part != &partial.patch) filled += '.';
  }
  if (suffix != std::string_view::npos) filled += rest.substr(suffix);
  const auto version = Version::parse(filled);
  if (!version) return wrong();
  if (partial.major) partial.major = version->major();
  if (partial.minor) partial.minor = version->minor();
  if (partial.patch) {
    partial.patch = version->patch();
    partial.prerelease = version->prerelease();
  }
  return partial;
}

Comparators between(Version from, Version end) {
  return {{Operator::kGreaterOrEqual, std::move(from)}, {Operator::kLess, std::move(end)}};
}

// ~1.2.3: the patch may rise; ~1: also the minor.
Comparators tilde(const Partial& partial) {
  if (!partial.major) return {};
  return between(partial.floor(), end_of(partial));
}

// ^1.2.3: everything right of the first number that is not zero may rise.
Comparators caret(const Partial& partial) {
  if (!partial.major) return {};
  const uint32_t major = *partial.major;
  if (major > 0 || !partial.minor) return between(partial.floor(), lowest_of(major + 1, 0, 0));
  const uint32_t minor = *partial.minor;
  if (minor > 0 || !partial.patch) return between(partial.floor(), lowest_of(0, minor + 1, 0));
  return between(partial.floor(), lowest_of(0, 0, *partial.patch + 1));
}

Comparators equal(const Partial& partial) {
  if (!partial.major) return {};
  if (!partial.patch) return between(partial.floor(), end_of(partial));
  return {{Operator::kEqual, partial.floor()}};
}

// With a missing part, "greater" starts after all versions it stands for and "less" before them.
Comparators relation(Operator op, const Partial& partial) {
  if (!partial.major) {
    const bool is_strict = op == Operator::kLess || op == Operator::kGreater;
    return is_strict ? nothing() : Comparators();
  }
  if (partial.patch) return {{op, partial.floor()}};
  const Version next = end_of(partial);
  switch (op) {
    case Operator::kGreater:
      return {{Operator::kGreaterOrEqual, Version(next.major(), next.minor(), next.patch())}};
    case Operator::kLessOrEqual:
      return {{Operator::kLess, next}};
    case Operator::kLess:
      return {{Operator::kLess, lowest_of(*partial.major, partial.minor.value_or(0), 0)}};
    default:
      return {{op, partial.floor()}};
  }
}

struct OperatorName {
  std::string_view name;
  Comparators (*expand)(const Partial&);
};

// Longer names first.
constexpr std::array<OperatorName, 10> kOperators = {{
    {">=", [](const Partial& p) { return relation(Operator::kGreaterOrEqual, p); }},
    {"<=", [](const Partial& p) { return relation(Operator::kLessOrEqual, p); }},
    {"~>", tilde},
    {"~=", tilde},
    {"^=", caret},
    {">", [](const Partial& p) { return relation(Operator::kGreater, p); }},
    {"<", [](const Partial& p) { return relation(Operator::kLess, p); }},
    {"~", tilde},
    {"^", caret},
    {"=", equal},
}};

// The operator that `text` begins with, or the one of no operator at all.
OperatorName operator_of(std::string_view text) {
  for (const OperatorName& op : kOperators) {
    if (text.starts_with(op.name)) return op;
  }
  return {"", equal};
}

// Words parted by spaces; spaces after an operator belong to the word.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  bool joins_next = false;
  for (text = trim(text); !text.empty(); text = trim(text)) {
    const size_t end = text.find_first_of(kSpace);
    const std::string word(text.substr(0, end));
    text.remove_prefix(word.size());
    if (joins_next) {
      words.back() += word;
    } else {
      words.push_back(word);
    }
    joins_next = operator_of(word).name == word;
  }
  return words;
}

// 1.2 - 2.3: from the first of 1.2 to the last of 2.3.
Result<Comparators> parse_hyphen(std::string_view from_text, std::string_view to_text) {
  SKERRY_ASSIGN(auto from, parse_partial(from_text));
  SKERRY_ASSIGN(auto to, parse_partial(to_text));
  Comparators result;
  if (from.major) result.push_back({Operator::kGreaterOrEqual, from.floor()});
  if (to.major) {
    for (Comparator& end : relation(Operator::kLessOrEqual, to)) result.push_back(std::move(end));
  }
  return result;
}

Result<Comparators> parse_alternative(std::string_view text) {
  const auto words = words_of(text);
  if (words.size() == 3 && words[1] == "-") return parse_hyphen(words[0], words[2]);
  Comparators result;
  for (const std::string& word : words) {
    const OperatorName op = operator_of(word);
    const std::string_view rest = std::string_view(word).substr(op.name.size());
    SKERRY_ASSIGN(auto partial, parse_partial(rest));
    for (Comparator& comparator : op.expand(partial)) result.push_back(std::move(comparator));
  }
  return result;
}

bool holds(const Comparator& comparator, const Version& version) {
  const auto order = version.compare_precedence(comparator.version);
  switch (comparator.op) {
    case Operator::kLess:
      return order < 0;
    case Operator::kLessOrEqual:
      return order <= 0;
    case Operator::kGreater:
      return order > 0;
    case Operator::kGreaterOrEqual:
      return order >= 0;
    case Operator::kEqual:
      return order == 0;
  }
  return false;
}

bool alternative_matches(const Comparators& comparators, const Version& version) {
  const auto names_this_release = [&](const Comparator& comparator) {
    const Version& named = comparator.version;
    return !named.prerelease().empty() && named.major() == version.major() &&
           named.minor() == version.minor() && named.patch() == version.patch();
  };
  if (!std::ranges::all_of(comparators, [&](const auto& c) { return holds(c, version); })) {
    return false;
  }
  return version.prerelease().empty() || std::ranges::any_of(comparators, names_this_release);
}

}  // namespace

Result<VersionRange> VersionRange::parse(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return fail(Code::kInvalidArgument, fmt::format("'{}' is not a version range: {}",
                                                    text.substr(0, kMaxRangeLength), why));
  };
  if (text.size() > kMaxRangeLength) {
    return wrong(fmt::format("longer than {} characters", kMaxRangeLength));
  }
  VersionRange range;
  range.text_ = text;
  range.alternatives_.clear();
  std::string_view rest = text;
  while (true) {
    const size_t bars = rest.find("||");
    auto alternative = parse_alternative(rest.substr(0, bars));
    if (!alternative) return wrong(alternative.error().message());
    range.alternatives_.push_back(*std::move(alternative));
    if (bars == std::string_view::npos) return range;
    rest.remove_prefix(bars + 2);
  }
}

VersionRange VersionRange::exactly(const Version& version) {
  VersionRange range;
  range.alternatives_ = {{{Operator::kEqual, version}}};
  range.text_ = "=" + version.str();
  return range;
}

bool VersionRange::matches(const Version& version) const {
  return std::ranges::any_of(alternatives_, [&](const Comparators& comparators) {
    return alternative_matches(comparators, version);
  });
}

}  // namespace skerry::formats
