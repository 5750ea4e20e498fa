// What a metric's values were: how many, their sum, smallest, largest and last, and a histogram
// whose buckets are log-linear. One type for counters (the sum), gauges (the last, the mean) and
// histograms (quantiles). Distributions add up, in any order and grouping, to the same bits: of
// minutes, of devices. Whole numbers only: a value is so many millionths.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>

#include "base/error.h"
#include "base/log_linear.h"
#include "formats/node.h"

namespace skerry::formats {

struct Distribution {
  static constexpr double kUnit = 1e6;         // 1.0
  static constexpr double kMaxValue = 9.2e12;  // larger ones count as this one, of either sign
  // Above 15 millionths a quantile is at most an eighth away from a value.
  using Buckets = LogLinear<3, 63>;
  __extension__ using Sum = __int128;

  uint64_t count = 0;
  Sum sum = 0;
  int64_t min = 0, max = 0;  // 0 where there are none
  int64_t last = 0;          // of the latest time
  int64_t last_ms = 0;
  std::map<int16_t, uint64_t> bins;  // bucket n, or -n of values below 0

  bool operator==(const Distribution&) const = default;

  // Not NaN. Infinity is the largest.
  void add(double value, int64_t now_ms);
  void merge(const Distribution& other);

  double total() const;
  double mean() const;  // 0 where there are none
  // A value that at least a share `q` (0–1) does not exceed: a bucket's limit, between min and max.
  double quantile(double q) const;
};

// {"count","sum","min","max","last","lastMs","bins":[bin,count,…]}: docs/data/device-metrics.md.
nlohmann::json to_json(const Distribution& distribution);
// Untrusted: what it accepts adds up.
Result<Distribution> parse_distribution(const Node& node);

}  // namespace skerry::formats
