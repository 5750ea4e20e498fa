// Threads for work that may never end: a native library can be asked to stop, not made to. A job
// can be withdrawn while it waits, and its thread given up while it runs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "io/loop.h"

namespace skerry::serve {

// Thread-safe.
class Workers {
 public:
  using Ticket = uint64_t;

  // Up to `limit` jobs at once, on threads that start when there is work for them. `name`: at most
  // 15 bytes, what `ps -T` shows.
  Workers(std::string name, size_t limit);
  // Drops the jobs that wait. Does not wait for those that run: a job owns all that it touches.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // `work` must not throw. It is destroyed on the thread that ran it.
  Ticket submit(io::Callback work);
  // True where the job had not begun; it is gone then.
  bool withdraw(Ticket ticket);
  // Where the job runs, its thread counts no more and another one may take its place; it ends by
  // itself when the job does. False where the job does not run.
  bool give_up(Ticket ticket);
  // Threads given up whose jobs still run.
  size_t given_up() const;

 private:
  struct State;  // shared with the threads, which may outlive this
  std::shared_ptr<State> state_;
};

}  // namespace skerry::serve
