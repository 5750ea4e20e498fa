// From counts to p-values to verdicts.
#include "monitor/drift.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "monitor/statistics.h"

namespace skerry::monitor {
namespace {

// Three questions are asked of each feature: its values, what is missing, what is outside.
constexpr double kQuestions = 3;

double share(uint64_t part, uint64_t all) {
  return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
}

// A rate that is above the true one, in all but a thousandth of references: the reference is a
// sample, too.
double upper_rate(uint64_t hits, uint64_t all) {
  const auto count = static_cast<double>(hits);
  return std::min(1.0, (count + 10 + 4 * std::sqrt(count)) / static_cast<double>(all));
}

double p_value_of(const Feature& feature, const FeatureCounts& counts, double distance) {
  const double shape = kolmogorov_smirnov_p(distance, feature.counts.values(), counts.values());
  const double missing = binomial_tail_bound(
      counts.missing, counts.all(), upper_rate(feature.counts.missing, feature.counts.all()));
  const double outside =
      binomial_tail_bound(counts.outside, counts.values(), upper_rate(0, feature.counts.values()));
  return std::min(1.0, kQuestions * std::min({shape, missing, outside}));
}

FeatureDrift measure(const Feature& feature, const FeatureCounts& counts) {
  SKERRY_CHECK(counts.bins.size() == feature.counts.bins.size(), "counts are over these bins");
  const Bins reference = feature.counts.bins, current = counts.bins;
  FeatureDrift drift;
  drift.name = feature.name;
  drift.count = counts.values();
  drift.psi = population_stability_index(reference, current);
  drift.jensen_shannon = jensen_shannon_distance(reference, current);
  drift.kolmogorov_smirnov = kolmogorov_smirnov(reference, current);
  if (feature.deviation > 0) {
    drift.wasserstein =
        wasserstein_distance(reference, current, feature.positions) / feature.deviation;
  }
  drift.missing = share(counts.missing, counts.all());
  drift.outside = share(counts.outside, counts.values());
  drift.p_value = p_value_of(feature, counts, drift.kolmogorov_smirnov);
  return drift;
}

}  // namespace

std::vector<FeatureDrift> judge(const Reference& reference, std::span<const FeatureCounts> counts,
                                const DriftOptions& options) {
  SKERRY_CHECK(counts.size() == reference.features.size(), "counts of each feature");
  std::vector<FeatureDrift> all;
  std::vector<double> p_values;  // of those with enough values
  for (size_t i = 0; i < counts.size(); ++i) {
    all.push_back(measure(reference.features[i], counts[i]));
    all.back().enough = counts[i].all() >= options.least_count;
    if (all.back().enough) p_values.push_back(all.back().p_value);
  }
  const std::vector<double> adjusted = benjamini_hochberg(p_values);
  auto next = adjusted.begin();
  for (size_t i = 0; i < all.size(); ++i) {
    FeatureDrift& drift = all[i];
    drift.p_value = drift.enough ? *next++ : 1;
    const double usual_missing =
        share(reference.features[i].counts.missing, reference.features[i].counts.all());
    const bool matters = drift.psi >= options.least_psi || drift.outside >= options.least_share ||
                         drift.missing >= usual_missing + options.least_share;
    drift.drifted = drift.enough && matters && drift.p_value <= options.false_alarm_rate;
  }
  return all;
}

DriftWindow::DriftWindow(Reference reference, Limits limits)
    : reference_(std::move(reference)), limits_(limits) {
  begin();
}

void DriftWindow::begin() {
  counts_.clear();
  for (const Feature& feature : reference_.features) counts_.push_back(feature.none());
  items_ = 0;
}

bool DriftWindow::add(std::span<const double> values, int64_t now_ms) {
  SKERRY_CHECK(values.size() == counts_.size(), "one value of each feature");
  if (items_++ == 0) since_ms_ = now_ms;
  for (size_t i = 0; i < values.size(); ++i) reference_.features[i].count(values[i], counts_[i]);
  return items_ >= limits_.items ||
         (items_ >= limits_.least_items && now_ms - since_ms_ >= limits_.length_ms);
}

}  // namespace skerry::monitor
