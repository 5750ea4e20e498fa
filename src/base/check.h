// Invariants that hold in every build, release too: a state that cannot be, a call from the wrong
// thread, a value awaited twice. A broken one ends the program at once with a message, before it
// can make anything wrong durable; the supervisor starts it again. Not for input: what a person, a
// peer or a disk can bring about is a Result.
#pragma once

#include <string_view>

namespace skerry {

// Writes the message, the condition and the place to standard error, and aborts.
[[noreturn]] void check_failed(std::string_view condition, std::string_view message,
                               const char* file, int line);

}  // namespace skerry

// SKERRY_CHECK(count > 0, "released more often than acquired")
#define SKERRY_CHECK(condition, message)                                 \
  do {                                                                   \
    if (!(condition)) [[unlikely]]                                       \
      ::skerry::check_failed(#condition, (message), __FILE__, __LINE__); \
  } while (0)
