// What values a tensor takes over calibration data, and the range of them that is worth quantising.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "graph/evaluation.h"

namespace skerry::optimise {

enum class RangeMethod {
  kMinMax,      // all that was seen
  kPercentile,  // but for the outermost 0.01 %
  kEntropy,     // least information lost (Kullback-Leibler), TensorRT's choice
  kMse,         // least mean squared error
};
std::string_view name_of(RangeMethod method);  // "minmax"

struct Range {
  double lowest = 0, highest = 0;  // lowest ≤ 0 ≤ highest: zero is always representable
};

// A scale for integers: real = scale · (stored − zero point).
struct Scale {
  float scale = 1;
  int64_t zero_point = 0;
};
// `type`: INT8 or UINT8. Symmetric: the zero point is the middle of the type's range.
Scale scale_for(const Range& range, graph::DataType type, bool symmetric);

// Finite numbers into a histogram whose width doubles when it has to; others are left out.
class Observer {
 public:
  void add(const graph::Array& values);

  size_t count() const { return count_; }
  double lowest() const { return lowest_; }
  double highest() const { return highest_; }
  // `percentile`: how many per cent of the values are inside, of kPercentile.
  Range range(RangeMethod method, double percentile = 99.99) const;
  // By channel (axis 1); empty where shapes differ from run to run.
  std::vector<double> channel_means() const;
  // The largest magnitude at each place of the last axis; empty where its size differs.
  const std::vector<double>& largest_of_last() const { return last_largest_; }

 private:
  static constexpr size_t kBins = 4096;  // from -limit_ to limit_

  void widen(double to);
  double center(size_t bin) const;
  Range seen() const;
  Range percentile_range(double percentile) const;
  Range entropy_range() const;
  Range mse_range() const;
  void add_channels(const graph::Array& values, const std::vector<double>& numbers);
  void add_last(const graph::Array& values, const std::vector<double>& numbers);

  std::vector<double> bins_;
  double limit_ = 0;
  size_t count_ = 0;
  double lowest_ = 0, highest_ = 0;
  std::vector<double> channel_sums_;
  double channel_count_ = 0;  // values of each channel; negative where they differ
  std::vector<double> last_largest_;
  bool last_differs_ = false;
};

}  // namespace skerry::optimise
