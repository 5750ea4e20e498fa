// Bytes: to 32 bits and back, and products, for each instruction set.
#pragma once

#include "isa.h"

namespace skerry_kernels {

template <int L>
SKERRY_INLINE Ints<L> widen(Bytes<L> bytes) {
#if defined(__AVX512F__)
  if constexpr (L == 16) {
    return reinterpret_cast<Ints<L>>(_mm512_cvtepu8_epi32(reinterpret_cast<__m128i>(bytes)));
  }
#endif
#if defined(__AVX2__)
  if constexpr (L == 8) {
    long long low;
    memcpy(&low, &bytes, 8);
    return reinterpret_cast<Ints<L>>(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(low)));
  }
#endif
#if defined(__SSE4_1__)
  if constexpr (L == 4) {
    int low;
    memcpy(&low, &bytes, 4);
    return reinterpret_cast<Ints<L>>(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(low)));
  }
#endif
  return __builtin_convertvector(bytes, Ints<L>);
}

// The low byte of each lane.
template <int L>
SKERRY_INLINE Bytes<L> narrow(Ints<L> ints) {
#if defined(__AVX512F__)
  if constexpr (L == 16) {
    return reinterpret_cast<Bytes<L>>(_mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(ints)));
  }
#endif
#if defined(__AVX512VL__)
  if constexpr (L < 16) {
    __m128i low;
    if constexpr (L == 8) {
      low = _mm256_cvtepi32_epi8(reinterpret_cast<__m256i>(ints));
    } else {
      low = _mm_cvtepi32_epi8(reinterpret_cast<__m128i>(ints));
    }
    Bytes<L> bytes;
    memcpy(&bytes, &low, sizeof bytes);
    return bytes;
  }
#elif defined(__SSSE3__)
  // Each half of 128 bits to its lowest four bytes, then together.
  const __m128i pick = _mm_set_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 12, 8, 4, 0);
  __m128i low;
  if constexpr (L == 4) {
    low = _mm_shuffle_epi8(reinterpret_cast<__m128i>(ints), pick);
  } else if constexpr (L == 8) {
    __m128i halves[2];
    memcpy(halves, &ints, sizeof halves);
    low = _mm_unpacklo_epi32(_mm_shuffle_epi8(halves[0], pick), _mm_shuffle_epi8(halves[1], pick));
  }
  if constexpr (L < 16) {
    Bytes<L> bytes;
    memcpy(&bytes, &low, sizeof bytes);
    return bytes;
  }
#endif
  return __builtin_convertvector(ints, Bytes<L>);
}

// Each lane of a sum takes in four unsigned bytes times four signed ones; never saturates.
template <int L>
struct Dot {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
  using Weights = Ints<L>;  // four signed bytes in each lane
  static constexpr int kWeightBytes = 4 * L;
  SKERRY_INLINE static Weights weights(const int8_t* p) { return load<Weights>(p); }
  SKERRY_INLINE static Ints<L> add(Ints<L> sum, Ints<L> x, Weights w) {
    if constexpr (L == 16) {
      return reinterpret_cast<Ints<L>>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum),
                                                           reinterpret_cast<__m512i>(x),
                                                           reinterpret_cast<__m512i>(w)));
    } else if constexpr (L == 8) {
      return reinterpret_cast<Ints<L>>(_mm256_dpbusd_epi32(reinterpret_cast<__m256i>(sum),
                                                           reinterpret_cast<__m256i>(x),
                                                           reinterpret_cast<__m256i>(w)));
    } else {
      return reinterpret_cast<Ints<L>>(_mm_dpbusd_epi32(reinterpret_cast<__m128i>(sum),
                                                        reinterpret_cast<__m128i>(x),
                                                        reinterpret_cast<__m128i>(w)));
    }
  }
#else
  // 16 bits each: the first and third of the four in one vector, the others in the next.
  struct Weights {
    Ints<L> even, odd;
  };
  static constexpr int kWeightBytes = 8 * L;
  SKERRY_INLINE static Weights weights(const int8_t* p) {
    return {load<Ints<L>>(p), load<Ints<L>>(p + 4 * L)};
  }
  SKERRY_INLINE static Ints<L> pairs(Ints<L> a, Ints<L> b) {
#if defined(__AVX512BW__)
    if constexpr (L == 16) {
      return reinterpret_cast<Ints<L>>(
          _mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
    }
#endif
#if defined(__AVX2__)
    if constexpr (L == 8) {
      return reinterpret_cast<Ints<L>>(
          _mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
    }
#endif
#if defined(__SSE2__)
    if constexpr (L == 4) {
      return reinterpret_cast<Ints<L>>(
          _mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
    }
#endif
    return (a & 0xffff) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
  }
  SKERRY_INLINE static Ints<L> add(Ints<L> sum, Ints<L> x, Weights w) {
    const Ints<L> even = x & 0x00ff00ff;
    const Ints<L> odd = (x >> 8) & 0x00ff00ff;
    return sum + pairs(even, w.even) + pairs(odd, w.odd);
  }
#endif
};

// Four bytes in every lane.
template <int L>
SKERRY_INLINE Ints<L> splat_four(const uint8_t* p) {
  int32_t four;
  memcpy(&four, p, 4);
  Ints<L> all = splat_int<L>(four);
#if defined(__x86_64__) && !defined(__AVX512VNNI__)
  // Otherwise GCC takes the four apart before it spreads them, which costs more than all the rest.
  asm("" : "+x"(all));
#endif
  return all;
}

}  // namespace skerry_kernels
