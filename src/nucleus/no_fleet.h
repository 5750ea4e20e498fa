// A device without any fleet: no control plane to ask, no broker to connect to. It lives from local
// deployments, and can be given a fleet later.
#pragma once

#include <memory>

#include "net/mqtt.h"
#include "nucleus/cloud.h"

namespace skerry::nucleus {

// Knows nothing but the components that every nucleus provides.
std::unique_ptr<Cloud> make_no_cloud();
// Never connects.
std::unique_ptr<net::MqttClient> make_no_broker();

}  // namespace skerry::nucleus
