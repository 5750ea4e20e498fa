// For tests: the nucleus as IPC sees it, with known tokens and an MQTT client that only takes note.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "nucleus/ipc_server.h"

namespace skerry::nucleus {

class FakeMqtt : public net::MqttClient {
 public:
  void start(Events) override {}
  bool connected() const override { return online; }
  void publish(net::MqttMessage message, Done done) override {
    published.push_back(message);
    answer(std::move(done));
    if (on_publish) on_publish(message);
  }
  void subscribe(std::string filter, uint8_t qos, Done done) override {
    log.push_back("subscribe " + filter + " " + std::to_string(qos));
    answer(std::move(done));
  }
  void unsubscribe(std::string filter) override { log.push_back("unsubscribe " + filter); }

  void answer(Done done) {
    if (hold || !online) {
      held.push_back(std::move(done));
    } else {
      done(refuse ? &*refuse : nullptr);
    }
  }
  // The broker answers what was held back.
  void release() {
    for (Done& done : std::exchange(held, {})) done(nullptr);
  }

  bool online = true;
  bool hold = false;
  std::optional<Error> refuse;
  std::vector<net::MqttMessage> published;
  std::vector<std::string> log;
  std::vector<Done> held;
  std::function<void(const net::MqttMessage&)> on_publish;
};

class FakeHost : public IpcHost {
 public:
  std::optional<ComponentName> component_of_token(std::string_view svcuid) const override {
    const auto found = tokens.find(std::string(svcuid));
    if (found == tokens.end()) return std::nullopt;
    return found->second;
  }
  Result<void> report_state(const ComponentName& component, ComponentState reported) override {
    if (component.str() == "gone") return fail(Code::kNotFound, "component gone is not deployed");
    reports.emplace_back(component.str() + " " + std::string(name_of(reported)));
    return {};
  }
  net::MqttClient* mqtt() override { return has_mqtt ? &fake_mqtt : nullptr; }

  std::map<std::string, ComponentName> tokens;
  std::vector<std::string> reports;
  bool has_mqtt = true;
  FakeMqtt fake_mqtt;
};

}  // namespace skerry::nucleus
