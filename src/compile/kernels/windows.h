// The windows of a pool over an image with its channels last, cut at the edge of the image.
#pragma once

#include "isa.h"

namespace skerry_kernels {

// Calls window.operator()<N>(from, to, y0, y1, x0, x1) for each place of the output and each L
// channels of it, with N of them at the end: the image and the output at those channels, and the
// rows and columns of the window.
template <auto S, int L, class T, class Window>
SKERRY_INLINE void for_each_window(const T* x, T* y, Window window) {
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
        T* to = y + row * S.y_row + column * S.y_pixel;
        int c = 0;
        for (; c + L <= S.channels; c += L) {
          window.template operator()<L>(x + c, to + c, y0, y1, x0, x1);
        }
        if constexpr (kRest > 0) window.template operator()<kRest>(x + c, to + c, y0, y1, x0, x1);
      }
    }
  }
}

}  // namespace skerry_kernels
