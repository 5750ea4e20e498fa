// Dense convolutions and fully connected layers of unsigned bytes with signed weights.
//
// As conv.h, with four bytes of the run at a time. The input's zero point is in the bias, and so
// padding is the zero point. A run of other than a multiple of four bytes reads over its end, where
// the weights are zero.
//
// Weights: [group][tile of channels][tap][four of the run][vector][Dot<L>].
#pragma once

#include "dot.h"
#include "requantise.h"

namespace skerry_kernels {

struct ConvU8Shape {
  int n, h, w;                  // of the output
  int channels, groups;         // output channels of a group
  int x_batch, x_row, x_pixel;  // distances, in bytes
  int y_batch, y_row, y_pixel;
  int r_batch, r_row, r_pixel;
  int stride_h, stride_w, taps_h, taps_w, step_h, step_w;
  int fours;  // of each tap's run
  int x_group;
  bool adds;  // an 8-bit image to the rounded result
  bool wide;  // sums may reach 2^24
};

struct ConvU8Tile {
  int lanes, vectors, pixels, chains;
};

// Four bytes of the run more.
template <ConvU8Shape S, int L, int V, int P>
SKERRY_INLINE void conv_u8_step(const uint8_t* at, const int8_t* weights, Ints<L> (&sums)[P][V]) {
  if constexpr (Dot<L>::kInputsStay) {
    typename Dot<L>::Splat xs[P];
    SKERRY_UNROLL for (int p = 0; p < P; ++p) {
      xs[p] = Dot<L>::splat(at + p * S.stride_w * S.x_pixel);
    }
    SKERRY_UNROLL for (int v = 0; v < V; ++v) {
      const auto w = Dot<L>::weights(weights + v * Dot<L>::kWeightBytes);
      SKERRY_UNROLL for (int p = 0; p < P; ++p) {
        sums[p][v] = Dot<L>::add(sums[p][v], xs[p], w);
      }
    }
  } else {
    typename Dot<L>::Weights ws[V];
    SKERRY_UNROLL for (int v = 0; v < V; ++v) {
      ws[v] = Dot<L>::weights(weights + v * Dot<L>::kWeightBytes);
    }
    SKERRY_UNROLL for (int p = 0; p < P; ++p) {
      const auto x = Dot<L>::splat(at + p * S.stride_w * S.x_pixel);
      SKERRY_UNROLL for (int v = 0; v < V; ++v) {
        sums[p][v] = Dot<L>::add(sums[p][v], x, ws[v]);
      }
    }
  }
}

template <ConvU8Shape S, int L, int V, int P, int N, int K>
SKERRY_INLINE void conv_u8_tile(const uint8_t* x, const int8_t* w, const int32_t* bias,
                                const float* scale, const uint8_t* r, uint8_t* y, Range range,
                                Addition addition) {
  constexpr int kStep = V * Dot<L>::kWeightBytes;
  Ints<L> sums[K][P][V] = {};
  SKERRY_UNROLL for (int v = 0; v < V; ++v) {
    const auto start = load<Ints<L>>(bias + v * L);
    SKERRY_UNROLL for (int p = 0; p < P; ++p) sums[0][p][v] = start;
  }
  for (int ty = 0; ty < S.taps_h; ++ty) {
    for (int tx = 0; tx < S.taps_w; ++tx) {
      const uint8_t* at = x + ty * S.step_h * S.x_row + tx * S.step_w * S.x_pixel;
      int i = 0;
      SKERRY_ROLLED for (; i + K <= S.fours; i += K, at += 4 * K) {
        SKERRY_UNROLL for (int k = 0; k < K; ++k, w += kStep)
            conv_u8_step<S, L, V, P>(at + 4 * k, w, sums[k]);
      }
      for (; i < S.fours; ++i, at += 4, w += kStep) conv_u8_step<S, L, V, P>(at, w, sums[0]);
    }
  }
  SKERRY_UNROLL for (int v = 0; v < V; ++v) {
    const auto factor = load<Floats<L>>(scale + v * L);
    SKERRY_UNROLL for (int p = 0; p < P; ++p) {
      Ints<L> sum = sums[0][p][v];
      SKERRY_UNROLL for (int k = 1; k < K; ++k) sum += sums[k][p][v];
      constexpr int kLast = N - (V - 1) * L;
      const auto rounded = rescaled<S.wide, L>(sum, factor, range);
      Bytes<L> result;
      if constexpr (S.adds) {
        const uint8_t* from = r + p * S.r_pixel + v * L;
        result =
            added<L>(rounded, v + 1 < V ? load<Bytes<L>>(from) : load_first<kLast, Bytes<L>>(from),
                     addition);
      } else {
        result = to_bytes<L>(rounded, range.zero);
      }
      uint8_t* to = y + p * S.y_pixel + v * L;
      if (v + 1 < V) {
        store<L>(to, result);
      } else {
        store<kLast>(to, result);
      }
    }
  }
}

template <ConvU8Shape S, int L, int V, int P, int N, int K>
SKERRY_INLINE void conv_u8_plane(const uint8_t* x, const int8_t* w, const int32_t* bias,
                                 const float* scale, const uint8_t* r, uint8_t* y, Range range,
                                 Addition addition) {
  constexpr int kRest = S.w % P;
  for (int row = 0; row < S.h; ++row) {
    const uint8_t* from = x + row * S.stride_h * S.x_row;
    const uint8_t* add = S.adds ? r + row * S.r_row : nullptr;
    uint8_t* to = y + row * S.y_row;
    for (int at = 0; at + P <= S.w; at += P) {
      conv_u8_tile<S, L, V, P, N, K>(from, w, bias, scale, add, to, range, addition);
      from += P * S.stride_w * S.x_pixel;
      if constexpr (S.adds) add += P * S.r_pixel;
      to += P * S.y_pixel;
    }
    if constexpr (kRest > 0) {
      conv_u8_tile<S, L, V, kRest, N, chains_of(kRest * V)>(from, w, bias, scale, add, to, range,
                                                            addition);
    }
  }
}

template <ConvU8Shape S, ConvU8Tile T>
__attribute__((noinline)) void conv_u8(const uint8_t* x, uint8_t* y, const int8_t* w,
                                       const int32_t* bias, const float* scale, const uint8_t* r,
                                       Range range, Addition addition) {
  constexpr int L = T.lanes;
  constexpr int kWide = T.vectors * L;
  constexpr int kRest = S.channels % kWide;
  constexpr int kRestVectors = (kRest + L - 1) / L;
  constexpr int kFours = S.taps_h * S.taps_w * S.fours;
  constexpr int kChains = chains_of(T.vectors * T.pixels, T.chains);
  for (int n = 0; n < S.n; ++n, x += S.x_batch, y += S.y_batch) {
    const int8_t* weights = w;
    int channel = 0;  // with those behind the last of each group
    for (int g = 0; g < S.groups; ++g) {
      const uint8_t* from = x + g * S.x_group;
      const int first = g * S.channels;
      int c = 0;
      for (; c + kWide <= S.channels; c += kWide) {
        conv_u8_plane<S, L, T.vectors, T.pixels, kWide, kChains>(
            from, weights, bias + channel, scale + channel, S.adds ? r + first + c : nullptr,
            y + first + c, range, addition);
        weights += kFours * T.vectors * Dot<L>::kWeightBytes;
        channel += kWide;
      }
      if constexpr (kRest > 0) {
        conv_u8_plane<S, L, kRestVectors, T.pixels, kRest, chains_of(kRestVectors * T.pixels)>(
            from, weights, bias + channel, scale + channel, S.adds ? r + first + c : nullptr,
            y + first + c, range, addition);
        weights += kFours * kRestVectors * Dot<L>::kWeightBytes;
        channel += kRestVectors * L;
      }
    }
    if constexpr (S.adds) r += S.r_batch;
  }
}

}  // namespace skerry_kernels
