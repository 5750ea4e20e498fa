// The control plane of the tests.
#include "fleet/test_fleet.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <nlohmann/json.hpp>

#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

std::unique_ptr<Store> open_store(const std::string& path) {
  auto store = Store::open(path);
  EXPECT_TRUE(store) << store.error().message();
  return store ? std::move(*store) : nullptr;
}

}  // namespace

std::unique_ptr<net::MqttClient> MemoryBroker::client() {
  net::MqttOptions options;
  options.client_id = "skerry-fleet";
  options.reconnect_min_ms = 50;  // settle() ends between two attempts
  auto made = broker_.client(std::move(options));
  client_ = made.get();
  return made;
}

void MemoryBroker::connect() {
  broker_.start();
  while (!broker_.connected("skerry-fleet")) loop_.run_for(10);
  settle();
}

void MemoryBroker::receive(const std::string& topic, const std::string& payload) {
  EXPECT_TRUE(broker_.publish({.topic = topic, .payload = payload, .qos = 1}))
      << "nobody has subscribed to " << topic;
  broker_.published.pop_back();
  settle();
}

std::vector<net::MqttMessage> MemoryBroker::take_sent(const std::string& topic) {
  std::vector<net::MqttMessage> taken;
  std::erase_if(broker_.published, [&](const net::MqttMessage& message) {
    if (!message.topic.starts_with(topic)) return false;
    taken.push_back(message);
    return true;
  });
  return taken;
}

void MemoryBroker::settle() {
  while (loop_.run_for(1)) {
  }
}

TestFleet::TestFleet()
    : store(open_store(std::string(Store::kInMemory))),
      stores(loop, *store),
      deployments(env, {}),
      link(mqtt.client()) {}

void TestFleet::add_thing(const std::string& name) {
  const auto created = store->create_thing({.name = ThingName(name), .id = random.uuid()});
  ASSERT_TRUE(created) << created.error().message();
}

void TestFleet::limit_database(int64_t pages) {
  ASSERT_TRUE(store->database().select("PRAGMA max_page_count = " + std::to_string(pages),
                                       [](const Row&) { return 0; }));
}

void TestFleet::add_group(const std::string& name, const std::vector<std::string>& things) {
  ThingGroup group;
  group.name = ThingGroupName(name);
  group.id = random.uuid();
  ASSERT_TRUE(store->create_group(group));
  for (const std::string& thing : things) {
    const auto added =
        write([&](Store& s) { return deployments.add_to_group(s, ThingName(thing), group.name); });
    ASSERT_TRUE(added) << added.error().message();
  }
}

Deployment TestFleet::deploy_to(const std::string& target) {
  const nlohmann::json request = {{"targetArn", "arn:aws:iot:eu-west-1:000000000000:" + target}};
  const auto created = write([&](Store& s) { return deployments.create(s, request); });
  EXPECT_TRUE(created) << created.error().message();
  return created ? *created : Deployment{};
}

}  // namespace skerry::fleet
