// The virtual-time event loop.
#include "sim/sim_loop.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace skerry::sim {

io::Timer SimLoop::after(int64_t delay_ms, io::Callback callback) {
  Due due{now_ms_ + std::max<int64_t>(delay_ms, 0), random_.next(), next_id_++};
  timers_.emplace(due, std::move(callback));
  due_of_.emplace(due.id, due);
  return io::Timer(this, due.id);
}

void SimLoop::cancel_timer(uint64_t id) {
  auto due = due_of_.find(id);
  if (due == due_of_.end()) return;
  timers_.erase(due->second);
  due_of_.erase(due);
}

std::unique_ptr<io::FdWatch> SimLoop::watch(int fd) {
  std::fprintf(stderr, "SimLoop: descriptor %d is watched; simulated programs have none\n", fd);
  std::abort();
}

bool SimLoop::step(int64_t limit_ms) {
  if (!posted_.empty()) {
    io::Callback callback = std::move(posted_.front());
    posted_.pop_front();
    callback();
    return true;
  }
  if (timers_.empty() || timers_.begin()->first.at_ms > limit_ms) {
    now_ms_ = std::max(now_ms_, limit_ms);
    return false;
  }
  auto first = timers_.begin();
  now_ms_ = std::max(now_ms_, first->first.at_ms);
  io::Callback callback = std::move(first->second);
  due_of_.erase(first->first.id);
  timers_.erase(first);
  callback();
  return true;
}

}  // namespace skerry::sim
