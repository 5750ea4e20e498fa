// Shadows of one device and the real control plane, in virtual time: both sides change them while
// connections break, packets are late, the broker forgets and the device loses power. When that
// stops, both have the same, and nothing that counts is lost.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "fleet/shadows.h"
#include "fleet/store.h"
#include "io/fault_files.h"
#include "net/test_mqtt.h"
#include "nucleus/shadow_sync.h"
#include "nucleus/test_config.h"
#include "sim/sim_clock.h"
#include "sim/sim_loop.h"
#include "sim/sim_processes.h"

namespace skerry::sim {
namespace {

using formats::ShadowKey;
using nlohmann::json;
using nucleus::LocalShadows;

const ThingName kThing("press");
const ShadowKey kKept{kThing, "kept"}, kWild{kThing, "wild"}, kClassic{kThing, ""};

net::MqttOptions options(std::string id) {
  net::MqttOptions options;
  options.client_id = std::move(id);
  return options;
}

std::string update(const json& state) {
  return json{{"state", state}}.dump();
}

class World {
 public:
  explicit World(uint64_t seed, json synchronize = {})
      : random(seed), loop(seed), store(*fleet::Store::open(std::string(fleet::Store::kInMemory))) {
    EXPECT_TRUE(store->create_thing({.name = kThing, .id = "x"}));
    if (synchronize.is_null()) {
      synchronize = {{"coreThing", {{"namedShadows", {"kept", "wild"}}}}};
    }
    configuration = {{"synchronize", synchronize}};
    broker.delay_ms = [this] { return static_cast<int64_t>(random.below(max_delay_ms)); };
    broker.breaks = [this] { return random.below(1'000) < broken_of_1000; };
    broker.start();
    link.start();
    boot();
  }

  void boot() { device.emplace(*this); }
  void lose_power() {
    files.crash_now();
    device.reset();
    files.reboot(io::CrashPolicy::kSeeded, random.next());
  }
  void run_for(int64_t ms) {
    const int64_t end = loop.now_ms() + ms;
    while (loop.step(end)) {
    }
  }
  // True where it was acknowledged.
  bool device_says(const ShadowKey& key, const json& state) {
    return finish(device->shadows.update(key, update(state)));
  }
  bool device_deletes(const ShadowKey& key) { return finish(device->shadows.remove(key)); }
  void operator_says(const ShadowKey& key, const json& state) {
    in_store([=, this, text = update(state)](fleet::Store& session) {
      return fleet::update_shadow(session, key, text, clock.wall_ms());
    });
  }
  void operator_deletes(const ShadowKey& key) {
    in_store([=, this](fleet::Store& session) {
      return fleet::delete_shadow(session, key, "", clock.wall_ms());
    });
  }
  // desired and reported; null where there is no such shadow.
  json of_device(const ShadowKey& key) {
    const auto shadow = device->shadow_files.get(key);
    return shadow ? state_of(formats::shadow_document(*shadow, 1, {})) : json();
  }
  json of_fleet(const ShadowKey& key) {
    const auto answer = fleet::get_shadow(*store, key, "", clock.wall_ms());
    return answer && *answer ? state_of(**answer) : json();
  }
  static json state_of(const std::string& document) {
    json state = json::parse(document)["state"];
    state.erase("delta");
    return state;
  }

  io::SeededRandom random;
  SimLoop loop;
  SimClock clock{loop};
  uint64_t max_delay_ms = 20, broken_of_1000 = 0;
  io::FaultFiles files;
  SimProcesses processes{loop, [](const io::ProcessSpec&) { return ScriptedProcess{}; }};
  io::InlinePool pool;
  io::Env env{loop, clock, files, processes, random, pool, pool};
  net::FakeBroker broker{loop};
  std::unique_ptr<fleet::Store> store;
  fleet::StorePool stores{loop, *store};
  fleet::DeviceLink link{broker.client(options("skerry-fleet"))};
  fleet::ShadowService service{env, stores, link};
  json configuration;
  std::vector<std::string> told;  // on local topics

  // What of the device lives from one start to the next.
  struct Device {
    explicit Device(World& world)
        : client(world.broker.client(options("press"))),
          shadow_files(world.files, "/state/shadows"),
          shadows(world.env, shadow_files,
                  [&world](const std::string& topic, const std::string&) {
                    world.told.push_back(topic);
                  }),
          router(world.loop, *client),
          config(nucleus::persist_at_once()),
          configured(nucleus::update_now(config, ComponentName("aws.greengrass.ShadowManager"), {},
                                         world.configuration, 1)
                         .has_value()),
          sync(world.env, router, config, shadows, kThing) {
      router.start({});
    }
    std::unique_ptr<net::MqttClient> client;
    nucleus::ShadowFiles shadow_files;
    LocalShadows shadows;
    nucleus::MqttRouter router;
    nucleus::ConfigStore config;
    bool configured;
    nucleus::ShadowSync sync;
  };
  std::optional<Device> device;

 private:
  bool finish(io::Task<formats::ShadowResult<std::string>> task) {
    std::optional<bool> done;
    io::TaskScope scope;
    scope.spawn([](auto task, std::optional<bool>& done) -> io::Task<void> {
      done = (co_await std::move(task)).has_value();
    }(std::move(task), done));
    while (!done) loop.step(loop.now_ms());
    return *done;
  }
  template <class Work>
  void in_store(Work work) {
    io::TaskScope scope;
    scope.spawn([](World& world, Work work) -> io::Task<void> {
      EXPECT_TRUE(co_await world.stores.write(std::move(work)));
    }(*this, std::move(work)));
    run_for(0);
  }
};

// Longer than any timeout and any wait between attempts.
constexpr int64_t kLongMs = 1'000'000;

TEST(ShadowSyncTest, AChangeOnOneSideIsSoonOnTheOther) {
  World world(1);
  world.run_for(1'000);
  world.operator_says(kKept, {{"desired", {{"rate", 5}}}});
  world.run_for(1'000);
  EXPECT_EQ(world.of_device(kKept), json::parse(R"({"desired":{"rate":5}})"));
  EXPECT_GE(std::ranges::count(world.told, "$aws/things/press/shadow/name/kept/update/delta"), 1)
      << "components of the device hear of it";
  EXPECT_TRUE(world.device_says(kKept, {{"reported", {{"rate", 5}}}}));
  EXPECT_TRUE(world.device_says(kClassic, {{"reported", {{"ready", true}}}}));
  EXPECT_TRUE(world.device_says({kThing, "private"}, {{"reported", {{"a", 1}}}}));
  world.run_for(1'000);
  EXPECT_EQ(world.of_fleet(kKept), world.of_device(kKept));
  EXPECT_EQ(world.of_fleet(kClassic), json::parse(R"({"reported":{"ready":true}})"));
  EXPECT_EQ(world.of_fleet({kThing, "private"}), json()) << "nobody asked for it";
  world.operator_deletes(kKept);
  EXPECT_TRUE(world.device_deletes(kClassic));
  world.run_for(1'000);
  EXPECT_EQ(world.of_device(kKept), json());
  EXPECT_EQ(world.of_fleet(kClassic), json());
  EXPECT_TRUE(world.device_says(kKept, {{"reported", {{"rate", 6}}}}));
  world.run_for(1'000);
  EXPECT_EQ(world.of_fleet(kKept), json::parse(R"({"reported":{"rate":6}})")) << "made again";
}

TEST(ShadowSyncTest, WhatChangedOfflineIsMergedAtTheNextConnection) {
  World world(2);
  world.operator_says(kKept, {{"desired", {{"rate", 1}, {"mode", "a"}}}});
  world.run_for(1'000);
  world.broker.stop();
  world.run_for(1'000);
  world.operator_says(kKept, {{"desired", {{"rate", 2}}}, {"reported", {{"n", 1}}}});
  world.device_says(kKept, {{"desired", {{"rate", 3}, {"mode", "b"}}}, {"reported", {{"n", 2}}}});
  world.device_says(kWild, {{"reported", {{"here", 1}}}});
  world.lose_power();
  world.boot();
  world.broker.start();
  world.run_for(kLongMs);
  const json both = json::parse(R"({"desired":{"rate":2,"mode":"b"},"reported":{"n":2}})");
  EXPECT_EQ(world.of_device(kKept), both);
  EXPECT_EQ(world.of_fleet(kKept), both);
  EXPECT_EQ(world.of_fleet(kWild), json::parse(R"({"reported":{"here":1}})"));
}

TEST(ShadowSyncTest, AnOperatorsWishIsNeverOverwrittenByAnOlderOneOfTheDevice) {
  World world(6);
  world.max_delay_ms = 200;
  world.operator_says(kKept, {{"desired", {{"rate", 0}}}});
  world.run_for(10'000);
  for (int round = 0; round < 100; ++round) {
    world.device_says(kKept, {{"desired", {{"rate", round}}}});
    world.run_for(round * 10);
    world.operator_says(kKept, {{"desired", {{"rate", 1'000 + round}}}});
    world.run_for(20'000);
    EXPECT_EQ(world.of_fleet(kKept)["desired"]["rate"], 1'000 + round);
    EXPECT_EQ(world.of_device(kKept), world.of_fleet(kKept));
  }
}

TEST(ShadowSyncTest, ADirectionIsKept) {
  World up(3, {{"coreThing", {{"namedShadows", {"kept"}}}}, {"direction", "deviceToCloud"}});
  up.device_says(kKept, {{"desired", {{"rate", 1}}}});
  up.run_for(1'000);
  up.operator_says(kKept, {{"desired", {{"rate", 2}, {"more", 1}}}});
  up.run_for(1'000);
  EXPECT_EQ(up.of_device(kKept), json::parse(R"({"desired":{"rate":1}})"));
  EXPECT_EQ(up.of_fleet(kKept), up.of_device(kKept));
  up.operator_deletes(kKept);
  up.run_for(1'000);
  EXPECT_EQ(up.of_fleet(kKept), json::parse(R"({"desired":{"rate":1}})")) << "it comes again";

  World down(4, {{"coreThing", {{"namedShadows", {"kept"}}}}, {"direction", "cloudToDevice"}});
  down.operator_says(kKept, {{"desired", {{"rate", 1}}}});
  down.run_for(1'000);
  down.device_says(kKept, {{"reported", {{"rate", 7}}}});
  down.run_for(1'000);
  EXPECT_EQ(down.of_fleet(kKept), json::parse(R"({"desired":{"rate":1}})"));
  EXPECT_EQ(down.of_device(kKept), down.of_fleet(kKept));
}

TEST(ShadowSyncTest, PeriodicallyMeansThen) {
  World world(5);
  world.configuration["strategy"] = {{"type", "periodic"}, {"delay", 60}};
  world.lose_power();
  world.boot();
  world.run_for(5'000);
  world.device_says(kKept, {{"reported", {{"a", 1}}}});
  world.run_for(30'000);
  EXPECT_EQ(world.of_fleet(kKept), json());
  world.run_for(60'000);
  EXPECT_EQ(world.of_fleet(kKept), json::parse(R"({"reported":{"a":1}})"));
}

// What counts: of `kept` the device alone reports and the operator alone desires.
struct LastWords {
  int reported = 0, desired = 0;
};

void one_event(World& world, LastWords& last, int number) {
  io::Random& random = world.random;
  const json value = {{random.below(2) ? "a" : "b", random.below(4) ? json(number) : json()}};
  switch (random.below(12)) {
    case 0:
    case 1:
    case 2:
      if (world.device_says(kKept, {{"reported", {{"n", number}}}})) last.reported = number;
      return;
    case 3:
    case 4:
    case 5:
      world.operator_says(kKept, {{"desired", {{"n", number}}}});
      last.desired = number;
      return;
    case 6:
      return static_cast<void>(world.device_says(kWild, {{"desired", value}, {"reported", value}}));
    case 7:
      return world.operator_says(kWild, {{"desired", value}, {"reported", value}});
    case 8:
      if (world.of_device(kWild) != json()) world.device_deletes(kWild);
      return;
    case 9:
      if (world.of_fleet(kWild) != json()) world.operator_deletes(kWild);
      return;
    case 10:
      world.broker.stop();
      if (random.below(3) == 0) world.broker.forget_sessions();
      world.run_for(static_cast<int64_t>(random.below(20'000)));
      return world.broker.start();
    default:
      if (random.below(2)) world.files.crash_at(world.files.operations().size() + random.below(6));
      world.run_for(static_cast<int64_t>(random.below(2'000)));
      world.lose_power();
      return world.boot();
  }
}

TEST(ShadowSyncTest, WhateverHappensBothSidesComeToTheSameAndNothingThatCountsIsLost) {
  for (uint64_t seed = 100; seed < 160; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    world.max_delay_ms = 300;
    world.broken_of_1000 = 20;
    LastWords last;
    for (int number = 1; number <= 80; ++number) {
      one_event(world, last, number);
      world.run_for(static_cast<int64_t>(world.random.below(3'000)));
    }
    world.broken_of_1000 = 0;
    if (world.files.crashed()) world.lose_power(), world.boot();
    world.run_for(kLongMs);
    for (const ShadowKey& key : {kKept, kWild, kClassic}) {
      EXPECT_EQ(world.of_device(key), world.of_fleet(key)) << key.name;
    }
    const json kept = world.of_fleet(kKept);
    if (last.desired > 0) EXPECT_EQ(kept["desired"]["n"], last.desired);
    // What was not acknowledged may be there all the same.
    if (last.reported > 0) EXPECT_GE(kept["reported"]["n"], last.reported);
    ASSERT_FALSE(testing::Test::HasFailure());
  }
}

}  // namespace
}  // namespace skerry::sim
