// From devices' metrics to what sinks hear: once, also over restarts and while a sink is away.
#include "fleet/alerts/alert_service.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fleet/device_metrics.h"
#include "fleet/test_fleet.h"
#include "formats/json_ptr.h"

namespace skerry::fleet {
namespace {

using nlohmann::json;

constexpr int64_t kAlertHourMs = 60 * kMinuteOfMetricsMs;
constexpr int64_t kAlertNowMs = 500'000 * kAlertHourMs + 30 * kMinuteOfMetricsMs;
constexpr const char* kAlertTopic = "plant/alerts";
const std::string kHead =
    "notify: {groupWait: 1s, sinks: bus}\nsinks:\n  bus: {mqtt: plant/alerts}\nrules:\n";

class AlertServiceTest : public testing::Test {
 protected:
  AlertServiceTest() {
    for (const char* thing : {"a", "b", "c"}) fleet.add_thing(thing);
    fleet.add_group("plant", {"a", "b"});
    fleet.link.start();
    fleet.mqtt.connect();
    fleet.clock.wall = kAlertNowMs;
    fleet.settle();
  }
  std::string file() const { return fleet.directory.path() + "/alerts.yaml"; }
  void write(const std::string& rules) {
    ASSERT_TRUE(io::write_file_atomic(fleet.files, file(), kHead + rules, 0600));
  }
  Result<void> start() {
    service.reset();
    SKERRY_ASSIGN(service, AlertService::make(fleet.env, fleet.stores, fleet.link, file(),
                                              "http://fleet/", 10));
    tasks.emplace();
    tasks->spawn(service->run());
    fleet.settle();
    return {};
  }
  void stop() {
    tasks.reset();
    service.reset();
  }
  // A minute of one metric, as the device says it.
  void put(const std::string& thing, double value, int64_t end_ms, const char* name = "Load") {
    formats::MetricSummary summary{"run00001", ++sequence, end_ms - kMinuteOfMetricsMs, end_ms, {}};
    summary.series[{"app", name, "COUNT"}].add(value, end_ms);
    ASSERT_TRUE(take_metrics(*fleet.store, ThingName(thing), summary, fleet.clock.wall));
  }
  void look() {
    std::optional<Result<void>> looked;
    io::TaskScope scope;
    scope.spawn([](AlertService& at, auto& out) -> io::Task<void> { out = co_await at.look(); }(
                                                    *service, looked));
    for (int i = 0; i < 100 && !looked; ++i) fleet.loop.run_for(10);
    ASSERT_TRUE(looked && *looked) << (looked ? looked->error().message() : "no answer");
  }
  // A minute later, with what is put by then.
  void next_minute() { fleet.clock.wall += kMinuteOfMetricsMs; }
  // "firing a b" of each message since the last call, as the broker has them.
  std::vector<std::string> heard() {
    fleet.clock.wall += 2'000;  // the group's wait
    std::vector<std::string> all;
    for (int i = 0; i < 10; ++i) {
      fleet.loop.run_for(15);
      for (const auto& message : fleet.mqtt.take_sent(kAlertTopic)) {
        const json body = formats::parse_json(message.payload).value();
        std::string text = body.value("status", "");
        for (const json& alert : body.at("alerts")) {
          text += " " + alert.at("labels").value("device", alert.at("labels").value("group", ""));
        }
        all.push_back(text);
      }
    }
    return all;
  }
  using Heard = std::vector<std::string>;

  TestFleet fleet;
  std::unique_ptr<AlertService> service;
  std::optional<io::TaskScope> tasks;
  uint64_t sequence = 0;
};

TEST_F(AlertServiceTest, ALimitIsToldOnceInOneMessageAndItsEndToo) {
  write("  - {alert: Busy, metric: app/Load, above: 5, window: 1m}\n");
  ASSERT_TRUE(start());
  put("a", 9, kAlertNowMs - 1);
  put("b", 8, kAlertNowMs - 1);
  put("c", 2, kAlertNowMs - 1);
  look();
  look();
  EXPECT_EQ(heard(), Heard{"firing a b"});
  EXPECT_EQ(list_alerts(*fleet.store)->size(), 2u);
  for (int i = 0; i < 3; ++i) next_minute();
  look();  // nothing new of them: the alerts go on
  EXPECT_EQ(list_alerts(*fleet.store)->size(), 2u);
  put("a", 1, fleet.clock.wall - 1);
  look();
  EXPECT_EQ(heard(), Heard{"resolved a"});
}

TEST_F(AlertServiceTest, ARestartNeitherForgetsNorRepeats) {
  write("  - {alert: Busy, metric: app/Load, above: 5, window: 1m, for: 2m}\n");
  ASSERT_TRUE(start());
  for (int minute = 0; minute < 5; ++minute) {
    put("a", 9, fleet.clock.wall - 1);
    look();
    stop();
    ASSERT_TRUE(start());
    next_minute();
  }
  EXPECT_EQ(heard(), Heard{"firing a"});
  put("a", 1, fleet.clock.wall - 1);
  look();
  stop();  // before it is told
  ASSERT_TRUE(start());
  EXPECT_EQ(heard(), Heard{"resolved a"});
}

TEST_F(AlertServiceTest, WhatASinkCannotTakeWaitsForIt) {
  write("  - {alert: Busy, metric: app/Load, above: 5, window: 1m}\n");
  ASSERT_TRUE(start());
  put("a", 9, kAlertNowMs - 1);
  look();
  ASSERT_TRUE(postpone_notices(*fleet.store, {list_notices(*fleet.store, 1)->front().id},
                               fleet.clock.wall + 60'000, "refused"));
  EXPECT_EQ(heard(), Heard{});
  const auto waiting = list_notices(*fleet.store, 10).value();
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting.front().attempts, 1);
  stop();
  ASSERT_TRUE(start());
  EXPECT_EQ(heard(), Heard{});
  fleet.clock.wall += 60'000;
  EXPECT_EQ(heard(), Heard{"firing a"});
  EXPECT_TRUE(list_notices(*fleet.store, 10)->empty());
}

TEST_F(AlertServiceTest, TriesAreLaterAndLater) {
  EXPECT_EQ(AlertSender::backoff_ms(1), 5'000);
  EXPECT_EQ(AlertSender::backoff_ms(2), 10'000);
  EXPECT_EQ(AlertSender::backoff_ms(3), 20'000);
  EXPECT_EQ(AlertSender::backoff_ms(1'000'000), 900'000);
}

TEST_F(AlertServiceTest, SilencesKeepItFromSinksUntilTheyEnd) {
  write("  - {alert: Busy, metric: app/Load, above: 5, window: 1m}\n");
  ASSERT_TRUE(start());
  ASSERT_TRUE(add_silence(*fleet.store, {.id = "s",
                                         .rule = "Busy",
                                         .subject = "a",
                                         .until_ms = kAlertNowMs + kAlertHourMs,
                                         .created_ms = kAlertNowMs}));
  put("a", 9, kAlertNowMs - 1);
  put("b", 9, kAlertNowMs - 1);
  look();
  EXPECT_EQ(heard(), Heard{"firing b"});
  ASSERT_TRUE(delete_silence(*fleet.store, "s"));
  EXPECT_EQ(delete_silence(*fleet.store, "s").error().code(), Code::kNotFound);
  look();
  EXPECT_EQ(heard(), Heard{"firing a"});
}

TEST_F(AlertServiceTest, AbsenceIsOfWhoeverHadItOrOfEverybodyInAGroup) {
  write(
      "  - {alert: Silent, metric: app/Load, absent: 5m}\n"
      "  - {alert: Missing, metric: app/Load, absent: 5m, group: plant}\n");
  put("a", 1, kAlertNowMs - 1);
  put("c", 1, kAlertNowMs - 1);
  ASSERT_TRUE(start());
  look();
  EXPECT_EQ(heard(), Heard{"firing b"});  // Missing
  for (int i = 0; i < 10; ++i) next_minute();
  put("a", 1, fleet.clock.wall - 1);
  look();
  EXPECT_EQ(heard(), Heard{"firing c"});  // Silent
}

TEST_F(AlertServiceTest, AGroupIsOneSubject) {
  write(
      "  - {alert: Sum, metric: app/Load, value: sum, above: 5, window: 1m, group: plant, subject: "
      "group}\n");
  ASSERT_TRUE(start());
  put("a", 3, kAlertNowMs - 1);
  put("c", 30, kAlertNowMs - 1);
  look();
  EXPECT_EQ(heard(), Heard{});
  put("b", 3, fleet.clock.wall - 1);
  look();
  EXPECT_EQ(heard(), Heard{"firing plant"});
}

TEST_F(AlertServiceTest, ADeviceIsComparedWithItsOwnHistory) {
  write("  - {alert: Odd, metric: app/Load, anomaly: 5, history: 3d, window: 2m}\n");
  for (int hour = 70; hour > 1; --hour) {
    const int64_t end_ms = kAlertNowMs - hour * kAlertHourMs;
    put("a", 100 + hour % 3, end_ms);
    put("b", 200 + hour % 3, end_ms);
  }
  put("a", 104, kAlertNowMs - 1);
  put("b", 104, kAlertNowMs - 1);  // what is normal for a
  put("c", 104, kAlertNowMs - 1);  // without a history
  ASSERT_TRUE(start());
  look();
  EXPECT_EQ(heard(), Heard{"firing b"});
}

TEST_F(AlertServiceTest, AFileThatBecomesWrongLeavesTheRulesAndSaysSo) {
  write("  - {alert: Busy, metric: app/Load, above: 5, window: 1m}\n");
  ASSERT_TRUE(start());
  put("a", 9, kAlertNowMs - 1);
  write("  - {alert: Busy, metric: app/Load, abov: 5}\n");
  look();
  EXPECT_EQ(heard(), Heard{"firing a"});
  const auto status = formats::parse_json(fleet.store->setting(kAlertRulesSetting).value()).value();
  EXPECT_EQ(status.value("error", "").substr(0, 23), "line 5: rules[0].abov: ");
  EXPECT_EQ(status.value("rules", 0), 1);
  // Put right, without the rule that fires: its alert is over.
  write("  - {alert: Other, metric: app/Load, above: 500}\n");
  look();
  EXPECT_EQ(heard(), Heard{"resolved a"});
  EXPECT_EQ(
      formats::parse_json(fleet.store->setting(kAlertRulesSetting).value())->value("error", "x"),
      "");
}

TEST_F(AlertServiceTest, AWrongFileIsRefusedAtTheStart) {
  write("  - {alert: Busy}\n");
  const auto started = start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().message(), file() + ": line 5: rules[0].metric: is missing");
}

TEST_F(AlertServiceTest, ADeviceThatIsRemovedTakesItsAlertAlong) {
  write("  - {alert: Busy, metric: app/Load, above: 5, window: 1m}\n");
  ASSERT_TRUE(start());
  put("c", 9, kAlertNowMs - 1);
  look();
  EXPECT_EQ(heard(), Heard{"firing c"});
  ASSERT_TRUE(fleet.store->delete_thing(ThingName("c")));
  for (int i = 0; i < 3; ++i) next_minute();
  look();
  EXPECT_EQ(heard(), Heard{"resolved c"});
}

TEST(AlertMessages, AlertmanagersWebhookAndAMail) {
  const monitor::AlertRule rule{
      .name = "Hot", .severity = "critical", .component = "S", .metric = "T", .limit = 80};
  const auto notice = [&](const char* id, const char* thing, bool resolved) {
    const monitor::AlertBook::Event event{
        {.key = {"Hot", thing}, .is_firing = true, .since_ms = 1'767'225'600'000, .value = 81.5},
        resolved};
    return AlertNotice{.id = id,
                       .sink = "ops",
                       .group = "alertname=Hot",
                       .alert_json = alert_json(rule, event, 1'767'225'660'000).dump()};
  };
  const std::vector<AlertNotice> notices = {notice("1", "a", false), notice("2", "b", true)};
  const AlertMessage message = alert_message(notices, "http://fleet/");
  EXPECT_EQ(message.subject, "[FIRING 1] Hot: a, b");
  EXPECT_EQ(message.id, "1");
  const json body = json::parse(message.json);
  EXPECT_EQ(body["version"], "4");
  EXPECT_EQ(body["status"], "firing");
  EXPECT_EQ(body["receiver"], "ops");
  EXPECT_EQ(body["groupLabels"], (json{{"alertname", "Hot"}}));
  EXPECT_EQ(body["commonLabels"], (json{{"alertname", "Hot"}, {"severity", "critical"}}));
  EXPECT_EQ(body["alerts"][0]["annotations"]["value"], "81.5");
  EXPECT_EQ(body["alerts"][0]["startsAt"], "2026-01-01T00:00:00.000Z");
  EXPECT_EQ(body["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
  EXPECT_EQ(body["alerts"][1]["status"], "resolved");
  EXPECT_EQ(body["alerts"][1]["endsAt"], "2026-01-01T00:01:00.000Z");
  EXPECT_NE(body["alerts"][0]["fingerprint"], body["alerts"][1]["fingerprint"]);
  EXPECT_NE(message.text.find("FIRING Hot (critical) on a"), std::string::npos);
  EXPECT_NE(message.text.find("RESOLVED Hot (critical) on b"), std::string::npos);
  EXPECT_EQ(alert_message({&notices[1], 1}, "").subject, "[RESOLVED] Hot: b");
}

}  // namespace
}  // namespace skerry::fleet
