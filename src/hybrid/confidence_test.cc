// Confidences by hand, and the temperature that calibrates.
#include "hybrid/confidence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace skerry::hybrid {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(Confidence, ByHand) {
  const std::vector<double> logits = {1, 2, 0};
  const double sum = std::exp(1) + std::exp(2) + 1;
  const double p0 = std::exp(1) / sum, p1 = std::exp(2) / sum, p2 = 1 / sum;
  const Scores scores{logits, true};
  EXPECT_NEAR(confidence_of(Measure::kMaxProbability, scores, 1), p1, 1e-12);
  EXPECT_NEAR(confidence_of(Measure::kMargin, scores, 1), p1 - p0, 1e-12);
  const double entropy = -(p0 * std::log(p0) + p1 * std::log(p1) + p2 * std::log(p2));
  EXPECT_NEAR(confidence_of(Measure::kEntropy, scores, 1), 1 - entropy / std::log(3), 1e-12);
  EXPECT_NEAR(confidence_of(Measure::kEnergy, scores, 1), std::log(sum), 1e-12);
  EXPECT_NEAR(confidence_of(Measure::kEnergy, scores, 2),
              2 * std::log(std::exp(0.5) + std::exp(1) + 1), 1e-12);
  const std::vector<double> probabilities = {p0, p1, p2};
  for (const Measure measure : {Measure::kMaxProbability, Measure::kMargin, Measure::kEntropy}) {
    EXPECT_NEAR(confidence_of(measure, {probabilities, false}, 1.7),
                confidence_of(measure, scores, 1.7), 1e-9);
  }
  EXPECT_EQ(winner_of(logits), 1u);
}

TEST(Confidence, HotterIsLessSureAndNothingBreaks) {
  const std::vector<double> logits = {1000, -1000, 3}, even = {2, 2, 2}, one = {5};
  EXPECT_EQ(confidence_of(Measure::kMaxProbability, {logits, true}, 1), 1);
  EXPECT_LT(confidence_of(Measure::kMaxProbability, {logits, true}, 1000), 0.8);
  EXPECT_NEAR(confidence_of(Measure::kEntropy, {even, true}, 1), 0, 1e-12);
  EXPECT_EQ(confidence_of(Measure::kMargin, {one, true}, 1), 1);
  EXPECT_EQ(confidence_of(Measure::kEntropy, {one, true}, 1), 1);
  const std::vector<double> broken = {1, std::nan(""), 2}, infinite = {1, kInf};
  for (const Measure measure :
       {Measure::kMaxProbability, Measure::kMargin, Measure::kEntropy, Measure::kEnergy}) {
    EXPECT_EQ(confidence_of(measure, {broken, true}, 1), -kInf);
  }
  EXPECT_EQ(confidence_of(Measure::kMaxProbability, {infinite, true}, 1), -kInf);
}

TEST(Confidence, TheTemperatureUndoesWhatWasMultiplied) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal(0, 1.5);
  for (const double factor : {0.5, 1.0, 4.0}) {
    std::vector<double> logits;
    std::vector<size_t> labels;
    for (int row = 0; row < 4'000; ++row) {
      std::vector<double> weights;
      for (int i = 0; i < 5; ++i) {
        const double logit = normal(random);
        weights.push_back(std::exp(logit));
        logits.push_back(logit * factor);
      }
      labels.push_back(std::discrete_distribution<size_t>(weights.begin(), weights.end())(random));
    }
    EXPECT_NEAR(fit_temperature(logits, 5, labels), factor, 0.1 * factor);
  }
}

}  // namespace
}  // namespace skerry::hybrid
