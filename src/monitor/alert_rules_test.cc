// A file of rules: what it means, and where it is wrong.
#include "monitor/alert_rules.h"

#include <gtest/gtest.h>

namespace skerry::monitor {
namespace {

using Condition = AlertRule::Condition;

constexpr std::string_view kRulesFile = R"(every: 30s
notify: {groupBy: device, groupWait: 5s, repeat: 4h, sinks: ops}
sinks:
  ops:
    webhook: https://alerts.example.com/hook
    headers: {Authorization: Bearer x}
    caFile: /etc/ca.pem
  mail:
    email: [a@example.com, b@example.com]
    server: smtp://127.0.0.1:2525
    from: fleet@example.com
  bus:
    mqtt: plant/alerts
rules:
  - alert: Hot
    metric: SystemMetrics/CpuTemperature
    value: max
    window: 10m
    above: 80
    clear: 70
    for: 15m
    keepFiring: 5m
    group: plant
    severity: critical
    summary: The device is hot
    sinks: [ops, mail]
  - alert: Silent
    metric: com.example.Vision/Frames
    absent: 10m
  - alert: Odd
    metric: com.example.Vision/Frames
    value: rate
    anomaly: 4
    history: 14d
    sameHour: true
    group: plant
    subject: group
    sinks: []
  - alert: Gone
    health: unreachable
)";

std::vector<AlertComplaint> complaints_of(const std::string& text) {
  return read_alert_rules(text).complaints;
}
// Of a file with this as the only rule's fields, one a line from line 2 on.
AlertComplaint complaint_of_rule(const std::string& fields) {
  const auto all = complaints_of("rules:\n  - " + fields);
  return all.empty() ? AlertComplaint{0, "none"} : all.front();
}

TEST(AlertRules, AFileIsReadToTheLastField) {
  const AlertReading reading = read_alert_rules(kRulesFile);
  ASSERT_EQ(reading.complaints, std::vector<AlertComplaint>());
  const AlertRules& rules = reading.rules;
  EXPECT_EQ(rules.every_ms, 30'000);
  EXPECT_EQ(rules.group_by, AlertRules::GroupBy::kDevice);
  EXPECT_EQ(rules.group_wait_ms, 5'000);
  EXPECT_EQ(rules.repeat_ms, 4 * 3'600'000);
  const AlertSink* mail = rules.find_sink("mail");
  ASSERT_TRUE(mail);
  EXPECT_EQ(mail->kind, AlertSink::Kind::kEmail);
  EXPECT_EQ(mail->to, (std::vector<std::string>{"a@example.com", "b@example.com"}));
  EXPECT_EQ(rules.find_sink("bus")->topic, "plant/alerts");
  EXPECT_EQ(rules.find_sink("ops")->headers.front().second, "Bearer x");
  const AlertRule expected{.name = "Hot",
                           .severity = "critical",
                           .summary = "The device is hot",
                           .component = "SystemMetrics",
                           .metric = "CpuTemperature",
                           .group = "plant",
                           .value = AlertValue::kMax,
                           .condition = Condition::kAbove,
                           .limit = 80,
                           .clear = 70,
                           .window_ms = 600'000,
                           .for_ms = 900'000,
                           .keep_firing_ms = 300'000,
                           .sinks = {"ops", "mail"}};
  EXPECT_EQ(rules.rules.at(0), expected);
  EXPECT_EQ(rules.rules.at(0).text(), "max of SystemMetrics/CpuTemperature in 10m above 80");
  EXPECT_EQ(rules.rules.at(1).condition, Condition::kAbsent);
  EXPECT_EQ(rules.rules.at(1).window_ms, 600'000);
  EXPECT_EQ(rules.rules.at(1).sinks, std::vector<std::string>{"ops"});
  EXPECT_TRUE(rules.rules.at(2).same_hour && rules.rules.at(2).merges_group);
  EXPECT_TRUE(rules.rules.at(2).sinks.empty());
  EXPECT_EQ(rules.rules.at(3).condition, Condition::kUnreachable);
}

TEST(AlertRules, EachErrorHasItsLine) {
  EXPECT_EQ(complaints_of("rules: [\n").front().line, 2u);
  EXPECT_EQ(complaints_of("sauce: 1\nrules: []").front(),
            (AlertComplaint{1, "sauce: is unknown here: known are every, notify, sinks, rules"}));
  EXPECT_EQ(complaints_of("every: 1m\n").front().message, "rules: is missing");
  const auto limit = complaint_of_rule("alert: A\n    metric: a/b\n    above: much\n");
  EXPECT_EQ(limit.line, 4u);
  EXPECT_TRUE(limit.message.starts_with("rules[0].above: ")) << limit.message;
  const auto unknown = complaint_of_rule("alert: A\n    metric: a/b\n    abov: 3\n");
  EXPECT_EQ(unknown.line, 4u);
  const auto clear = complaint_of_rule("alert: A\n    metric: a/b\n    above: 3\n    clear: 4\n");
  EXPECT_EQ(clear.line, 5u);
  // Of what is missing: where the rule begins.
  EXPECT_EQ(complaint_of_rule("alert: A\n    metric: a/b\n").line, 2u);
  EXPECT_EQ(complaint_of_rule("alert: A\n    above: 1\n").message, "rules[0].metric: is missing");
  EXPECT_EQ(complaint_of_rule("alert: A\n    metric: a/b\n    above: 1\n    sinks: [x]\n"),
            (AlertComplaint{5, "rules[0].sinks: there is no sink 'x'"}));
}

TEST(AlertRules, AllErrorsAreSaidAtOnce) {
  const auto all = complaints_of(R"(sinks:
  a: {webhook: ftp://x}
  b: {email: nobody, server: smtp://h, from: a@b}
  c: {mqtt: a/+/b}
  d: {email: x@y, server: smtp://h, from: a@b, user: u}
rules:
  - {alert: One, metric: a/b, above: 1, below: 2}
  - {alert: Two, metric: ab, above: 1}
  - {alert: Two, metric: a/b, above: 1, window: 5 minutes}
  - {alert: Three, health: sick}
  - {alert: Four, health: unreachable, above: 3}
  - {alert: Five, metric: a/b, above: .inf}
  - {alert: Six, metric: a/b, absent: 1m, subject: group}
  - {alert: Seven, metric: a/b, above: 1, sinks: [a]}
  - {alert: Seven, metric: a/b, above: 1}
)");
  std::vector<size_t> lines;
  for (const auto& each : all) lines.push_back(each.line);
  EXPECT_EQ(lines, (std::vector<size_t>{2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15}));
  EXPECT_EQ(parse_alert_rules("rules: [{alert: A}]").error().message(),
            "line 1: rules[0].metric: is missing");
}

TEST(AlertRules, AddressesAndHeadersCannotSmuggle) {
  const auto refused = [](const std::string& sink) {
    return !complaints_of("sinks:\n  a: " + sink + "\nrules: []\n").empty();
  };
  EXPECT_FALSE(refused("{email: a@b, server: smtp://h, from: c@d}"));
  EXPECT_TRUE(refused(R"({email: "a@b>\r\nRCPT TO:<x@y", server: smtp://h, from: c@d})"));
  EXPECT_TRUE(refused("{email: 'a@b> SIZE=1', server: smtp://h, from: c@d}"));
  EXPECT_TRUE(refused(R"({webhook: "http://h", headers: {X: "1\r\nY: 2"}})"));
  EXPECT_TRUE(refused(R"({webhook: "http://h", headers: {"X: 1\r\nY": "2"}})"));
}

TEST(AlertRules, Durations) {
  EXPECT_EQ(parse_alert_duration("90s"), 90'000);
  EXPECT_EQ(parse_alert_duration("15m"), 900'000);
  EXPECT_EQ(parse_alert_duration("7d"), 604'800'000);
  for (const char* wrong : {"", "5", "m", "0s", "-1s", "1.5h", "5 m", "5min", "99999999999999d"}) {
    EXPECT_FALSE(parse_alert_duration(wrong)) << wrong;
  }
  for (const int64_t each : {1'000, 90'000, 900'000, 7'200'000, 604'800'000}) {
    EXPECT_EQ(parse_alert_duration(alert_duration_text(each)), each);
  }
}

TEST(AlertRules, ValuesOfAWindow) {
  formats::Distribution window;
  for (const double value : {1.0, 2.0, 3.0, 6.0}) window.add(value, 1);
  EXPECT_EQ(alert_value(window, AlertValue::kMean, 60'000), 3);
  EXPECT_EQ(alert_value(window, AlertValue::kSum, 60'000), 12);
  EXPECT_EQ(alert_value(window, AlertValue::kCount, 60'000), 4);
  EXPECT_EQ(alert_value(window, AlertValue::kMin, 60'000), 1);
  EXPECT_EQ(alert_value(window, AlertValue::kMax, 60'000), 6);
  EXPECT_EQ(alert_value(window, AlertValue::kRate, 60'000), 0.2);
}

// By hand: the median of 1…9 is 5, of the distances 0 1 1 2 2 3 3 4 4 it is 2.
TEST(AlertRules, DeviationsAreRobust) {
  const std::vector<double> history = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  EXPECT_NEAR(*deviations(history, 15, 9), 10 / (1.4826 * 2), 1e-12);
  EXPECT_NEAR(*deviations(history, -5, 9), 10 / (1.4826 * 2), 1e-12);
  EXPECT_FALSE(deviations(history, 15, 10));
  // Former incidents do not hide a new one: the standard deviation of this is above 300.
  EXPECT_GT(*deviations({5, 5, 6, 5, 6, 5, 6, 1000, 5, 6}, 20, 5), 10);
  // What never changed: a hundredth is one deviation.
  EXPECT_NEAR(*deviations({100, 100, 100}, 103, 3), 3, 1e-12);
  EXPECT_NEAR(*deviations({1, 3}, 2, 2), 0, 1e-12);
}

}  // namespace
}  // namespace skerry::monitor
