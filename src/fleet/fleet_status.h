// What devices say they run: fleet status messages, kept in the store.
#pragma once

#include "base/error.h"
#include "fleet/device_link.h"
#include "fleet/store.h"
#include "formats/fleet_status.h"
#include "io/clock.h"

namespace skerry::fleet {

class FleetStatusService {
 public:
  // Registers its route with `link`, which must not outlive it.
  FleetStatusService(io::Clock& clock, Store& store, DeviceLink& link);

  // A COMPLETE status replaces what is known of the device's components, a PARTIAL one adds to it;
  // both all or nothing. Times are the control plane's: a device's clock may be wrong.
  Result<void> store(const formats::FleetStatus& status);

 private:
  void on_message(const net::MqttMessage& message);
  Result<void> store_components(const formats::FleetStatus& status);

  io::Clock& clock_;
  Store& store_;
};

}  // namespace skerry::fleet
