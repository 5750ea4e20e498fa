// For tests: a control plane's store and deployments in a scratch directory, at the broker in
// memory.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fleet/deployments.h"
#include "fleet/device_link.h"
#include "fleet/store_pool.h"
#include "io/test_directory.h"
#include "io/test_env.h"
#include "net/test_mqtt.h"

namespace skerry::fleet {

// The broker in memory as the control plane's tests see it: what it publishes, and messages to it.
class MemoryBroker {
 public:
  explicit MemoryBroker(io::RealLoop& loop) : loop_(loop), broker_(loop) {}

  // For the next process of the control plane, which takes over.
  std::unique_ptr<net::MqttClient> client();
  void connect();  // returns when the broker has heard it
  void disconnect() { broker_.stop(); }
  // From a device; returns when it has been answered.
  void receive(const std::string& topic, const std::string& payload);
  // What was published since the last call, below `topic` only.
  std::vector<net::MqttMessage> take_sent(const std::string& topic = "");
  // Nothing is acknowledged, or seen here, while it is held.
  void hold(bool hold) { broker_.hold(hold); }
  size_t unanswered() const { return client_->backlog().messages; }
  // Runs what the loop has at hand.
  void settle();

 private:
  io::RealLoop& loop_;
  net::FakeBroker broker_;
  net::MqttClient* client_ = nullptr;  // the last one
};

struct TestFleet : io::BasicTestEnv<io::ManualClock, io::RealFiles> {
  TestFleet();

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
  void settle() { mqtt.settle(); }
  // As a full disk does: no more pages than these, or than there are already.
  void limit_database(int64_t pages);

  io::ScratchDirectory directory;
  std::unique_ptr<Store> store;
  StorePool stores;  // inline, in `store`
  Deployments deployments;
  MemoryBroker mqtt{loop};
  DeviceLink link;
};

}  // namespace skerry::fleet
