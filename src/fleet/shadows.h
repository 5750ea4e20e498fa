// Device shadows, which this control plane does not keep yet: every request is rejected at once
// with the document of AWS, so that no device waits for an answer that never comes.
#pragma once

#include <string_view>

#include "fleet/device_link.h"
#include "io/clock.h"

namespace skerry::fleet {

class ShadowService {
 public:
  // Registers its routes with `link`, which must not outlive it.
  ShadowService(io::Clock& clock, DeviceLink& link);

 private:
  void reject(const net::MqttMessage& message, int code, std::string_view reason);

  io::Clock& clock_;
  DeviceLink& link_;
};

}  // namespace skerry::fleet
