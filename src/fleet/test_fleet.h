// For tests: a control plane's store and deployments in a scratch directory, and an MQTT client
// that records what is sent and receives what the test says.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fleet/deployments.h"
#include "fleet/device_link.h"
#include "fleet/store_pool.h"
#include "io/test_env.h"

namespace skerry::fleet {

class RecordingMqtt : public net::MqttClient {
 public:
  void start(Events events) override { events_ = std::move(events); }
  bool connected() const override { return connected_; }
  Result<void> publish(net::MqttMessage message, Done done) override;
  net::MqttBacklog backlog() const override { return {held_.size(), 0}; }
  Result<void> subscribe(net::MqttSubscription, Done) override { return {}; }
  void unsubscribe(const std::string&) override {}

  void connect();
  void disconnect() { connected_ = false; }
  void receive(const std::string& topic, const std::string& payload);
  std::vector<net::MqttMessage> take_sent() { return std::exchange(sent_, {}); }
  void hold_acknowledgements(bool hold);

 private:
  Events events_;
  bool connected_ = false;
  bool hold_ = false;
  std::vector<net::MqttMessage> sent_;
  std::vector<Done> held_;
};

class ScratchDirectory {
 public:
  ScratchDirectory();
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct TestFleet : io::BasicTestEnv<io::ManualClock, io::RealFiles> {
  TestFleet() : TestFleet(std::make_unique<RecordingMqtt>()) {}
  explicit TestFleet(std::unique_ptr<RecordingMqtt> client);

  void add_thing(const std::string& name);
  void add_group(const std::string& name, const std::vector<std::string>& things);
  // An empty deployment to "thing/T" or "thinggroup/G".
  Deployment deploy_to(const std::string& target);
  // What `work(store)` returned, as one unit of work of the pool.
  template <class Work>
  auto write(Work work) {
    std::optional<std::invoke_result_t<Work&, Store&>> answer;
    io::TaskScope scope;
    scope.spawn([](TestFleet& fleet, Work work, auto& answer) -> io::Task<void> {
      answer = co_await fleet.stores.write(std::move(work));
    }(*this, std::move(work), answer));
    return std::move(*answer);  // inline: it is there
  }
  // Runs what the loop has at hand.
  void settle();

  ScratchDirectory directory;
  std::unique_ptr<Store> store;
  StorePool stores;  // inline, in `store`
  Deployments deployments;
  RecordingMqtt* mqtt;  // owned by `link`
  DeviceLink link;
};

}  // namespace skerry::fleet
