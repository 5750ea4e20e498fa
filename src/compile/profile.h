// How long each step of a compiled model takes on this machine, and how long it must take at least.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "runtime/compiled/compiled_runtime.h"

namespace skerry::compile {

// What one core of this machine does at most, measured with the target's own instructions on data
// that waits for nothing (kernels/limits.h).
struct MachineLimits {
  double macs_per_us = 0;       // multiply-adds of FP32
  double byte_macs_per_us = 0;  // of bytes
  struct Read {
    size_t size_bytes = 0;  // of what is read again and again
    double bytes_per_us = 0;
  };
  std::vector<Read> reads;  // by rising size: each level of the caches, then memory

  double bytes_per_us(size_t working_set) const;
};

struct StepWork {
  int64_t macs = 0;
  bool is_bytes = false;
  int64_t constant_bytes = 0, value_bytes = 0;
};

struct Profile {
  MachineLimits limits;
  std::vector<double> step_us;  // the least of all passes
  // The larger of two times: all multiply-adds at the machine's rate; constants read as fast as all
  // of the model's can be, and values as fast as the arena can. A step may be faster where it needs
  // fewer multiply-adds than its definition says (Winograd).
  std::vector<double> limit_us;
  double run_us = 0;  // the least of whole runs, taken in between
};

// `library` is built with SKERRY_PROFILE; `inputs`: of the model, without its state.
Result<Profile> profile(const runtime::CompiledLibrary& library, const std::vector<StepWork>& steps,
                        const std::vector<const void*>& inputs, size_t constant_bytes);

}  // namespace skerry::compile
