// Products with constant matrices most of whose elements are zero, FP32: any pattern.
//
// Pixels (rows of a product) lie across the lanes: a block of them is turned over, so that each
// weight that is not zero is one broadcast and V multiply-adds, whatever stands beside it. The
// pattern is a stream of input channels, in the order in which they are added up: panel of inputs
// by panel (as many as stay in the nearest cache while all outputs pass by), and in it part by
// part, each of H output channels that are read together. Whose a part is stands in `order`, where
// it ends in `ends`. H > 1 is for blocks: outputs that have their zeros at the same inputs. The
// idea is Elsen et al., "Fast Sparse ConvNets", 2019; there images lie that way already.
#pragma once

#include "conv.h"
#include "turn.h"

namespace skerry_kernels {

struct SparseTile {
  int lanes, vectors;  // of pixels
  int together;        // output channels that share a part of the stream
  int panels;
};

// Sums that do not wait for each other.
template <SparseTile T>
constexpr int kSparseChains = T.together * T.vectors >= 8   ? 1
                              : T.together * T.vectors >= 4 ? 2
                                                            : 4;

// `count` pixels, at most L·V. `turned` has room for those of all inputs, and behind them for the
// results of all channels and H more.
template <ConvShape S, SparseTile T>
SKERRY_INLINE void sparse_block(const float* x, float* y, const float* w, const uint16_t* index,
                                const uint16_t* order, const uint32_t* ends, const float* bias,
                                float* turned, int count, float low, float high) {
  constexpr int L = T.lanes, V = T.vectors, H = T.together;
  constexpr int P = L * V, K = kSparseChains<T>;
  constexpr int kParts = (S.channels + H - 1) / H;
  float* results = turned + S.run * P;
  turn<L>(x, S.x_pixel * 4, count, S.run, turned, P * 4);
  uint32_t at = 0;
  for (int panel = 0; panel < T.panels; ++panel) {
    for (int part = 0; part < kParts; ++part) {
      const int channel = *order++ * H;
      const uint32_t end = *ends++;
      float* made = results + channel * P;
      Floats<L> sums[K][H][V] = {};
      SKERRY_UNROLL for (int h = 0; h < H; ++h) {
        SKERRY_UNROLL for (int v = 0; v < V; ++v) {
          sums[0][h][v] =
              panel == 0 ? splat<L>(bias[channel + h]) : load<Floats<L>>(made + h * P + v * L);
        }
      }
      const auto step = [&](int k, uint32_t i) __attribute__((always_inline)) {
        const float* column = turned + index[i] * P;
        Floats<L> xs[V];
        SKERRY_UNROLL for (int v = 0; v < V; ++v) xs[v] = load<Floats<L>>(column + v * L);
        SKERRY_UNROLL for (int h = 0; h < H; ++h) {
          const auto weight = splat<L>(w[i * H + h]);
          SKERRY_UNROLL for (int v = 0; v < V; ++v) {
            sums[k][h][v] = fused(weight, xs[v], sums[k][h][v]);
          }
        }
      };
      SKERRY_ROLLED for (; at + K <= end; at += K) {
        SKERRY_UNROLL for (int k = 0; k < K; ++k) step(k, at + k);
      }
      for (; at < end; ++at) step(0, at);
      SKERRY_UNROLL for (int h = 0; h < H; ++h) {
        SKERRY_UNROLL for (int v = 0; v < V; ++v) {
          Floats<L> sum = sums[0][h][v];
          SKERRY_UNROLL for (int k = 1; k < K; ++k) sum += sums[k][h][v];
          if constexpr (S.clamps) {
            if (panel + 1 == T.panels) sum = smaller(splat<L>(high), larger(splat<L>(low), sum));
          }
          store<L>(made + h * P + v * L, sum);
        }
      }
    }
  }
  turn<L>(results, P * 4, S.channels, count, y, S.y_pixel * 4);
}

template <ConvShape S, SparseTile T>
__attribute__((noinline)) void sparse(const float* x, float* y, const float* w,
                                      const uint16_t* index, const uint16_t* order,
                                      const uint32_t* ends, const float* bias, float* turned,
                                      float low, float high) {
  constexpr int P = T.lanes * T.vectors;
  // Lanes behind the last pixel are computed, too, and dropped.
  memset(turned, 0, sizeof(float) * S.run * P);
  for (int n = 0; n < S.n; ++n, x += S.x_batch, y += S.y_batch) {
    for (int row = 0; row < S.h; ++row) {
      for (int at = 0; at < S.w; at += P) {
        const int count = S.w - at < P ? S.w - at : P;
        sparse_block<S, T>(x + row * S.x_row + at * S.x_pixel, y + row * S.y_row + at * S.y_pixel,
                           w, index, order, ends, bias, turned, count, low, high);
      }
    }
  }
}

}  // namespace skerry_kernels
