// A run that several threads share. Its steps are stages, one after the other; a stage has parts,
// each of which some thread claims: first the one with its own number, then what others have left.
// Whoever comes late finds less to do and is waited for by nobody, so that a run ends with the
// caller's thread alone, too. What a part computes does not depend on who does it.
#pragma once

#include <stdint.h>

namespace skerry_kernels {

// How far the parts of one number are, in a line of the cache of its own: 2·stage + 1 while that
// stage's is computed, 2·stage + 2 when it is done. It only rises.
struct alignas(64) Progress {
  uint32_t mark;
};

struct SharedRun {
  uint8_t* arena;
  uint8_t* state;
  const void* const* inputs;
  void* const* outputs;
  Progress* progress;  // all zero at the start
  int32_t code;        // not zero: a part has failed, and the stages behind it are left out
  uint64_t* ticks;     // where a run is measured: when each stage ended
};

inline void wait_a_little() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

inline uint64_t ticks_now() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  return 0;
#endif
}

// A part of `stage` for this thread, if nobody has it.
inline bool claim(Progress& progress, uint32_t stage, int patience) {
  const uint32_t begun = 2 * stage + 1;
  uint32_t mark = __atomic_load_n(&progress.mark, __ATOMIC_ACQUIRE);
  for (; mark < begun && patience > 0; --patience) {
    wait_a_little();
    mark = __atomic_load_n(&progress.mark, __ATOMIC_ACQUIRE);
  }
  return mark < begun && __atomic_compare_exchange_n(&progress.mark, &mark, begun, false,
                                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

// `self`: the thread's number. `work(stage, part)` returns a code. Everything that is written in a
// stage is seen in the next.
template <class Work>
inline void take_part(SharedRun& run, uint32_t self, const uint16_t* parts, uint32_t stages,
                      Work&& work) {
  constexpr int kPatience = 64;  // what is not shared is best left to the one that has its data
  for (uint32_t stage = 0; stage < stages; ++stage) {
    const uint32_t count = parts[stage];
    for (uint32_t k = 0; k < count; ++k) {
      const uint32_t part = (self + k) % count;
      Progress& progress = run.progress[part];
      if (!claim(progress, stage, count == 1 && self != 0 ? kPatience : 0)) continue;
      const int32_t code = work(stage, part);
      if (code != 0) __atomic_store_n(&run.code, code, __ATOMIC_RELAXED);
      __atomic_store_n(&progress.mark, 2 * stage + 2, __ATOMIC_RELEASE);
    }
    for (uint32_t part = 0; part < count; ++part) {
      while (__atomic_load_n(&run.progress[part].mark, __ATOMIC_ACQUIRE) < 2 * stage + 2) {
        wait_a_little();
      }
    }
    if (run.ticks != nullptr && self == 0) run.ticks[stage] = ticks_now();
    if (__atomic_load_n(&run.code, __ATOMIC_RELAXED) != 0) return;
  }
}

}  // namespace skerry_kernels
