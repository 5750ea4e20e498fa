// Which devices are there, in the store (table `presence`).
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "fleet/store.h"

namespace skerry::fleet {

// Whether a thing has a session on the broker.
struct DevicePresence {
  ThingName thing;
  bool connected = false;
  int64_t since_ms = 0;      // when that changed last; 0 where it never was there
  int64_t last_seen_ms = 0;  // when it was known to be there last
  bool unreachable = false;  // away for longer than the fleet's limit
};

struct PresenceChange {
  ThingName thing;
  enum class What { kNothing, kConnected, kDisconnected } what = What::kNothing;
  int64_t now_ms = 0;
  int64_t seen_ms = 0;
  bool is_unreachable = false;  // from now on
};

Result<std::vector<DevicePresence>> all_presence(Store& store);
// Of a thing that was never there, too.
Result<DevicePresence> presence_of(Store& store, const ThingName& thing);
// Things that do not exist have none. All or nothing.
Result<void> record_presence(Store& store, const std::vector<PresenceChange>& changes);
// Until when those that are connected are known to have been; 0 for never.
Result<int64_t> presence_as_of(Store& store);
Result<void> set_presence_as_of(Store& store, int64_t wall_ms);

}  // namespace skerry::fleet
