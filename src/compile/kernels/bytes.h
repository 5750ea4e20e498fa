// Bytes to 32 bits and back, for each instruction set.
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
#if defined(__aarch64__)
  if constexpr (L == 4) {
    uint32_t low;
    memcpy(&low, &bytes, 4);
    const uint16x8_t words = vmovl_u8(vcreate_u8(low));
    return reinterpret_cast<Ints<L>>(vmovl_u16(vget_low_u16(words)));
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
#if defined(__aarch64__)
  if constexpr (L == 4) {
    const int16x4_t words = vmovn_s32(reinterpret_cast<int32x4_t>(ints));
    const auto low = reinterpret_cast<int32x2_t>(vmovn_s16(vcombine_s16(words, words)));
    const int32_t four = vget_lane_s32(low, 0);
    Bytes<L> bytes;
    memcpy(&bytes, &four, 4);
    return bytes;
  }
#endif
  return __builtin_convertvector(ints, Bytes<L>);
}

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
