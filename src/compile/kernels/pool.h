// Pools over windows of FP32 images with their channels last. Padding never counts: windows are cut
// at the edge of the image.
#pragma once

#include "isa.h"

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
  constexpr int kRest = S.channels % L;
  for (int n = 0; n < S.n; ++n, x += S.x_batch, y += S.y_batch) {
    for (int row = 0; row < S.h; ++row) {
      const int top = row * S.stride_h - S.pad_h;
      const int y0 = top < 0 ? 0 : top;
      const int y1 = top + S.taps_h < S.in_h ? top + S.taps_h : S.in_h;
      for (int column = 0; column < S.w; ++column) {
        const int left = column * S.stride_w - S.pad_w;
        const int x0 = left < 0 ? 0 : left;
        const int x1 = left + S.taps_w < S.in_w ? left + S.taps_w : S.in_w;
        float* to = y + row * S.y_row + column * S.y_pixel;
        int c = 0;
        for (; c + L <= S.channels; c += L) pool_window<S, L, L>(x + c, to + c, y0, y1, x0, x1);
        if constexpr (kRest > 0) pool_window<S, L, kRest>(x + c, to + c, y0, y1, x0, x1);
      }
    }
  }
}

}  // namespace skerry_kernels
