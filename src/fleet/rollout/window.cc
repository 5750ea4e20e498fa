// Windows by the machine's time zone database, which its updates keep right. The zone's rules are
// asked at each look: no table of instants that a new law would make wrong.
#include "fleet/rollout/window.h"

#define USE_OS_TZDB 1  // as Debian builds the library
#include <date/tz.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "formats/node.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;

constexpr int kMinutesPerDay = 24 * 60;
constexpr formats::EnumNames<int, 7> kDays = {
    {{0, "sun"}, {1, "mon"}, {2, "tue"}, {3, "wed"}, {4, "thu"}, {5, "fri"}, {6, "sat"}}};

std::optional<int> two_digits(std::string_view text) {
  if (text.size() != 2 || text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9') {
    return std::nullopt;
  }
  return (text[0] - '0') * 10 + (text[1] - '0');
}

// "HH:MM", to 24:00.
std::optional<int> minutes_in(std::string_view text) {
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  const auto hours = two_digits(text.substr(0, 2)), minutes = two_digits(text.substr(3));
  if (!hours || !minutes || *minutes > 59 || *hours * 60 + *minutes > kMinutesPerDay) {
    return std::nullopt;
  }
  return *hours * 60 + *minutes;
}

// "+05:30" as seconds.
std::optional<int64_t> fixed_offset_s(std::string_view zone) {
  if (zone.empty() || (zone[0] != '+' && zone[0] != '-')) return std::nullopt;
  const auto minutes = minutes_in(zone.substr(1));
  if (!minutes || *minutes > 18 * 60) return std::nullopt;
  return (zone[0] == '-' ? -60 : 60) * int64_t{*minutes};
}

// Nothing where the database has no such zone.
std::optional<int64_t> offset_s(const std::string& zone, int64_t wall_ms) {
  if (zone == "UTC") return 0;
  if (auto fixed = fixed_offset_s(zone)) return fixed;
  try {
    const date::sys_seconds at{std::chrono::seconds(wall_ms / 1000)};
    return date::locate_zone(zone)->get_info(at).offset.count();
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

Result<int> time_of(const formats::Node& node, std::string_view key) {
  SKERRY_ASSIGN(auto member, node.require(key));
  SKERRY_ASSIGN(std::string text, member.as_string());
  if (auto minutes = minutes_in(text)) return *minutes;
  return member.wrong("'" + text + "' is no time of day: write it as \"22:30\", up to \"24:00\"");
}

std::string print_minutes(int minutes) {
  return fmt::format("{:02}:{:02}", minutes / 60, minutes % 60);
}

}  // namespace

Result<Window> parse_window(const formats::Node& node) {
  Window window;
  SKERRY_ASSIGN(auto days, node.find("days"));
  if (!days) {
    window.days.fill(true);
  } else {
    SKERRY_ASSIGN(auto named, days->elements());
    if (named.empty()) {
      return days->wrong("is empty, so the window never opens: name a day, or leave it out");
    }
    for (const formats::Node& each : named) {
      SKERRY_ASSIGN(int day, each.as_enum(kDays));
      window.days.at(static_cast<size_t>(day)) = true;
    }
  }
  SKERRY_ASSIGN(window.start_minute, time_of(node, "start"));
  SKERRY_ASSIGN(window.end_minute, time_of(node, "end"));
  if (window.start_minute == window.end_minute) {
    return node.wrong(
        "start and end are equal, so the window never opens: for a whole day write "
        "\"00:00\" to \"24:00\"");
  }
  if (window.start_minute == kMinutesPerDay) return node.wrong("start: write 24:00 as \"00:00\"");
  SKERRY_TRY(node.read("timeZone", window.zone));
  if (!offset_s(window.zone, 0)) {
    return node.wrong(
        "timeZone: '" + window.zone +
        "' is unknown here: use an IANA name such as \"Europe/Berlin\" (tzdata has to "
        "be installed), \"UTC\" or an offset such as \"+05:30\"");
  }
  return window;
}

json to_json(const Window& window) {
  json days = json::array();
  for (const auto& [day, name] : kDays) {
    if (window.days.at(static_cast<size_t>(day))) days.push_back(name);
  }
  return {{"days", days},
          {"start", print_minutes(window.start_minute)},
          {"end", print_minutes(window.end_minute)},
          {"timeZone", window.zone}};
}

bool is_open(const Window& window, int64_t wall_ms) {
  const auto offset = offset_s(window.zone, wall_ms);
  if (!offset) return false;  // the zone went with an update of the machine
  const int64_t local_s = wall_ms / 1000 + *offset;
  const int64_t day = local_s / 86'400;
  const int minute = static_cast<int>(local_s % 86'400 / 60);
  const auto opens_on = [&](int64_t d) {
    return window.days.at(static_cast<size_t>((d + 4) % 7));  // 1970-01-01 was a Thursday
  };
  if (window.start_minute < window.end_minute) {
    return opens_on(day) && minute >= window.start_minute && minute < window.end_minute;
  }
  return (opens_on(day) && minute >= window.start_minute) ||
         (opens_on(day - 1) && minute < window.end_minute);
}

bool is_open(const std::vector<Window>& windows, int64_t wall_ms) {
  if (windows.empty()) return true;
  return std::ranges::any_of(windows, [&](const Window& each) { return is_open(each, wall_ms); });
}

}  // namespace skerry::fleet::rollout
