// What each feature of a model looked like in training, in fixed bins: small, and of another set of
// values the counts over the same bins add up. It travels as reference.json in the model's package
// (docs/data/model-reference.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::monitor {

inline constexpr size_t kMaxFeatures = 256;
inline constexpr size_t kMaxBins = 32;
inline constexpr size_t kBinsUnasked = 16;

// Counts over a reference's bins: of the reference itself, of a window, of many devices' windows.
struct FeatureCounts {
  std::vector<uint64_t> bins;
  uint64_t missing = 0;  // NaN, and what was not there
  uint64_t outside = 0;  // below the reference's smallest value or above its largest; in bins, too
  bool operator==(const FeatureCounts&) const = default;

  uint64_t values() const;  // in bins
  uint64_t all() const { return values() + missing; }
  void merge(const FeatureCounts& other);
};

struct Feature {
  std::string name;
  // Bin i holds values up to edges[i], the last one those above all; ascending, one less than bins.
  std::vector<double> edges;
  std::vector<double> positions;  // the mean of what each bin held
  double min = 0, max = 0;
  double deviation = 0;  // standard
  FeatureCounts counts;
  bool operator==(const Feature&) const = default;

  // Counts `value` into `into`, which has as many bins.
  void count(double value, FeatureCounts& into) const;
  FeatureCounts none() const { return {std::vector<uint64_t>(edges.size() + 1), 0, 0}; }
};

struct Reference {
  std::vector<Feature> features;
  bool operator==(const Reference&) const = default;
};

// Of one feature's values, NaN for missing ones: bins of equal numbers of values, and of few
// different values one each. kInvalidArgument where there are no values, or infinite ones.
Result<Feature> make_feature(std::string name, std::vector<double> values,
                             size_t bins = kBinsUnasked);

// One line a feature. parse_reference() reads back the same; untrusted.
std::string to_text(const Reference& reference);
Result<Reference> parse_reference(std::string_view text);

}  // namespace skerry::monitor
