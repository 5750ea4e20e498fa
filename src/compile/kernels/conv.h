// Dense convolutions, fully connected layers and products with constant matrices, FP32.
//
// Images lie with their channels last. A tile of P output pixels times V vectors of output channels
// stays in registers while the window and the input channels go by: one broadcast of an input feeds
// V multiply-adds. Where the window is not dilated, a row of it is one run of elements in memory,
// so that a first layer of one or three channels needs no rearranged copy of its input. Padding is
// part of the input's memory: the memory plan leaves room for it.
//
// Weights: [group][tile of channels][tap][element of the run][V·L], zeros behind the last channel.
#pragma once

#include "isa.h"

namespace skerry_kernels {

struct ConvShape {
  int n, h, w;   // of the output
  int channels;  // output channels of a group
  int groups;
  int x_batch, x_row, x_pixel;  // distances in the input, in elements
  int y_batch, y_row, y_pixel;
  int r_batch, r_row, r_pixel;  // of what is added, where something is
  int stride_h, stride_w;
  int taps_h, taps_w;  // the window; taps_w is 1 where a row of it is one run
  int step_h, step_w;  // between taps, in input pixels
  int run;             // elements of each tap
  int x_group;         // input channels of a group
  bool adds, clamps;
};

// How it is cut: `vectors` of `lanes` channels times `pixels`. `chains`: of whole tiles, or 0.
struct ConvTile {
  int lanes, vectors, pixels, chains;
};

template <ConvShape S, int L, int V, int P, int N, int K>
SKERRY_INLINE void conv_tile(const float* x, const float* w, const float* bias, const float* r,
                             float* y, float low, float high) {
  Floats<L> sums[K][P][V] = {};
  SKERRY_UNROLL for (int v = 0; v < V; ++v) {
    const auto start = load<Floats<L>>(bias + v * L);
    SKERRY_UNROLL for (int p = 0; p < P; ++p) sums[0][p][v] = start;
  }
  const auto step = [&](int k, const float* at,
                        const float* weights) __attribute__((always_inline)) {
    Floats<L> ws[V];
    SKERRY_UNROLL for (int v = 0; v < V; ++v) ws[v] = load<Floats<L>>(weights + v * L);
    SKERRY_UNROLL for (int p = 0; p < P; ++p) {
      const auto a = splat<L>(at[p * S.stride_w * S.x_pixel]);
      SKERRY_UNROLL for (int v = 0; v < V; ++v) sums[k][p][v] = fused(a, ws[v], sums[k][p][v]);
    }
  };
  for (int ty = 0; ty < S.taps_h; ++ty) {
    for (int tx = 0; tx < S.taps_w; ++tx) {
      const float* at = x + ty * S.step_h * S.x_row + tx * S.step_w * S.x_pixel;
      int i = 0;
      SKERRY_ROLLED for (; i + K <= S.run; i += K, at += K) {
        SKERRY_UNROLL for (int k = 0; k < K; ++k, w += V * L) step(k, at + k, w);
      }
      for (; i < S.run; ++i, ++at, w += V * L) step(0, at, w);
    }
  }
  SKERRY_UNROLL for (int p = 0; p < P; ++p) {
    SKERRY_UNROLL for (int v = 0; v < V; ++v) {
      Floats<L> sum = sums[0][p][v];
      SKERRY_UNROLL for (int k = 1; k < K; ++k) sum += sums[k][p][v];
      constexpr int kLast = N - (V - 1) * L;
      if constexpr (S.adds) {
        const float* from = r + p * S.r_pixel + v * L;
        sum += v + 1 < V ? load<Floats<L>>(from) : load_first<kLast, Floats<L>>(from);
      }
      if constexpr (S.clamps) sum = smaller(splat<L>(high), larger(splat<L>(low), sum));
      float* to = y + p * S.y_pixel + v * L;
      if (v + 1 < V) {
        store<L>(to, sum);
      } else {
        store<kLast>(to, sum);
      }
    }
  }
}

// One tile of channels over the whole image.
template <ConvShape S, int L, int V, int P, int N, int K>
SKERRY_INLINE void conv_plane(const float* x, const float* w, const float* bias, const float* r,
                              float* y, float low, float high) {
  constexpr int kRest = S.w % P;
  for (int row = 0; row < S.h; ++row) {
    const float* from = x + row * S.stride_h * S.x_row;
    const float* add = S.adds ? r + row * S.r_row : nullptr;
    float* to = y + row * S.y_row;
    for (int at = 0; at + P <= S.w; at += P) {
      conv_tile<S, L, V, P, N, K>(from, w, bias, add, to, low, high);
      from += P * S.stride_w * S.x_pixel;
      if constexpr (S.adds) add += P * S.r_pixel;
      to += P * S.y_pixel;
    }
    if constexpr (kRest > 0) {
      conv_tile<S, L, V, kRest, N, chains_of(kRest * V)>(from, w, bias, add, to, low, high);
    }
  }
}

template <ConvShape S, ConvTile T>
__attribute__((noinline)) void conv(const float* x, float* y, const float* w, const float* bias,
                                    const float* r, float low, float high) {
  constexpr int L = T.lanes;
  constexpr int kWide = T.vectors * L;
  constexpr int kRest = S.channels % kWide;
  constexpr int kRestVectors = (kRest + L - 1) / L;
  constexpr int kWeights = S.taps_h * S.taps_w * S.run;
  constexpr int kChains = chains_of(T.vectors * T.pixels, T.chains);
  for (int n = 0; n < S.n; ++n, x += S.x_batch, y += S.y_batch) {
    const float* weights = w;
    const float* start = bias;
    for (int g = 0; g < S.groups; ++g) {
      const float* from = x + g * S.x_group;
      const int first = g * S.channels;
      int c = 0;
      for (; c + kWide <= S.channels; c += kWide) {
        conv_plane<S, L, T.vectors, T.pixels, kWide, kChains>(
            from, weights, start, S.adds ? r + first + c : nullptr, y + first + c, low, high);
        weights += kWeights * kWide;
        start += kWide;
      }
      if constexpr (kRest > 0) {
        conv_plane<S, L, kRestVectors, T.pixels, kRest, chains_of(kRestVectors * T.pixels)>(
            from, weights, start, S.adds ? r + first + c : nullptr, y + first + c, low, high);
        weights += kWeights * kRestVectors * L;
        start += kRestVectors * L;
      }
    }
    if constexpr (S.adds) r += S.r_batch;
  }
}

}  // namespace skerry_kernels
