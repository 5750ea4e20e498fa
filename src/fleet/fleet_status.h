// What devices say they run: fleet status messages, kept in the store.
#pragma once

#include "base/error.h"
#include "fleet/device_link.h"
#include "fleet/store_pool.h"
#include "formats/fleet_status.h"
#include "io/clock.h"
#include "io/task.h"

namespace skerry::fleet {

class FleetStatusService {
 public:
  // Registers its route with `link`, which must not outlive it.
  FleetStatusService(io::Clock& clock, StorePool& stores, DeviceLink& link);

  // A COMPLETE status replaces what is known of the device's components, a PARTIAL one adds to it;
  // both all or nothing. Times are the control plane's: a device's clock may be wrong.
  static Result<void> store(Store& store, const formats::FleetStatus& status, int64_t now_ms);

 private:
  io::Task<void> on_message(std::string topic, std::string payload);

  io::Clock& clock_;
  StorePool& stores_;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
