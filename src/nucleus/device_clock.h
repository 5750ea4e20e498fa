// What time it is on a device whose clock may have stopped, jumped or never been set. A wrong clock
// must not cost the device its fleet: no certificate is refused for a time that only such a clock
// knows.
//
// Three things are known: what the machine's clock says; a floor, before which it cannot be (the
// release, and later times that this clock and the fleet agreed on, kept on disk); and what the
// fleet has said over an authenticated connection.
#pragma once

#include <optional>
#include <string>

#include "io/env.h"
#include "net/tls.h"

namespace skerry::nucleus {

class DeviceClock : public io::Clock, public net::CertificateTimes {
 public:
  // `path`: the file of the floor; one that is missing or damaged is as none. `system` must outlive
  // the clock.
  DeviceClock(io::Clock& system, io::Files& files, std::string path);

  // Time that others see: the machine's where the fleet agrees with it to some minutes, or has said
  // nothing and it is after the floor.
  int64_t wall_ms() override;
  int64_t monotonic_ms() override { return system_.monotonic_ms(); }

  // A certificate is good where it is by the machine's clock, as for every TLS client. It is also
  // good where it has not ended before the floor and begins at most ten years from now: then it may
  // be the clock that is wrong.
  bool may_be_valid(int64_t not_before_s, int64_t not_after_s) const override;

  // The fleet says, over a connection on which it has proved who it is, that it is now `fleet_ms`.
  // The floor follows where both clocks are past it, so that neither alone can move it. True where
  // it moved by so much that it should be saved.
  bool hear(int64_t fleet_ms);
  std::string floor_text() const;  // the content of the file at path()
  const std::string& path() const { return path_; }
  int64_t floor_ms() const { return floor_ms_; }

 private:
  io::Clock& system_;
  const std::string path_;
  int64_t floor_ms_;
  int64_t saved_floor_ms_;
  std::optional<int64_t> fleet_ahead_ms_;  // fleet's time minus monotonic time
  bool told_ = false;                      // that the clock is wrong
};

}  // namespace skerry::nucleus
