// Threads that run work in the order of submission. For what would block the event loop: loading
// models (one thread, so that loads queue) and long inferences.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace skerry::serve {

class WorkerPool {
 public:
  using Work = std::move_only_function<void()>;

  explicit WorkerPool(size_t threads);
  ~WorkerPool() { stop(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Thread-safe. After stop() the work runs on the caller's thread before submit() returns.
  void submit(Work work);
  // Finishes all submitted work. Not from inside a worker.
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> queue_;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace skerry::serve
