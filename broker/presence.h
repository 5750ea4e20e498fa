// Who has sessions on the broker, told to the control plane in few messages, however many come and
// go at once.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace skerry::broker {

// The messages are lines: "+THING" is there, "-THING" is not any more. "=" begins a list of all who
// are there, "." ends it: whoever it does not name is not there.
class Presence {
 public:
  void session_began(std::string_view thing);
  void session_ended(std::string_view thing);
  // A list of all goes out.
  void ask();
  // The next message; nothing where all is told.
  std::optional<std::string> take_message();

  static constexpr size_t kMessageBytes = 64 << 10;

 private:
  std::map<std::string, int, std::less<>> sessions_;  // by thing, at least 1
  std::map<std::string, bool> changes_;               // not among `lines_` yet
  std::string lines_;                                 // to be sent
  size_t sent_ = 0;                                   // of `lines_`
};

}  // namespace skerry::broker
