// Products of bytes, for each instruction set.
#pragma once

#include "bytes.h"

namespace skerry_kernels {

// Each lane of a sum takes in four unsigned bytes times four signed ones; never saturates. Which of
// these forms a target has stands in its row, too (Dots in target.h), for the packing of weights.
// Splat: the same four bytes for every lane. kInputsStay: these take more registers than sums do,
// so that weights had better be read again. splat_weights: the same four signed ones for every
// lane, from kSplatBytes that hold them as the form has them.
template <int L>
struct Dot {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
  using Splat = Ints<L>;
  SKERRY_INLINE static Splat splat(const uint8_t* p) { return splat_four<L>(p); }
  using Weights = Ints<L>;  // four signed bytes in each lane
  static constexpr int kWeightBytes = 4 * L;
  static constexpr bool kInputsStay = false;
  static constexpr int kSplatBytes = 4;
  SKERRY_INLINE static Weights splat_weights(const int8_t* p) {
    return splat_four<L>(reinterpret_cast<const uint8_t*>(p));
  }
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
#elif defined(__ARM_FEATURE_DOTPROD)
  // The product is of signed bytes: the input less 128, which the bias makes up for.
  using Splat = Ints<L>;
  SKERRY_INLINE static Splat splat(const uint8_t* p) { return splat_four<L>(p); }
  using Weights = Ints<L>;
  static constexpr int kWeightBytes = 4 * L;
  static constexpr bool kInputsStay = false;
  static constexpr int kSplatBytes = 4;
  SKERRY_INLINE static Weights splat_weights(const int8_t* p) {
    return splat_four<L>(reinterpret_cast<const uint8_t*>(p));
  }
  SKERRY_INLINE static Weights weights(const int8_t* p) { return load<Weights>(p); }
  SKERRY_INLINE static Ints<L> add(Ints<L> sum, Ints<L> x, Weights w) {
    const Ints<L> less = x ^ splat_int<L>(static_cast<int32_t>(0x80808080));
    return reinterpret_cast<Ints<L>>(vdotq_s32(reinterpret_cast<int32x4_t>(sum),
                                               reinterpret_cast<int8x16_t>(less),
                                               reinterpret_cast<int8x16_t>(w)));
  }
#elif defined(__x86_64__)
  // 16 bits each: the first and third of the four in one vector, the others in the next.
  struct Weights {
    Ints<L> even, odd;
  };
  using Splat = Weights;
  static constexpr int kWeightBytes = 8 * L;
  static constexpr bool kInputsStay = true;
  SKERRY_INLINE static Weights weights(const int8_t* p) {
    return {load<Ints<L>>(p), load<Ints<L>>(p + 4 * L)};
  }
  static constexpr int kSplatBytes = 8;
  SKERRY_INLINE static Weights splat_weights(const int8_t* p) {
    const auto words = reinterpret_cast<const uint8_t*>(p);
    return {splat_four<L>(words), splat_four<L>(words + 4)};
  }
  SKERRY_INLINE static Splat parted(Ints<L> x) {
    typedef uint16_t Words __attribute__((vector_size(4 * L)));
    return {x & 0x00ff00ff, reinterpret_cast<Ints<L>>(reinterpret_cast<Words>(x) >> 8)};
  }
  SKERRY_INLINE static Splat splat(const uint8_t* p) { return parted(splat_four<L>(p)); }
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
    if constexpr (L == 4) {
      return reinterpret_cast<Ints<L>>(
          _mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
    }
    return Ints<L>{};  // no target has such lanes
  }
  SKERRY_INLINE static Ints<L> add(Ints<L> sum, Splat x, Weights w) {
    return sum + (pairs(x.even, w.even) + pairs(x.odd, w.odd));
  }
  SKERRY_INLINE static Ints<L> add(Ints<L> sum, Ints<L> x, Weights w) {
    return add(sum, parted(x), w);
  }
#else
  // 16 bits each: the first of the four for all lanes, then the second, the third, the fourth.
  typedef int16_t Words __attribute__((vector_size(2 * L)));
  struct Weights {
    Words each[4];
  };
  static constexpr int kWeightBytes = 8 * L;
  static constexpr bool kInputsStay = false;
  SKERRY_INLINE static Weights weights(const int8_t* p) { return load<Weights>(p); }
  static constexpr int kSplatBytes = 8;
  SKERRY_INLINE static Weights splat_weights(const int8_t* p) {
    Weights all;
    SKERRY_UNROLL for (int i = 0; i < 4; ++i) {
      int16_t word;
      memcpy(&word, p + 2 * i, 2);
      all.each[i] = word - Words{};
    }
    return all;
  }
#if defined(__aarch64__)
  struct Splat {
    int16x4_t four;
  };
  SKERRY_INLINE static Splat splat(const uint8_t* p) {
    uint32_t four;
    memcpy(&four, p, 4);
    return {vreinterpret_s16_u16(vget_low_u16(vmovl_u8(vcreate_u8(four))))};
  }
  SKERRY_INLINE static Ints<L> add(Ints<L> sum, Splat x, Weights w) {
    auto all = reinterpret_cast<int32x4_t>(sum);
    all = vmlal_lane_s16(all, reinterpret_cast<int16x4_t>(w.each[0]), x.four, 0);
    all = vmlal_lane_s16(all, reinterpret_cast<int16x4_t>(w.each[1]), x.four, 1);
    all = vmlal_lane_s16(all, reinterpret_cast<int16x4_t>(w.each[2]), x.four, 2);
    all = vmlal_lane_s16(all, reinterpret_cast<int16x4_t>(w.each[3]), x.four, 3);
    return reinterpret_cast<Ints<L>>(all);
  }
  SKERRY_INLINE static Ints<L> add(Ints<L> sum, Ints<L> x, Weights w) {
    auto all = reinterpret_cast<int32x4_t>(sum);
    SKERRY_UNROLL for (int i = 0; i < 4; ++i) {
      const auto one = reinterpret_cast<int32x4_t>((x >> (8 * i)) & 0xff);
      all = vmlal_s16(all, vmovn_s32(one), reinterpret_cast<int16x4_t>(w.each[i]));
    }
    return reinterpret_cast<Ints<L>>(all);
  }
#else
  struct Splat {
    int32_t each[4];
  };
  SKERRY_INLINE static Splat splat(const uint8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
  SKERRY_INLINE static Ints<L> add(Ints<L> sum, Splat x, Weights w) {
    SKERRY_UNROLL for (int i = 0; i < 4; ++i) {
      sum += splat_int<L>(x.each[i]) * __builtin_convertvector(w.each[i], Ints<L>);
    }
    return sum;
  }
  SKERRY_INLINE static Ints<L> add(Ints<L> sum, Ints<L> x, Weights w) {
    SKERRY_UNROLL for (int i = 0; i < 4; ++i) {
      sum += ((x >> (8 * i)) & 0xff) * __builtin_convertvector(w.each[i], Ints<L>);
    }
    return sum;
  }
#endif
#endif
};

}  // namespace skerry_kernels
