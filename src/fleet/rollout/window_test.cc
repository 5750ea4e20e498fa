// Maintenance windows over midnight, over a change to summer time, and wrong ones.
#include "fleet/rollout/window.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/node.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;

constexpr int64_t kMinuteMs = 60'000, kHourMs = 60 * kMinuteMs, kDayMs = 24 * kHourMs;
constexpr int64_t kThursday = 1'767'225'600'000;  // 2026-01-01T00:00Z

Window window(const json& document) {
  auto parsed = parse_window(formats::Node(document, "windows[0]"));
  EXPECT_TRUE(parsed) << parsed.error().message();
  return parsed.value_or(Window{});
}
std::string refusal(const json& document) {
  auto parsed = parse_window(formats::Node(document, "windows[0]"));
  return parsed ? "" : parsed.error().message();
}

TEST(Window, OpensAtItsStartAndClosesAtItsEnd) {
  const Window day = window({{"start", "09:00"}, {"end", "17:00"}});
  EXPECT_FALSE(is_open(day, kThursday + 9 * kHourMs - 1));
  EXPECT_TRUE(is_open(day, kThursday + 9 * kHourMs));
  EXPECT_TRUE(is_open(day, kThursday + 17 * kHourMs - 1));
  EXPECT_FALSE(is_open(day, kThursday + 17 * kHourMs));
  EXPECT_TRUE(is_open(window({{"start", "00:00"}, {"end", "24:00"}}), kThursday - 1));
}

TEST(Window, OverMidnightBelongsToTheDayOnWhichItOpened) {
  const Window night =
      window({{"days", json::array({"thu"})}, {"start", "22:00"}, {"end", "04:00"}});
  EXPECT_FALSE(is_open(night, kThursday + 2 * kHourMs));
  EXPECT_TRUE(is_open(night, kThursday + 23 * kHourMs));
  EXPECT_TRUE(is_open(night, kThursday + kDayMs + 2 * kHourMs));
  EXPECT_FALSE(is_open(night, kThursday + kDayMs + 5 * kHourMs));
  EXPECT_FALSE(is_open(night, kThursday + kDayMs + 23 * kHourMs));
}

TEST(Window, FollowsThePlacesClockThroughTheYear) {
  const Window berlin =
      window({{"start", "01:00"}, {"end", "05:00"}, {"timeZone", "Europe/Berlin"}});
  EXPECT_TRUE(is_open(berlin, kThursday));  // 01:00 in winter
  EXPECT_FALSE(is_open(berlin, kThursday + 4 * kHourMs));
  const int64_t july = kThursday + 181 * kDayMs;  // 2026-07-01: 02:00
  EXPECT_TRUE(is_open(berlin, july - kHourMs));
  EXPECT_FALSE(is_open(berlin, july + 3 * kHourMs));
  // 2026-03-29: there is no 02:30 in Berlin.
  const Window missing =
      window({{"start", "02:00"}, {"end", "03:00"}, {"timeZone", "Europe/Berlin"}});
  const int64_t change = kThursday + 87 * kDayMs;
  for (int64_t at = change; at < change + 6 * kHourMs; at += kMinuteMs) {
    EXPECT_FALSE(is_open(missing, at));
  }
  EXPECT_TRUE(
      is_open(window({{"start", "05:30"}, {"end", "05:31"}, {"timeZone", "+05:30"}}), kThursday));
  EXPECT_TRUE(
      is_open(window({{"start", "20:00"}, {"end", "20:01"}, {"timeZone", "-04:00"}}), kThursday));
}

TEST(Window, TwiceAYearAnHourComesTwice) {
  const Window berlin =
      window({{"start", "02:00"}, {"end", "03:00"}, {"timeZone", "Europe/Berlin"}});
  const int64_t change = kThursday + 297 * kDayMs;  // 2026-10-25
  int64_t open = 0;
  for (int64_t at = change - 4 * kHourMs; at < change + 8 * kHourMs; at += kMinuteMs) {
    open += is_open(berlin, at) ? 1 : 0;
  }
  EXPECT_EQ(open, 120);
}

TEST(Window, OneThatNeverOpensIsRefused) {
  EXPECT_NE(refusal({{"start", "22:00"}, {"end", "22:00"}}).find("never opens"), std::string::npos);
  EXPECT_NE(refusal({{"days", json::array()}, {"start", "1:00"}, {"end", "02:00"}}).find("days"),
            std::string::npos);
}

TEST(Window, WhatIsNoTimeNamesItsField) {
  for (const char* wrong : {"9:00", "25:00", "24:01", "09-00", "", "ab:cd", "09:60"}) {
    EXPECT_NE(refusal({{"start", wrong}, {"end", "10:00"}}).find("windows[0].start"),
              std::string::npos)
        << wrong;
  }
  EXPECT_NE(
      refusal({{"start", "09:00"}, {"end", "10:00"}, {"timeZone", "Mars/Base"}}).find("Mars/Base"),
      std::string::npos);
  EXPECT_NE(refusal({{"start", "09:00"}, {"end", "10:00"}, {"timeZone", "../../etc/passwd"}}), "");
  EXPECT_NE(refusal({{"start", "09:00"}, {"end", "10:00"}, {"timeZone", "+19:00"}}), "");
  EXPECT_NE(refusal({{"days", json::array({"someday"})}, {"start", "09:00"}, {"end", "10:00"}}),
            "");
}

TEST(Window, PrintsWhatItReads) {
  const Window night = window({{"days", json::array({"sun", "sat"})},
                               {"start", "22:15"},
                               {"end", "04:00"},
                               {"timeZone", "America/New_York"}});
  EXPECT_EQ(window(to_json(night)), night);
}

}  // namespace
}  // namespace skerry::fleet::rollout
