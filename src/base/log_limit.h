// A limit on what others can make this program log: a peer that is refused a thousand times a
// second must not fill the disk, nor hide what else is said.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>

#include "base/log.h"

namespace skerry::log {

// One for each kind of record that an outsider can cause. Thread-safe.
class Limit {
 public:
  explicit Limit(size_t burst = 10, int64_t interval_ms = 60'000)
      : burst_(burst), interval_ms_(interval_ms) {}

  // Writes at most `burst` records an interval; the first of the next one says how many were left
  // out in between.
  void write(Level level, std::string_view module, std::string_view message, Fields fields = {});

  // How many were left out since the last one that was let through, or nothing where this one is
  // left out as well.
  std::optional<uint64_t> admit(int64_t now_ms);

 private:
  const size_t burst_;
  const int64_t interval_ms_;
  std::mutex mutex_;
  int64_t interval_start_ms_ = INT64_MIN;
  size_t written_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace skerry::log
