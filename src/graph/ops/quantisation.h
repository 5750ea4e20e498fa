// Reals to integers and back, as every quantised operator does it.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/evaluation.h"

namespace skerry::graph::ops {

struct IntegerRange {
  int64_t lowest, highest;
};

constexpr IntegerRange range_of(DataType type) {
  switch (type) {
    case DataType::kInt4:
      return {-8, 7};
    case DataType::kUint4:
      return {0, 15};
    case DataType::kInt8:
      return {-128, 127};
    case DataType::kUint8:
      return {0, 255};
    case DataType::kInt16:
      return {-32768, 32767};
    case DataType::kUint16:
      return {0, 65535};
    default:
      return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
  }
}

// Ties to even, then the zero point, then saturated. NaN becomes the zero point.
inline int64_t quantise(double scaled, int64_t zero_point, DataType type) {
  const auto [lowest, highest] = range_of(type);
  if (std::isnan(scaled)) return zero_point;
  const double rounded = std::nearbyint(scaled) + static_cast<double>(zero_point);
  return static_cast<int64_t>(
      std::clamp(rounded, static_cast<double>(lowest), static_cast<double>(highest)));
}

inline void store_integer(Array& out, size_t at, int64_t value) {
  const size_t size = Array::element_size(out.type);
  std::memcpy(out.bytes.data() + at * size, &value, size);  // little-endian
}

inline void store_quantised(Array& out, size_t at, double scaled, int64_t zero_point) {
  store_integer(out, at, quantise(scaled, zero_point, out.type));
}

}  // namespace skerry::graph::ops
