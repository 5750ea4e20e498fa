// Which items of a stream are uploaded: those with a high score, some seconds before and after
// them, within a budget, and a random sample of the rest, so that what is missed can be estimated.
//
// Items come in the order of time. Each leaves once, in the same order, when nothing can change its
// decision any more: after the pre-roll.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "hybrid/budget.h"

namespace skerry::hybrid {

struct FilterConfig {
  double threshold = 0;  // from this score on an item is an event
  int64_t pre_ms = 0, post_ms = 0;
  double sample = 0.01;          // of items that are no part of an event
  double items_per_hour = 1e12;  // that are uploaded; above, the rest is summarised
  double bytes_per_day = 1e15;
  uint64_t seed = 1;          // of the sample
  size_t max_held = 100'000;  // items in the pre-roll; above, the oldest leave early
};

// JSON or YAML: threshold, preMs, postMs, sample, itemsPerHour, bytesPerDay. Untrusted.
Result<FilterConfig> parse_filter(std::string_view text);

enum class Fate { kUpload, kSummarise, kDrop };
enum class Why { kEvent, kPreRoll, kPostRoll, kSample, kOverBudget, kNothing };
std::string_view name_of(Fate fate);
std::string_view name_of(Why why);

struct FilterDecision {
  uint64_t item = 0;  // from 0, in the order they came
  Fate fate = Fate::kDrop;
  Why why = Why::kNothing;
};

struct FilterCounts {
  uint64_t items = 0, bytes = 0;
  uint64_t uploaded = 0, uploaded_bytes = 0;
  uint64_t events = 0, over_budget = 0;
  uint64_t unflagged = 0, sampled = 0;
};

class EdgeFilter {
 public:
  explicit EdgeFilter(FilterConfig config);

  // A score that is NaN is an event: nobody knows what it is. The decisions that are ripe now.
  std::vector<FilterDecision> push(int64_t time_ms, uint64_t bytes, double score);
  // Those that are left, at the end of the stream.
  std::vector<FilterDecision> finish();
  const FilterCounts& counts() const { return counts_; }

 private:
  struct Held {
    uint64_t item;
    int64_t time_ms;
    uint64_t bytes;
    Why why;
  };
  FilterDecision decide(const Held& held);
  bool is_sampled();

  FilterConfig config_;
  TokenBucket items_, bytes_;
  std::deque<Held> held_;
  int64_t event_until_ms_ = INT64_MIN;
  uint64_t random_;
  FilterCounts counts_;
};

}  // namespace skerry::hybrid
