// Passes over all steps in their order, with a look at the clock between them.
#include "compile/profile.h"

#include <skerry/compiled_model.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "tensor/tensor.h"

namespace skerry::compile {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTime(400);  // of all passes
constexpr int kFewestPasses = 3;
constexpr int kMostPasses = 5000;

double us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

// What a look at the clock costs at least.
double clock_us() {
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 1000; ++i) least = std::min(least, us_since(Clock::now()));
  return least;
}

using LimitFunction = uint64_t (*)(int32_t, const void*, uint64_t, uint64_t);
using StepFunction = void (*)(uint64_t, void*, void*, const void* const*, void* const*);

// Work in a microsecond, the most of several tries of half a millisecond or longer.
double rate_of(LimitFunction limit, int32_t kind, const tensor::Bytes& memory, size_t bytes) {
  constexpr double kTryUs = 500;
  constexpr int kTries = 7;
  uint64_t rounds = 1;
  double rate = 0;
  for (int tries = 0; tries < kTries;) {
    const auto start = Clock::now();
    const uint64_t done = limit(kind, memory.data(), bytes, rounds);
    const double took = us_since(start);
    if (took < kTryUs) {
      rounds *= 2;
      continue;
    }
    rate = std::max(rate, static_cast<double>(done) / took);
    ++tries;
  }
  return rate;
}

MachineLimits machine_limits(LimitFunction limit) {
  // Dense about what second-level caches have today.
  constexpr size_t kSizesKib[] = {16,   32,   64,   128,  256,  384,  512,  768,
                                  1024, 1280, 1536, 2048, 4096, 8192, 32768};
  const tensor::Bytes memory(kSizesKib[14] << 10);
  MachineLimits limits{.macs_per_us = rate_of(limit, 0, memory, 0),
                       .byte_macs_per_us = rate_of(limit, 1, memory, 0)};
  for (const size_t kib : kSizesKib) {
    limits.reads.push_back({kib << 10, rate_of(limit, 2, memory, kib << 10)});
  }
  return limits;
}

}  // namespace

double MachineLimits::bytes_per_us(size_t working_set) const {
  for (const Read& read : reads) {
    if (working_set <= read.size_bytes) return read.bytes_per_us;
  }
  return reads.back().bytes_per_us;
}

Result<Profile> profile(const runtime::CompiledLibrary& library, const std::vector<StepWork>& steps,
                        const std::vector<const void*>& inputs, size_t constant_bytes) {
  const auto step = reinterpret_cast<StepFunction>(library.symbol("skerry_profile_step"));
  const auto limit = reinterpret_cast<LimitFunction>(library.symbol("skerry_profile_limit"));
  if (step == nullptr || limit == nullptr) {
    return fail(Code::kInternal, "the model is not built to be measured");
  }
  const SkerryCompiledModel& model = library.model();
  tensor::Bytes arena(model.arena_bytes), state(model.state_bytes);
  model.bind(arena.data());
  std::vector<tensor::Bytes> results;
  std::vector<void*> outputs;
  for (uint32_t i = 0; i < model.output_count; ++i) {
    results.emplace_back(model.outputs[i].size_bytes);
    outputs.push_back(results.back().data());
  }
  constexpr double kNever = std::numeric_limits<double>::infinity();
  Profile profile{.limits = machine_limits(limit)};
  profile.step_us.assign(steps.size(), kNever);
  profile.run_us = kNever;
  const double overhead = clock_us();
  const auto start = Clock::now();
  for (int pass = 0; pass < kMostPasses; ++pass) {
    if (pass >= kFewestPasses && Clock::now() - start > kTime) break;
    // What streams keep may grow from run to run, into numbers that take longer.
    model.reset(state.data());
    const auto run = Clock::now();
    model.run(arena.data(), state.data(), inputs.data(), outputs.data());
    profile.run_us = std::min(profile.run_us, us_since(run));
    model.reset(state.data());
    for (size_t i = 0; i < steps.size(); ++i) {
      const auto begin = Clock::now();
      step(i, arena.data(), state.data(), inputs.data(), outputs.data());
      profile.step_us[i] = std::min(profile.step_us[i], us_since(begin));
    }
  }
  for (size_t i = 0; i < steps.size(); ++i) {
    profile.step_us[i] = std::max(profile.step_us[i] - overhead, 0.0);
    const StepWork& work = steps[i];
    const double macs = static_cast<double>(work.macs);
    const double products =
        work.is_bytes ? macs / profile.limits.byte_macs_per_us : macs / profile.limits.macs_per_us;
    const double bytes =
        static_cast<double>(work.constant_bytes) /
            profile.limits.bytes_per_us(constant_bytes + model.arena_bytes) +
        static_cast<double>(work.value_bytes) / profile.limits.bytes_per_us(model.arena_bytes);
    profile.limit_us.push_back(std::max(products, bytes));
  }
  return profile;
}

}  // namespace skerry::compile
