// Which devices are there: what the broker says of their sessions, kept in the store, and who has
// been away for too long.
//
// Presence is soft state. After each connection to the broker a list of all who are there corrects
// what was known; what came and went in between is not told. How long a device is away is counted
// by this process while it hears from the broker: neither a step of the clock nor a restart of the
// control plane or the broker makes a fleet unreachable.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/device_link.h"
#include "fleet/store_pool.h"
#include "fleet/store_presence.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::fleet {

class PresenceService {
 public:
  // Registers its route with `link`, which must not outlive it. A device that is away for so long
  // is UNREACHABLE.
  PresenceService(io::Env& env, StorePool& stores, DeviceLink& link, int64_t unreachable_after_ms);
  // What an earlier run knew. Before the link starts.
  io::Task<Result<void>> load();

 private:
  void receive(const net::MqttMessage& message);
  void on_line(std::string_view line);
  void on_list_end();
  void set_there(const ThingName& thing, bool is_there, int64_t seen_ms);
  void look();
  // Everything that changed, as few units of work: ten thousand devices that come back at once are
  // not ten thousand commits.
  io::Task<void> store_changes();
  void store_soon();

  io::Env& env_;
  StorePool& stores_;
  DeviceLink& link_;
  const int64_t unreachable_after_ms_;
  const int64_t look_ms_;

  std::set<ThingName> there_;
  std::map<ThingName, int64_t> away_;          // for how long; not those that are UNREACHABLE
  std::optional<std::set<ThingName>> listed_;  // by the list that is coming in
  bool is_current_ = false;                    // since the connection a list came in
  int64_t as_of_ms_ = 0;                       // when `there_` was last known to be true
  int64_t stored_as_of_ms_ = 0;
  std::map<ThingName, PresenceChange> changes_;  // to be stored
  bool is_storing_ = false;
  io::Timer look_timer_;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
