// Threads for runs of compiled models (SkerryCompiledPool). They sleep when there is nothing to do
// for some microseconds, and a caller never waits for one that has not woken up: what nobody has
// claimed it does itself.
#pragma once

#include <skerry/compiled_model.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace skerry::runtime {

class ThreadPool {
 public:
  using Task = void (*)(void* data, uint32_t i);

  // `threads`: with the caller's own, at least 1.
  explicit ThreadPool(uint32_t threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  // As SkerryCompiledPool says. Where another run has the threads, its caller does everything.
  void run(uint32_t count, Task task, void* data);
  // For run_with(), as long as this is there.
  SkerryCompiledPool lend();

 private:
  void work();
  bool do_one();
  void publish(uint64_t count);

  // Which job it is (32 bits), how many tasks it has and how many of them are claimed (16 each).
  std::atomic<uint64_t> job_ = 0;
  Task task_ = nullptr;  // written while no task is claimed or can be
  void* data_ = nullptr;
  std::atomic<uint32_t> done_ = 0;
  std::atomic<bool> stops_ = false;
  std::mutex in_use_;
  std::vector<std::thread> workers_;
};

}  // namespace skerry::runtime
