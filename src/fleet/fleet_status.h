// What devices say they run: fleet status messages, kept in the store.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "base/error.h"
#include "fleet/device_link.h"
#include "fleet/store_pool.h"
#include "fleet/thing_budget.h"
#include "formats/fleet_status.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::fleet {

class FleetStatusService {
 public:
  // Registers its route with `link`, which must not outlive it. Of a thing that floods, the newest
  // messages are held back and stored in their order as its budget allows, older ones ignored: what
  // it says last is always stored. So are all of them while the store takes nothing, as on a full
  // disk: a device has said it, was told that it was heard, and does not say it again.
  FleetStatusService(io::Env& env, StorePool& stores, DeviceLink& link);

  // A COMPLETE status replaces what is known of the device's components, a PARTIAL one adds to it;
  // both all or nothing. Times are the control plane's: a device's clock may be wrong.
  static Result<void> store(Store& store, const formats::FleetStatus& status, int64_t now_ms);

 private:
  struct Heard {
    net::MqttMessage message;
    int64_t at_ms = 0;
  };
  void receive(const net::MqttMessage& message);
  // Behind the others of the thing; one that could not be stored goes before them.
  void hold_back(const ThingName& thing, Heard heard, bool is_first = false);
  void store_held();
  // Tries the first one: whether the store takes anything again.
  void probe();
  Heard take_held(std::deque<Heard>& of_thing);
  io::Task<void> on_message(Heard heard);

  static constexpr double kBurst = 60, kPerSecond = 1;
  static constexpr size_t kHeldMessages = 8;            // of one thing
  static constexpr size_t kHeldBytes = 64 * 1'048'576;  // of all

  io::Env& env_;
  StorePool& stores_;
  ThingBudget budget_;
  std::map<ThingName, std::deque<Heard>> held_;
  size_t held_bytes_ = 0;
  bool is_stalled_ = false;  // the store took nothing when it was last asked
  io::Timer held_timer_;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
