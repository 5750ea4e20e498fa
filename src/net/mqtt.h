// MQTT 5 client. An interface, so that the simulator can stand in for the broker; the real one is
// libmosquitto driven by the Loop. tests of both: mqtt_conformance_test.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/env.h"
#include "net/mqtt_topic.h"
#include "net/tls.h"

namespace skerry::net {

struct MqttOptions {
  std::string host;
  uint16_t port = 8883;
  std::string client_id;
  TlsFiles tls;  // empty ca_file: plain TCP (loopback tests only)
  std::shared_ptr<const CertificateTimes> certificate_times;  // null: the machine's clock decides
  uint32_t session_expiry_s = 604'800;  // the broker keeps the session this long
  // The first connection drops what an earlier process of this client id has subscribed to.
  bool clean_start = false;
  uint16_t keep_alive_s = 60;
  int64_t reconnect_min_ms = 500;  // doubled with jitter up to the maximum
  int64_t reconnect_max_ms = 60'000;
  // Of publishes that are not acknowledged yet, sent or not; above: kResourceExhausted.
  size_t max_queued = 1'000;
  size_t max_queued_bytes = 8 << 20;
  uint32_t max_packet_bytes = 1 << 20;
};

// Properties of a message; what is empty is absent.
struct MqttProperties {
  std::optional<uint8_t> payload_format;  // 0: bytes, 1: UTF-8
  std::optional<uint32_t> expiry_s;
  std::string content_type;
  std::string response_topic;
  std::string correlation_data;
  std::vector<std::pair<std::string, std::string>> user;
  bool operator==(const MqttProperties&) const = default;
};

struct MqttMessage {
  std::string topic;
  std::string payload = {};
  uint8_t qos = 0;
  bool retain = false;  // received: it was kept by the broker, and is told to a new subscription
  MqttProperties properties = {};
  // Of a received message: the identifiers of the subscriptions that it is for. Empty where the
  // broker knows none.
  std::vector<uint32_t> subscription_ids = {};
  // To be published with QoS 1: `done` hears kNotFound where the broker says that nobody has
  // subscribed to it.
  bool must_be_heard = false;
};

// What every client refuses at once. `max_packet_bytes`: of the broker, as far as it is known.
Result<void> check_mqtt_message(const MqttMessage& message, size_t max_packet_bytes);

struct MqttSubscription {
  std::string filter;
  uint8_t qos = 1;
  uint32_t id = 0;       // up to 268,435,455, comes back with every message; 0: none
  bool retained = true;  // wants what the broker keeps, also where the filter is subscribed already
};

// Messages that were accepted and are not acknowledged.
struct MqttBacklog {
  size_t messages = 0;
  size_t bytes = 0;
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
  // Success: accepted. A message of QoS 1 is then kept, over lost connections too, until the broker
  // has answered, and `done` is called once. An error: nothing is kept and `done` is not called.
  // kUnavailable (QoS 0 while offline), kResourceExhausted (a limit on what is queued),
  // kInvalidArgument, kUnsupported (QoS 2).
  virtual Result<void> publish(MqttMessage message, Done done = {}) = 0;
  virtual MqttBacklog backlog() const = 0;
  // Remembered over reconnects; replaces an earlier one of the same filter. Filters may overlap: a
  // message then comes with the identifier of each, together or one by one. kInvalidArgument where
  // it is no filter; what the broker refuses is told to `done`.
  virtual Result<void> subscribe(MqttSubscription subscription, Done done = {}) = 0;
  virtual void unsubscribe(const std::string& filter) = 0;
};

// Fails where the TLS files cannot be used; never falls back to plaintext.
Result<std::unique_ptr<MqttClient>> make_mqtt_client(io::Env& env, MqttOptions options);

}  // namespace skerry::net
