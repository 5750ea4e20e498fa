// Metrics of devices add up once, late or twice, where they belong.
#include "fleet/device_metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "fleet/store_sql.h"
#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

using formats::MetricSummary;

constexpr int64_t kHourMs = 60 * kMinuteOfMetricsMs;
constexpr int64_t kNowMs = 500'000 * kHourMs + 5 * kMinuteOfMetricsMs;
const formats::SeriesId kFrames{"app", "Frames", "COUNT"};
const std::vector<ThingName> kA = {ThingName("a")};

MetricSummary minute(uint64_t sequence, double value, int64_t end_ms = kNowMs - 1) {
  MetricSummary summary{"run00001", sequence, end_ms - kMinuteOfMetricsMs, end_ms, {}};
  summary.series[kFrames].add(value, end_ms);
  return summary;
}

class DeviceMetricsTest : public testing::Test {
 protected:
  DeviceMetricsTest() : service(fleet.env, fleet.stores, fleet.link) {
    for (const char* thing : {"a", "b"}) fleet.add_thing(thing);
    fleet.link.start();
    fleet.mqtt.connect();
    fleet.clock.wall = kNowMs;
    fleet.settle();
  }
  void hear(const std::string& thing, const MetricSummary& summary) {
    fleet.mqtt.receive(formats::metric_summary_topic(ThingName(thing)), to_text(summary));
    fleet.settle();
  }
  // All points of the series together.
  formats::Distribution sum(size_t level, const std::vector<ThingName>& things = kA) {
    const auto history = metric_history(*fleet.store, things, kMetricLevels[level], 0, 2 * kNowMs);
    formats::Distribution all;
    if (!history->contains(kFrames)) return all;
    for (const auto& [at, point] : history->at(kFrames)) all.merge(point);
    return all;
  }

  TestFleet fleet;
  DeviceMetricsService service;
};

TEST_F(DeviceMetricsTest, EachCountsOnceInEveryLevelWhateverTheOrder) {
  std::vector<MetricSummary> summaries;
  formats::Distribution expected;
  for (uint64_t i = 1; i <= 40; ++i) {
    summaries.push_back(
        minute(i, static_cast<double>(i), kNowMs - static_cast<int64_t>(i) * kMinuteOfMetricsMs));
    expected.merge(summaries.back().series.at(kFrames));
  }
  summaries.insert(summaries.end(), summaries.begin(), summaries.begin() + 20);
  std::shuffle(summaries.begin(), summaries.end(), std::mt19937(7));
  for (const MetricSummary& summary : summaries) hear("a", summary);
  for (size_t level = 0; level < 3; ++level) EXPECT_EQ(sum(level), expected) << level;
  const auto minutes = metric_history(*fleet.store, kA, kMetricLevels[0], 0, 2 * kNowMs);
  EXPECT_EQ(minutes->at(kFrames).size(), 40u);
  const auto hours = metric_history(*fleet.store, kA, kMetricLevels[1], 0, 2 * kNowMs);
  EXPECT_EQ(hours->at(kFrames).size(), 2u);
}

TEST_F(DeviceMetricsTest, APointThatBeganBeforeIsThere) {
  hear("a", minute(1, 1));
  for (const MetricLevel& level : kMetricLevels) {
    const int64_t from = kNowMs - 1;
    EXPECT_EQ(metric_history(*fleet.store, kA, level, from, 2 * kNowMs)->size(), 1u) << level.name;
    EXPECT_EQ(
        metric_history(*fleet.store, kA, level, from + 2 * level.length_ms, 3 * kNowMs)->size(),
        0u);
  }
}

TEST_F(DeviceMetricsTest, AGroupIsItsDevicesMerged) {
  hear("a", minute(1, 10));
  hear("b", minute(1, 20));  // the same run and number of another thing
  hear("nobody", minute(1, 40));
  const auto both = sum(0, {ThingName("a"), ThingName("b")});
  EXPECT_EQ(both.total(), 30);
  EXPECT_EQ(both.count, 2u);
}

TEST_F(DeviceMetricsTest, LateOnesCountWhereTheyBelong) {
  hear("a", minute(1, 1, kNowMs - 10 * kDayOfMetricsMs));
  hear("a", minute(2, 2, 70'000));              // 1970: now
  hear("a", minute(3, 4, kNowMs + 1'000'000));  // ahead: now
  EXPECT_EQ(sum(0).total(), 6);                 // the late one is older than minutes are kept
  EXPECT_EQ(sum(1).total(), 7);
  EXPECT_EQ(sum(2).total(), 7);
  const auto days = metric_history(*fleet.store, kA, kMetricLevels[2], 0, 2 * kNowMs);
  EXPECT_EQ(days->at(kFrames).size(), 2u);
}

TEST_F(DeviceMetricsTest, ANameForEachValueIsRefused) {
  uint64_t number = 0;
  for (int i = 0; i < 10; ++i) {
    MetricSummary summary{"run00001", static_cast<uint64_t>(i) + 1, kNowMs - 2, kNowMs - 1, {}};
    for (int j = 0; j < 100; ++j) {
      summary.series[{"app", "Id" + std::to_string(++number), "COUNT"}].add(1, 1);
    }
    hear("a", summary);
  }
  const auto history = metric_history(*fleet.store, kA, kMetricLevels[0], 0, 2 * kNowMs);
  EXPECT_EQ(history->size(), 500u);
}

// A device was told that it was heard: it does not say it again.
TEST_F(DeviceMetricsTest, WhatComesWhileTheDiskIsFullCountsOnceThereIsRoom) {
  const auto known = [&] {
    return metric_history(*fleet.store, kA, kMetricLevels[0], 0, 2 * kNowMs)->size();
  };
  fleet.limit_database(1);  // as large as it is
  size_t told = 0;
  for (uint64_t sequence = 1; sequence < 20 && known() == told; ++sequence) {
    MetricSummary summary = minute(sequence, 1);
    summary.series.clear();
    for (int i = 0; i < 20; ++i) {
      summary.series[{"app", "Series" + std::to_string(++told), "COUNT"}].add(1, kNowMs);
    }
    hear("a", summary);
  }
  ASSERT_LT(known(), told);
  fleet.limit_database(1'000'000);
  for (int i = 0; i < 200 && known() < told; ++i) fleet.loop.run_for(100);
  EXPECT_EQ(known(), told);
}

TEST_F(DeviceMetricsTest, EachLevelIsForgottenInItsTime) {
  hear("a", minute(1, 1));
  EXPECT_EQ(prune_device_metrics(*fleet.store, kNowMs, 100).value(), 0);
  EXPECT_EQ(prune_device_metrics(*fleet.store, kNowMs + 3 * kDayOfMetricsMs, 100).value(), 1);
  EXPECT_EQ(sum(0).count, 0u);
  EXPECT_EQ(sum(1).count, 1u);
  EXPECT_EQ(prune_device_metrics(*fleet.store, kNowMs + 800 * kDayOfMetricsMs, 100).value(), 2);
}

TEST_F(DeviceMetricsTest, WhatIsNoSummaryIsIgnoredAndDamageIsAnError) {
  fleet.mqtt.receive(formats::metric_summary_topic(ThingName("a")), "{");
  hear("a", minute(1, 1));
  EXPECT_EQ(sum(0).count, 1u);
  ASSERT_TRUE(fleet.store->database().execute("UPDATE device_metrics SET series = '[{}]'"));
  EXPECT_EQ(metric_history(*fleet.store, kA, kMetricLevels[0], 0, 2 * kNowMs).error().code(),
            Code::kCorrupt);
}

}  // namespace
}  // namespace skerry::fleet
