// From 32-bit sums to 8-bit results: times a scale, rounded to the nearest, ties to even, limited.
//
// Exact: the result is the correctly rounded product of the whole number and the FP32 scale, as the
// reference executor computes it in double. Below 2^24 a sum is exact in FP32, and one multiply-add
// with 1.5 · 2^23 rounds once. Where sums may be larger, or the machine has no such instruction
// (`Wide`), it is done in double.
#pragma once

#include "bytes.h"

namespace skerry_kernels {

constexpr float kRoundingMagic = 12582912.0f;  // 1.5 · 2^23

// Limits before the zero point is added.
struct Range {
  float low, high;
  int32_t zero;
};

// The rounded and limited result before the zero point, plus kRoundingMagic.
template <bool Wide, int L>
SKERRY_INLINE Floats<L> rescaled(Ints<L> sum, Floats<L> scale, Range range) {
  Floats<L> y;
  if constexpr (Wide || !kExactFused) {
    for (int i = 0; i < L; ++i) {
      const double magic = 6755399441055744.0;  // 1.5 · 2^52
      double real = static_cast<double>(sum[i]) * static_cast<double>(scale[i]);
      real = real < range.low ? range.low : real > range.high ? range.high : real;
      y[i] = static_cast<float>((real + magic) - magic) + kRoundingMagic;
    }
    return y;
  } else {
    y = fused(__builtin_convertvector(sum, Floats<L>), scale, splat<L>(kRoundingMagic));
    return smaller(larger(y, splat<L>(kRoundingMagic + range.low)),
                   splat<L>(kRoundingMagic + range.high));
  }
}

template <int L>
SKERRY_INLINE Bytes<L> to_bytes(Floats<L> y, int32_t zero) {
  return narrow<L>(reinterpret_cast<Ints<L>>(y) + splat_int<L>(zero));
}

// What is added to a result after it has been rounded to 8 bits: both as reals (own · result +
// other · (r - other_zero)), then rounded again.
struct Addition {
  float own, other;
  int32_t other_zero;
  Range range;
};

template <int L>
SKERRY_INLINE Bytes<L> added(Floats<L> rounded, Bytes<L> r, Addition addition) {
  const auto a = (rounded - splat<L>(kRoundingMagic)) * splat<L>(addition.own);
  const auto b =
      __builtin_convertvector(widen<L>(r) - splat_int<L>(addition.other_zero), Floats<L>) *
      splat<L>(addition.other);
  const auto y =
      larger(smaller(a + b, splat<L>(addition.range.high)), splat<L>(addition.range.low));
  return to_bytes<L>(y + splat<L>(kRoundingMagic), addition.range.zero);
}

}  // namespace skerry_kernels
