// A device's clocks in virtual time: monotonic from the loop, the wall clock wherever jumps put it.
#pragma once

#include "io/clock.h"
#include "sim/sim_loop.h"

namespace skerry::sim {

class SimClock : public io::Clock {
 public:
  explicit SimClock(const SimLoop& loop) : loop_(loop) {}
  int64_t monotonic_ms() override { return loop_.now_ms(); }
  int64_t wall_ms() override { return kStartMs + offset_ms_ + loop_.now_ms(); }
  // Sets the wall clock `by_ms` ahead of (behind) where it should be.
  void jump(int64_t by_ms) { offset_ms_ = by_ms; }

 private:
  static constexpr int64_t kStartMs = 1'767'225'600'000;  // 2026-01-01
  const SimLoop& loop_;
  int64_t offset_ms_ = 0;
};

}  // namespace skerry::sim
