// Pools over windows of FP32 images with their channels last. Padding never counts: windows are cut
// at the edge of the image.
#pragma once

#include "windows.h"

namespace skerry_kernels {

struct PoolShape {
  int n, h, w, channels;  // of the output
  int in_h, in_w;
  int x_batch, x_row, y_batch, y_row, x_pixel, y_pixel;
  int stride_h, stride_w, taps_h, taps_w, pad_h, pad_w;
  int divide;  // an average's divisor; 0: the places of the window that lie inside
  bool average;
};

template <PoolShape S, int L, int N>
SKERRY_INLINE void pool_window(const float* x, float* y, int y0, int y1, int x0, int x1) {
  Floats<L> value = S.average ? splat<L>(0) : splat<L>(-__builtin_inff());
  for (int row = y0; row < y1; ++row) {
    for (int column = x0; column < x1; ++column) {
      const float* at = x + row * S.x_row + column * S.x_pixel;
      const auto in = N == L ? load<Floats<L>>(at) : load_first<N, Floats<L>>(at);
      value = S.average ? value + in : larger(in, value);
    }
  }
  if constexpr (S.average) {
    value /= splat<L>(static_cast<float>(S.divide > 0 ? S.divide : (y1 - y0) * (x1 - x0)));
  }
  store<N>(y, value);
}

template <PoolShape S, int L>
__attribute__((noinline)) void pool(const float* x, float* y) {
  for_each_window<S, L>(
      x, y,
      []<int N>(const float* from, float* to, int y0, int y1, int x0, int x1)
          __attribute__((always_inline)) { pool_window<S, L, N>(from, to, y0, y1, x0, x1); });
}

}  // namespace skerry_kernels
