// The control plane's one MQTT connection: which message goes to whom, and how to answer.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "net/mqtt.h"

namespace skerry::fleet {

class DeviceLink {
 public:
  using Handler = std::function<void(const net::MqttMessage&)>;

  explicit DeviceLink(std::unique_ptr<net::MqttClient> client) : client_(std::move(client)) {}

  // Before start():
  // Messages that match `filter` go to `handler`. Filters must not overlap.
  void route(std::string filter, Handler handler);
  // `hook` runs after each connect.
  void on_connected(std::function<void()> hook) { connected_hooks_.push_back(std::move(hook)); }

  void start();
  bool connected() const { return client_->connected(); }
  // For how many messages the broker keeps up: bulk messages wait for it, answers do not.
  size_t room() const {
    return connected() && unacknowledged_ < kRoom ? kRoom - unacknowledged_ : 0;
  }
  // QoS 1. What cannot be sent is logged; devices ask again.
  void publish(std::string topic, std::string payload);
  // The same, and `done` hears once, now or later, whether the broker has it (null) or why not.
  void publish(std::string topic, std::string payload, std::function<void(const Error*)> done);
  // `done` is told whether the broker has acknowledged a message that nobody hears.
  void ping(std::function<void(bool answered)> done);

 private:
  static constexpr size_t kRoom = 500;  // below MqttOptions::max_queued
  void dispatch(const net::MqttMessage& message) const;

  std::vector<std::pair<std::string, Handler>> routes_;
  std::vector<std::function<void()>> connected_hooks_;
  size_t unacknowledged_ = 0;
  std::unique_ptr<net::MqttClient> client_;  // last: its callbacks use the others
};

}  // namespace skerry::fleet
