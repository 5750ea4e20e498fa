// The life of an alert, look by look.
#include "monitor/alert_book.h"

#include <gtest/gtest.h>

#include "monitor/alert_replay.h"

namespace skerry::monitor {
namespace {

using Kind = Observation::Kind;
constexpr int64_t kStepMs = 60'000;

struct Life {
  // One look a minute at subject "a": '-' no data, 0 to 9 the value, 'x' not observed. What was
  // told of it, a letter a look: F firing, R resolved, '.' nothing.
  std::string tell(const std::string& values) {
    std::string told;
    for (const char c : values) {
      now_ms += kStepMs;
      Observations seen;
      if (c == '-') seen["a"] = {};
      if (c >= '0' && c <= '9') seen["a"] = judge(rule, c - '0');
      AlertBook::Changes changes;
      book.step(rule, seen, silences, repeat_ms, now_ms, changes);
      changed += changes.changed.size();
      char letter = '.';
      for (const auto& event : changes.to_be_told) letter = event.is_resolved ? 'R' : 'F';
      told += letter;
    }
    return told;
  }

  AlertRule rule{.name = "r", .limit = 5};
  AlertBook book;
  std::vector<Silence> silences;
  int64_t repeat_ms = 0;
  int64_t now_ms = 1'000'000'000;
  size_t changed = 0;
};

TEST(AlertBook, FiresAboveAndEndsAtTheLimit) {
  Life life;
  EXPECT_EQ(life.tell("3567853"), "..F..R.");
  EXPECT_TRUE(life.book.alerts().empty());
  life.rule.condition = AlertRule::Condition::kBelow;
  EXPECT_EQ(life.tell("75435"), "..F.R");
}

TEST(AlertBook, HysteresisHoldsBetweenTheLimits) {
  Life life;
  life.rule.clear = 3;
  EXPECT_EQ(life.tell("465454364"), ".F....RF.");
}

TEST(AlertBook, ItHasToBeSoForAWhile) {
  Life life;
  life.rule.for_ms = 2 * kStepMs;
  EXPECT_EQ(life.tell("66366666"), ".....F..");
  EXPECT_EQ(life.tell("3"), "R");
  // What nobody was told of does not end for anybody.
  EXPECT_EQ(life.tell("663"), "...");
  // Nothing known is not breached.
  EXPECT_EQ(life.tell("66-66"), ".....");
}

TEST(AlertBook, ItKeepsFiringForAWhile) {
  Life life;
  life.rule.keep_firing_ms = 3 * kStepMs;
  EXPECT_EQ(life.tell("633633333"), "F.....R..");
}

TEST(AlertBook, SilenceOfTheDeviceDoesNotEndAnAlertAndRemovalDoes) {
  Life life;
  EXPECT_EQ(life.tell("6----"), "F....");
  EXPECT_EQ(life.tell("x"), "R");
  life.rule.keep_firing_ms = 100 * kStepMs;
  EXPECT_EQ(life.tell("6x"), "FR");
}

TEST(AlertBook, WhatIsSilencedIsToldLaterIfItLasts) {
  Life life;
  life.silences = {{.id = "s", .rule = "r", .subject = "", .until_ms = life.now_ms + 4 * kStepMs}};
  EXPECT_EQ(life.tell("63666"), "...F.");
  life.silences = {{.id = "s", .rule = "", .subject = "b", .until_ms = INT64_MAX}};
  EXPECT_EQ(life.tell("36"), "RF");
}

TEST(AlertBook, ItIsToldAgainAfterAWhile) {
  Life life;
  life.repeat_ms = 3 * kStepMs;
  EXPECT_EQ(life.tell("666666663"), "F..F..F.R");
}

TEST(AlertBook, WhatOnlyGoesOnIsNotStoredEachTime) {
  Life life;
  life.tell("66");
  EXPECT_EQ(life.changed, 1u);
  life.tell("67777-76");
  EXPECT_EQ(life.changed, 1u);
  life.rule.for_ms = 1'000 * kStepMs;
  life.rule.name = "other";
  life.tell("66666");
  EXPECT_EQ(life.changed, 2u);
}

// Another process goes on where this one was, from what was stored.
TEST(AlertBook, ARestartChangesNothing) {
  Life life, restarted;
  life.rule.for_ms = 3 * kStepMs;
  restarted.rule = life.rule;
  std::map<AlertKey, Alert> stored;
  std::string told, told_restarted;
  for (const char c : std::string("6666636663666666-3")) {
    told += life.tell(std::string(1, c));
    restarted.book = {};
    for (const auto& [key, alert] : stored) restarted.book.load(alert);
    restarted.now_ms += kStepMs;
    Observations seen;
    seen["a"] = c == '-' ? Observation() : judge(life.rule, c - '0');
    AlertBook::Changes changes;
    restarted.book.step(life.rule, seen, {}, 0, restarted.now_ms, changes);
    for (const auto& alert : changes.changed) stored[alert.key] = alert;
    for (const auto& key : changes.gone) stored.erase(key);
    char letter = '.';
    for (const auto& event : changes.to_be_told) letter = event.is_resolved ? 'R' : 'F';
    told_restarted += letter;
  }
  EXPECT_EQ(told, told_restarted);
  EXPECT_EQ(told, "...F.R.......F...R");
}

TEST(AlertBook, AClockThatIsSetBackHoldsNothingUp) {
  Life life;
  life.rule.for_ms = 2 * kStepMs;
  life.tell("6");
  life.now_ms -= 100 * kStepMs;
  EXPECT_EQ(life.tell("666"), "..F");
}

TEST(AlertBook, RulesThatAreGoneTakeTheirAlertsAlong) {
  Life life;
  life.tell("6");
  AlertBook::Changes changes;
  life.book.drop_others({.rules = {{.name = "r"}}}, changes);
  EXPECT_TRUE(changes.empty());
  life.book.drop_others({.rules = {{.name = "q"}}}, changes);
  ASSERT_EQ(changes.to_be_told.size(), 1u);
  EXPECT_TRUE(changes.to_be_told.front().is_resolved);
  EXPECT_EQ(changes.gone.size(), 1u);
}

// --- The past of one device
// ------------------------------------------------------------------------

formats::SeriesHistory past(const std::vector<double>& values) {
  formats::SeriesHistory history;
  int64_t at_ms = 1'000 * 3'600'000LL;
  for (const double value : values) {
    at_ms += kStepMs;
    if (value >= 0) history[{"app", "Load", "COUNT"}][at_ms].add(value, at_ms);
  }
  return history;
}

std::string replayed_letters(const std::string& fields, const formats::SeriesHistory& history) {
  const auto rules = parse_alert_rules(
      "sinks: {s: {mqtt: t}}\nnotify: {sinks: s}\nrules:\n  - {alert: A, metric: "
      "app/Load, " +
      fields + "}\n");
  std::string letters;
  for (const auto& each : replay_alerts(rules.value(), history, "device")) {
    letters += (each.event.is_resolved ? "R" : "F") +
               std::to_string((each.at_ms - 1'000 * 3'600'000LL) / kStepMs) + " ";
  }
  return letters;
}

TEST(AlertReplay, ThresholdRateChangeAndAbsence) {
  const auto history = past({1, 1, 8, 9, 9, 1, 1, -1, -1, -1, 1, 1});
  EXPECT_EQ(replayed_letters("above: 5, window: 1m", history), "F3 R6 ");
  EXPECT_EQ(replayed_letters("above: 5, window: 1m, for: 1m", history), "F4 R6 ");
  EXPECT_EQ(replayed_letters("value: rate, above: 0.14, window: 1m", history), "F4 R6 ");
  EXPECT_EQ(replayed_letters("value: change, above: 6, window: 1m", history), "F3 R4 ");
  EXPECT_EQ(replayed_letters("absent: 2m", history), "F9 R11 ");
  EXPECT_EQ(replayed_letters("value: max, above: 5, window: 3m", history), "F3 R8 ");
}

TEST(AlertReplay, AnomalyAgainstItsOwnHistory) {
  std::vector<double> values;
  for (int minute = 0; minute < 30 * 60; ++minute) values.push_back(100 + minute / 60 % 3);
  for (int minute = 0; minute < 10; ++minute) values.push_back(150);
  const std::string letters = replayed_letters("anomaly: 6, history: 7d, window: 5m", past(values));
  EXPECT_EQ(letters.substr(0, 6), "F1801 ") << letters;
  EXPECT_EQ(replayed_letters("anomaly: 60, history: 7d, window: 5m", past(values)), "");
}

}  // namespace
}  // namespace skerry::monitor
