// Products with constant matrices most of whose elements are zero, FP32: any pattern.
//
// Pixels (rows of a product) lie across the lanes: a block of them is turned over, so that each
// weight that is not zero is one broadcast and V multiply-adds, whatever stands beside it. The
// pattern is a stream of input channels, in the order in which they are added up: output channel by
// output channel, ascending. Where each one's part of the stream ends stands in `ends`.
// The idea is Elsen et al., "Fast Sparse ConvNets", 2019; there images lie that way already.
#pragma once

#include "conv.h"

namespace skerry_kernels {

// Four pixels of four channels.
SKERRY_INLINE void turn_4x4(const float* from, int from_row, float* to, int to_row) {
  typedef int32_t Mask __attribute__((vector_size(16)));
  const auto a = load<Floats<4>>(from), b = load<Floats<4>>(from + from_row);
  const auto c = load<Floats<4>>(from + 2 * from_row), d = load<Floats<4>>(from + 3 * from_row);
  const auto ab = __builtin_shuffle(a, b, Mask{0, 4, 1, 5});
  const auto cd = __builtin_shuffle(c, d, Mask{0, 4, 1, 5});
  const auto ab2 = __builtin_shuffle(a, b, Mask{2, 6, 3, 7});
  const auto cd2 = __builtin_shuffle(c, d, Mask{2, 6, 3, 7});
  store<4>(to, __builtin_shuffle(ab, cd, Mask{0, 1, 4, 5}));
  store<4>(to + to_row, __builtin_shuffle(ab, cd, Mask{2, 3, 6, 7}));
  store<4>(to + 2 * to_row, __builtin_shuffle(ab2, cd2, Mask{0, 1, 4, 5}));
  store<4>(to + 3 * to_row, __builtin_shuffle(ab2, cd2, Mask{2, 3, 6, 7}));
}

// to[column][row] = from[row][column].
inline void turn(const float* from, int from_row, int rows, int columns, float* to, int to_row) {
  int row = 0;
  for (; row + 4 <= rows; row += 4) {
    int column = 0;
    for (; column + 4 <= columns; column += 4) {
      turn_4x4(from + row * from_row + column, from_row, to + column * to_row + row, to_row);
    }
    for (; column < columns; ++column) {
      for (int i = row; i < row + 4; ++i) to[column * to_row + i] = from[i * from_row + column];
    }
  }
  for (; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      to[column * to_row + row] = from[row * from_row + column];
    }
  }
}

constexpr int kTurnedChannels = 16;  // that are turned back together

// `count` pixels, at most L·V. `turned` has room for those of all inputs and kTurnedChannels.
template <ConvShape S, int L, int V>
SKERRY_INLINE void sparse_block(const float* x, float* y, const float* w, const uint16_t* index,
                                const uint32_t* ends, const float* bias, float* turned, int count,
                                float low, float high) {
  constexpr int P = L * V;
  constexpr int K = V >= 4 ? 2 : 4;  // sums that do not wait for each other
  float* results = turned + S.run * P;
  turn(x, S.x_pixel, count, S.run, turned, P);
  uint32_t at = 0;
  for (int first = 0; first < S.channels; first += kTurnedChannels) {
    const int some = S.channels - first < kTurnedChannels ? S.channels - first : kTurnedChannels;
    for (int c = 0; c < some; ++c) {
      const uint32_t end = ends[first + c];
      Floats<L> sums[K][V] = {};
      SKERRY_UNROLL for (int v = 0; v < V; ++v) sums[0][v] = splat<L>(bias[first + c]);
      const auto step = [&](int k, uint32_t i) __attribute__((always_inline)) {
        const float* column = turned + index[i] * P;
        const auto weight = splat<L>(w[i]);
        SKERRY_UNROLL for (int v = 0; v < V; ++v) {
          sums[k][v] = fused(weight, load<Floats<L>>(column + v * L), sums[k][v]);
        }
      };
      SKERRY_ROLLED for (; at + K <= end; at += K) {
        SKERRY_UNROLL for (int k = 0; k < K; ++k) step(k, at + k);
      }
      for (; at < end; ++at) step(0, at);
      SKERRY_UNROLL for (int v = 0; v < V; ++v) {
        Floats<L> sum = sums[0][v];
        SKERRY_UNROLL for (int k = 1; k < K; ++k) sum += sums[k][v];
        if constexpr (S.clamps) sum = smaller(splat<L>(high), larger(splat<L>(low), sum));
        store<L>(results + c * P + v * L, sum);
      }
    }
    turn(results, P, some, count, y + first, S.y_pixel);
  }
}

template <ConvShape S, ConvTile T>
__attribute__((noinline)) void sparse(const float* x, float* y, const float* w,
                                      const uint16_t* index, const uint32_t* ends,
                                      const float* bias, float* turned, float low, float high) {
  constexpr int P = T.lanes * T.vectors;
  // Lanes behind the last pixel are computed, too, and dropped.
  memset(turned, 0, sizeof(float) * S.run * P);
  for (int n = 0; n < S.n; ++n, x += S.x_batch, y += S.y_batch) {
    for (int row = 0; row < S.h; ++row) {
      for (int at = 0; at < S.w; at += P) {
        const int count = S.w - at < P ? S.w - at : P;
        sparse_block<S, T.lanes, T.vectors>(x + row * S.x_row + at * S.x_pixel,
                                            y + row * S.y_row + at * S.y_pixel, w, index, ends,
                                            bias, turned, count, low, high);
      }
    }
  }
}

}  // namespace skerry_kernels
