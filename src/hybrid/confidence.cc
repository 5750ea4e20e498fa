// Softmax with temperature, and what is read off it.
#include "hybrid/confidence.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace skerry::hybrid {
namespace {

constexpr double kLeastProbability = 1e-12;

std::vector<double> logits_of(const Scores& scores, double temperature) {
  std::vector<double> logits(scores.values.begin(), scores.values.end());
  for (double& value : logits) {
    if (!scores.are_logits) value = std::log(std::max(value, kLeastProbability));
    value /= temperature;
  }
  return logits;
}

double log_sum_exp(std::span<const double> logits) {
  const double largest = *std::ranges::max_element(logits);
  if (!std::isfinite(largest)) return largest;
  double sum = 0;
  for (const double value : logits) sum += std::exp(value - largest);
  return largest + std::log(sum);
}

double nll(std::span<const double> logits, size_t classes, std::span<const size_t> labels,
           double temperature) {
  double sum = 0;
  for (size_t row = 0; row < labels.size(); ++row) {
    const auto scaled = logits_of({logits.subspan(row * classes, classes), true}, temperature);
    sum += log_sum_exp(scaled) - scaled[labels[row]];
  }
  return sum;
}

}  // namespace

std::optional<Measure> find_measure(std::string_view name) {
  if (name == "max") return Measure::kMaxProbability;
  if (name == "margin") return Measure::kMargin;
  if (name == "entropy") return Measure::kEntropy;
  if (name == "energy") return Measure::kEnergy;
  return std::nullopt;
}

size_t winner_of(std::span<const double> scores) {
  return static_cast<size_t>(std::ranges::max_element(scores) - scores.begin());
}

double confidence_of(Measure measure, const Scores& scores, double temperature) {
  SKERRY_CHECK(!scores.values.empty() && temperature > 0, "scores, and a temperature above 0");
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  const auto is_nan = [](double value) { return std::isnan(value); };
  if (std::ranges::any_of(scores.values, is_nan)) return kNone;
  std::vector<double> values = logits_of(scores, temperature);
  const double sum = log_sum_exp(values);
  if (measure == Measure::kEnergy) return temperature * sum;
  if (!std::isfinite(sum)) return kNone;
  for (double& value : values) value = std::exp(value - sum);
  if (measure == Measure::kEntropy) {
    double entropy = 0;
    for (const double p : values) entropy -= p > 0 ? p * std::log(p) : 0;
    return values.size() == 1 ? 1 : 1 - entropy / std::log(static_cast<double>(values.size()));
  }
  std::ranges::partial_sort(values, values.begin() + std::min<ptrdiff_t>(2, std::ssize(values)),
                            std::greater());
  if (measure == Measure::kMaxProbability || values.size() == 1) return values[0];
  return values[0] - values[1];
}

double fit_temperature(std::span<const double> logits, size_t classes,
                       std::span<const size_t> labels) {
  SKERRY_CHECK(logits.size() == classes * labels.size(), "a row of logits for each label");
  // The likelihood has one maximum in 1 / T: golden sections in ln T find it.
  constexpr double kRatio = 0.6180339887498949;
  double low = std::log(0.05), high = std::log(20.0);
  const auto cost = [&](double log_t) { return nll(logits, classes, labels, std::exp(log_t)); };
  double a = high - kRatio * (high - low), b = low + kRatio * (high - low);
  double cost_a = cost(a), cost_b = cost(b);
  for (int i = 0; i < 40; ++i) {
    if (cost_a < cost_b) {
      high = b;
      b = a;
      cost_b = cost_a;
      a = high - kRatio * (high - low);
      cost_a = cost(a);
    } else {
      low = a;
      a = b;
      cost_a = cost_b;
      b = low + kRatio * (high - low);
      cost_b = cost(b);
    }
  }
  return std::exp((low + high) / 2);
}

}  // namespace skerry::hybrid
