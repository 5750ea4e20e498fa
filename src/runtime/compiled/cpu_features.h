// What the processor of this machine has. The runtime asks it before it loads a model; a model that
// is compiled for several targets has it inside and chooses: nothing here needs more than libc.
#pragma once

#include <skerry/compiled_model.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace skerry_processor {

// SKERRY_CPU_…
inline uint64_t features() {
  uint64_t found = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt")) {
    found |= SKERRY_CPU_SSE4_2;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2")) {
    found |= SKERRY_CPU_AVX2;
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    found |= SKERRY_CPU_AVX512;
  }
  if (__builtin_cpu_supports("avx512vnni")) found |= SKERRY_CPU_VNNI;
  if (__builtin_cpu_supports("avx512vbmi")) found |= SKERRY_CPU_VBMI;
#elif defined(__aarch64__)
  constexpr unsigned long kAsimd = 1ul << 1, kAsimdDp = 1ul << 20;  // of AT_HWCAP
  const unsigned long hardware = getauxval(AT_HWCAP);
  if ((hardware & kAsimd) != 0) found |= SKERRY_CPU_AARCH64;
  if ((hardware & kAsimdDp) != 0) found |= SKERRY_CPU_ARM_DOT;
#elif defined(__riscv) && __riscv_xlen == 64 && defined(__riscv_flen) && defined(__riscv_compressed)
  found |= SKERRY_CPU_RV64GC;
#endif
  return found;
}

}  // namespace skerry_processor
