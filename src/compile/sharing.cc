// An estimate from the target's row; passes over all steps with a look at the clock between them.
#include "compile/sharing.h"

#include <skerry/compiled_model.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>

#include "runtime/compiled/thread_pool.h"
#include "tensor/tensor.h"

namespace skerry::compile {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kStarts = 8;
constexpr std::chrono::milliseconds kStartTime(40);
constexpr int kFewestRuns = 5, kMostRuns = 1000;
// What shared work takes at most of its time alone, and in how many of the starts.
constexpr double kGain = 0.97;
constexpr size_t kStartsThatMaySayNo = 1;

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
void time_of(std::vector<double>& us, Work&& work) {
  const auto start = Clock::now();
  work();
  const std::chrono::duration<double, std::micro> took = Clock::now() - start;
  us.push_back(took.count());
}

// Until it has taken long enough.
template <class Pass>
void repeat(Pass&& pass) {
  const auto start = Clock::now();
  for (int i = 0; i < kMostRuns; ++i) {
    if (i >= kFewestRuns && Clock::now() - start > kStartTime) break;
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

// The least and the median of each.
TurnTimes turn_times(std::vector<double> alone, std::vector<double> shared) {
  const auto half = [](std::vector<double>& times) {
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::ranges::nth_element(times, middle);
    return *middle;
  };
  return {.alone_us = std::ranges::min(alone),
          .shared_us = std::ranges::min(shared),
          .alone_median_us = half(alone),
          .shared_median_us = half(shared)};
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

bool threads_pay(const std::vector<TurnTimes>& starts) {
  const auto pays = [](const TurnTimes& start) {
    return start.shared_us < kGain * start.alone_us &&
           start.shared_median_us < kGain * start.alone_median_us;
  };
  const auto yes = static_cast<size_t>(std::ranges::count_if(starts, pays));
  return !starts.empty() && yes + kStartsThatMaySayNo >= starts.size();
}

Result<void> keep_what_pays(Program& program, const runtime::CompiledLibrary& library,
                            const std::vector<const void*>& inputs) {
  const auto run = reinterpret_cast<StagesFunction>(library.symbol("skerry_profile_stages"));
  if (run == nullptr) return fail(Code::kInternal, "the object is not built to be measured");
  const auto stages = program.stages();
  std::vector<std::vector<TurnTimes>> starts(stages.size());
  for (int start = 0; start < kStarts; ++start) {
    // In the processor's ticks: alone, and with threads.
    std::vector<std::array<std::vector<double>, 2>> took(stages.size());
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
          took[i][with].push_back(static_cast<double>(ticks[i + 1] - ticks[i]));
        }
      }
    });
    for (size_t i = 0; i < stages.size(); ++i) {
      starts[i].push_back(turn_times(std::move(took[i][0]), std::move(took[i][1])));
    }
  }
  for (size_t i = 0; i < stages.size(); ++i) {
    Step& first = program.steps[stages[i][0]];
    if (first.shares > 1 && !threads_pay(starts[i])) first.shares = 1;
  }
  return {};
}

std::vector<TurnTimes> run_times(const SkerryCompiledModel& model,
                                 const std::vector<const void*>& inputs) {
  std::vector<TurnTimes> starts;
  for (int start = 0; start < kStarts; ++start) {
    std::vector<double> alone, shared;
    Measured measured(model, inputs);
    runtime::ThreadPool threads(model.max_threads);
    const SkerryCompiledPool pool = threads.lend();
    repeat([&] {
      measured.reset();
      time_of(alone, [&] {
        model.run(measured.arena(), measured.state(), measured.inputs(), measured.outputs());
      });
      measured.reset();
      wake_up(threads);
      time_of(shared, [&] {
        model.run_with(measured.arena(), measured.state(), measured.inputs(), measured.outputs(),
                       &pool);
      });
    });
    starts.push_back(turn_times(std::move(alone), std::move(shared)));
  }
  return starts;
}

}  // namespace skerry::compile
