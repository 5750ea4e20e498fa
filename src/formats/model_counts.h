// What one version of a model did: requests, latency, and what its predictions were. Counts add up,
// in any order and grouping: of minutes, of devices, of a cohort. Whole numbers only, so that every
// order gives the same sum.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/log_linear.h"

namespace skerry::formats {

// The counts without their histograms.
struct ModelTotals {
  static constexpr uint64_t kConfidenceUnit = 1'000'000;  // 1.0

  uint64_t requests = 0;  // answered
  uint64_t errors = 0;    // not answered, and not through the caller's fault
  uint64_t refused = 0;   // requests that were wrong, or too many at once
  uint64_t latency_sum_us = 0;
  // Where the model says which output holds scores (model.json, "scores"):
  uint64_t predictions = 0;
  uint64_t confidence_sum = 0;      // of the winning class's score, in millionths
  uint64_t confidence_squares = 0;  // of its squares, in millionths
  // What the service's watchdog has seen (runs, which may be of several requests):
  uint64_t hangs = 0;       // that did not end in time
  uint64_t not_finite = 0;  // NaN or infinity where the package forbids it
  uint64_t slow = 0;        // ten times what is normal

  bool operator==(const ModelTotals&) const = default;

  // Of answered requests and errors; 0 where there are none. So are the means.
  double error_rate() const;
  // Of alarms of the watchdog; above 1 where it has more of them than there were requests.
  double alarm_rate() const;
  double mean_latency_us() const;
  double mean_confidence() const;
};

struct ModelCounts : ModelTotals {
  // Nanoseconds; a quantile is at most 1/8 too large; 18 minutes and more are the last bucket.
  using Latency = LogLinear<3, 40>;
  // Class c counts in bin c modulo this: exact for models with no more classes.
  static constexpr size_t kClassBins = 64;

  std::array<uint64_t, Latency::kBuckets> latency{};  // of answered requests
  std::array<uint64_t, kClassBins> classes{};         // of predictions

  bool operator==(const ModelCounts&) const = default;

  // Sums that would not fit stay at the largest number.
  void add(const ModelCounts& other);
  // What came after `earlier`, a former state of these counts.
  ModelCounts since(const ModelCounts& earlier) const;

  void add_latency(int64_t ns);
  void add_prediction(size_t class_index, double confidence);  // clamped to 0–1

  // The smallest bucket limit that at least a share `q` (0–1) of the latencies does not exceed; 0
  // where there are none.
  uint64_t latency_quantile_ns(double q) const;
};

// One line of printable ASCII, some hundred bytes: docs/data/inference-summary.md.
std::string pack(const ModelCounts& counts);
// Adds what pack() printed to `sum`; false where it is something else: `sum` is of no use then.
// `totals` become those of this one alone.
bool add_packed(std::string_view packed, ModelCounts& sum, ModelTotals& totals);
// Its totals and classes alone, which is faster: what stands behind them is not looked at. Bit i of
// the result's `used`: there is something in bin i. `classes` is new, or what another call has
// left.
struct ClassBins {
  std::array<uint64_t, ModelCounts::kClassBins> counts{};
  uint64_t used = 0;
  static_assert(ModelCounts::kClassBins == 64);
};
bool read_packed(std::string_view packed, ModelTotals& totals, ClassBins& classes);

}  // namespace skerry::formats
