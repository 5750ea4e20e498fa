// Pools of unsigned bytes, channels last. Windows are cut at the edge of the image.
#pragma once

#include "requantise.h"
#include "windows.h"

namespace skerry_kernels {

struct PoolU8Shape {
  int n, h, w, channels;  // of the output
  int in_h, in_w;
  int x_batch, x_row, y_batch, y_row, x_pixel, y_pixel;
  int stride_h, stride_w, taps_h, taps_w, pad_h, pad_w;
  bool average;
};

// Of an average: the mean of what is left of the input's zero point, times `factor`, rounded.
struct Average {
  int32_t x_zero;
  float factor;
  Range range;
};

template <PoolU8Shape S, int L, int N>
SKERRY_INLINE void pool_u8_window(const uint8_t* x, uint8_t* y, int y0, int y1, int x0, int x1,
                                  Average average) {
  auto value = splat_int<L>(0);
  for (int row = y0; row < y1; ++row) {
    for (int column = x0; column < x1; ++column) {
      const uint8_t* at = x + row * S.x_row + column * S.x_pixel;
      const auto in = widen<L>(N == L ? load<Bytes<L>>(at) : load_first<N, Bytes<L>>(at));
      if constexpr (S.average) {
        value += in;
      } else {
        value = in > value ? in : value;
      }
    }
  }
  if constexpr (S.average) {
    const int count = (y1 - y0) * (x1 - x0);
    value -= splat_int<L>(count * average.x_zero);
    auto mean = __builtin_convertvector(value, Floats<L>) / splat<L>(static_cast<float>(count));
    mean *= splat<L>(average.factor);
    mean = larger(smaller(mean, splat<L>(average.range.high)), splat<L>(average.range.low));
    store<N>(y, to_bytes<L>(mean + splat<L>(kRoundingMagic), average.range.zero));
  } else {
    store<N>(y, narrow<L>(value));
  }
}

template <PoolU8Shape S, int L>
__attribute__((noinline)) void pool_u8(const uint8_t* x, uint8_t* y, Average average) {
  for_each_window<S, L>(x, y,
                        [&]<int N>(const uint8_t* from, uint8_t* to, int y0, int y1, int x0, int x1)
                            __attribute__((always_inline)) {
                              pool_u8_window<S, L, N>(from, to, y0, y1, x0, x1, average);
                            });
}

// y = round(a_factor · (a - a_zero) + b_factor · (b - b_zero)), of `count` bytes.
template <int L>
SKERRY_INLINE void add_u8(const uint8_t* a, const uint8_t* b, uint8_t* y, int count, int32_t a_zero,
                          Addition addition) {
  const auto real = [&](Bytes<L> bytes) {
    return __builtin_convertvector(widen<L>(bytes) - splat_int<L>(a_zero), Floats<L>) +
           splat<L>(kRoundingMagic);
  };
  int i = 0;
  for (; i + L <= count; i += L) {
    store<L>(y + i, added<L>(real(load<Bytes<L>>(a + i)), load<Bytes<L>>(b + i), addition));
  }
  for (; i < count; ++i) {
    Bytes<L> one = {}, other = {};
    one[0] = a[i];
    other[0] = b[i];
    y[i] = added<L>(real(one), other, addition)[0];
  }
}

}  // namespace skerry_kernels
