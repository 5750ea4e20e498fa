// What a program tells systemd, or whoever else started it and speaks its notification protocol:
// that it is ready, that it stops, and, again and again, that it is not stuck (sd_notify(3)).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/loop.h"

namespace skerry::io {

class ServiceManager {
 public:
  // Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment: what this program
  // starts is not to speak for it. Call before there are threads.
  static ServiceManager from_environment();

  // "READY=1"; nothing where nobody listens.
  void notify(std::string_view state) const;
  // "READY=1", then "WATCHDOG=1" twice as often as it is wanted, from the loop: one that does not
  // come round any more is not well. `loop` must outlive this.
  void ready(Loop& loop);

 private:
  void feed(Loop& loop);

  std::string socket_;                  // empty: there is none
  std::optional<int64_t> watchdog_ms_;  // how often it wants to hear of a program that is well
  Timer timer_;
};

}  // namespace skerry::io
