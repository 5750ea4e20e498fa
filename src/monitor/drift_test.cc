// No shift, no alarm, as often as is promised; shifts that matter are found.
#include "monitor/drift.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace skerry::monitor {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kFeatures = 50;

// Features of several kinds: normal, skewed, of few values, mostly zero, with missing ones.
double draw(size_t feature, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  switch (feature % 5) {
    case 0:
      return normal(random);
    case 1:
      return std::exp(normal(random));
    case 2:
      return std::floor(uniform(random) * 4);
    case 3:
      return uniform(random) < 0.9 ? 0 : normal(random);
    default:
      return uniform(random) < 0.05 ? kNan : uniform(random);
  }
}

Reference reference_of(uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  Reference reference;
  for (size_t feature = 0; feature < kFeatures; ++feature) {
    std::vector<double> values(count);
    for (double& value : values) value = draw(feature, random);
    reference.features.push_back(*make_feature("f" + std::to_string(feature), std::move(values)));
  }
  return reference;
}

template <class Change>
std::vector<FeatureCounts> window_of(const Reference& reference, std::mt19937_64& random,
                                     size_t count, Change change) {
  std::vector<FeatureCounts> counts;
  for (size_t feature = 0; feature < reference.features.size(); ++feature) {
    counts.push_back(reference.features[feature].none());
    for (size_t i = 0; i < count; ++i) {
      reference.features[feature].count(change(feature, draw(feature, random)), counts.back());
    }
  }
  return counts;
}

size_t drifted(const std::vector<FeatureDrift>& all) {
  return static_cast<size_t>(std::ranges::count(all, true, &FeatureDrift::drifted));
}

// Of `windows` without any shift, how many have a drifted feature.
size_t alarms(size_t windows, const DriftOptions& options) {
  size_t alarms = 0;
  std::mt19937_64 random(4711);
  for (size_t set = 0; set < 10; ++set) {
    const Reference reference = reference_of(set, 2'000);
    for (size_t i = 0; i < windows / 10; ++i) {
      const auto counts =
          window_of(reference, random, 200, [](size_t, double value) { return value; });
      alarms += drifted(judge(reference, counts, options)) > 0 ? 1 : 0;
    }
  }
  return alarms;
}

TEST(Drift, WithoutAShiftAlarmsAreAsRareAsPromised) {
  EXPECT_LE(alarms(1'000, {.false_alarm_rate = 0.01}), 10u);
  // It is the p-value that keeps the promise: whatever effect is asked for.
  EXPECT_LE(alarms(1'000, {.false_alarm_rate = 0.01, .least_psi = 0, .least_share = 0}), 10u);
}

TEST(Drift, TheTestSeesAlarmsWhereTheRateAllowsThem) {
  EXPECT_GT(alarms(200, {.false_alarm_rate = 1, .least_psi = 0, .least_share = 0}), 100u);
}

TEST(Drift, ShiftsAreFoundInTheFeaturesThatHaveThem) {
  const Reference reference = reference_of(1, 5'000);
  std::mt19937_64 random(5);
  const auto shift = [&](size_t feature, double value) {
    if (feature == 0) return value + 1;      // its place
    if (feature == 5) return value * 3;      // its width
    if (feature == 11) return value + 1000;  // outside
    if (feature == 4 && random() % 10 < 3) return kNan;
    return value;
  };
  const auto verdicts = judge(reference, window_of(reference, random, 500, shift));
  for (size_t i = 0; i < kFeatures; ++i) {
    EXPECT_EQ(verdicts[i].drifted, i == 0 || i == 5 || i == 11 || i == 4) << verdicts[i].name;
  }
  EXPECT_NEAR(verdicts[0].wasserstein, 1, 0.25);
  EXPECT_EQ(verdicts[11].outside, 1);
  EXPECT_NEAR(verdicts[4].missing, 0.33, 0.07);
}

TEST(Drift, FewValuesHaveNoVerdict) {
  const Reference reference = reference_of(1, 1'000);
  std::mt19937_64 random(5);
  const auto verdicts = judge(
      reference, window_of(reference, random, 99, [](size_t, double value) { return value + 9; }));
  EXPECT_EQ(drifted(verdicts), 0u);
  for (const FeatureDrift& each : verdicts) EXPECT_FALSE(each.enough);
}

TEST(Drift, CountsOfPartsAddUpToTheSameVerdict) {
  const Reference reference = reference_of(1, 1'000);
  std::mt19937_64 one(5), two(5);
  const auto same = [](size_t, double value) { return value * 1.5; };
  auto whole = window_of(reference, one, 300, same);
  std::vector<FeatureCounts> parts;
  for (const Feature& feature : reference.features) parts.push_back(feature.none());
  for (size_t feature = 0; feature < kFeatures; ++feature) {
    for (int part = 0; part < 3; ++part) {
      FeatureCounts counts = reference.features[feature].none();
      for (int i = 0; i < 100; ++i) {
        reference.features[feature].count(same(feature, draw(feature, two)), counts);
      }
      parts[feature].merge(counts);
    }
  }
  EXPECT_EQ(whole, parts);
}

TEST(DriftWindow, ClosesByNumberAndByTime) {
  const Reference reference{{*make_feature("x", {1, 2, 3})}};
  DriftWindow window(reference, {.items = 5, .length_ms = 100, .least_items = 2});
  const std::vector<double> value = {1};
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(window.add(value, 0));
  EXPECT_TRUE(window.add(value, 0));
  window.begin();
  EXPECT_EQ(window.items(), 0u);
  EXPECT_FALSE(window.add(value, 1'000));
  EXPECT_FALSE(window.add(value, 1'050));
  EXPECT_TRUE(window.add(value, 1'100));
}

}  // namespace
}  // namespace skerry::monitor
