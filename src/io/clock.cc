// The operating system's clocks.
#include "io/clock.h"

#include <ctime>

namespace skerry::io {

static int64_t read_ms(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

int64_t RealClock::monotonic_ms() {
  return read_ms(CLOCK_MONOTONIC);
}
int64_t RealClock::wall_ms() {
  return read_ms(CLOCK_REALTIME);
}

}  // namespace skerry::io
