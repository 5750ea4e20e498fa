// The formulas.
#include "monitor/statistics.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/check.h"

namespace skerry::monitor {
namespace {

double sum_of(Bins bins) {
  return static_cast<double>(std::accumulate(bins.begin(), bins.end(), uint64_t{0}));
}

// Calls `each(bin, difference)` with the difference of the two distribution functions behind each
// bin.
template <class Each>
void walk(Bins reference, Bins current, Each each) {
  const double all_reference = sum_of(reference), all_current = sum_of(current);
  SKERRY_CHECK(reference.size() == current.size(), "histograms have the same bins");
  if (all_reference == 0 || all_current == 0) return;
  uint64_t below_reference = 0, below_current = 0;
  for (size_t bin = 0; bin < reference.size(); ++bin) {
    below_reference += reference[bin];
    below_current += current[bin];
    each(bin, std::abs(static_cast<double>(below_reference) / all_reference -
                       static_cast<double>(below_current) / all_current));
  }
}

// x·log2(x / y) of a share; 0 where x is.
double relative_entropy(double x, double y) {
  return x == 0 ? 0 : x * std::log2(x / y);
}

}  // namespace

double population_stability_index(Bins reference, Bins current) {
  SKERRY_CHECK(reference.size() == current.size(), "histograms have the same bins");
  const double all_reference = sum_of(reference), all_current = sum_of(current);
  if (all_reference == 0 || all_current == 0) return 0;
  double sum = 0;
  for (size_t bin = 0; bin < reference.size(); ++bin) {
    if (reference[bin] == 0 && current[bin] == 0) continue;
    const double p = std::max(0.5, static_cast<double>(reference[bin])) / all_reference;
    const double q = std::max(0.5, static_cast<double>(current[bin])) / all_current;
    sum += (q - p) * std::log(q / p);
  }
  return sum;
}

double jensen_shannon_distance(Bins reference, Bins current) {
  SKERRY_CHECK(reference.size() == current.size(), "histograms have the same bins");
  const double all_reference = sum_of(reference), all_current = sum_of(current);
  if (all_reference == 0 || all_current == 0) return 0;
  double sum = 0;
  for (size_t bin = 0; bin < reference.size(); ++bin) {
    const double p = static_cast<double>(reference[bin]) / all_reference;
    const double q = static_cast<double>(current[bin]) / all_current;
    const double middle = (p + q) / 2;
    sum += relative_entropy(p, middle) + relative_entropy(q, middle);
  }
  return std::sqrt(std::max(0.0, sum / 2));
}

double wasserstein_distance(Bins reference, Bins current, std::span<const double> positions) {
  SKERRY_CHECK(positions.size() == reference.size(), "each bin has a position");
  double sum = 0;
  walk(reference, current, [&](size_t bin, double difference) {
    if (bin + 1 < positions.size()) sum += difference * (positions[bin + 1] - positions[bin]);
  });
  return sum;
}

double kolmogorov_smirnov(Bins reference, Bins current) {
  double largest = 0;
  walk(reference, current,
       [&](size_t, double difference) { largest = std::max(largest, difference); });
  return largest;
}

double kolmogorov_smirnov_p(double distance, uint64_t reference, uint64_t current) {
  if (reference == 0 || current == 0) return 1;
  const auto n = static_cast<double>(reference), m = static_cast<double>(current);
  const double x = distance * std::sqrt(n * m / (n + m));
  if (x <= 0) return 1;
  double sum = 0;
  if (x < 1.18) {  // the series that converges fast for small values
    const double exponent = -std::numbers::pi * std::numbers::pi / (8 * x * x);
    for (int k = 1; k <= 9; k += 2) sum += std::exp(exponent * k * k);
    return std::clamp(1 - std::sqrt(2 * std::numbers::pi) / x * sum, 0.0, 1.0);
  }
  for (int k = 1; k <= 10; ++k) sum += (k % 2 == 1 ? 2 : -2) * std::exp(-2.0 * k * k * x * x);
  return std::clamp(sum, 0.0, 1.0);
}

double binomial_tail_bound(uint64_t hits, uint64_t trials, double rate) {
  if (trials == 0 || rate >= 1) return 1;
  const double share = static_cast<double>(hits) / static_cast<double>(trials);
  if (share <= rate) return 1;
  if (rate <= 0) return 0;
  const double misses = 1 - share;
  const double entropy =
      share * std::log(share / rate) + (misses == 0 ? 0 : misses * std::log(misses / (1 - rate)));
  return std::exp(-static_cast<double>(trials) * entropy);
}

std::vector<double> benjamini_hochberg(std::span<const double> p_values) {
  const size_t count = p_values.size();
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return p_values[i]; });
  std::vector<double> adjusted(count);
  double smallest = 1;
  for (size_t rank = count; rank-- > 0;) {
    const double scaled =
        p_values[order[rank]] * static_cast<double>(count) / static_cast<double>(rank + 1);
    smallest = std::min(smallest, scaled);
    adjusted[order[rank]] = smallest;
  }
  return adjusted;
}

}  // namespace skerry::monitor
