// Threads for what would block the event loop: file work, loading models, long inferences.
// InlinePool does the same work at once, so that the simulator and tests stay deterministic.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "io/task.h"

namespace skerry::io {

class Pool {
 public:
  virtual ~Pool() = default;
  // Thread-safe. `work` must not throw, and touches nothing that the loop's thread may touch.
  virtual void submit(Callback work) = 0;
};

// Runs work in the order of submission; with one thread, one after the other.
class ThreadPool : public Pool {
 public:
  // `name` (at most 15 bytes) is what `ps -T` shows.
  ThreadPool(std::string name, size_t threads);
  ~ThreadPool() override { stop(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // After stop() the work runs on the caller's thread before submit() returns.
  void submit(Callback work) override;
  // Finishes all submitted work. Not from inside a worker.
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Callback> queue_;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

class InlinePool : public Pool {
 public:
  void submit(Callback work) override { work(); }
};

// What `work()` returns, computed on `pool`; the awaiting coroutine goes on from the loop.
// Destroying the task abandons the result, not the work: `work` owns or outlives all it uses.
// Destroy the pool (which finishes its work) before the loop.
template <class Work, class T = std::invoke_result_t<Work&>>
Task<T> run_on(Pool& pool, Loop& loop, Work work) {
  Completion<std::shared_ptr<T>> done(loop);
  pool.submit([&loop, done, work = std::move(work)]() mutable {
    auto value = std::make_shared<T>(work());
    loop.post([done, value = std::move(value)]() mutable { done.complete(std::move(value)); });
  });
  auto value = co_await done;
  co_return std::move(*value);
}

}  // namespace skerry::io
