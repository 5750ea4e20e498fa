// A broker's end of the device's connection, by hand.
#pragma once

#include <string>
#include <vector>

#include "formats/jobs.h"
#include "net/mqtt.h"

namespace skerry::sim {

class TestMqtt : public net::MqttClient {
 public:
  void start(Events events) override { events_ = std::move(events); }
  bool connected() const override { return connected_; }
  Result<void> publish(net::MqttMessage message, Done) override {
    sent.push_back(std::move(message));
    return {};
  }
  net::MqttBacklog backlog() const override { return {}; }
  Result<void> subscribe(net::MqttSubscription, Done) override { return {}; }
  void unsubscribe(const std::string&) override {}

  void connect() {
    connected_ = true;
    events_.on_connected(false);
  }
  void deliver(const formats::JobTopic& topic, std::string payload) {
    events_.on_message({topic.str(), std::move(payload), 1});
  }
  std::vector<net::MqttMessage> sent;

 private:
  Events events_;
  bool connected_ = false;
};

// A progress or result that the device has reported.
struct Update {
  std::string job;
  formats::JobUpdateRequest request;
};

}  // namespace skerry::sim
