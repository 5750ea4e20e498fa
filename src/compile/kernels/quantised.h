// Between FP32 and 8-bit numbers, element by element.
#pragma once

#include "requantise.h"

namespace skerry_kernels {

// Rounded to the nearest whole number, ties to even, then the zero point, then limits; NaN becomes
// the zero point. As graph/ops/quantisation.h says.
SKERRY_INLINE int32_t quantised(float scaled, int32_t zero, int32_t low, int32_t high) {
  const float clipped = scaled < -4194304.0f  ? -4194304.0f
                        : scaled > 4194304.0f ? 4194304.0f
                                              : scaled;
  const float real = clipped == clipped ? clipped : 0.0f;
  const float magic = 12582912.0f;
  const int32_t whole = static_cast<int32_t>((real + magic) - magic) + zero;
  return whole < low ? low : whole > high ? high : whole;
}

// `count` numbers that follow each other, with one scale. The quotient is the correctly rounded
// one: a step of Newton's from the rounded product with `inverse`, 1 / scale, whose remainder is
// exact (Markstein). For scales whose digits are all ones that does not hold (`Plain`).
template <int L, bool Plain, class T>
SKERRY_INLINE void quantise_row(const float* x, T* y, int count, float scale, float inverse,
                                int32_t zero, int32_t low, int32_t high) {
  const float limit = 4194304.0f * scale;  // beyond it, all results are limits
  const Range range = {static_cast<float>(low - zero), static_cast<float>(high - zero), zero};
  int i = 0;
  for (; i + L <= count; i += L) {
    const auto in = load<Floats<L>>(x + i);
    const auto clipped = smaller(larger(in, splat<L>(-limit)), splat<L>(limit));
    Floats<L> q;
    if constexpr (Plain || !kExactFused) {
      q = clipped / splat<L>(scale);
    } else {
      q = clipped * splat<L>(inverse);
      q = fused(fused(-q, splat<L>(scale), clipped), splat<L>(inverse), q);
    }
    q = in == in ? larger(smaller(q, splat<L>(range.high)), splat<L>(range.low)) : splat<L>(0);
    const auto bytes = to_bytes<L>(q + splat<L>(kRoundingMagic), zero);
    memcpy(y + i, &bytes, L);
  }
  for (; i < count; ++i) y[i] = static_cast<T>(quantised(x[i] / scale, zero, low, high));
}

}  // namespace skerry_kernels
