// Inside of net: libmosquitto's settings, and properties of MQTT 5 between its lists and ours.
#pragma once

#include <mosquitto.h>

#include <memory>

#include "net/mqtt.h"

namespace skerry::net {

class MqttTls;

// Protocol, TLS (null: plain) and the properties of every CONNECT.
Result<void> configure_mqtt(mosquitto* client, const MqttOptions& options, MqttTls* tls);
// Whether the broker has ended the connection over what a packet says: sent again, it would again.
bool blames_packet(int reason_code);

struct FreeMqttProperties {
  void operator()(mosquitto_property* list) const { mosquitto_property_free_all(&list); }
};
using MqttPropertyList = std::unique_ptr<mosquitto_property, FreeMqttProperties>;

// Adds to `list`; the status of the first call that failed.
int append_properties(MqttPropertyList& list, const MqttProperties& properties);
// The properties and subscription identifiers of a received message, put into `message`.
void read_properties(const mosquitto_property* list, MqttMessage& message);

// What the broker says in its CONNACK that it can do.
struct BrokerCapabilities {
  uint32_t max_packet_bytes = UINT32_MAX;
  bool subscription_ids = true;
};
BrokerCapabilities read_capabilities(const mosquitto_property* list);

}  // namespace skerry::net
