// What gates conclude, and how often they are wrong: fixed seeds, thousands of runs, looked at
// after every few devices.
#include "fleet/rollout/gate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace skerry::fleet::rollout {
namespace {

constexpr double kAlpha = 0.01;

Gate gate(Metric metric, double tolerance = 0) {
  Gate made;
  made.metric = metric;
  made.tolerance = tolerance;
  return made;
}
Evidence shares(int64_t bad, int64_t of, int64_t control_bad, int64_t control_of) {
  Evidence evidence;
  evidence.release.events = bad;
  evidence.release.devices = of;
  evidence.control.events = control_bad;
  evidence.control.devices = control_of;
  return evidence;
}
Verdict verdict(Metric metric, const Evidence& evidence, double tolerance = 0) {
  return judge(gate(metric, tolerance), evidence, kAlpha).verdict;
}

TEST(ConfidenceSequence, ContainsWhatWasSeenAndNarrows) {
  double width = 1;
  for (int64_t n : {10, 100, 1'000, 100'000}) {
    const Interval interval =
        proportion_interval(static_cast<double>(n) / 10, static_cast<double>(n), 0.01);
    EXPECT_LT(interval.low, 0.1);
    EXPECT_GT(interval.high, 0.1);
    EXPECT_LT(interval.high - interval.low, width);
    width = interval.high - interval.low;
  }
  EXPECT_EQ(proportion_interval(0, 0, 0.01), (Interval{0, 1}));
  EXPECT_EQ(proportion_interval(0, 50, 0.01).low, 0);
  EXPECT_EQ(proportion_interval(50, 50, 0.01).high, 1);
  EXPECT_EQ(rate_interval(0, 0, 0.01).high, std::numeric_limits<double>::infinity());
  EXPECT_LT(rate_interval(100, 1'000, 0.01).high, 0.2);
  EXPECT_GT(rate_interval(100, 1'000, 0.01, 5).high, rate_interval(100, 1'000, 0.01).high);
}

// The share of runs in which the truth was ever outside the interval, of the looks after each
// device.
template <class Draw>
double ever_missed(int runs, int observations, double truth, Draw draw) {
  int missed = 0;
  for (int run = 0; run < runs; ++run) {
    std::mt19937_64 random(static_cast<uint64_t>(run) + 1);
    for (int i = 1; i <= observations; ++i) {
      const Interval interval = draw(random, i);
      if (truth >= interval.low && truth <= interval.high) continue;
      ++missed;
      break;
    }
  }
  return static_cast<double>(missed) / runs;
}

TEST(ConfidenceSequence, HoldsAtEveryLookTogether) {
  int64_t events = 0;
  const double missed = ever_missed(2'000, 150, 0.05, [&](auto& random, int n) {
    if (n == 1) events = 0;
    events += std::bernoulli_distribution(0.05)(random) ? 1 : 0;
    return proportion_interval(static_cast<double>(events), n, 0.05);
  });
  EXPECT_LE(missed, 0.05);
  // The e-value against two equal probabilities: an interval around nothing while it is small.
  Counted first, second;
  const double rejected = ever_missed(2'000, 150, 0, [&](auto& random, int n) {
    if (n == 1) first = second = {};
    std::bernoulli_distribution fails(0.1);
    first.events += fails(random) ? 1 : 0;
    second.events += fails(random) ? 1 : 0;
    first.trials = second.trials = n;
    const double below = -std::log(0.05) - log_evidence_above(first, second, 0);
    return Interval{-below, below};
  });
  EXPECT_LE(rejected, 0.05);
  Moments moments;
  const double missed_mean = ever_missed(2'000, 150, 1, [&](auto& random, int n) {
    if (n == 1) moments = {};
    moments.add(std::exponential_distribution<double>(1)(random));  // skewed
    return mean_interval(moments, 0.05);
  });
  EXPECT_LE(missed_mean, 0.05);
  double count = 0;
  const double missed_rate = ever_missed(2'000, 150, 0.2, [&](auto& random, int n) {
    if (n == 1) count = 0;
    count += std::poisson_distribution<int>(0.2)(random);
    return rate_interval(count, n, 0.05);
  });
  EXPECT_LE(missed_rate, 0.05);
}

TEST(Ranks, AreTheExactChance) {
  // All 4 below all 36: one way of 91,390 to choose 4 of 40, shared among the sizes.
  EXPECT_NEAR(log_chance_of({4, 4, 36, 0}), std::log(20.0 / 91'390), 1e-9);
  EXPECT_NEAR(log_chance_of({1, 1, 9, 0}), std::log(2.0 / 10), 1e-9);
  EXPECT_EQ(log_chance_of({4, 4, 36, 36}), 0);
  EXPECT_EQ(log_chance_of({0, 0, 36, 0}), 0);
  EXPECT_EQ(log_chance_of({4, 4, 0, 0}), 0);
  // One of 6 may be anywhere.
  EXPECT_LT(log_chance_of({6, counted_of(6), 100, 0}), std::log(0.01));
  EXPECT_GT(log_chance_of({6, counted_of(6), 100, 40}), std::log(0.01));
  EXPECT_GT(log_chance_of({29, counted_of(29), 1'000'000, 999'999}), -40);  // no overflow
}

// Small cohorts whose devices come one by one and whose numbers settle while they are looked at,
// skewed as those of cameras of which some stand in the dark.
TEST(Ranks, HoldAtEveryLookTogether) {
  int alarms = 0;
  constexpr int kRuns = 2'000, kControl = 40, kMost = 8, kLooks = 40;
  for (int run = 0; run < kRuns; ++run) {
    std::mt19937_64 random(static_cast<uint64_t>(run) + 1);
    std::normal_distribution<double> noise;
    const auto device = [&] {
      return 0.9 + 0.01 * noise(random) - (std::bernoulli_distribution(0.2)(random) ? 0.5 : 0);
    };
    std::vector<double> control, release;
    for (int i = 0; i < kControl; ++i) control.push_back(device());
    std::vector<double> sums(kControl + kMost);
    bool alarm = false;
    for (int look = 1; look <= kLooks; ++look) {
      if (look % 5 == 1 && release.size() < kMost) release.push_back(device());
      const auto seen = [&](double truth, size_t i) {
        sums[i] += noise(random);
        return truth + 0.05 * sums[i] / look;
      };
      std::vector<double> values;
      for (size_t i = 0; i < release.size(); ++i) values.push_back(seen(release[i], kControl + i));
      const auto first = static_cast<int64_t>(release.size());
      Ranks ranks{first, counted_of(first), kControl, 0};
      std::ranges::sort(values);
      const double mark = values[static_cast<size_t>(ranks.counted - 1)];
      for (size_t i = 0; i < kControl; ++i) ranks.beyond += seen(control[i], i) <= mark ? 1 : 0;
      alarm = alarm || log_chance_of(ranks) <= std::log(kAlpha);
    }
    alarms += alarm ? 1 : 0;
  }
  EXPECT_LE(alarms, kRuns * kAlpha);
  RecordProperty("alarms", alarms);
}

TEST(Gate, ADisasterIsSeenInThreeDevices) {
  EXPECT_EQ(verdict(Metric::kDeploymentFailures, shares(3, 3, 0, 0)), Verdict::kWorse);
  EXPECT_EQ(verdict(Metric::kDeploymentFailures, shares(0, 3, 0, 0)), Verdict::kFine);
}

TEST(Gate, ALittleHistoryIsNoWorseThanNone) {
  EXPECT_EQ(verdict(Metric::kDeploymentFailures, shares(3, 3, 0, 4)), Verdict::kWorse);
  EXPECT_EQ(verdict(Metric::kDeploymentFailures, shares(3, 3, 0, 40)), Verdict::kWorse);
  EXPECT_NE(verdict(Metric::kDeploymentFailures, shares(3, 3, 30, 40)), Verdict::kWorse);
  EXPECT_EQ(verdict(Metric::kUnhealthyDevices, shares(3, 3, 0, 40)), Verdict::kWorse);
}

TEST(Gate, AFailureThatCannotBeToldFromChanceIsForPeople) {
  EXPECT_EQ(verdict(Metric::kDeploymentFailures, shares(1, 1, 0, 0)), Verdict::kNotEnoughData);
  EXPECT_EQ(verdict(Metric::kDeploymentFailures, shares(0, 1, 0, 0)), Verdict::kFine);
}

TEST(Gate, SharesAreComparedWithTheControl) {
  EXPECT_EQ(verdict(Metric::kUnhealthyDevices, shares(60, 1'000, 100, 10'000)), Verdict::kWorse);
  EXPECT_EQ(verdict(Metric::kUnhealthyDevices, shares(12, 1'000, 100, 10'000)), Verdict::kFine);
  EXPECT_EQ(verdict(Metric::kUnhealthyDevices, shares(60, 1'000, 100, 10'000), 0.1),
            Verdict::kFine);
  EXPECT_EQ(verdict(Metric::kUnhealthyDevices, shares(60, 1'000, 0, 0)), Verdict::kNotEnoughData);
}

TEST(Gate, TooFewDevicesAreAStateAndNoVerdict) {
  Gate wanting = gate(Metric::kDeploymentFailures);
  wanting.min_devices = 50;
  const Finding finding = judge(wanting, shares(0, 20, 0, 1'000), kAlpha);
  EXPECT_EQ(finding.verdict, Verdict::kNotEnoughData);
  EXPECT_EQ(finding.text, "20 of 50 devices");
  // What is clear already does not wait for more.
  EXPECT_EQ(judge(wanting, shares(15, 20, 0, 1'000), kAlpha).verdict, Verdict::kWorse);
}

Moments normal(std::mt19937_64& random, int count, double mean, double deviation) {
  Moments moments;
  std::normal_distribution<double> draw(mean, deviation);
  for (int i = 0; i < count; ++i) moments.add(draw(random));
  return moments;
}

TEST(Gate, MeansAreJudgedInTheirOwnDirection) {
  std::mt19937_64 random(7);
  Evidence evidence;
  evidence.control.moments = normal(random, 400, 0.9, 0.05);
  evidence.release.moments = normal(random, 100, 0.8, 0.05);
  EXPECT_EQ(verdict(Metric::kMeanConfidence, evidence, 0.02), Verdict::kWorse);
  EXPECT_EQ(verdict(Metric::kMeanConfidence, evidence, 0.3), Verdict::kFine);
  std::swap(evidence.control, evidence.release);  // better is fine
  EXPECT_EQ(verdict(Metric::kMeanConfidence, evidence, 0.02), Verdict::kFine);
  evidence.control.moments = normal(random, 400, std::log(10), 0.2);
  evidence.release.moments = normal(random, 100, std::log(14), 0.2);
  const Finding slow = judge(gate(Metric::kInferenceLatency, 0.1), evidence, kAlpha);
  EXPECT_EQ(slow.verdict, Verdict::kWorse);
  EXPECT_NEAR(slow.release, 14, 1.5);
  EXPECT_NEAR(slow.control, 10, 1);
  evidence.release.moments = normal(random, 20, std::log(99), 0.2);
  EXPECT_EQ(verdict(Metric::kInferenceLatency, evidence), Verdict::kNotEnoughData);
}

TEST(Gate, AClassThatMovesIsWorseEitherWay) {
  std::mt19937_64 random(7);
  Evidence evidence;
  evidence.control.classes = {normal(random, 400, 0.7, 0.1), normal(random, 400, 0.3, 0.1)};
  evidence.release.classes = {normal(random, 200, 0.5, 0.1), normal(random, 200, 0.5, 0.1)};
  EXPECT_EQ(verdict(Metric::kClassDistribution, evidence, 0.02), Verdict::kWorse);
  evidence.release.classes = {normal(random, 200, 0.7, 0.1), normal(random, 200, 0.3, 0.1)};
  EXPECT_EQ(verdict(Metric::kClassDistribution, evidence, 0.02), Verdict::kFine);
  EXPECT_EQ(verdict(Metric::kClassDistribution, Evidence()), Verdict::kNotEnoughData);
}

TEST(Gate, RestartsAreCountedByDeviceAndHour) {
  Evidence evidence;
  evidence.release.devices = evidence.control.devices = 100;
  evidence.release.count = 60;
  evidence.release.device_hours = 100;
  evidence.control.count = 100;
  evidence.control.device_hours = 1'000;
  EXPECT_EQ(verdict(Metric::kComponentRestarts, evidence), Verdict::kWorse);
  evidence.release.dispersion = evidence.control.dispersion = 50;  // one device in a loop
  EXPECT_EQ(verdict(Metric::kComponentRestarts, evidence), Verdict::kFine);
}

TEST(Gate, LaterStagesKeepTheGatesOfEarlierOnes) {
  Plan plan;
  plan.stages.resize(3);
  plan.stages[0].gates = {gate(Metric::kDeploymentFailures, 0.1)};
  plan.stages[1].gates = {gate(Metric::kMeanConfidence)};
  plan.stages[2].gates = {gate(Metric::kDeploymentFailures, 0.2)};
  EXPECT_EQ(gates_of(plan, 0).size(), 1u);
  EXPECT_EQ(gates_of(plan, 1).size(), 2u);
  EXPECT_EQ(gates_of(plan, 2)[0].tolerance, 0.2);
  EXPECT_EQ(alpha_of(plan), plan.false_alarm / 2);
}

}  // namespace
}  // namespace skerry::fleet::rollout
