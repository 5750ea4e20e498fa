// The integer arithmetic of LiteRT's reference kernels: reals as 31-bit multipliers with a shift,
// high products that are rounded, halves away from zero, twice where nothing else is said.
#pragma once

#include <cstdint>

namespace skerry::graph::ops {

// multiplier · 2^(shift − 31)
struct FixedMultiplier {
  int32_t multiplier = 0;
  int shift = 0;

  static FixedMultiplier of(double real);  // of one that is not negative
  int32_t times(int32_t value) const;
  // Rounded once, halves away from zero: LiteRT's fully connected layers.
  int32_t times_once(int64_t value) const;
  // For sums of 16-bit activations: a multiplier of 15 bits, rounded once.
  int32_t times_wide(int64_t value) const;
};

// a·b / 2^31, rounded; INT32_MAX where both are INT32_MIN.
int32_t high_product(int32_t a, int32_t b);
// value / 2^exponent, halves away from zero.
int32_t rounded_shift(int32_t value, int exponent);

// One row of softmax of 8-bit numbers: `scale` of the inputs, outputs with scale 1/256 and the
// lowest number as zero point.
class FixedSoftmax {
 public:
  explicit FixedSoftmax(double scale);
  template <class T, class Store>
  void row(const T* in, int64_t size, int64_t step, Store&& store) const {
    int32_t highest = in[0];
    for (int64_t i = 1; i < size; ++i) highest = in[i * step] > highest ? in[i * step] : highest;
    int32_t sum = 0;
    for (int64_t i = 0; i < size; ++i) add(sum, in[i * step] - highest);
    for (int64_t i = 0; i < size; ++i) store(i, share(sum, in[i * step] - highest));
  }

 private:
  void add(int32_t& sum, int32_t difference) const;
  int32_t share(int32_t sum, int32_t difference) const;  // 0…256, not yet saturated
  int32_t exponential(int32_t difference) const;

  FixedMultiplier scale_;
  int32_t lowest_difference_;  // what lies below counts as 0
};

}  // namespace skerry::graph::ops
