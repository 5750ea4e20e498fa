// Subscriptions and dispatch of the control plane's MQTT connection.
#include "fleet/device_link.h"

#include "base/check.h"
#include "base/log_limit.h"

namespace skerry::fleet {
namespace {
constexpr std::string_view kLinkModule = "mqtt";
}

void DeviceLink::route(std::string filter, Handler handler) {
  routes_.emplace_back(std::move(filter), std::move(handler));
}

void DeviceLink::start() {
  net::MqttClient::Events events;
  events.on_connected = [this](bool) {
    log::info(kLinkModule, "connected to the broker");
    for (const auto& hook : connected_hooks_) hook();
  };
  events.on_disconnected = [](const Error& reason) {
    log::warn(kLinkModule, "lost the broker; connecting again", {{"reason", reason.message()}});
  };
  events.on_message = [this](const net::MqttMessage& message) { dispatch(message); };
  for (const auto& route : routes_) {
    const auto on_answer = [filter = route.first](const Error* error) {
      if (error) {
        log::error(kLinkModule, "cannot subscribe",
                   {{"filter", filter}, {"error", error->message()}});
      }
    };
    auto asked = client_->subscribe({.filter = route.first}, on_answer);
    SKERRY_CHECK(asked.has_value(), "the control plane's own filters are filters");
  }
  client_->start(std::move(events));
}

void DeviceLink::publish(std::string topic, std::string payload) {
  publish(topic, std::move(payload), [topic](const Error* error) {
    if (!error) return;
    static log::Limit limit;
    limit.write(log::Level::kWarn, kLinkModule, "message not sent",
                {{"topic", topic}, {"error", error->message()}});
  });
}

void DeviceLink::publish(std::string topic, std::string payload,
                         std::function<void(const Error*)> done) {
  ++unacknowledged_;
  const auto on_answer = [this, done = std::move(done)](const Error* error) {
    --unacknowledged_;
    done(error);
  };
  auto accepted =
      client_->publish({.topic = topic, .payload = std::move(payload), .qos = 1}, on_answer);
  if (!accepted) on_answer(&accepted.error());
}

void DeviceLink::ping(std::function<void(bool answered)> done) {
  auto accepted = client_->publish({.topic = "$skerry/ping", .payload = "", .qos = 1},
                                   [done](const Error* error) { done(!error); });
  if (!accepted) done(false);
}

void DeviceLink::dispatch(const net::MqttMessage& message) const {
  for (const auto& [filter, handler] : routes_) {
    if (net::mqtt_matches(filter, message.topic)) return handler(message);
  }
}

}  // namespace skerry::fleet
