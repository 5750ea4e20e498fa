// What each pattern accepts. Classes of Unicode (\p{L} and the like) are exact in ASCII; beyond it
// everything counts as a letter that is not a control, a separator of lines, or unassigned for
// good.
#include "fleet/aws/patterns.h"

#include <algorithm>
#include <initializer_list>

namespace skerry::fleet::aws {
namespace {

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// One or more of letters, digits and `others`; or none, where `may_be_empty`.
template <const char* kOthers, bool kMayBeEmpty = false>
bool words(std::string_view text) {
  return (kMayBeEmpty || !text.empty()) && std::ranges::all_of(text, [](char c) {
           return is_word(c) || std::string_view(kOthers).find(c) != std::string_view::npos;
         });
}
constexpr char kDash[] = "-";
constexpr char kDashes[] = "_-";
constexpr char kInNames[] = ":_-";
constexpr char kInShadowNames[] = "$:_-";
constexpr char kInAttributeNames[] = "_.,@/:#-";
constexpr char kInAttributeValues[] = "_.,@/:#=[]-";

bool anything(std::string_view) {
  return true;
}

// The text is UTF-8: JSON and from_text() have seen to it. 0xc2 begins U+0080 to U+00bf.
bool has_control(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f) return true;
    if (byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) {
      return true;
    }
  }
  return false;
}

bool printable(std::string_view text) {  // [^\p{C}]+
  return !text.empty() && !has_control(text);
}

bool description(std::string_view text) {  // [\p{Graph}\x20]*
  return !has_control(text);
}

bool tag_key(std::string_view text) {
  constexpr std::string_view kOthers = " _.:/=+-@";
  return !has_control(text) && std::ranges::all_of(text, [&](char c) {
    return (c & 0x80) != 0 || is_word(c) || kOthers.find(c) != std::string_view::npos;
  });
}

bool reason_code(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return is_digit(c) || (c >= 'A' && c <= 'Z') || c == '_';
  });
}

bool marker(std::string_view text) {
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  return !text.empty() &&
         std::ranges::all_of(text, [](char c) { return is_word(c) || c == '+' || c == '/'; });
}

bool certificate_id(std::string_view text) {
  if (text.starts_with("0x")) text.remove_prefix(2);
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  });
}

// Takes the text up to the next colon, which goes too; false where there is none.
bool take_field(std::string_view& rest, std::string_view& field) {
  const size_t colon = rest.find(':');
  if (colon == std::string_view::npos) return false;
  field = rest.substr(0, colon);
  rest.remove_prefix(colon + 1);
  return true;
}

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_digit);
}

// "arn:", any partition, the service, any region, an account; `rest` becomes the resource.
bool take_arn(std::string_view& rest, std::string_view service, bool or_aws) {
  std::string_view prefix, partition, named, region, account;
  if (!take_field(rest, prefix) || prefix != "arn") return false;
  if (!take_field(rest, partition) || !take_field(rest, named) || named != service) return false;
  if (!take_field(rest, region) || !take_field(rest, account)) return false;
  return is_number(account) || (or_aws && account == "aws");
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool plain(std::string_view text) {  // [^:]+
  return !text.empty() && text.find(':') == std::string_view::npos;
}

bool component_arn(std::string_view text) {
  return take_arn(text, "greengrass", true) && take_prefix(text, "components:") && plain(text);
}

bool version_arn(std::string_view text) {
  std::string_view name, word;
  return take_arn(text, "greengrass", true) && take_prefix(text, "components:") &&
         take_field(text, name) && !name.empty() && take_field(text, word) && word == "versions" &&
         plain(text);
}

// `.` of an expression is not the end of a line.
bool one_line(std::string_view text) {
  return text.find('\n') == std::string_view::npos;
}

bool target_arn(std::string_view text) {
  return take_arn(text, "iot", false) &&
         (take_prefix(text, "thinggroup/") || take_prefix(text, "thing/")) && !text.empty() &&
         one_line(text);
}

bool group_arn(std::string_view text) {
  return take_arn(text, "iot", false) && take_prefix(text, "thinggroup/") && !text.empty() &&
         one_line(text);
}

bool tagged_arn(std::string_view text) {
  return take_arn(text, "greengrass", true) &&
         (take_prefix(text, "components:") || take_prefix(text, "deployments:") ||
          take_prefix(text, "coreDevices:")) &&
         one_line(text);
}

}  // namespace

constexpr Pattern kAnythingPattern{"[\\s\\S]*", anything};
constexpr Pattern kAttributeNamePattern{"[a-zA-Z0-9_.,@/:#-]+", words<kInAttributeNames>};
constexpr Pattern kAttributeValuePattern{"[a-zA-Z0-9_.,@/:#=\\[\\]-]*",
                                         words<kInAttributeValues, true>};
constexpr Pattern kCertificateIdPattern{"(0x)?[a-fA-F0-9]+", certificate_id};
constexpr Pattern kClientTokenPattern{"^[a-zA-Z0-9-]+$", words<kDash>};
constexpr Pattern kComponentArnPattern{"arn:[^:]*:greengrass:[^:]*:(aws|[0-9]+):components:[^:]+",
                                       component_arn};
constexpr Pattern kDescriptionPattern{"[\\p{Graph}\\x20]*", description};
constexpr Pattern kGroupArnPattern{"arn:[^:]*:iot:[^:]*:[0-9]+:thinggroup/.+", group_arn};
constexpr Pattern kGroupIdPattern{"[a-zA-Z0-9\\-]+", words<kDash>};
constexpr Pattern kJobIdPattern{"[a-zA-Z0-9_-]+", words<kDashes>};
constexpr Pattern kMarkerPattern{"[A-Za-z0-9+/]+={0,2}", marker};
constexpr Pattern kNamePattern{"[a-zA-Z0-9:_-]+", words<kInNames>};
constexpr Pattern kPrintablePattern{"[^\\p{C}]+", printable};
constexpr Pattern kReasonCodePattern{"[\\p{Upper}\\p{Digit}_]+", reason_code};
constexpr Pattern kShadowNamePattern{"[$a-zA-Z0-9:_-]+", words<kInShadowNames>};
constexpr Pattern kTagKeyPattern{"^([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)$", tag_key};
constexpr Pattern kTaggedArnPattern{
    "arn:[^:]*:greengrass:[^:]*:(aws|[0-9]+):(components|deployments|coreDevices):.*", tagged_arn};
constexpr Pattern kTargetArnPattern{"arn:[^:]*:iot:[^:]*:[0-9]+:(thing|thinggroup)/.+", target_arn};
constexpr Pattern kVersionArnPattern{
    "arn:[^:]*:greengrass:[^:]*:(aws|[0-9]+):components:[^:]+:versions:[^:]+", version_arn};

std::span<const Pattern* const> all_patterns() {
  static constexpr const Pattern* kAll[] = {
      &kAnythingPattern,    &kAttributeNamePattern, &kAttributeValuePattern, &kCertificateIdPattern,
      &kClientTokenPattern, &kComponentArnPattern,  &kDescriptionPattern,    &kGroupArnPattern,
      &kGroupIdPattern,     &kJobIdPattern,         &kMarkerPattern,         &kNamePattern,
      &kPrintablePattern,   &kReasonCodePattern,    &kShadowNamePattern,     &kTagKeyPattern,
      &kTaggedArnPattern,   &kTargetArnPattern,     &kVersionArnPattern};
  return kAll;
}

}  // namespace skerry::fleet::aws
