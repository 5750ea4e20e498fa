// The event loop of a program: posted callbacks, timers, readiness of file descriptors, signals.
// One thread runs it; only post() may be called from others. RealLoop stands on epoll; the
// simulator has its own with virtual time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace skerry::io {

using Callback = std::move_only_function<void()>;

class Loop;

// A pending timer; destroying it cancels it.
class Timer {
 public:
  Timer() = default;
  Timer(Loop* loop, uint64_t id) : loop_(loop), id_(id) {}
  Timer(Timer&& other) noexcept;
  Timer& operator=(Timer&& other) noexcept;
  ~Timer() { cancel(); }
  void cancel();

 private:
  Loop* loop_ = nullptr;
  uint64_t id_ = 0;
};

// Readiness of one file descriptor (a socket, a pipe, a process; not a file). Does not own the
// descriptor: destroy the watch, then close. One watch of a descriptor at a time.
class FdWatch {
 public:
  virtual ~FdWatch() = default;
  // `ready` runs once, from the loop, when the descriptor is readable (writable), has an error or
  // is hung up. At most one wait for each direction at a time. Destroying the watch drops the
  // callbacks.
  virtual void when_readable(Callback ready) = 0;
  virtual void when_writable(Callback ready) = 0;
};

class Loop {
 public:
  virtual ~Loop() = default;
  // Runs `callback` soon, in order of posting. Thread-safe in RealLoop.
  virtual void post(Callback callback) = 0;
  // Runs `callback` after `delay_ms` of monotonic time.
  [[nodiscard]] virtual Timer after(int64_t delay_ms, Callback callback) = 0;
  virtual std::unique_ptr<FdWatch> watch(int fd) = 0;

 private:
  friend class Timer;
  virtual void cancel_timer(uint64_t id) = 0;
};

class RealLoop : public Loop {
 public:
  RealLoop();
  ~RealLoop() override;

  void post(Callback callback) override;
  Timer after(int64_t delay_ms, Callback callback) override;
  std::unique_ptr<FdWatch> watch(int fd) override;
  // Each delivery of one of `signals` runs `handler` with its number from the loop.
  void on_signals(const std::vector<int>& signals, std::function<void(int)> handler);
  // Runs until stop(). Callbacks still queued then are destroyed with the loop.
  void run();
  // Runs what is ready or becomes ready within `limit_ms`; for tests. True when something ran.
  bool run_for(int64_t limit_ms);
  void stop();

 private:
  void cancel_timer(uint64_t id) override;
  struct Impl;
  class Watch;
  std::unique_ptr<Impl> impl_;
};

inline Timer::Timer(Timer&& other) noexcept
    : loop_(std::exchange(other.loop_, nullptr)), id_(other.id_) {}
inline Timer& Timer::operator=(Timer&& other) noexcept {
  if (this != &other) {
    cancel();
    loop_ = std::exchange(other.loop_, nullptr);
    id_ = other.id_;
  }
  return *this;
}
inline void Timer::cancel() {
  if (loop_) std::exchange(loop_, nullptr)->cancel_timer(id_);
}

}  // namespace skerry::io
