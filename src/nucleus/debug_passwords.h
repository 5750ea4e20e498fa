// Passwords that let somebody act as the device's operator for a while (CreateDebugPassword): at a
// local console, or as the token of an IPC client, without the operator's file. Kept in memory:
// a restart of the nucleus ends them all.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "io/random.h"

namespace skerry::nucleus {

class DebugPasswords {
 public:
  static constexpr int64_t kLifeMs = 8 * 3'600'000;  // as the reference
  static constexpr size_t kMost = 16;                // a new one takes the oldest's place

  struct Password {
    std::string text;
    int64_t expires_ms = 0;  // wall clock, for people
  };
  // Lives by `monotonic_ms`: no clock that is set makes it last.
  Password create(io::Random& random, int64_t wall_ms, int64_t monotonic_ms);
  bool accepts(std::string_view password, int64_t monotonic_ms) const;

 private:
  struct Entry {
    std::string digest;  // SHA-256: what is in memory opens nothing
    int64_t ends_ms = 0;
  };
  std::deque<Entry> entries_;
};

}  // namespace skerry::nucleus
