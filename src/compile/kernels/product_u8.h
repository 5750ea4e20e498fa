// Products of bytes with a constant matrix, as whole numbers: what models that quantise their
// values as they run are made of. And that quantising.
#pragma once

#include "conv_u8.h"
#include "quantised.h"

namespace skerry_kernels {

// y = x · w - zero · (sums of w's columns). Of the shape: w rows of x_pixel bytes and of y_pixel
// results, `channels` columns, `fours` of the inner dimension. Weights lie as in conv_u8.h.
// `correction`: what each column's sum counts besides; Dot's shift less the zero point.
template <ConvU8Shape S, int L, int V, int P, int N, int K>
SKERRY_INLINE void product_u8_tile(const uint8_t* x, const int8_t* w, const int32_t* columns,
                                   int32_t* y, int32_t correction) {
  constexpr int kStep = V * Dot<L>::kWeightBytes;
  Ints<L> sums[K][P][V] = {};
  int i = 0;
  SKERRY_ROLLED for (; i + K <= S.fours; i += K, x += 4 * K) {
    SKERRY_UNROLL for (int k = 0; k < K; ++k, w += kStep) {
      conv_u8_step<S, L, V, P>(x + 4 * k, w, sums[k]);
    }
  }
  for (; i < S.fours; ++i, x += 4, w += kStep) conv_u8_step<S, L, V, P>(x, w, sums[0]);
  SKERRY_UNROLL for (int v = 0; v < V; ++v) {
    const auto besides = splat_int<L>(correction) * load<Ints<L>>(columns + v * L);
    SKERRY_UNROLL for (int p = 0; p < P; ++p) {
      Ints<L> sum = sums[0][p][v] + besides;
      SKERRY_UNROLL for (int k = 1; k < K; ++k) sum += sums[k][p][v];
      constexpr int kLast = N - (V - 1) * L;
      int32_t* to = y + p * S.y_pixel + v * L;
      if (v + 1 < V) {
        store<L>(to, sum);
      } else {
        store<kLast>(to, sum);
      }
    }
  }
}

template <ConvU8Shape S, int L, int V, int P, int N, int K>
SKERRY_INLINE void product_u8_columns(const uint8_t* x, const int8_t* w, const int32_t* columns,
                                      int32_t* y, int32_t correction) {
  constexpr int kRest = S.w % P;
  int row = 0;
  for (; row + P <= S.w; row += P) {
    product_u8_tile<S, L, V, P, N, K>(x + row * S.x_pixel, w, columns, y + row * S.y_pixel,
                                      correction);
  }
  if constexpr (kRest > 0) {
    product_u8_tile<S, L, V, kRest, N, chains_of(kRest * V)>(x + row * S.x_pixel, w, columns,
                                                             y + row * S.y_pixel, correction);
  }
}

template <ConvU8Shape S, ConvU8Tile T>
__attribute__((noinline)) void product_u8(const uint8_t* x, int32_t* y, const int8_t* w,
                                          const int32_t* columns, int32_t correction) {
  constexpr int L = T.lanes;
  constexpr int kWide = T.vectors * L;
  constexpr int kRest = S.channels % kWide;
  constexpr int kRestVectors = (kRest + L - 1) / L;
  int c = 0;
  for (; c + kWide <= S.channels; c += kWide) {
    product_u8_columns<S, L, T.vectors, T.pixels, kWide, chains_of(T.vectors * T.pixels, T.chains)>(
        x, w, columns + c, y + c, correction);
    w += S.fours * T.vectors * Dot<L>::kWeightBytes;
  }
  if constexpr (kRest > 0) {
    product_u8_columns<S, L, kRestVectors, T.pixels, kRest, chains_of(kRestVectors * T.pixels)>(
        x, w, columns + c, y + c, correction);
  }
}

// ONNX's DynamicQuantizeLinear: from the least to the most of the numbers and zero; NaN is neither.
template <int L>
__attribute__((noinline)) void quantise_dynamic(const float* x, uint8_t* y, float* scale_of_y,
                                                uint8_t* zero_of_y, int count) {
  Floats<L> lows = {}, highs = {};
  int i = 0;
  for (; i + L <= count; i += L) {
    const auto in = load<Floats<L>>(x + i);
    lows = smaller(in, lows);
    highs = larger(in, highs);
  }
  float low = 0, high = 0;
  const auto take = [&](float number) {
    low = number < low ? number : low;
    high = number > high ? number : high;
  };
  for (int lane = 0; lane < L; ++lane) take(lows[lane]), take(highs[lane]);
  for (; i < count; ++i) take(x[i]);
  const float scale = (high - low) / 255.0f;
  const int32_t zero = scale == 0 ? 0 : quantised(-low / scale, 0, 0, 255);
  *scale_of_y = scale;
  *zero_of_y = static_cast<uint8_t>(zero);
  if (scale == 0) {
    memset(y, 0, static_cast<size_t>(count));
  } else {
    quantise_row<L, true>(x, y, count, scale, 0, zero, 0, 255);
  }
}

}  // namespace skerry_kernels
