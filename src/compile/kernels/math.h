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
