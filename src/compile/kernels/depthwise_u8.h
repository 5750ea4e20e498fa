// Depthwise convolutions of unsigned bytes with signed weights.
//
// Up to four rows of the window are interleaved once for each row of the output, so that one
// product of four bytes by four takes a whole column of the window for each lane. Lanes are
// channels, or pixels times channels where steps are 1 and a vector holds whole pixels.
//
// Weights: [block of lanes][four rows of the window][column][Dot<L>].
#pragma once

#include "dot.h"
#include "requantise.h"

namespace skerry_kernels {

struct DepthwiseU8Shape {
  int n, h, w, channels;  // of the output
  int x_batch, x_row, y_batch, y_row, x_pixel, y_pixel;
  int stride_h, stride_w, taps_h, taps_w, step_h, step_w;
  int line;  // bytes of an input row that the windows of an output row reach, rounded up to 64
  bool wide;
};

// count bytes of four rows: lane i of `to` has byte i of each. Rows that are not there repeat the
// first one; their weights are zero.
SKERRY_INLINE void interleave(const uint8_t* a, const uint8_t* b, const uint8_t* c,
                              const uint8_t* d, int count, int32_t* to) {
#if defined(__AVX512VBMI__)
  alignas(64) static constexpr struct Indices {
    uint8_t bytes[2][64];
    uint16_t words[2][32];
    constexpr Indices() : bytes(), words() {
      for (int i = 0; i < 64; ++i) {
        bytes[0][i] = static_cast<uint8_t>(i / 2 + (i & 1) * 64);
        bytes[1][i] = static_cast<uint8_t>(32 + i / 2 + (i & 1) * 64);
      }
      for (int i = 0; i < 32; ++i) {
        words[0][i] = static_cast<uint16_t>(i / 2 + (i & 1) * 32);
        words[1][i] = static_cast<uint16_t>(16 + i / 2 + (i & 1) * 32);
      }
    }
  } kIndices;
  const __m512i b0 = _mm512_load_si512(kIndices.bytes[0]),
                b1 = _mm512_load_si512(kIndices.bytes[1]);
  const __m512i w0 = _mm512_load_si512(kIndices.words[0]),
                w1 = _mm512_load_si512(kIndices.words[1]);
  for (int i = 0; i < count; i += 64) {
    const __m512i va = _mm512_loadu_si512(a + i), vb = _mm512_loadu_si512(b + i);
    const __m512i vc = _mm512_loadu_si512(c + i), vd = _mm512_loadu_si512(d + i);
    const __m512i ab0 = _mm512_permutex2var_epi8(va, b0, vb);
    const __m512i ab1 = _mm512_permutex2var_epi8(va, b1, vb);
    const __m512i cd0 = _mm512_permutex2var_epi8(vc, b0, vd);
    const __m512i cd1 = _mm512_permutex2var_epi8(vc, b1, vd);
    _mm512_store_si512(to + i, _mm512_permutex2var_epi16(ab0, w0, cd0));
    _mm512_store_si512(to + i + 16, _mm512_permutex2var_epi16(ab0, w1, cd0));
    _mm512_store_si512(to + i + 32, _mm512_permutex2var_epi16(ab1, w0, cd1));
    _mm512_store_si512(to + i + 48, _mm512_permutex2var_epi16(ab1, w1, cd1));
  }
#elif defined(__SSE2__)
  for (int i = 0; i < count; i += 16) {
    const auto row = [i](const uint8_t* p) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i));
    };
    const auto put = [to, i](int at, __m128i v) {
      _mm_store_si128(reinterpret_cast<__m128i*>(to + i + at), v);
    };
    const __m128i ab0 = _mm_unpacklo_epi8(row(a), row(b)), ab1 = _mm_unpackhi_epi8(row(a), row(b));
    const __m128i cd0 = _mm_unpacklo_epi8(row(c), row(d)), cd1 = _mm_unpackhi_epi8(row(c), row(d));
    put(0, _mm_unpacklo_epi16(ab0, cd0));
    put(4, _mm_unpackhi_epi16(ab0, cd0));
    put(8, _mm_unpacklo_epi16(ab1, cd1));
    put(12, _mm_unpackhi_epi16(ab1, cd1));
  }
#elif defined(__aarch64__)
  for (int i = 0; i < count; i += 16) {
    const uint8x16x2_t ab = vzipq_u8(vld1q_u8(a + i), vld1q_u8(b + i));
    const uint8x16x2_t cd = vzipq_u8(vld1q_u8(c + i), vld1q_u8(d + i));
    for (int half = 0; half < 2; ++half) {
      const uint16x8x2_t all =
          vzipq_u16(vreinterpretq_u16_u8(ab.val[half]), vreinterpretq_u16_u8(cd.val[half]));
      vst1q_s32(to + i + 8 * half, vreinterpretq_s32_u16(all.val[0]));
      vst1q_s32(to + i + 8 * half + 4, vreinterpretq_s32_u16(all.val[1]));
    }
  }
#else
  for (int i = 0; i < count; ++i) {
    to[i] = static_cast<int32_t>(a[i] | b[i] << 8 | c[i] << 16 | static_cast<uint32_t>(d[i]) << 24);
  }
#endif
}

template <DepthwiseU8Shape S, int L, int N>
SKERRY_INLINE void depthwise_u8_line(const int32_t* lines, const int8_t* w, const int32_t* bias,
                                     const float* scale, uint8_t* y, int count, int apart, int gap,
                                     Range range) {
  constexpr int kFours = (S.taps_h + 3) / 4;
  const auto start = load<Ints<L>>(bias);
  const auto factor = load<Floats<L>>(scale);
  typename Dot<L>::Weights ws[kFours * S.taps_w];
  SKERRY_UNROLL for (int i = 0; i < kFours * S.taps_w; ++i) {
    ws[i] = Dot<L>::weights(w + i * Dot<L>::kWeightBytes);
  }
#pragma GCC unroll 4
  for (int i = 0; i < count; ++i, lines += apart, y += gap) {
    auto sum = start;
    SKERRY_UNROLL for (int f = 0; f < kFours; ++f) {
      SKERRY_UNROLL for (int tx = 0; tx < S.taps_w; ++tx) {
        sum = Dot<L>::add(sum, load<Ints<L>>(lines + f * S.line + tx * S.step_w * S.x_pixel),
                          ws[f * S.taps_w + tx]);
      }
    }
    store<N>(y, to_bytes<L>(rescaled<S.wide, L>(sum, factor, range), range.zero));
  }
}

// `lines`: S.line numbers for every four rows of the window, and 16 more.
template <DepthwiseU8Shape S, int L>
__attribute__((noinline)) void depthwise_u8(const uint8_t* x, uint8_t* y, const int8_t* w,
                                            const int32_t* bias, const float* scale, int32_t* lines,
                                            Range range) {
  constexpr int kFours = (S.taps_h + 3) / 4;
  constexpr int kWeights = kFours * S.taps_w * Dot<L>::kWeightBytes;
  constexpr bool kFlat =
      S.stride_w == 1 && L % S.channels == 0 && S.x_pixel == S.channels && S.y_pixel == S.channels;
  constexpr int kLine = S.w * S.channels;
  constexpr int kRest = kFlat ? kLine % L : S.channels % L;
  for (int n = 0; n < S.n; ++n) {
    for (int row = 0; row < S.h; ++row) {
      const uint8_t* from = x + n * S.x_batch + row * S.stride_h * S.x_row;
      uint8_t* to = y + n * S.y_batch + row * S.y_row;
      SKERRY_UNROLL for (int f = 0; f < kFours; ++f) {
        const auto line = [&](int k) {
          return from + (4 * f + k < S.taps_h ? (4 * f + k) * S.step_h * S.x_row : 0);
        };
        interleave(line(0), line(1), line(2), line(3), S.line, lines + f * S.line);
      }
      if constexpr (kFlat) {
        depthwise_u8_line<S, L, L>(lines, w, bias, scale, to, kLine / L, L, L, range);
        if constexpr (kRest > 0) {
          constexpr int kDone = kLine - kRest;
          depthwise_u8_line<S, L, kRest>(lines + kDone, w, bias, scale, to + kDone, 1, L, L, range);
        }
      } else {
        constexpr int kApart = S.stride_w * S.x_pixel;
        int c = 0;
        const int8_t* weights = w;
        for (; c + L <= S.channels; c += L, weights += kWeights) {
          depthwise_u8_line<S, L, L>(lines + c, weights, bias + c, scale + c, to + c, S.w, kApart,
                                     S.y_pixel, range);
        }
        if constexpr (kRest > 0) {
          depthwise_u8_line<S, L, kRest>(lines + c, weights, bias + c, scale + c, to + c, S.w,
                                         kApart, S.y_pixel, range);
        }
      }
    }
  }
}

}  // namespace skerry_kernels
