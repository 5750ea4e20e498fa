// Convolutions of 3×3 with steps of 1 by Winograd's F(2×2, 3×3), FP32: 16 products for each 2×2
// outputs instead of 36 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
// 2015).
//
// T tiles at a time: their inputs are transformed, then 16 products of [T, channels in] by
// [channels in, channels out], then back. All of a block's numbers stay near the core. Errors are
// of the size of those of a sum in another order: the transform has only sums and halves.
//
// Weights: [16][tile of channels][channel in][V·L], transformed when the model is compiled.
#pragma once

#include "isa.h"

namespace skerry_kernels {

struct WinogradShape {
  int n, h, w;         // of the output
  int in, out;         // channels, multiples of the lanes
  int x_batch, x_row;  // pixels of the input are `in` apart
  int y_batch, y_row, y_pixel;
  int r_batch, r_row, r_pixel;
  bool adds, clamps;
};

struct WinogradTile {
  int lanes, vectors, tiles;
};

// d[0..3], one line of a tile, to Bᵀd.
template <class V>
SKERRY_INLINE void winograd_in(V* d, int step) {
  const V a = d[0] - d[2 * step], b = d[step] + d[2 * step];
  const V c = d[2 * step] - d[step], e = d[step] - d[3 * step];
  d[0] = a, d[step] = b, d[2 * step] = c, d[3 * step] = e;
}

// The product with the weights of one of the 16 places.
template <WinogradShape S, WinogradTile T>
SKERRY_INLINE void winograd_product(const float* v, const float* u, float* m) {
  constexpr int L = T.lanes, V = T.vectors;
  for (int first = 0; first < S.out; first += V * L, u += S.in * V * L) {
    Floats<L> sums[T.tiles][V] = {};
    for (int c = 0; c < S.in; ++c) {
      Floats<L> ws[V];
      SKERRY_UNROLL for (int i = 0; i < V; ++i) ws[i] = load<Floats<L>>(u + (c * V + i) * L);
      SKERRY_UNROLL for (int t = 0; t < T.tiles; ++t) {
        const auto a = splat<L>(v[t * S.in + c]);
        SKERRY_UNROLL for (int i = 0; i < V; ++i) sums[t][i] = fused(a, ws[i], sums[t][i]);
      }
    }
    SKERRY_UNROLL for (int t = 0; t < T.tiles; ++t) {
      SKERRY_UNROLL for (int i = 0; i < V; ++i) store<L>(m + t * S.out + first + i * L, sums[t][i]);
    }
  }
}

template <WinogradShape S, WinogradTile T>
SKERRY_INLINE void winograd_output(const float* m, const float* bias, const float* r, float* y,
                                   bool second_row, bool second_column, float low, float high) {
  constexpr int L = T.lanes;
  for (int c = 0; c < S.out; c += L) {
    Floats<L> lines[2][4];
    SKERRY_UNROLL for (int x = 0; x < 4; ++x) {
      const auto at = [&](int row) {
        return load<Floats<L>>(m + (row * 4 + x) * T.tiles * S.out + c);
      };
      const auto middle = at(1), next = at(2);
      lines[0][x] = at(0) + middle + next;
      lines[1][x] = middle - next - at(3);
    }
    const auto start = load<Floats<L>>(bias + c);
    SKERRY_UNROLL for (int row = 0; row < 2; ++row) {
      SKERRY_UNROLL for (int column = 0; column < 2; ++column) {
        if ((row == 1 && !second_row) || (column == 1 && !second_column)) continue;
        const auto* d = lines[row];
        auto sum = (column == 0 ? d[0] + d[1] + d[2] : d[1] - d[2] - d[3]) + start;
        if constexpr (S.adds) sum += load<Floats<L>>(r + row * S.r_row + column * S.r_pixel + c);
        if constexpr (S.clamps) sum = smaller(splat<L>(high), larger(splat<L>(low), sum));
        store<L>(y + row * S.y_row + column * S.y_pixel + c, sum);
      }
    }
  }
}

// `scratch`: 16 · tiles · (in + out) numbers.
template <WinogradShape S, WinogradTile T>
__attribute__((noinline)) void winograd(const float* x, float* y, const float* u, const float* bias,
                                        const float* r, float* scratch, float low, float high) {
  constexpr int L = T.lanes;
  constexpr int kRows = (S.h + 1) / 2, kColumns = (S.w + 1) / 2, kAll = S.n * kRows * kColumns;
  float* const v = scratch;
  float* const m = scratch + 16 * T.tiles * S.in;
  struct Place {
    int n, row, column;
  };
  const auto place = [](int tile) {
    tile = tile < kAll ? tile : kAll - 1;  // behind the last one, it again
    return Place{tile / (kRows * kColumns), tile / kColumns % kRows, tile % kColumns};
  };
  for (int first = 0; first < kAll; first += T.tiles) {
    for (int t = 0; t < T.tiles; ++t) {
      const Place at = place(first + t);
      const float* from = x + at.n * S.x_batch + 2 * at.row * S.x_row + 2 * at.column * S.in;
      for (int c = 0; c < S.in; c += L) {
        Floats<L> d[16];
        SKERRY_UNROLL for (int i = 0; i < 16; ++i) {
          d[i] = load<Floats<L>>(from + (i / 4) * S.x_row + (i % 4) * S.in + c);
        }
        SKERRY_UNROLL for (int i = 0; i < 4; ++i) winograd_in(d + i, 4);
        SKERRY_UNROLL for (int i = 0; i < 4; ++i) winograd_in(d + 4 * i, 1);
        SKERRY_UNROLL for (int i = 0; i < 16; ++i) store<L>(v + (i * T.tiles + t) * S.in + c, d[i]);
      }
    }
    for (int i = 0; i < 16; ++i) {
      winograd_product<S, T>(v + i * T.tiles * S.in, u + i * S.in * S.out, m + i * T.tiles * S.out);
    }
    for (int t = 0; t < T.tiles; ++t) {
      const Place at = place(first + t);
      const int row = 2 * at.row, column = 2 * at.column;
      const float* add =
          S.adds ? r + at.n * S.r_batch + row * S.r_row + column * S.r_pixel : nullptr;
      winograd_output<S, T>(m + t * S.out, bias, add,
                            y + at.n * S.y_batch + row * S.y_row + column * S.y_pixel,
                            row + 1 < S.h, column + 1 < S.w, low, high);
    }
  }
}

}  // namespace skerry_kernels
