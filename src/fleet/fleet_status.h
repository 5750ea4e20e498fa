// What devices say they run: fleet status messages, kept in the store.
#pragma once

#include "base/error.h"
#include "fleet/device_link.h"
#include "fleet/store_pool.h"
#include "fleet/thing_budget.h"
#include "formats/fleet_status.h"
#include "io/clock.h"
#include "io/task.h"

namespace skerry::fleet {

class FleetStatusService {
 public:
  // Registers its route with `link`, which must not outlive it. Of a thing that floods, messages
  // are ignored: its next COMPLETE status says all.
  FleetStatusService(io::Clock& clock, StorePool& stores, DeviceLink& link);

  // A COMPLETE status replaces what is known of the device's components, a PARTIAL one adds to it;
  // both all or nothing. Times are the control plane's: a device's clock may be wrong.
  static Result<void> store(Store& store, const formats::FleetStatus& status, int64_t now_ms);

 private:
  io::Task<void> on_message(std::string topic, std::string payload);

  static constexpr double kBurst = 60, kPerSecond = 1;

  io::Clock& clock_;
  StorePool& stores_;
  ThingBudget budget_;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
