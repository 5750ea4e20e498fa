// A window of what a model sees now, counted over its reference's bins, and the verdict: which
// features have drifted, by how much, and how sure that is.
//
// The promise: where nothing has changed, at most a share `false_alarm_rate` of windows has any
// drifted feature, however many features there are.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "monitor/reference.h"

namespace skerry::monitor {

struct DriftOptions {
  double false_alarm_rate = 0.01;  // of windows
  // What is sure and small does not matter: a feature drifts from this index on, or where more
  // values are missing or outside than this share.
  double least_psi = 0.1;
  double least_share = 0.02;
  uint64_t least_count = 100;  // of values; below, a feature has no verdict
};

struct FeatureDrift {
  std::string name;
  uint64_t count = 0;  // of values
  double psi = 0, jensen_shannon = 0, kolmogorov_smirnov = 0;
  double wasserstein = 0;  // in standard deviations of the reference; 0 where that has none
  double missing = 0, outside = 0;  // shares
  double p_value = 1;               // adjusted for the number of features
  bool enough = false;
  bool drifted = false;
};

// In the order of the reference's features; `counts` has one for each.
std::vector<FeatureDrift> judge(const Reference& reference, std::span<const FeatureCounts> counts,
                                const DriftOptions& options = {});

// Counts items until the window is full: by number, or by time once enough are in it.
class DriftWindow {
 public:
  struct Limits {
    uint64_t items = 1'000;
    int64_t length_ms = 3'600'000;
    uint64_t least_items = 100;  // before the time closes it
  };
  DriftWindow(Reference reference, Limits limits);

  // One value of each feature, NaN for missing ones. True where the window is full now.
  bool add(std::span<const double> values, int64_t now_ms);
  const Reference& reference() const { return reference_; }
  std::span<const FeatureCounts> counts() const { return counts_; }
  uint64_t items() const { return items_; }
  void begin();  // the next window

 private:
  Reference reference_;
  Limits limits_;
  std::vector<FeatureCounts> counts_;
  uint64_t items_ = 0;
  int64_t since_ms_ = 0;
};

}  // namespace skerry::monitor
