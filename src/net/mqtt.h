// MQTT 5 client. An interface, so that the simulator can stand in for the broker; the real one is
// libmosquitto driven by the Loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/env.h"
#include "net/tls.h"

namespace skerry::net {

struct MqttOptions {
  std::string host;
  uint16_t port = 8883;
  std::string client_id;
  TlsFiles tls;                         // empty ca_file: plain TCP (loopback tests only)
  uint32_t session_expiry_s = 604'800;  // the broker keeps the session this long
  uint16_t keep_alive_s = 60;
  int64_t reconnect_min_ms = 500;  // doubled with jitter up to the maximum
  int64_t reconnect_max_ms = 60'000;
  size_t max_queued = 1'000;  // publishes not yet acknowledged; above: kResourceExhausted
  uint32_t max_packet_bytes = 1 << 20;
};

struct MqttMessage {
  std::string topic;
  std::string payload;
  uint8_t qos = 0;
  bool retain = false;
};

class MqttClient {
 public:
  struct Events {
    // After each CONNACK. Subscriptions are renewed by the client itself unless the session is
    // still there.
    std::function<void(bool session_present)> on_connected;
    // After each lost connection and each attempt that failed; the next one follows by itself.
    std::function<void(const Error& reason)> on_disconnected;
    std::function<void(const MqttMessage&)> on_message;
  };
  // `error` is null once the broker has acknowledged (QoS 0: once it is handed to the connection).
  // Called from the loop, never from inside publish() or subscribe(); not called any more once the
  // client is gone.
  using Done = std::function<void(const Error* error)>;

  virtual ~MqttClient() = default;        // may be destroyed from inside any callback
  virtual void start(Events events) = 0;  // connects and reconnects until destroyed
  virtual bool connected() const = 0;
  // Queued while offline (QoS 1) or dropped with kUnavailable (QoS 0).
  virtual void publish(MqttMessage message, Done done = {}) = 0;
  // Remembered over reconnects. Filters may overlap.
  virtual void subscribe(std::string filter, uint8_t qos, Done done = {}) = 0;
  virtual void unsubscribe(std::string filter) = 0;
};

// Fails where the TLS files cannot be used; never falls back to plaintext.
Result<std::unique_ptr<MqttClient>> make_mqtt_client(io::Env& env, MqttOptions options);

// True where `topic` matches `filter` ('+' and '#'; a leading '$' is matched by no wildcard).
bool mqtt_matches(std::string_view filter, std::string_view topic);

}  // namespace skerry::net
