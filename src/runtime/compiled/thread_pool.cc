// Claims are one number, so that a thread that wakes up late takes nothing of a job that is over.
#include "runtime/compiled/thread_pool.h"

#include <algorithm>

namespace skerry::runtime {
namespace {

constexpr uint64_t kOneJob = uint64_t{1} << 32;
constexpr uint32_t kMostTasks = 0xffff;
constexpr int kSpins = 2000;  // some 20 to 50 µs: the time between two runs of a stream of them

uint64_t claimed_of(uint64_t job) {
  return job & 0xffff;
}
uint64_t count_of(uint64_t job) {
  return job >> 16 & 0xffff;
}

void wait_a_little() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(uint32_t threads) {
  for (uint32_t i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  stops_ = true;
  publish(0);
  for (std::thread& each : workers_) each.join();
}

void ThreadPool::publish(uint64_t count) {
  const uint64_t number = (job_.load(std::memory_order_relaxed) >> 32) + 1;
  job_.store(number * kOneJob | count << 16, std::memory_order_seq_cst);
  job_.notify_all();
}

// Whether there was one to claim.
bool ThreadPool::do_one() {
  uint64_t job = job_.load(std::memory_order_acquire);
  while (claimed_of(job) < count_of(job)) {
    if (!job_.compare_exchange_weak(job, job + 1, std::memory_order_acq_rel)) continue;
    task_(data_, static_cast<uint32_t>(claimed_of(job)));
    done_.fetch_add(1, std::memory_order_release);
    return true;
  }
  return false;
}

void ThreadPool::work() {
  int spins = 0;
  while (!stops_) {
    if (do_one()) {
      spins = 0;
    } else if (++spins < kSpins) {
      wait_a_little();
    } else {
      const uint64_t job = job_.load();
      if (claimed_of(job) >= count_of(job) && !stops_) job_.wait(job);
      spins = 0;
    }
  }
}

void ThreadPool::run(uint32_t count, Task task, void* data) {
  std::unique_lock lock(in_use_, std::try_to_lock);
  if (!lock.owns_lock() || count > kMostTasks || workers_.empty()) {
    for (uint32_t i = 0; i < count; ++i) task(data, i);
    return;
  }
  task_ = task;
  data_ = data;
  done_.store(0, std::memory_order_relaxed);
  publish(count);
  while (do_one()) {
  }
  for (int spins = 0; done_.load(std::memory_order_acquire) < count; ++spins) {
    if (spins < kSpins) {
      wait_a_little();
    } else {
      std::this_thread::yield();
    }
  }
}

SkerryCompiledPool ThreadPool::lend() {
  return {sizeof(SkerryCompiledPool), static_cast<uint32_t>(workers_.size() + 1), this,
          [](void* context, uint32_t count, Task task, void* data) {
            static_cast<ThreadPool*>(context)->run(count, task, data);
          }};
}

}  // namespace skerry::runtime
