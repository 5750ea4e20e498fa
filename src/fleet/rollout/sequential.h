// Confidence sequences: intervals that hold at every look at once. With probability 1 - alpha the
// true value is inside the interval at all times, however often somebody looks and whenever he
// stops, so a gate may be looked at every second without crying wolf. They are functions of what
// was counted so far, not of the order of the looks: a restarted server computes the same ones.
// docs/decisions/0010-sequential-gates.md says why these, and what they cost.
#pragma once

#include <cstdint>

namespace skerry::fleet::rollout {

struct Interval {
  double low = 0;
  double high = 0;

  bool operator==(const Interval&) const = default;
};

// Of a probability, `events` seen in `trials`. Exact for any number of trials: the beta-binomial
// mixture martingale (Robbins 1970) with the prior Beta(1/2, 1/2). {0, 1} without trials.
Interval proportion_interval(double events, double trials, double alpha);

// The logarithm of an e-value against "the first probability exceeds the second by `tolerance` at
// most": it reaches log(1 / alpha) with probability alpha at most, at any time, while that is so.
// The likelihood averaged over both probabilities, over its greatest value where the hypothesis
// holds (universal inference; Wasserman, Ramdas, Balakrishnan 2020). Sharper than two intervals
// while both cohorts are small, and duller when one is large.
struct Counted {
  double events = 0;
  double trials = 0;
};
double log_evidence_above(const Counted& first, const Counted& second, double tolerance);

// Of a Poisson rate, `events` seen in `exposure`; high is infinite without exposure. `dispersion`
// >= 1 is the variance of a count over its mean: events that come in clusters count for fewer.
Interval rate_interval(double events, double exposure, double alpha, double dispersion = 1);

// Sums of independent observations: mergeable, in any order.
struct Moments {
  int64_t count = 0;
  double sum = 0;
  double squares = 0;

  void add(double value);
  void merge(const Moments& other);
  double mean() const;
  double variance() const;  // of one observation
};

// Of a mean. Asymptotic (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2021, "Time-uniform central
// limit theory"): for kLeastObservations and more, infinitely wide below.
Interval mean_interval(const Moments& moments, double alpha);
inline constexpr int64_t kLeastObservations = 30;

// How the observations of a small first cohort stand among those of a second one. Of the first one
// the `counted` that are worst are looked at: the others may be better by chance.
struct Ranks {
  int64_t first = 0;
  int64_t counted = 0;
  int64_t second = 0;
  int64_t beyond = 0;  // of the second: as bad as the best of those counted, or worse
};
int64_t counted_of(int64_t first);  // of 5 all, of 6 to 11 all but one, …
// The logarithm of the chance that a first cohort of any size ever stands so badly, where chance
// alone has said who is in which: an exact test of order statistics (the precedence test; Epstein
// 1954), the chance shared among the sizes of the first cohort. No matter how the observations are
// distributed.
double log_chance_of(const Ranks& ranks);

}  // namespace skerry::fleet::rollout
