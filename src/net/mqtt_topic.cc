// Matching level by level, and the rules for what may be a topic or a filter at all.
#include "net/mqtt_topic.h"

#include <cstdint>
#include <string>

namespace skerry::net {
namespace {

constexpr size_t kMaxTextBytes = 65'535;
constexpr std::string_view kShare = "$share/";

// The first level of `text`, which is removed with its '/'; `more` tells whether a level follows.
std::string_view take_level(std::string_view& text, bool& more) {
  size_t slash = text.find('/');
  std::string_view level = text.substr(0, slash);
  more = slash != std::string_view::npos;
  text.remove_prefix(more ? slash + 1 : text.size());
  return level;
}

// The next code point of `text`, which is removed; UINT32_MAX where it is not well-formed.
uint32_t take_code_point(std::string_view& text) {
  const auto first = static_cast<uint8_t>(text[0]);
  const size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (size == 0 || first > 0xf4 || text.size() < size) return UINT32_MAX;
  if (size == 1) {
    text.remove_prefix(1);
    return first;
  }
  uint32_t code_point = first & (0xffU >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xc0) != 0x80) return UINT32_MAX;
    code_point = code_point << 6 | (byte & 0x3f);
  }
  text.remove_prefix(size);
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  return code_point < kSmallest[size] ? UINT32_MAX : code_point;
}

bool is_allowed(uint32_t c) {
  const bool control = c <= 0x1f || (c >= 0x7f && c <= 0x9f);
  const bool surrogate = c >= 0xd800 && c <= 0xdfff;
  const bool not_a_character = (c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe;
  return !control && !surrogate && !not_a_character && c <= 0x10ffff;
}

std::unexpected<Error> refuse(const char* what, std::string_view text, const char* why) {
  // Not the text itself where it may hold anything.
  const bool printable = is_mqtt_text(text) && text.size() <= 256;
  return fail(Code::kInvalidArgument,
              std::string(what) + (printable ? " '" + std::string(text) + "' " : " ") + why);
}

}  // namespace

bool mqtt_matches(std::string_view filter, std::string_view topic) {
  if (filter.empty() || topic.empty()) return false;
  if (topic[0] == '$' && (filter[0] == '+' || filter[0] == '#')) return false;
  bool more_filter = true;
  bool more_topic = true;
  while (more_filter && more_topic) {
    std::string_view wanted = take_level(filter, more_filter);
    if (wanted == "#") return !more_filter;
    std::string_view level = take_level(topic, more_topic);
    if (wanted != "+" && wanted != level) return false;
  }
  // "a/#" matches "a" too.
  return more_filter ? filter == "#" : !more_topic;
}

bool is_mqtt_text(std::string_view text) {
  if (text.size() > kMaxTextBytes) return false;
  while (!text.empty()) {
    if (!is_allowed(take_code_point(text))) return false;
  }
  return true;
}

Result<void> check_mqtt_topic(std::string_view topic) {
  if (topic.empty()) return refuse("the topic", topic, "is empty");
  if (!is_mqtt_text(topic)) {
    return refuse("the topic", topic, "is too long or has characters that MQTT does not allow");
  }
  if (topic.find_first_of("+#") != std::string_view::npos) {
    return refuse("the topic", topic, "must not contain a wildcard");
  }
  return {};
}

Result<void> check_mqtt_filter(std::string_view filter) {
  constexpr const char* kWhat = "the topic filter";
  if (!is_mqtt_text(filter)) {
    return refuse(kWhat, filter, "is too long or has characters that MQTT does not allow");
  }
  std::string_view rest = filter;
  if (filter.starts_with(kShare)) {
    rest = unshared_filter(filter);
    const size_t group_bytes = filter.size() - rest.size();
    const std::string_view group = filter.substr(kShare.size(), group_bytes - kShare.size());
    if (group.size() < 2 || group.find_first_of("+#") != std::string_view::npos) {
      return refuse(kWhat, filter, "must be $share/GROUP/FILTER");
    }
  }
  if (rest.empty()) return refuse(kWhat, filter, "is empty");
  for (bool more = true; more;) {
    const std::string_view level = take_level(rest, more);
    const bool has_wildcard = level.find_first_of("+#") != std::string_view::npos;
    if (has_wildcard && (level.size() > 1 || (level == "#" && more))) {
      return refuse(kWhat, filter,
                    "has a wildcard in a wrong place: '+' is a whole level, '#' the last one");
    }
  }
  return {};
}

std::string_view unshared_filter(std::string_view filter) {
  if (!filter.starts_with(kShare)) return filter;
  const size_t slash = filter.find('/', kShare.size());
  return slash == std::string_view::npos ? std::string_view() : filter.substr(slash + 1);
}

}  // namespace skerry::net
