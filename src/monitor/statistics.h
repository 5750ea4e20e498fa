// Distances between two histograms over the same bins, and how likely they are by chance.
// Histograms that are compared have the same number of bins, at least one; an empty one is at
// distance 0 of everything.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace skerry::monitor {

using Bins = std::span<const uint64_t>;

// Population stability index: the sum of (q - p)·ln(q / p), natural logarithm, where p and q are
// the shares of a bin in `reference` and `current`. A bin that is empty in one of them counts there
// as half an observation.
double population_stability_index(Bins reference, Bins current);
// The square root of the Jensen–Shannon divergence with base 2: 0 to 1. (Endres and Schindelin,
// 2003; scipy.spatial.distance.jensenshannon.)
double jensen_shannon_distance(Bins reference, Bins current);
// The first Wasserstein distance where all of bin i lies at `positions[i]`, which ascend.
double wasserstein_distance(Bins reference, Bins current, std::span<const double> positions);
// The largest difference of the two distribution functions at the ends of bins: at most the
// Kolmogorov–Smirnov statistic of the values themselves.
double kolmogorov_smirnov(Bins reference, Bins current);

// How likely a statistic of at least `distance` is where two samples of these sizes come from the
// same distribution: Kolmogorov's limit, which is too large, not too small, for binned values.
double kolmogorov_smirnov_p(double distance, uint64_t reference, uint64_t current);
// An upper bound on the chance of at least `hits` of `trials` where each has a chance of `rate`
// (Chernoff's, in its relative entropy form).
double binomial_tail_bound(uint64_t hits, uint64_t trials, double rate);

// For each p-value the smallest false discovery rate at which it would be found (Benjamini and
// Hochberg, 1995), in the order of `p_values`.
std::vector<double> benjamini_hochberg(std::span<const double> p_values);

}  // namespace skerry::monitor
