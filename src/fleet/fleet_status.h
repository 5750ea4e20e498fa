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
  // it says last is always stored.
  FleetStatusService(io::Env& env, StorePool& stores, DeviceLink& link);

  // A COMPLETE status replaces what is known of the device's components, a PARTIAL one adds to it;
  // both all or nothing. Times are the control plane's: a device's clock may be wrong.
  static Result<void> store(Store& store, const formats::FleetStatus& status, int64_t now_ms);

 private:
  void receive(const net::MqttMessage& message);
  void hold_back(const ThingName& thing, const net::MqttMessage& message);
  void store_held();
  io::Task<void> on_message(std::string topic, std::string payload);

  static constexpr double kBurst = 60, kPerSecond = 1;
  static constexpr size_t kHeldMessages = 8;  // of one thing

  io::Env& env_;
  StorePool& stores_;
  ThingBudget budget_;
  std::map<ThingName, std::deque<net::MqttMessage>> held_;
  io::Timer held_timer_;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
