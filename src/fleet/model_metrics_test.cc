// What summaries add up to: each counts once, late or twice, and a flood changes nothing.
#include "fleet/model_metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "fleet/store_sql.h"
#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

using formats::InferenceSummary;
using formats::ModelId;

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kSummaryHourMs = 60 * kMinuteMs;
constexpr int64_t kSummaryMs = 500'000 * kSummaryHourMs;
const ModelId kVad{"vad", "1.2.0"};
const Cohort kEverybody = [](std::string_view) { return true; };

InferenceSummary minute(const std::string& run, uint64_t sequence, uint64_t requests,
                        double confidence = 0.9, const ModelId& model = kVad) {
  InferenceSummary summary{run, sequence, kSummaryMs - kMinuteMs, kSummaryMs - 1, {{model, {}}}};
  formats::ModelCounts& counts = summary.models.front().counts;
  for (uint64_t i = 0; i < requests; ++i) {
    ++counts.requests;
    counts.add_latency(static_cast<int64_t>(1000 * (i + 1)));
    counts.add_prediction(i % 2, confidence);
  }
  return summary;
}

class ModelMetricsTest : public testing::Test {
 protected:
  ModelMetricsTest() : service(fleet.env, fleet.stores, fleet.link) {
    for (const char* thing : {"a", "b", "c"}) fleet.add_thing(thing);
    fleet.link.start();
    fleet.mqtt.connect();
    fleet.clock.wall = kSummaryMs;
    fleet.settle();
  }
  void hear(const std::string& thing, const InferenceSummary& summary) {
    fleet.mqtt.receive(formats::inference_summary_topic(ThingName(thing)), to_text(summary));
    fleet.settle();
  }
  CohortMetrics metrics(const Cohort& cohort = kEverybody, const ModelId& model = kVad) {
    return cohort_metrics(*fleet.store, model, cohort).value();
  }

  TestFleet fleet;
  ModelMetricsService service;
};

TEST_F(ModelMetricsTest, CohortsOfOneVersion) {
  hear("a", minute("run0000a", 1, 10, 0.8));
  hear("b", minute("run0000b", 1, 30, 0.6));
  hear("c", minute("run0000c", 1, 50, 0.5, {"vad", "1.3.0"}));
  const CohortMetrics all = metrics();
  EXPECT_EQ(all.counts.requests, 40u);
  EXPECT_EQ(all.things, 2u);
  EXPECT_NEAR(all.counts.mean_confidence(), 0.65, 1e-9);
  EXPECT_NEAR(all.mean_confidence.mean(), 0.7, 1e-9);
  EXPECT_NEAR(all.mean_confidence.variance(), 0.02, 1e-9);
  const CohortMetrics one = metrics([](std::string_view thing) { return thing == "b"; });
  EXPECT_EQ(one.counts, minute("x", 1, 30, 0.6).models.front().counts);
  EXPECT_EQ(metrics(kEverybody, {"vad", "1.3.0"}).counts.requests, 50u);
  EXPECT_EQ(metrics(kEverybody, {"vad", "9.9.9"}).things, 0u);
}

TEST_F(ModelMetricsTest, EverySummaryCountsOnceWhateverTheOrder) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const std::string run = "run00" + std::to_string(1000 + seed);
    const uint64_t before = metrics().counts.requests;
    std::vector<InferenceSummary> summaries;
    for (uint64_t i = 1; i <= 30; ++i) summaries.push_back(minute(run, i, i));
    summaries.insert(summaries.end(), summaries.begin(), summaries.begin() + 15);
    std::shuffle(summaries.begin(), summaries.end(), std::mt19937(seed));
    for (const InferenceSummary& summary : summaries) {
      ASSERT_TRUE(take_summary(*fleet.store, ThingName("a"), summary, kSummaryMs + seed));
    }
    EXPECT_EQ(metrics().counts.requests, before + 30 * 31 / 2) << "seed " << seed;
  }
}

TEST_F(ModelMetricsTest, RunsOfOneThingAndThingsAreApart) {
  hear("a", minute("run0000a", 1, 1));
  hear("a", minute("run0000b", 1, 1));
  hear("b", minute("run0000a", 1, 1));
  hear("a", minute("run0000a", 1, 1));  // again
  EXPECT_EQ(metrics().counts.requests, 3u);
}

TEST_F(ModelMetricsTest, WhatIsNotASummaryOrOfNobodyIsIgnored) {
  fleet.mqtt.receive(formats::inference_summary_topic(ThingName("a")), "{");
  hear("nobody", minute("run0000a", 1, 1));
  fleet.settle();
  EXPECT_EQ(metrics().things, 0u);
  hear("a", minute("run0000a", 1, 1));
  EXPECT_EQ(metrics().things, 1u);
}

TEST_F(ModelMetricsTest, AFloodIsIgnored) {
  for (uint64_t i = 1; i <= 1000; ++i) hear("a", minute("run0000a", i, 1));
  EXPECT_EQ(metrics().counts.requests, 600u);
  hear("b", minute("run0000b", 1, 1));
  EXPECT_EQ(metrics().counts.requests, 601u);
}

// A device was told that it was heard: it does not say it again.
TEST_F(ModelMetricsTest, WhatComesWhileTheDiskIsFullCountsOnceThereIsRoom) {
  const auto known = [&] { return models_of_thing(*fleet.store, ThingName("a"))->size(); };
  fleet.limit_database(1);  // as large as it is
  size_t told = 0;
  while (told < kVersionsOfThing && known() == told) {
    ++told;
    hear("a", minute("run0000a", told, 500, 0.5, {"vad", "1.0." + std::to_string(told)}));
  }
  ASSERT_LT(known(), told);
  fleet.limit_database(1'000'000);
  for (int i = 0; i < 200 && known() < told; ++i) fleet.loop.run_for(100);
  EXPECT_EQ(known(), told);
}

TEST_F(ModelMetricsTest, AThingsVersionsHaveAnEnd) {
  const ThingName thing("a");
  const auto take = [&](size_t number, int64_t now_ms) {
    const ModelId model{"vad", "1.0." + std::to_string(number)};
    return take_summary(*fleet.store, thing, minute("run0000a", number + 1, 1, 0.5, model), now_ms);
  };
  for (size_t i = 0; i < kVersionsOfThing; ++i)
    ASSERT_TRUE(take(i, kSummaryMs + static_cast<int64_t>(i)));
  const auto refused = take(kVersionsOfThing, kSummaryMs + kSummaryHourMs);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  // The refused one was not taken: it may come again.
  EXPECT_TRUE(take(kVersionsOfThing, kSummaryMs + 25 * kSummaryHourMs).value());
  const auto models = models_of_thing(*fleet.store, thing);
  EXPECT_EQ(models->size(), kVersionsOfThing);
  EXPECT_TRUE(std::ranges::none_of(
      *models, [](const ThingModel& one) { return one.model.version == "1.0.0"; }));
}

TEST_F(ModelMetricsTest, HoursAreTheDevicesWhereItsClockCanBeBelieved) {
  InferenceSummary late = minute("run0000a", 1, 5);
  late.end_ms = kSummaryMs - 3 * kSummaryHourMs;
  hear("a", late);
  InferenceSummary first = minute("run0000a", 2, 7);
  first.end_ms = 1000;  // 1970
  hear("a", first);
  InferenceSummary future = minute("run0000a", 3, 11);
  future.end_ms = kSummaryMs + 100 * kSummaryHourMs;
  hear("a", future);
  const auto hours = model_history(*fleet.store, kVad, 0, kSummaryMs + 200 * kSummaryHourMs);
  ASSERT_EQ(hours->size(), 2u);
  EXPECT_EQ((*hours)[0].hour_ms, kSummaryMs - 3 * kSummaryHourMs);
  EXPECT_EQ((*hours)[0].counts.requests, 5u);
  EXPECT_EQ((*hours)[1].hour_ms, kSummaryMs);
  EXPECT_EQ((*hours)[1].counts.requests, 18u);
}

TEST_F(ModelMetricsTest, OldOnesAreForgotten) {
  hear("a", minute("run0000a", 1, 5));
  EXPECT_EQ(prune_metrics(*fleet.store, kSummaryMs - kSummaryHourMs, 100).value(), 0);
  EXPECT_EQ(prune_metrics(*fleet.store, kSummaryMs + 1, 100).value(), 3);
  EXPECT_EQ(metrics().things, 0u);
  EXPECT_TRUE(model_history(*fleet.store, kVad, 0, 2 * kSummaryMs)->empty());
}

TEST_F(ModelMetricsTest, DamagedCountsAreAnError) {
  hear("a", minute("run0000a", 1, 5));
  ASSERT_TRUE(fleet.store->database().execute("UPDATE model_totals SET counts = '1?'"));
  EXPECT_EQ(cohort_metrics(*fleet.store, kVad, kEverybody).error().code(), Code::kCorrupt);
}

TEST_F(ModelMetricsTest, ManyThingsComeInTheOrderOfTheirNames) {
  std::vector<std::string> asked;
  for (int i = 0; i < 500; ++i) {
    const std::string name = "t" + std::to_string(i);
    fleet.add_thing(name);
    ASSERT_TRUE(take_summary(*fleet.store, ThingName(name), minute("run0000a", 1, 2), kSummaryMs));
  }
  const CohortMetrics half = metrics([&](std::string_view thing) {
    asked.emplace_back(thing);
    return asked.size() % 2 == 0;
  });
  EXPECT_TRUE(std::ranges::is_sorted(asked));
  EXPECT_EQ(asked.size(), 500u);
  EXPECT_EQ(half.things, 250u);
  EXPECT_EQ(half.counts.requests, 500u);
}

}  // namespace
}  // namespace skerry::fleet
