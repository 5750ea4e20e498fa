// What devices say they run: fleet status messages, kept in the store.
#pragma once

#include "base/error.h"
#include "fleet/device_link.h"
#include "fleet/store_pool.h"
#include "fleet/thing_inbox.h"
#include "formats/fleet_status.h"
#include "io/env.h"

namespace skerry::fleet {

class FleetStatusService {
 public:
  // Registers its route with `link`, which must not outlive it. What a thing says last is stored,
  // however much it says (thing_inbox.h).
  FleetStatusService(io::Env& env, StorePool& stores, DeviceLink& link);

  // A COMPLETE status replaces what is known of the device's components, a PARTIAL one adds to it;
  // both all or nothing. Times are the control plane's: a device's clock may be wrong.
  static Result<void> store(Store& store, const formats::FleetStatus& status, int64_t now_ms);

 private:
  ThingInbox inbox_;
};

}  // namespace skerry::fleet
