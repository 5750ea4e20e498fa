// Numbers of n integer bits are int32_t with 31 − n fractional bits; the comments say F0, F2, F5.
// The polynomials and tables are those of the public gemmlowp library (fixedpoint.h), whose results
// LiteRT's 8-bit kernels are defined by.
#include "graph/ops/fixed_point.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace skerry::graph::ops {
namespace {

constexpr int32_t kHighest = std::numeric_limits<int32_t>::max();
constexpr int32_t kLowest = std::numeric_limits<int32_t>::min();
constexpr int kDifferenceBits = 5;  // integer bits of differences from the maximum
constexpr int kSumBits = 12;        // and of sums of exponentials

int32_t saturated_left(int32_t value, int bits) {
  const int64_t wide = int64_t{value} * (int64_t{1} << bits);
  return static_cast<int32_t>(std::clamp<int64_t>(wide, kLowest, kHighest));
}

// e^a for a in [−1/4, 0), F0: the Taylor series around −1/8.
int32_t exponential_near_zero(int32_t a) {
  constexpr int32_t kConstantTerm = 1895147668;  // e^(−1/8)
  constexpr int32_t kThird = 715827883;
  const int32_t x = a + (1 << 28);
  const int32_t x2 = high_product(x, x);
  const int32_t x3 = high_product(x2, x);
  const int32_t x4 = high_product(x2, x2);
  const int32_t fourth = rounded_shift(x4, 2);
  const int32_t higher = rounded_shift(high_product(fourth + x3, kThird) + x2, 1);
  return kConstantTerm + high_product(kConstantTerm, x + higher);
}

// e^a for a ≤ 0, F5 to F0: what is left of a quarter, times e^(−1/4), e^(−1/2), … by its bits.
int32_t exponential_of_negative(int32_t a) {
  constexpr int kFraction = 31 - kDifferenceBits;
  constexpr int32_t kQuarter = 1 << (kFraction - 2);
  constexpr int32_t kFactors[] = {1672461947, 1302514674, 790015084, 290630308,
                                  39332535,   720401,     242};
  if (a == 0) return kHighest;
  const int32_t rest = (a & (kQuarter - 1)) - kQuarter;
  int32_t result = exponential_near_zero(saturated_left(rest, kDifferenceBits));
  const int32_t quarters = rest - a;
  for (int i = 0; i < kDifferenceBits + 2; ++i) {
    if ((quarters & (1 << (kFraction - 2 + i))) != 0) result = high_product(result, kFactors[i]);
  }
  return result;
}

int32_t half_sum(int32_t a, int32_t b) {
  const int64_t sum = int64_t{a} + b;
  return static_cast<int32_t>((sum + (sum >= 0 ? 1 : -1)) / 2);
}

// 1 / (1 + a) for a in [0, 1), F0: Newton's method for the half of the denominator, F2.
int32_t one_over_one_plus(int32_t a) {
  constexpr int32_t kPlus48Over17 = 1515870810;
  constexpr int32_t kMinus32Over17 = -1010580540;
  constexpr int32_t kOne = 1 << 29;
  const int32_t half = half_sum(a, kHighest);
  int32_t x = kPlus48Over17 + high_product(half, kMinus32Over17);
  for (int i = 0; i < 3; ++i) {
    const int32_t error = kOne - high_product(half, x);
    x += saturated_left(high_product(x, error), 2);
  }
  return saturated_left(x, 1);
}

}  // namespace

int32_t high_product(int32_t a, int32_t b) {
  if (a == kLowest && b == kLowest) return kHighest;
  const int64_t product = int64_t{a} * b;
  const int64_t nudge = product >= 0 ? int64_t{1} << 30 : 1 - (int64_t{1} << 30);
  return static_cast<int32_t>((product + nudge) / (int64_t{1} << 31));
}

int32_t rounded_shift(int32_t value, int exponent) {
  if (exponent <= 0) return value;
  if (exponent > 31) return 0;
  const auto mask = static_cast<int32_t>((int64_t{1} << exponent) - 1);
  const int32_t threshold = (mask >> 1) + (value < 0 ? 1 : 0);
  return (value >> exponent) + ((value & mask) > threshold ? 1 : 0);
}

FixedMultiplier FixedMultiplier::of(double real) {
  if (!(real > 0) || !std::isfinite(real)) return {};
  FixedMultiplier made;
  auto bits = static_cast<int64_t>(std::round(std::frexp(real, &made.shift) * (int64_t{1} << 31)));
  if (bits == int64_t{1} << 31) {
    bits /= 2;
    ++made.shift;
  }
  if (made.shift < -31) return {};
  made.multiplier = static_cast<int32_t>(bits);
  return made;
}

int32_t FixedMultiplier::times(int32_t value) const {
  const int left = std::clamp(shift, 0, 31);
  // Wraps where LiteRT's does, without being undefined.
  const auto shifted = static_cast<int32_t>(static_cast<uint32_t>(value) << left);
  return rounded_shift(high_product(shifted, multiplier), -std::min(shift, 0));
}

namespace {

// value · factor / 2^bits, halves up.
int32_t scaled(int64_t value, int32_t factor, int bits) {
  const int total = std::clamp(bits, 1, 62);
  const __int128 wide = static_cast<__int128>(value) * factor + (int64_t{1} << (total - 1));
  return static_cast<int32_t>(std::clamp<__int128>(wide >> total, kLowest, kHighest));
}

}  // namespace

int32_t FixedMultiplier::times_once(int64_t value) const {
  if (value >= 0) return scaled(value, multiplier, 31 - shift);
  return -scaled(-value, multiplier, 31 - shift);
}

int32_t FixedMultiplier::times_wide(int64_t value) const {
  const int32_t reduced = multiplier < 0x7fff0000 ? (multiplier + (1 << 15)) >> 16 : 0x7fff;
  return scaled(value, reduced, 15 - shift);
}

FixedSoftmax::FixedSoftmax(double scale)
    : scale_(FixedMultiplier::of(
          std::min(scale * (1 << (31 - kDifferenceBits)), (int64_t{1} << 31) - 1.0))) {
  const double radius = ((1 << kDifferenceBits) - 1.0) *
                        static_cast<double>(int64_t{1} << (31 - kDifferenceBits)) /
                        static_cast<double>(int64_t{1} << std::clamp(scale_.shift, 0, 31));
  lowest_difference_ = -static_cast<int32_t>(std::min(std::floor(radius), 1e9));
}

int32_t FixedSoftmax::exponential(int32_t difference) const {
  return exponential_of_negative(scale_.times(difference));
}

void FixedSoftmax::add(int32_t& sum, int32_t difference) const {
  if (difference < lowest_difference_) return;
  const int64_t more = int64_t{sum} + rounded_shift(exponential(difference), kSumBits);
  sum = static_cast<int32_t>(std::min<int64_t>(more, kHighest));
}

int32_t FixedSoftmax::share(int32_t sum, int32_t difference) const {
  if (difference < lowest_difference_) return 0;
  const int headroom = std::countl_zero(static_cast<uint32_t>(sum));
  const auto above_one =
      static_cast<int32_t>((static_cast<uint32_t>(sum) << headroom) - (uint32_t{1} << 31));
  const int32_t scale = one_over_one_plus(above_one);
  return rounded_shift(high_product(scale, exponential(difference)), kSumBits - headroom + 31 - 8);
}

}  // namespace skerry::graph::ops
