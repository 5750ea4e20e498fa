// Maintenance windows: when devices may be asked, on the clock of a place.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace skerry::formats {
class Node;
}

namespace skerry::fleet::rollout {

// From `start` to `end`, minutes of the local day; over midnight where end is not after start. Days
// are those on which it opens.
struct Window {
  std::array<bool, 7> days{};  // Sunday first
  int start_minute = 0;
  int end_minute = 0;
  std::string zone = "UTC";  // of the IANA time zone database, or a fixed "+05:30"

  bool operator==(const Window&) const = default;
};

// {"days": ["mon", …], "start": "22:00", "end": "04:00", "timeZone": "Europe/Berlin"}
Result<Window> parse_window(const formats::Node& node);
nlohmann::json to_json(const Window& window);

bool is_open(const Window& window, int64_t wall_ms);
// Any of them; true where there are none.
bool is_open(const std::vector<Window>& windows, int64_t wall_ms);

}  // namespace skerry::fleet::rollout
