// Vectors of the machine that this is compiled for: the only header here that knows instruction
// sets. Everything is in GCC's vector types, so that a target without a line of its own still
// works.
//
// These headers are carried inside `skerry` and compiled into each model by the system's g++, with
// nothing of ours or of libstdc++ around them. Multiply-adds are asked for (fused()), never made by
// the compiler (-ffp-contract=off): integer results are exact to the last bit.
#pragma once

#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define SKERRY_UNROLL _Pragma("GCC unroll 64")
// Loops that GCC must leave as they are where registers are few: it would hoist and spill.
#if defined(__AVX512F__)
#define SKERRY_ROLLED
#else
#define SKERRY_ROLLED _Pragma("GCC unroll 1")
#endif
#define SKERRY_INLINE inline __attribute__((always_inline))

namespace skerry_kernels {

// How many times a tile keeps its sums, to add them in the end: few alone would wait for each
// other. `given`: by whoever has measured it; 0: nobody.
constexpr int chains_of(int sums, int given = 0) {
  return given > 0 ? given : sums <= 2 ? 4 : sums <= 5 ? 2 : 1;
}

template <int L>
struct Lanes;
template <>
struct Lanes<16> {
  typedef float Float __attribute__((vector_size(64)));
  typedef int32_t Int __attribute__((vector_size(64)));
  typedef uint8_t Byte __attribute__((vector_size(16)));
};
template <>
struct Lanes<8> {
  typedef float Float __attribute__((vector_size(32)));
  typedef int32_t Int __attribute__((vector_size(32)));
  typedef uint8_t Byte __attribute__((vector_size(8)));
};
template <>
struct Lanes<4> {
  typedef float Float __attribute__((vector_size(16)));
  typedef int32_t Int __attribute__((vector_size(16)));
  typedef uint8_t Byte __attribute__((vector_size(4)));
};

template <int L>
using Floats = typename Lanes<L>::Float;
template <int L>
using Ints = typename Lanes<L>::Int;
template <int L>
using Bytes = typename Lanes<L>::Byte;

template <class V>
SKERRY_INLINE V load(const void* p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}

// The first N lanes of `v`.
template <int N, class V, class T>
SKERRY_INLINE void store(T* p, V v) {
  if constexpr (N * sizeof(T) == sizeof v) {
    memcpy(p, &v, sizeof v);
#if defined(__AVX512F__)
  } else if constexpr (sizeof(T) == 4 && sizeof v == 64) {
    _mm512_mask_storeu_epi32(p, static_cast<__mmask16>((1u << N) - 1),
                             reinterpret_cast<__m512i>(v));
#endif
  } else {
    memcpy(p, &v, N * sizeof(T));
  }
}
template <int N, class V, class T>
SKERRY_INLINE V load_first(const T* p) {
  V v = {};
  memcpy(&v, p, N * sizeof(T));
  return v;
}

// a · b + c with one rounding where the machine can, with two where it cannot (kExactFused).
#if defined(__FMA__) || defined(__aarch64__) || defined(__riscv)
constexpr bool kExactFused = true;
#else
constexpr bool kExactFused = false;
#endif

template <class V>
SKERRY_INLINE V fused(V a, V b, V c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64) {
    return reinterpret_cast<V>(_mm512_fmadd_ps(
        reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
  }
#endif
#if defined(__FMA__)
  if constexpr (sizeof(V) == 32) {
    return reinterpret_cast<V>(_mm256_fmadd_ps(
        reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
  } else if constexpr (sizeof(V) == 16) {
    return reinterpret_cast<V>(_mm_fmadd_ps(
        reinterpret_cast<__m128>(a), reinterpret_cast<__m128>(b), reinterpret_cast<__m128>(c)));
  }
#endif
#if defined(__aarch64__)
  if constexpr (sizeof(V) == 16) {
    return reinterpret_cast<V>(vfmaq_f32(reinterpret_cast<float32x4_t>(c),
                                         reinterpret_cast<float32x4_t>(a),
                                         reinterpret_cast<float32x4_t>(b)));
  }
#endif
  if constexpr (kExactFused) {
    V result;
    for (unsigned i = 0; i < sizeof(V) / 4; ++i) result[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return result;
  }
  return a * b + c;
}

template <int L>
SKERRY_INLINE Floats<L> splat(float x) {
  return x - Floats<L>{};
}
template <int L>
SKERRY_INLINE Ints<L> splat_int(int32_t x) {
  return x - Ints<L>{};
}

// The larger of the two, `b` where one is NaN.
template <class V>
SKERRY_INLINE V larger(V a, V b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64) {
    return reinterpret_cast<V>(
        _mm512_max_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
  }
#endif
#if defined(__AVX__)
  if constexpr (sizeof(V) == 32) {
    return reinterpret_cast<V>(
        _mm256_max_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b)));
  }
#endif
#if defined(__SSE__)
  if constexpr (sizeof(V) == 16) {
    return reinterpret_cast<V>(
        _mm_max_ps(reinterpret_cast<__m128>(a), reinterpret_cast<__m128>(b)));
  }
#endif
  return a > b ? a : b;
}
template <class V>
SKERRY_INLINE V smaller(V a, V b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64) {
    return reinterpret_cast<V>(
        _mm512_min_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
  }
#endif
#if defined(__AVX__)
  if constexpr (sizeof(V) == 32) {
    return reinterpret_cast<V>(
        _mm256_min_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b)));
  }
#endif
#if defined(__SSE__)
  if constexpr (sizeof(V) == 16) {
    return reinterpret_cast<V>(
        _mm_min_ps(reinterpret_cast<__m128>(a), reinterpret_cast<__m128>(b)));
  }
#endif
  return a < b ? a : b;
}

}  // namespace skerry_kernels
