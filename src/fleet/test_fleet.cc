// The control plane of the tests.
#include "fleet/test_fleet.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <nlohmann/json.hpp>

namespace skerry::fleet {
namespace {

std::unique_ptr<Store> open_store(const std::string& path) {
  auto store = Store::open(path);
  EXPECT_TRUE(store) << store.error().message();
  return store ? std::move(*store) : nullptr;
}

}  // namespace

Result<void> RecordingMqtt::publish(net::MqttMessage message, Done done) {
  sent_.push_back(std::move(message));
  if (hold_) {
    held_.push_back(std::move(done));
  } else if (done) {
    done(nullptr);
  }
  return {};
}

void RecordingMqtt::connect() {
  connected_ = true;
  events_.on_connected(true);
}

void RecordingMqtt::receive(const std::string& topic, const std::string& payload) {
  if (!events_.on_message) {
    FAIL() << "the link is not started";
  }
  events_.on_message({.topic = topic, .payload = payload, .qos = 1, .retain = false});
}

void RecordingMqtt::hold_acknowledgements(bool hold) {
  hold_ = hold;
  if (hold) return;
  for (const Done& done : std::exchange(held_, {})) {
    if (done) done(nullptr);
  }
}

ScratchDirectory::ScratchDirectory() {
  std::string pattern = std::filesystem::temp_directory_path() / "skerry-test-XXXXXX";
  EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
  path_ = pattern;
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

TestFleet::TestFleet(std::unique_ptr<RecordingMqtt> client)
    : store(open_store(std::string(Store::kInMemory))),
      stores(loop, *store),
      deployments(env, {}),
      mqtt(client.get()),
      link(std::move(client)) {}

void TestFleet::add_thing(const std::string& name) {
  const auto created = store->create_thing({.name = ThingName(name), .id = random.uuid()});
  ASSERT_TRUE(created) << created.error().message();
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

void TestFleet::settle() {
  while (loop.run_for(1)) {
  }
}

}  // namespace skerry::fleet
