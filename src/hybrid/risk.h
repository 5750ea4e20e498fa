// Thresholds that come with a promise, from labelled data that nothing was trained on. What is
// promised holds with probability 1 - delta over the drawing of that data, for items like it,
// whatever the models are (Bates et al., 2021; exact binomial tests in a fixed order).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"

namespace skerry::hybrid {

// P(X <= hits) and P(X >= hits) of X ~ Binomial(trials, rate).
double binomial_at_most(uint64_t hits, uint64_t trials, double rate);
double binomial_at_least(uint64_t hits, uint64_t trials, double rate);
// The interval that holds the true rate with probability `confidence` at least (Clopper–Pearson).
struct Interval {
  double low = 0, high = 1;
};
Interval rate_interval(uint64_t hits, uint64_t trials, double confidence);

struct CascadeItem {
  double confidence = 0;  // the smaller model's
  bool smaller_right = false;
  bool bigger_right = false;
};
struct CascadeThreshold {
  double threshold = 0;  // below it, the bigger model is asked
  double risk = 0;  // measured: share of items that are wrong, and would not be with the bigger one
  double escalated = 0;  // share of items that it is asked for
  double accuracy = 0, smaller_accuracy = 0, bigger_accuracy = 0;
};
// The smallest threshold with which, for all that the data tell, the smaller model costs at most
// `risk` of the items a right answer that the bigger one would have given. kInvalidArgument where
// there are too few items to promise anything.
Result<CascadeThreshold> tune_cascade(std::vector<CascadeItem> items, double risk, double delta);

struct FilterItem {
  double score = 0;
  bool wanted = false;
};
struct FilterThreshold {
  double threshold = 0;  // from it on, an item is uploaded
  double recall = 0;     // measured
  double uploaded = 0;   // share of items
};
// The largest threshold with which at least a share `recall` of wanted items is uploaded.
Result<FilterThreshold> tune_filter(std::vector<FilterItem> items, double recall, double delta);

// Recall of a filter that runs, from its random sample: of `unflagged` items `sampled` were drawn
// and looked at, `sampled_wanted` of them were wanted after all; `flagged_wanted` were found.
struct Recall {
  double estimate = 0;
  Interval interval;
};
Recall estimate_recall(uint64_t flagged_wanted, uint64_t unflagged, uint64_t sampled,
                       uint64_t sampled_wanted, double confidence);

}  // namespace skerry::hybrid
