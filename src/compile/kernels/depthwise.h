// Depthwise convolutions, FP32: each channel with a window of its own.
//
// Channels are the lanes. Where steps are 1 and a vector holds whole pixels, a row of pixels times
// channels is one line of lanes, whatever the number of channels. Weights: [block of
// lanes][tap][L].
#pragma once

#include "isa.h"

namespace skerry_kernels {

struct DepthwiseShape {
  int n, h, w, channels;  // of the output
  int x_batch, x_row, y_batch, y_row;
  int x_pixel, y_pixel;
  int stride_h, stride_w, taps_h, taps_w, step_h, step_w;
  bool clamps;
};

// P vectors of outputs, `apart` elements from each other in the input and `gap` in the output.
template <DepthwiseShape S, int L, int P, int N>
SKERRY_INLINE void depthwise_tile(const float* x, const float* w, Floats<L> start, float* y,
                                  int apart, int gap, float low, float high) {
  Floats<L> sums[P];
  SKERRY_UNROLL for (int p = 0; p < P; ++p) sums[p] = start;
  SKERRY_UNROLL for (int ty = 0; ty < S.taps_h; ++ty) {
    SKERRY_UNROLL for (int tx = 0; tx < S.taps_w; ++tx) {
      const auto weight = load<Floats<L>>(w + (ty * S.taps_w + tx) * L);
      const float* at = x + ty * S.step_h * S.x_row + tx * S.step_w * S.x_pixel;
      SKERRY_UNROLL for (int p = 0; p < P; ++p) {
        sums[p] = fused(load<Floats<L>>(at + p * apart), weight, sums[p]);
      }
    }
  }
  SKERRY_UNROLL for (int p = 0; p < P; ++p) {
    if constexpr (S.clamps) sums[p] = smaller(splat<L>(high), larger(splat<L>(low), sums[p]));
    store<N>(y + p * gap, sums[p]);
  }
}

// `Count` vectors one after the other, in tiles of nearly one size: a tile reads the weights once.
template <DepthwiseShape S, int L, int N, int Count>
SKERRY_INLINE void depthwise_line(const float* x, const float* w, const float* bias, float* y,
                                  int apart, int gap, float low, float high) {
  constexpr int kTiles = (Count + 5) / 6;
  constexpr int P = (Count + kTiles - 1) / kTiles;
  constexpr int kRest = Count % P;
  const auto start = load<Floats<L>>(bias);
  for (int i = 0; i + P <= Count; i += P, x += P * apart, y += P * gap) {
    depthwise_tile<S, L, P, N>(x, w, start, y, apart, gap, low, high);
  }
  if constexpr (kRest > 0) {
    depthwise_tile<S, L, kRest, N>(x, w, start, y, apart, gap, low, high);
  }
}

template <DepthwiseShape S, int L>
__attribute__((noinline)) void depthwise(const float* x, float* y, const float* w,
                                         const float* bias, float low, float high) {
  constexpr int kTaps = S.taps_h * S.taps_w;
  constexpr bool kFlat =
      S.stride_w == 1 && L % S.channels == 0 && S.x_pixel == S.channels && S.y_pixel == S.channels;
  constexpr int kLine = S.w * S.channels;
  constexpr int kRest = kFlat ? kLine % L : S.channels % L;
  for (int n = 0; n < S.n; ++n) {
    for (int row = 0; row < S.h; ++row) {
      const float* from = x + n * S.x_batch + row * S.stride_h * S.x_row;
      float* to = y + n * S.y_batch + row * S.y_row;
      if constexpr (kFlat) {
        if constexpr (kLine >= L) {
          depthwise_line<S, L, L, kLine / L>(from, w, bias, to, L, L, low, high);
        }
        if constexpr (kRest > 0) {
          constexpr int kDone = kLine - kRest;
          depthwise_line<S, L, kRest, 1>(from + kDone, w, bias, to + kDone, L, L, low, high);
        }
      } else {
        constexpr int kApart = S.stride_w * S.x_pixel;
        int c = 0;
        for (; c + L <= S.channels; c += L) {
          depthwise_line<S, L, L, S.w>(from + c, w + c * kTaps, bias + c, to + c, kApart, S.y_pixel,
                                       low, high);
        }
        if constexpr (kRest > 0) {
          depthwise_line<S, L, kRest, S.w>(from + c, w + c * kTaps, bias + c, to + c, kApart,
                                           S.y_pixel, low, high);
        }
      }
    }
  }
}

}  // namespace skerry_kernels
