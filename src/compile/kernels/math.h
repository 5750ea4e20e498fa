// Functions of FP32 numbers, for loops that the compiler vectorises: no branch, no table, no libm.
// Errors are stated in units in the last place (ULP) and held by compile/kernels_test.cc.
#pragma once

#include "isa.h"

namespace skerry_kernels {

// e^x, within 1 ULP; 0 below -87.3, infinity above 88.7, NaN for NaN. A polynomial of degree 6 on
// half a binary order of magnitude (minimax), and the exponent by its bits.
SKERRY_INLINE float exp_of(float x) {
  const float real = x == x ? x : 0.0f;
  const float clipped = real < -87.33654f ? -87.33654f : real > 88.72283f ? 88.72283f : real;
  const float magic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to a whole number
  const float order = clipped * 1.44269504f + magic;
  const float n = order - magic;
  const float r = (clipped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // 2^n in two factors: n may be 128.
  const int32_t half = static_cast<int32_t>(n) >> 1;
  const int32_t rest = static_cast<int32_t>(n) - half;
  const int32_t bits_a = (half + 127) << 23;
  const int32_t bits_b = (rest + 127) << 23;
  float a, b;
  memcpy(&a, &bits_a, 4);
  memcpy(&b, &bits_b, 4);
  const float result = p * a * b;
  return x > 88.72283f ? __builtin_inff() : x < -87.33654f ? 0.0f : x == x ? result : x;
}

SKERRY_INLINE float sigmoid_of(float x) {
  return 1.0f / (1.0f + exp_of(-x));
}

// Within 4 ULP: an odd polynomial near 0, where 1 - 2/(e^2x + 1) would cancel.
SKERRY_INLINE float tanh_of(float x) {
  const float square = x * x;
  float p = -5.70498872745e-3f;
  p = p * square + 2.06390887954e-2f;
  p = p * square - 5.37397155531e-2f;
  p = p * square + 1.33314422036e-1f;
  p = p * square - 3.33332819422e-1f;
  const float near = p * square * x + x;
  const float away = 1.0f - 2.0f / (exp_of(2.0f * x) + 1.0f);
  return x < 0.625f && x > -0.625f ? near : away;
}

// Abramowitz and Stegun 7.1.26, |error| below 7e-7 absolute.
SKERRY_INLINE float erf_of(float x) {
  const float a = x < 0 ? -x : x;
  const float t = 1.0f / (1.0f + 0.3275911f * a);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float result = 1.0f - p * t * exp_of(-a * a);
  return x < 0 ? -result : result;
}

// x[0], x[step], … to their softmax.
SKERRY_INLINE void softmax_row(const float* x, int x_step, float* y, int y_step, int count) {
  float largest = x[0];
  for (int i = 1; i < count; ++i) largest = x[i * x_step] > largest ? x[i * x_step] : largest;
  float sum = 0;
  for (int i = 0; i < count; ++i) {
    const float e = exp_of(x[i * x_step] - largest);
    y[i * y_step] = e;
    sum += e;
  }
  for (int i = 0; i < count; ++i) y[i * y_step] /= sum;
}

// The natural logarithm, within 1.5·10⁻⁷ of itself or of ½: a polynomial on [√½, √2], and the
// exponent by its bits.
SKERRY_INLINE float log_of(float x) {
  const bool tiny = x < 1.17549435e-38f;
  const float scaled = tiny ? x * 8388608.0f : x;
  int32_t bits;
  memcpy(&bits, &scaled, 4);
  int32_t order = ((bits >> 23) & 0xff) - (tiny ? 149 : 126);
  bits = (bits & 0x7fffff) | 0x3f000000;
  float m;
  memcpy(&m, &bits, 4);
  const bool low = m < 0.707106781f;
  order -= low ? 1 : 0;
  m = low ? m + m - 1.0f : m - 1.0f;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const float square = m * m, n = static_cast<float>(order);
  const float result = m + (p * m * square - n * 2.12194440e-4f - 0.5f * square) + n * 0.693359375f;
  return x == 0               ? -__builtin_inff()
         : !(x > 0)           ? __builtin_nanf("")
         : x > 3.40282347e38f ? x
                              : result;
}

SKERRY_INLINE float softplus_of(float x) {
  return (x > 0 ? x : x == x ? 0.0f : x) + log_of(1.0f + exp_of(-__builtin_fabsf(x)));
}

// Rounding, without libm where the machine has no instruction for it.
SKERRY_INLINE float truncated(float x) {
  return __builtin_fabsf(x) < 8388608.0f ? static_cast<float>(static_cast<int32_t>(x)) : x;
}
SKERRY_INLINE float floor_of(float x) {
#if defined(__riscv)
  const float whole = truncated(x);
  return whole > x ? whole - 1.0f : whole;
#else
  return __builtin_floorf(x);
#endif
}
SKERRY_INLINE float ceil_of(float x) {
#if defined(__riscv)
  const float whole = truncated(x);
  return whole < x ? whole + 1.0f : whole;
#else
  return __builtin_ceilf(x);
#endif
}
// Ties to even.
SKERRY_INLINE float round_of(float x) {
  const float size = __builtin_fabsf(x);
  const float whole = size < 8388608.0f ? (size + 8388608.0f) - 8388608.0f : size;
  return x < 0 ? -whole : x == x ? whole : x;
}
SKERRY_INLINE float sign_of(float x) {
  return x > 0 ? 1.0f : x < 0 ? -1.0f : x;
}

SKERRY_INLINE float sqrt_of(float x) {
  return __builtin_sqrtf(x);
}
SKERRY_INLINE float larger_of(float a, float b) {
  return a > b || a != a ? a : b;
}
SKERRY_INLINE float smaller_of(float a, float b) {
  return a < b || a != a ? a : b;
}

}  // namespace skerry_kernels
