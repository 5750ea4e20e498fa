// Metrics from a component's call to the broker: bounded, and each summary until it is heard.
#include "nucleus/metrics.h"

#include <gtest/gtest.h>

#include "formats/metric_ring.h"
#include "nucleus/ipc/test_host.h"

namespace skerry::nucleus {
namespace {

class MetricsTest : public testing::Test {
 protected:
  MetricsTest() : listener_(host_.broker.client({.client_id = "fleet"})) {
    net::MqttClient::Events events;
    events.on_message = [this](const net::MqttMessage& message) {
      heard_.push_back(*formats::parse_metric_summary(message.payload));
    };
    listener_->start(std::move(events));
    while (!host_.router.connected() || !listener_->connected()) loop_.run_for(10);
  }
  void listen() {
    ASSERT_TRUE(listener_->subscribe({.filter = "$aws/things/+/skerry/metrics"}));
    run();
  }
  void run(int rounds = 100) {
    for (int i = 0; i < rounds; ++i) loop_.run_for(2);
  }
  void put(double value, const std::string& name = "Frames") {
    ASSERT_TRUE(metrics_.put("app", {{name, "COUNT", value}}));
  }
  uint64_t heard_count() const {
    uint64_t count = 0;
    for (const auto& summary : heard_) {
      for (const auto& [id, distribution] : summary.series) count += distribution.count;
    }
    return count;
  }

  io::RealLoop loop_;
  FakeHost host_{loop_};
  std::unique_ptr<net::MqttClient> listener_;
  std::vector<formats::MetricSummary> heard_;
  Metrics metrics_{host_.environment, host_.router, ThingName("press"), "/state/metrics",
                   MetricsLimits{.series = 6, .series_of_component = 4, .interval_ms = 20}};
};

TEST_F(MetricsTest, WhatIsPutArrivesOnce) {
  listen();
  metrics_.start();
  for (int i = 0; i < 20; ++i) {
    put(i);
    run(10);
  }
  while (heard_count() < 20) run(10);
  run();
  EXPECT_EQ(heard_count(), 20u);
  for (size_t i = 0; i < heard_.size(); ++i) EXPECT_EQ(heard_[i].sequence, i + 1);
}

TEST_F(MetricsTest, WhatNobodyHearsIsKeptAndComesLater) {
  metrics_.start();
  put(1);
  run();
  EXPECT_TRUE(heard_.empty());
  listen();
  put(2);
  while (heard_count() < 2) run(10);
  EXPECT_EQ(heard_[0].sequence, 1u);
  uint64_t kept = 0;
  ASSERT_TRUE(formats::read_metric_ring(host_.files, "/state/metrics",
                                        [&](const formats::MetricSummary&) { ++kept; }));
  EXPECT_EQ(kept, 2u);
}

TEST_F(MetricsTest, AFullDiskLosesNothing) {
  listen();
  host_.files.fail_from(0, ENOSPC);
  metrics_.start();
  for (int i = 0; i < 10; ++i) {
    put(i);
    run(10);
  }
  EXPECT_TRUE(heard_.empty());
  host_.files.stop_failing();
  while (heard_count() < 10) run(10);
  run();
  EXPECT_EQ(heard_count(), 10u);
}

TEST_F(MetricsTest, AnOrderlyStopKeepsWhatIsThere) {
  listen();
  metrics_.start();
  for (int i = 0; i < 10; ++i) {
    put(i);
    run(3);
  }
  io::TaskScope stopping;
  stopping.spawn(metrics_.flush());
  while (stopping.size() > 0) loop_.run_for(2);
  uint64_t kept = 0;
  ASSERT_TRUE(formats::read_metric_ring(host_.files, "/state/metrics",
                                        [&](const formats::MetricSummary& summary) {
                                          for (const auto& [id, distribution] : summary.series)
                                            kept += distribution.count;
                                        }));
  EXPECT_EQ(kept, 10u);
}

TEST_F(MetricsTest, AFloodOfNamesIsRefusedAsAWhole) {
  for (int i = 0; i < 4; ++i) put(1, "Name" + std::to_string(i));
  const auto refused = metrics_.put("app", {{"Name0", "COUNT", 1}, {"Another", "COUNT", 1}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_NE(refused.error().message().find("not into names"), std::string::npos);
  EXPECT_EQ(metrics_.current().at({"app", "Name0", "COUNT"}).count, 1u);
  put(2, "Name3");  // known ones go on
  EXPECT_TRUE(metrics_.put("other", {{"A", "COUNT", 1}, {"B", "COUNT", 1}}));
  EXPECT_FALSE(metrics_.put("third", {{"A", "COUNT", 1}}));  // the device's limit
  for (int i = 0; i < 1000; ++i) metrics_.put_own("SystemMetrics", std::to_string(i), "COUNT", 1);
  EXPECT_EQ(metrics_.current().size(), formats::kMaxSeries);
  ASSERT_TRUE(formats::parse_metric_summary(
      formats::to_text(formats::MetricSummary{"run00001", 1, 1, 2, metrics_.current()})));
}

}  // namespace
}  // namespace skerry::nucleus
