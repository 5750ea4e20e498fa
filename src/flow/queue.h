// A queue of limited length between two coroutines of one loop, and what becomes of what does not
// fit: the sender waits, or the oldest or the newest is dropped and counted.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "io/task.h"

namespace skerry::flow {

enum class Drop { kNever, kOldest, kNewest };

// One sender and one receiver. Outlives both.
template <class T>
class Queue {
 public:
  Queue(io::Loop& loop, size_t limit, Drop drop) : loop_(loop), limit_(limit), drop_(drop) {}

  // Waits for room where nothing may be dropped.
  io::Task<void> push(T item) {
    while (drop_ == Drop::kNever && items_.size() >= limit_) {
      room_.emplace(loop_);
      co_await *room_;
    }
    offer(std::move(item));
  }
  // Now, for senders that cannot wait. Where nothing may be dropped it grows.
  void offer(T item) {
    if (drop_ != Drop::kNever && items_.size() >= limit_) {
      ++dropped_;
      if (drop_ == Drop::kNewest) return;
      items_.pop_front();
    }
    items_.push_back(std::move(item));
    wake(some_);
  }
  // The next one; nothing once it is closed and empty.
  io::Task<std::optional<T>> pop() {
    while (items_.empty() && !closed_) {
      some_.emplace(loop_);
      co_await *some_;
    }
    if (items_.empty()) co_return std::nullopt;
    std::optional<T> item = std::move(items_.front());
    items_.pop_front();
    wake(room_);
    co_return item;
  }
  void close() {
    closed_ = true;
    wake(some_);
  }
  uint64_t dropped() const { return dropped_; }
  size_t size() const { return items_.size(); }

 private:
  static void wake(std::optional<io::Completion<bool>>& waiter) {
    if (waiter) waiter->complete(true);
  }

  io::Loop& loop_;
  const size_t limit_;
  const Drop drop_;
  std::deque<T> items_;
  std::optional<io::Completion<bool>> room_;
  std::optional<io::Completion<bool>> some_;
  bool closed_ = false;
  uint64_t dropped_ = 0;
};

}  // namespace skerry::flow
