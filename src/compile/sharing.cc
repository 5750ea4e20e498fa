// An estimate from the target's row; passes over all steps with a look at the clock between them.
#include "compile/sharing.h"

#include <skerry/compiled_model.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <limits>
#include <thread>

#include "runtime/compiled/thread_pool.h"
#include "tensor/tensor.h"

namespace skerry::compile {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTime(250);
constexpr int kFewestPasses = 5, kMostPasses = 2000;
// A step takes at most this share of its time alone: one that is left to a single thread fetches
// what others have computed.
constexpr double kGain = 1.0;

// What a step takes at least on a fast machine of its kind.
double least_us(const Program& program, const Step& step) {
  constexpr double kClocksPerUs = 4000, kConstantBytesPerUs = 60'000, kValueBytesPerUs = 30'000;
  const Target& target = *program.target;
  const bool is_bytes =
      !step.reads.empty() && tensor::size_of(program.storages[step.reads[0]].type) == 1;
  const double of_bytes = target.dots == Dots::kFours || target.dots == Dots::kSigned ? 4 : 1;
  const double macs_per_us = target.lanes * (is_bytes ? of_bytes : 1) * kClocksPerUs;
  return std::max({static_cast<double>(step.macs) / macs_per_us,
                   static_cast<double>(step.constant_bytes) / kConstantBytesPerUs,
                   static_cast<double>(program.value_bytes(step)) / kValueBytesPerUs});
}

// Of a model that is run as it is when it is measured.
class Measured {
 public:
  Measured(const SkerryCompiledModel& model, const std::vector<const void*>& inputs)
      : model_(model), inputs_(inputs), arena_(model.arena_bytes), state_(model.state_bytes) {
    inputs_.push_back(nullptr);  // of a model without any
    for (uint32_t i = 0; i < model.output_count; ++i) {
      outputs_.emplace_back(model.outputs[i].size_bytes + 1);
      to_.push_back(outputs_.back().data());
    }
    to_.push_back(nullptr);
    model.bind(arena_.data());
    reset();
  }
  void reset() { model_.reset(state_.data()); }
  void* arena() { return arena_.data(); }
  void* state() { return state_.data(); }
  const void* const* inputs() const { return inputs_.data(); }
  void* const* outputs() const { return to_.data(); }

 private:
  const SkerryCompiledModel& model_;
  std::vector<const void*> inputs_;
  tensor::Bytes arena_, state_;
  std::vector<tensor::Bytes> outputs_;
  std::vector<void*> to_;
};

template <class Work>
void keep_least(double& least_us, Work&& work) {
  const auto start = Clock::now();
  work();
  const std::chrono::duration<double, std::micro> took = Clock::now() - start;
  least_us = std::min(least_us, took.count());
}

// Until it has taken long enough.
template <class Pass>
void repeat(Pass&& pass) {
  const auto start = Clock::now();
  for (int i = 0; i < kMostPasses; ++i) {
    if (i >= kFewestPasses && Clock::now() - start > kTime) break;
    pass();
  }
}

// Threads that run come to the next task at once: until one does, or cannot.
void wake_up(runtime::ThreadPool& pool) {
  struct Seen {
    std::thread::id caller = std::this_thread::get_id();
    std::atomic<bool> other = false;
  } seen;
  const auto start = Clock::now();
  while (!seen.other && Clock::now() - start < std::chrono::microseconds(500)) {
    pool.run(
        16,
        [](void* data, uint32_t) {
          Seen& given = *static_cast<Seen*>(data);
          if (std::this_thread::get_id() != given.caller) given.other = true;
        },
        &seen);
  }
}

using StagesFunction = void (*)(void*, void*, const void* const*, void* const*,
                                const SkerryCompiledPool*, uint32_t, uint64_t*);

}  // namespace

void share_by_estimate(Program& program, bool is_measured) {
  // Meeting costs some hundred nanoseconds.
  const double worth_us = is_measured ? 0.1 : 1.0;
  const auto threads = static_cast<double>(program.max_threads);
  for (Step& step : program.steps) {
    const bool pays = least_us(program, step) * (1 - 1 / threads) > worth_us;
    step.shares = step.shared_call && pays ? program.max_threads : 1;
  }
}

void share_all(Program& program) {
  for (Step& step : program.steps) step.shares = step.shared_call ? program.max_threads : 1;
}

Result<void> keep_what_pays(Program& program, const runtime::CompiledLibrary& library,
                            const std::vector<const void*>& inputs) {
  const auto run = reinterpret_cast<StagesFunction>(library.symbol("skerry_profile_stages"));
  if (run == nullptr) return fail(Code::kInternal, "the object is not built to be measured");
  const auto stages = program.stages();
  // In the processor's ticks: alone, and with threads.
  std::vector<std::array<uint64_t, 2>> least(stages.size(), {UINT64_MAX, UINT64_MAX});
  std::vector<uint64_t> ticks(stages.size() + 1);
  Measured model(library.model(), inputs);
  runtime::ThreadPool threads(static_cast<uint32_t>(program.max_threads));
  const SkerryCompiledPool pool = threads.lend();
  repeat([&] {
    for (const uint32_t with : {0u, 1u}) {
      model.reset();
      if (with == 1) wake_up(threads);
      run(model.arena(), model.state(), model.inputs(), model.outputs(), &pool,
          with == 1 ? pool.threads : 1, ticks.data());
      for (size_t i = 0; i < stages.size(); ++i) {
        least[i][with] = std::min(least[i][with], ticks[i + 1] - ticks[i]);
      }
    }
  });
  for (size_t i = 0; i < stages.size(); ++i) {
    Step& first = program.steps[stages[i][0]];
    const auto [alone, shared] = least[i];
    if (static_cast<double>(shared) > kGain * static_cast<double>(alone)) first.shares = 1;
  }
  return {};
}

RunTimes run_times(const SkerryCompiledModel& model, const std::vector<const void*>& inputs) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  RunTimes times{kNever, kNever};
  Measured measured(model, inputs);
  runtime::ThreadPool threads(model.max_threads);
  const SkerryCompiledPool pool = threads.lend();
  repeat([&] {
    measured.reset();
    keep_least(times.alone_us, [&] {
      model.run(measured.arena(), measured.state(), measured.inputs(), measured.outputs());
    });
    measured.reset();
    wake_up(threads);
    keep_least(times.shared_us, [&] {
      model.run_with(measured.arena(), measured.state(), measured.inputs(), measured.outputs(),
                     &pool);
    });
  });
  return times;
}

}  // namespace skerry::compile
