// Inference summaries, and counts that add up whatever the order.
#include "formats/inference_summary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

namespace skerry::formats {
namespace {

using nlohmann::json;

ModelCounts some_counts(uint32_t seed) {
  std::mt19937 random(seed);
  ModelCounts counts;
  counts.errors = random() % 5;
  counts.refused = random() % 3;
  for (uint32_t i = random() % 50; i > 0; --i) {
    ++counts.requests;
    counts.add_latency(static_cast<int64_t>(random() % (1u << (random() % 31))));
    counts.add_prediction(random() % 100, static_cast<double>(random() % 1001) / 1000);
  }
  return counts;
}

InferenceSummary some_summary() {
  return {"0123456789abcdef",
          7,
          1000,
          61'000,
          {{{"vad", "1.2.0"}, some_counts(1)}, {{"vad", "1.3.0"}, some_counts(2)}}};
}

json some_json() {
  return json::parse(to_text(some_summary()));
}

std::string refusal(const json& document) {
  const auto parsed = parse_inference_summary(document.dump());
  return parsed ? "accepted" : parsed.error().message();
}

TEST(ModelCountsTest, AddUpInAnyOrderAndGrouping) {
  std::vector<ModelCounts> parts;
  for (uint32_t seed = 0; seed < 20; ++seed) parts.push_back(some_counts(seed));
  ModelCounts forward;
  for (const ModelCounts& part : parts) forward.add(part);
  ModelCounts halves[2];
  for (size_t i = parts.size(); i > 0; --i) halves[i % 2].add(parts[i - 1]);
  halves[0].add(halves[1]);
  EXPECT_EQ(halves[0], forward);

  ModelCounts later = forward;
  later.add(parts[3]);
  EXPECT_EQ(later.since(forward), parts[3]);
}

TEST(ModelCountsTest, StayAtTheLargestNumber) {
  ModelCounts counts;
  counts.requests = std::numeric_limits<uint64_t>::max() - 1;
  counts.add(counts);
  EXPECT_EQ(counts.requests, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(ModelCounts().since(counts), ModelCounts());
}

TEST(ModelCountsTest, QuantilesAndMeans) {
  ModelCounts counts;
  EXPECT_EQ(counts.latency_quantile_ns(0.5), 0u);
  EXPECT_EQ(counts.mean_confidence(), 0);
  EXPECT_EQ(counts.error_rate(), 0);
  for (int i = 1; i <= 100; ++i) {
    ++counts.requests;
    counts.add_latency(i * 1'000'000);
    counts.add_prediction(0, i <= 50 ? 0.5 : 1.0);
  }
  counts.errors = 100;
  EXPECT_EQ(counts.error_rate(), 0.5);
  EXPECT_EQ(counts.mean_confidence(), 0.75);
  EXPECT_EQ(counts.mean_latency_us(), 50'500);
  for (const double q : {0.01, 0.5, 0.99, 1.0}) {
    const double exact = q * 100 * 1e6;
    const auto found = static_cast<double>(counts.latency_quantile_ns(q));
    EXPECT_GE(found, exact);
    EXPECT_LE(found, exact * 1.125 + 1);
  }
}

TEST(ModelCountsTest, ConfidencesThatAreNoneCountAsZero) {
  ModelCounts counts;
  counts.add_prediction(3, std::numeric_limits<double>::quiet_NaN());
  counts.add_prediction(64 + 3, -1);
  counts.add_prediction(3, 7);
  EXPECT_EQ(counts.classes[3], 3u);
  EXPECT_EQ(counts.confidence_sum, ModelTotals::kConfidenceUnit);
}

TEST(ModelCountsTest, PackedBothWays) {
  ModelCounts largest;
  largest.requests = largest.latency.back() = largest.classes.back() =
      std::numeric_limits<uint64_t>::max();
  for (const ModelCounts& counts : {ModelCounts(), some_counts(5), some_counts(6), largest}) {
    const std::string packed = pack(counts);
    ModelCounts sum;
    ModelTotals totals;
    ASSERT_TRUE(add_packed(packed, sum, totals)) << packed;
    EXPECT_EQ(sum, counts);
    EXPECT_EQ(totals, static_cast<const ModelTotals&>(counts));
    ModelTotals alone;
    ClassBins classes{{1, 2, 3}, 7};
    ASSERT_TRUE(read_packed(packed, alone, classes)) << packed;
    EXPECT_EQ(alone, totals);
    EXPECT_EQ(classes.counts, counts.classes);
    for (size_t i = 0; i < classes.counts.size(); ++i) {
      EXPECT_EQ((classes.used >> i & 1) == 1, classes.counts[i] > 0) << i;
    }
    ModelCounts damaged;
    for (size_t length = 0; length < packed.size(); ++length) {
      EXPECT_FALSE(add_packed(packed.substr(0, length), damaged, totals)) << length;
      // What is cut off behind the classes is not missed, and nothing is made up.
      if (read_packed(packed.substr(0, length), alone, classes)) {
        EXPECT_EQ(alone, static_cast<const ModelTotals&>(counts));
        EXPECT_EQ(classes.counts, counts.classes);
      }
    }
    EXPECT_FALSE(add_packed(packed + "A", damaged, totals));
  }
}

TEST(ModelCountsTest, WhatFormerVersionsPackedIsRead) {
  ModelCounts counts = some_counts(5);
  counts.hangs = counts.not_finite = counts.slow = 0;
  counts.latency.fill(0);
  ModelCounts plain = counts;
  plain.classes.fill(0);
  // A version, totals, classes, latency: none of it is "A". The last three totals are alarms.
  const std::string packed = pack(counts);
  const std::string with_alarms = pack(plain).substr(1, pack(plain).size() - 3);
  const std::string classes =
      packed.substr(1 + with_alarms.size(), packed.size() - with_alarms.size() - 2);
  ASSERT_TRUE(with_alarms.ends_with("AAA"));
  const std::string totals = with_alarms.substr(0, with_alarms.size() - 3);
  for (const std::string& former : {"1" + totals + "A" + classes, "2" + totals + classes + "A"}) {
    ModelCounts sum;
    ModelTotals alone;
    alone.hangs = 7;  // what another row has left
    ASSERT_TRUE(add_packed(former, sum, alone));
    EXPECT_EQ(sum, counts);
    EXPECT_EQ(alone, static_cast<const ModelTotals&>(counts));
    ClassBins bins;
    ASSERT_TRUE(read_packed(former, alone, bins));
    EXPECT_EQ(bins.counts, counts.classes);
  }
  ModelCounts sum;
  ModelTotals alone;
  EXPECT_FALSE(add_packed("4" + with_alarms + "AA", sum, alone));
}

TEST(InferenceSummaryTest, BothWays) {
  const InferenceSummary summary = some_summary();
  const std::string text = to_text(summary);
  const auto parsed = parse_inference_summary(text);
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(*parsed, summary);
}

TEST(InferenceSummaryTest, AMinuteIsAFewHundredBytes) {
  InferenceSummary summary{
      "0123456789abcdef", 1000, 1'800'000'000'000, 1'800'000'060'000, {{{"vad", "1.2.0"}, {}}}};
  std::mt19937 random(1);
  std::lognormal_distribution<double> latency(13, 0.4);
  ModelCounts& counts = summary.models[0].counts;
  for (int i = 0; i < 6000; ++i) {
    ++counts.requests;
    counts.add_latency(static_cast<int64_t>(latency(random)));
    counts.add_prediction(random() % 2, 0.9);
  }
  EXPECT_LT(to_text(summary).size(), 600u) << to_text(summary);
}

TEST(InferenceSummaryTest, WhatDoesNotAddUpIsRefused) {
  json wrong = some_json();
  wrong["models"][0]["requests"] = 1'000'000;
  EXPECT_EQ(refusal(wrong), "models[0]: the counts in 'latency' do not add up to 1000000");
  wrong = some_json();
  wrong["models"][1]["predictions"] = 0;
  EXPECT_EQ(refusal(wrong), "models[1]: the counts in 'classes' do not add up to 0");
  wrong = some_json();
  wrong["models"][0]["confidenceSum"] = 1'000'000'000'000;
  EXPECT_EQ(refusal(wrong), "models[0]: confidenceSum says more than 1 a prediction");
  wrong = some_json();
  wrong["models"][0]["confidenceSquares"] = wrong["models"][0]["confidenceSum"].get<int>() + 1;
  EXPECT_EQ(refusal(wrong), "models[0]: confidenceSquares is larger than confidenceSum");
}

TEST(InferenceSummaryTest, ErrorsNameThePlace) {
  const auto with = [](const char* pointer, json value) {
    json document = some_json();
    document[json::json_pointer(pointer)] = std::move(value);
    return refusal(document);
  };
  EXPECT_EQ(with("/format", 2), "format: 2 is not supported, only 1");
  EXPECT_EQ(with("/run", "A"), "run: must be 8 to 32 of a-z and 0-9");
  EXPECT_EQ(with("/sequence", 0), "sequence: begins with 1");
  EXPECT_EQ(with("/sequence", -1), "sequence: begins with 1");
  EXPECT_EQ(with("/sequence", (int64_t{1} << 40) + 1), "sequence: must be at most 2^40");
  EXPECT_EQ(with("/endMs", -1), "endMs: is no time");
  EXPECT_EQ(with("/models/0/version", "1 2"),
            "models[0].version: must be 1 to 64 printable characters without spaces");
  EXPECT_EQ(with("/models/1/version", "1.2.0"), "models[1]: this version stands here twice");
  EXPECT_EQ(with("/models/0/latency", json::array({1})),
            "models[0].latency: must be pairs of a bin and its count");
  EXPECT_EQ(with("/models/0/latency", json::array({304, 1})),
            "models[0].latency[0]: must be 0 to 303");
  EXPECT_EQ(with("/models/0/latency", json::array({1, 1, 1, 1})),
            "models[0].latency[2]: stands here twice");
  EXPECT_NE(with("/models/0/name", "../x").find("models[0].name: "), std::string::npos);
  EXPECT_EQ(refusal(json::array()), "inference summary: must be an object");
  json many = some_json();
  for (int i = 0; i < 40; ++i)
    many["models"].push_back({{"name", "m"}, {"version", std::to_string(i)}});
  EXPECT_EQ(refusal(many), "models: has more than 16 models");
}

TEST(InferenceSummaryTest, Topic) {
  const std::string topic = inference_summary_topic(ThingName("press-1"));
  EXPECT_EQ(topic, "$aws/things/press-1/skerry/inference");
  EXPECT_EQ(parse_inference_summary_topic(topic), ThingName("press-1"));
  EXPECT_FALSE(parse_inference_summary_topic("$aws/things/a/b/skerry/inference"));
  EXPECT_FALSE(parse_inference_summary_topic("$aws/things/skerry/inference"));
}

TEST(SequenceWindowTest, EachNumberIsTakenOnce) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    std::vector<uint64_t> order;
    for (uint64_t i = 1; i <= 200; ++i) order.push_back(i);
    // Out of order by up to 60 places, and each twice.
    for (size_t i = 0; i + 30 < order.size(); i += 30) {
      std::shuffle(order.begin() + static_cast<ptrdiff_t>(i),
                   order.begin() + static_cast<ptrdiff_t>(i + 30), random);
    }
    SequenceWindow window;
    size_t taken = 0;
    for (const uint64_t sequence : order) {
      taken += window.take(sequence) ? 1 : 0;
      EXPECT_FALSE(window.take(sequence));
    }
    EXPECT_EQ(taken, order.size()) << "seed " << seed;
  }
}

TEST(SequenceWindowTest, WhatIsTooOldCountsAsTaken) {
  SequenceWindow window;
  EXPECT_TRUE(window.take(1000));
  EXPECT_FALSE(window.take(1000 - 65));
  EXPECT_TRUE(window.take(1000 - 64));
  EXPECT_FALSE(window.take(1000 - 64));
  EXPECT_TRUE(window.take(1000 + 64));
  EXPECT_FALSE(window.take(1000));
  EXPECT_TRUE(window.take(5000));
  EXPECT_TRUE(window.take(4999));
}

}  // namespace
}  // namespace skerry::formats
