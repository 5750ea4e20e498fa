// Time as the programs see it: a monotonic clock for intervals and the wall clock, which may jump.
#pragma once

#include <cstdint>

namespace skerry::io {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t monotonic_ms() = 0;  // never goes back; its zero means nothing
  virtual int64_t wall_ms() = 0;       // milliseconds since 1970-01-01T00:00:00Z
};

class RealClock : public Clock {
 public:
  int64_t monotonic_ms() override;
  int64_t wall_ms() override;
};

// A clock that tests set by hand.
class ManualClock : public Clock {
 public:
  int64_t monotonic_ms() override { return monotonic; }
  int64_t wall_ms() override { return wall; }
  int64_t monotonic = 0;
  int64_t wall = 1'767'225'600'000;  // 2026-01-01
};

}  // namespace skerry::io
