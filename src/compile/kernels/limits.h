// What the machine can do at most, by the instructions that the kernels here are made of: work that
// waits for nothing. What steps take is held against it (compile/profile.h).
#pragma once

#include "dot.h"

namespace skerry_kernels {

// Keeps the compiler from computing something once that is to be computed each time.
SKERRY_INLINE void forget_memory() {
  asm volatile("" ::: "memory");
}

// Sums that stay in registers, each with an operand from the nearest memory.
template <int L, class Sum, class Add>
SKERRY_INLINE void add_often(const uint8_t* p, uint64_t rounds, Add&& add) {
  constexpr int kSums = 12;  // hide how long one takes, and leave registers for the operands
  Sum sums[kSums] = {};
  for (uint64_t i = 0; i < rounds; ++i) {
    forget_memory();
    SKERRY_UNROLL for (int k = 0; k < kSums; ++k) sums[k] = add(sums[k], p + (k / 3) * 128);
  }
  Sum all = sums[0];
  SKERRY_UNROLL for (int k = 1; k < kSums; ++k) all += sums[k];
  volatile auto kept = all[0];
  (void)kept;
}

// `kind`: 0 multiply-adds of FP32, 1 of bytes, 2 reads of `bytes` from end to end. Returns how many
// of them, or how many bytes, that was. `memory` has at least 1024 bytes, all of them zero.
template <int L>
uint64_t work_at_the_limit(int32_t kind, const void* memory, uint64_t bytes, uint64_t rounds) {
  const uint8_t* p = static_cast<const uint8_t*>(memory);
  if (kind == 0) {
    const auto x = load<Floats<L>>(p + 512);
    add_often<L, Floats<L>>(p, rounds, [&](Floats<L> sum, const uint8_t* at) {
      return fused(x, load<Floats<L>>(at), sum);
    });
    return rounds * 12 * L;
  }
  if (kind == 1) {
    const auto x = Dot<L>::splat(p + 512);
    add_often<L, Ints<L>>(p, rounds, [&](Ints<L> sum, const uint8_t* at) {
      return Dot<L>::add(sum, x, Dot<L>::weights(reinterpret_cast<const int8_t*>(at)));
    });
    return rounds * 12 * 4 * L;
  }
  Ints<L> sums[8] = {};
  for (uint64_t i = 0; i < rounds; ++i) {
    forget_memory();
    SKERRY_ROLLED for (uint64_t at = 0; at + sizeof sums <= bytes; at += sizeof sums) {
      SKERRY_UNROLL for (int k = 0; k < 8; ++k) {
        sums[k] |= load<Ints<L>>(p + at + static_cast<uint64_t>(k) * sizeof(Ints<L>));
      }
    }
  }
  Ints<L> all = sums[0];
  SKERRY_UNROLL for (int k = 1; k < 8; ++k) all |= sums[k];
  volatile int32_t kept = all[0];
  (void)kept;
  return rounds * (bytes / sizeof sums * sizeof sums);
}

}  // namespace skerry_kernels
