// What is promised holds in as many resamplings as is promised.
#include "hybrid/risk.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace skerry::hybrid {
namespace {

TEST(Binomial, TailsByHandAndTogether) {
  EXPECT_NEAR(binomial_at_most(1, 3, 0.5), 0.5, 1e-12);
  EXPECT_NEAR(binomial_at_least(2, 3, 0.5), 0.5, 1e-12);
  EXPECT_EQ(binomial_at_least(0, 9, 0.1), 1);
  EXPECT_EQ(binomial_at_most(9, 9, 0.9), 1);
  for (uint64_t k = 0; k < 200; ++k) {
    EXPECT_NEAR(binomial_at_most(k, 200, 0.3) + binomial_at_least(k + 1, 200, 0.3), 1, 1e-9);
  }
  // Clopper and Pearson (1934): 95 % of 3 in 10.
  const Interval interval = rate_interval(3, 10, 0.95);
  EXPECT_NEAR(interval.low, 0.06674, 1e-4);
  EXPECT_NEAR(interval.high, 0.65245, 1e-4);
  EXPECT_EQ(rate_interval(0, 0, 0.95).high, 1);
}

CascadeItem draw(std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform;
  CascadeItem item;
  item.confidence = std::floor(uniform(random) * 200) / 200;  // with ties
  item.smaller_right = uniform(random) < 0.5 + 0.5 * item.confidence;
  item.bigger_right = uniform(random) < 0.95;
  return item;
}

std::vector<CascadeItem> draw_items(std::mt19937_64& random, size_t count) {
  std::vector<CascadeItem> items(count);
  for (CascadeItem& item : items) item = draw(random);
  return items;
}

TEST(Cascade, TheRiskHoldsInNinetyFiveOfAHundredResamplings) {
  constexpr double kRisk = 0.03, kDelta = 0.05;
  std::mt19937_64 random(17);
  const auto everything = draw_items(random, 200'000);
  // The risk of each threshold among everything: thresholds are multiples of 1/200.
  std::vector<double> risk(202, 0);
  for (const CascadeItem& item : everything) {
    if (!item.smaller_right && item.bigger_right) {
      risk[static_cast<size_t>(std::lround(item.confidence * 200))] +=
          1.0 / static_cast<double>(everything.size());
    }
  }
  for (size_t i = 200; i-- > 0;) risk[i] += risk[i + 1];
  size_t broken = 0;
  double escalated = 0;
  for (int resampling = 0; resampling < 1'000; ++resampling) {
    const auto tuned = tune_cascade(draw_items(random, 1'000), kRisk, kDelta);
    ASSERT_TRUE(tuned);
    const double at = std::min(tuned->threshold, 1.005);
    broken += risk[static_cast<size_t>(std::lround(at * 200))] > kRisk ? 1 : 0;
    escalated += tuned->escalated / 1'000;
    EXPECT_LE(tuned->risk, kRisk);
  }
  EXPECT_LE(broken, 50u);
  EXPECT_GT(broken, 0u);  // it is not held by asking always
  EXPECT_LT(escalated, 0.9);
}

TEST(Cascade, TooFewItemsPromiseNothing) {
  std::mt19937_64 random(1);
  EXPECT_FALSE(tune_cascade(draw_items(random, 90), 0.03, 0.05));
  EXPECT_TRUE(tune_cascade(draw_items(random, 120), 0.03, 0.05));
  EXPECT_FALSE(tune_cascade(draw_items(random, 120), 0, 0.05));
  // A smaller model that is always wrong is never asked for an answer.
  std::vector<CascadeItem> useless(200, {0.9, false, true});
  EXPECT_EQ(tune_cascade(useless, 0.03, 0.05)->escalated, 1);
  // One whose confidence is NaN is not sure.
  useless.assign(200, {std::nan(""), true, true});
  EXPECT_EQ(tune_cascade(useless, 0.03, 0.05)->escalated, 1);
}

FilterItem draw_item(std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  FilterItem item;
  item.wanted = random() % 20 == 0;
  item.score = normal(random) + (item.wanted ? 2.5 : 0);
  return item;
}

TEST(Filter, TheRecallHoldsInNinetyFiveOfAHundredResamplings) {
  std::mt19937_64 random(23);
  size_t broken = 0;
  double uploaded = 0;
  for (int resampling = 0; resampling < 1'000; ++resampling) {
    std::vector<FilterItem> items(3'000);
    for (FilterItem& item : items) item = draw_item(random);
    const auto tuned = tune_filter(items, 0.9, 0.05);
    ASSERT_TRUE(tuned);
    const double recall = 1 - 0.5 * std::erfc(-(tuned->threshold - 2.5) / std::sqrt(2));
    broken += recall < 0.9 ? 1 : 0;
    uploaded += tuned->uploaded / 1'000;
  }
  EXPECT_LE(broken, 50u);
  EXPECT_GT(broken, 0u);
  EXPECT_LT(uploaded, 0.25);
  EXPECT_FALSE(tune_filter({{1, true}}, 0.9, 0.05));
}

TEST(Filter, RecallIsEstimatedFromTheSample) {
  const Recall recall = estimate_recall(90, 10'000, 1'000, 1, 0.95);
  EXPECT_NEAR(recall.estimate, 0.9, 1e-9);
  EXPECT_LT(recall.interval.low, 0.9);
  EXPECT_GT(recall.interval.high, 0.9);
  EXPECT_EQ(estimate_recall(10, 100, 0, 0, 0.95).interval.high, 1);
  EXPECT_EQ(estimate_recall(0, 0, 0, 0, 0.95).estimate, 1);
}

}  // namespace
}  // namespace skerry::hybrid
