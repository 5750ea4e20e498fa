// Products of bytes with constant matrices most of whose elements are zero: as sparse.h, with four
// input channels of a pixel in a lane.
//
// What is left out are fours of weights, all of them zero; a four that has one is multiplied whole.
// Weights: a four for each of the outputs that are taken together, as Dot::splat_weights reads it.
#pragma once

#include "conv_u8.h"
#include "sparse.h"

namespace skerry_kernels {

constexpr int kResultRows = 16;  // of four channels each, that are turned back together

// Four channels' bytes to a lane. `bytes`: P of each channel.
template <int L, int P>
SKERRY_INLINE void join_bytes(const uint8_t* bytes, int32_t* to) {
  for (int p = 0; p < P; p += L) {
    Ints<L> all = widen<L>(load<Bytes<L>>(bytes + p));
    SKERRY_UNROLL for (int i = 1; i < 4; ++i) {
      all |= widen<L>(load<Bytes<L>>(bytes + i * P + p)) << (8 * i);
    }
    store<L>(to + p, all);
  }
}

// `count` pixels, at most L·V. `turned` has room for those of all fours, for kResultRows, and for
// bytes of all channels and H more.
template <ConvU8Shape S, SparseTile T>
SKERRY_INLINE void sparse_u8_block(const uint8_t* x, uint8_t* y, const int8_t* w,
                                   const uint16_t* index, const uint16_t* order,
                                   const uint32_t* ends, const int32_t* bias, const float* scale,
                                   int32_t* turned, int count, Range range) {
  constexpr int L = T.lanes, V = T.vectors, H = T.together;
  constexpr int P = L * V, K = kSparseChains<T>;
  constexpr int kParts = (S.channels + H - 1) / H;
  int32_t* results = turned + S.fours * P;
  uint8_t* bytes = reinterpret_cast<uint8_t*>(results + kResultRows * P);
  turn<L>(x, S.x_pixel, count, S.fours, turned, P * 4);
  uint32_t at = 0;
  for (int part = 0; part < kParts; ++part) {
    const int channel = *order++ * H;
    const uint32_t end = *ends++;
    Ints<L> sums[K][H][V] = {};
    SKERRY_UNROLL for (int h = 0; h < H; ++h) {
      SKERRY_UNROLL for (int v = 0; v < V; ++v) sums[0][h][v] = splat_int<L>(bias[channel + h]);
    }
    const auto step = [&](int k, uint32_t i) __attribute__((always_inline)) {
      const int32_t* column = turned + index[i] * P;
      Ints<L> xs[V];
      SKERRY_UNROLL for (int v = 0; v < V; ++v) xs[v] = load<Ints<L>>(column + v * L);
      SKERRY_UNROLL for (int h = 0; h < H; ++h) {
        const auto weights =
            Dot<L>::splat_weights(w + (i * H + h) * static_cast<uint32_t>(Dot<L>::kSplatBytes));
        SKERRY_UNROLL for (int v = 0; v < V; ++v) {
          sums[k][h][v] = Dot<L>::add(sums[k][h][v], xs[v], weights);
        }
      }
    };
    SKERRY_ROLLED for (; at + K <= end; at += K) {
      SKERRY_UNROLL for (int k = 0; k < K; ++k) step(k, at + k);
    }
    for (; at < end; ++at) step(0, at);
    SKERRY_UNROLL for (int h = 0; h < H; ++h) {
      const auto factor = splat<L>(scale[channel + h]);
      SKERRY_UNROLL for (int v = 0; v < V; ++v) {
        Ints<L> sum = sums[0][h][v];
        SKERRY_UNROLL for (int k = 1; k < K; ++k) sum += sums[k][h][v];
        store<L>(bytes + (channel + h) * P + v * L,
                 to_bytes<L>(rescaled<S.wide, L>(sum, factor, range), range.zero));
      }
    }
  }
  for (int first = 0; first + 4 <= S.channels; first += 4 * kResultRows) {
    const int left = (S.channels - first) / 4;
    const int rows = left < kResultRows ? left : kResultRows;
    for (int row = 0; row < rows; ++row) {
      join_bytes<L, P>(bytes + (first + 4 * row) * P, results + row * P);
    }
    turn<L>(results, P * 4, rows, count, y + first, S.y_pixel);
  }
  for (int c = S.channels / 4 * 4; c < S.channels; ++c) {
    for (int p = 0; p < count; ++p) y[p * S.y_pixel + c] = bytes[c * P + p];
  }
}

template <ConvU8Shape S, SparseTile T>
__attribute__((noinline)) void sparse_u8(const uint8_t* x, uint8_t* y, const int8_t* w,
                                         const uint16_t* index, const uint16_t* order,
                                         const uint32_t* ends, const int32_t* bias,
                                         const float* scale, int32_t* turned, Range range) {
  constexpr int P = T.lanes * T.vectors;
  // Lanes behind the last pixel are computed, too, and dropped.
  memset(turned, 0, sizeof(int32_t) * S.fours * P);
  for (int n = 0; n < S.n; ++n, x += S.x_batch, y += S.y_batch) {
    for (int row = 0; row < S.h; ++row) {
      for (int at = 0; at < S.w; at += P) {
        const int count = S.w - at < P ? S.w - at : P;
        sparse_u8_block<S, T>(x + row * S.x_row + at * S.x_pixel,
                              y + row * S.y_row + at * S.y_pixel, w, index, order, ends, bias,
                              scale, turned, count, range);
      }
    }
  }
}

}  // namespace skerry_kernels
