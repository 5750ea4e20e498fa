// What components publish, through a nucleus's spool to the broker in memory, while connections
// break, packets are late, the broker goes away and the device loses power. Whatever was
// acknowledged arrives, in its order; what comes twice is counted.
#include "nucleus/spool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>

#include "io/fault_files.h"
#include "io/test_lying_files.h"
#include "net/test_mqtt.h"
#include "sim/sim_clock.h"
#include "sim/sim_loop.h"
#include "sim/sim_processes.h"

namespace skerry::sim {
namespace {

using nucleus::Spool;
using nucleus::SpoolOptions;

net::MqttOptions session_options(bool clean_start) {
  net::MqttOptions options;
  options.client_id = "press";
  options.clean_start = clean_start;
  options.reconnect_min_ms = 10;
  options.reconnect_max_ms = 500;
  return options;
}

class SpoolWorld {
 public:
  explicit SpoolWorld(uint64_t seed, io::Lie lie = io::Lie::kNone, SpoolOptions spool = {})
      : random(seed), loop(seed), files(lie), spool_options(spool) {
    broker.delay_ms = [this] { return static_cast<int64_t>(random.below(max_delay_ms)); };
    broker.breaks = [this] { return random.below(1'000) < broken_of_1000; };
    broker.start();
    boot();
  }

  void boot() { device.emplace(*this); }
  void lose_power(io::CrashPolicy policy = io::CrashPolicy::kSeeded) {
    files.crash_now();
    device.reset();
    files.set_lie(io::Lie::kNone);
    files.reboot(policy, random.next());
    ++ends;
  }
  void run_for(int64_t ms) {
    const int64_t end = loop.now_ms() + ms;
    while (loop.step(end)) {
    }
  }
  // The next number; those that the spool says it has are in `acknowledged`.
  void publish(uint8_t qos = 1, size_t padding = 0) {
    const int number = ++published;
    net::MqttMessage message{
        .topic = "t", .payload = std::to_string(number) + std::string(padding, ' '), .qos = qos};
    const auto accepted =
        device->spool.publish(std::move(message), [this, number](const Error* error) {
          if (!error) acknowledged.insert(number);
          ++answered;
        });
    if (!accepted) ++refused, last_refusal = accepted.error().message();
  }
  std::vector<int> arrived() const {
    std::vector<int> numbers;
    for (const auto& message : broker.published) numbers.push_back(std::stoi(message.payload));
    return numbers;
  }
  // The broker has everything that was acknowledged, and in order; what else is wrong, or "".
  std::string wrong() const {
    const std::vector<int> all = arrived();
    std::set<int> seen;
    int newest = 0;
    for (const int number : all) {
      // What was refused may be there all the same: whoever sent it does not count on anything.
      if (!seen.insert(number).second || !acknowledged.contains(number)) continue;
      if (number < newest)
        return std::to_string(number) + " came first after " + std::to_string(newest);
      newest = number;
    }
    for (const int number : acknowledged) {
      if (!seen.contains(number)) return std::to_string(number) + " was acknowledged and is lost";
    }
    return "";
  }
  size_t duplicates() const {
    const std::vector<int> all = arrived();
    return all.size() - std::set<int>(all.begin(), all.end()).size();
  }

  io::SeededRandom random;
  SimLoop loop;
  SimClock clock{loop};
  uint64_t max_delay_ms = 20, broken_of_1000 = 0;
  io::LyingFiles files;
  SimProcesses processes{loop, [](const io::ProcessSpec&) { return ScriptedProcess{}; }};
  io::InlinePool pool;
  io::Env env{loop, clock, files, processes, random, pool, pool};
  net::FakeBroker broker{loop};
  SpoolOptions spool_options;
  int published = 0, answered = 0, refused = 0, ends = 0;
  std::string last_refusal;
  std::set<int> acknowledged;

  struct Device {
    explicit Device(SpoolWorld& world)
        : client(world.broker.client(session_options(true))),
          router(world.loop, *client),
          spool(world.env, router, "/device/spool", world.spool_options) {
      router.start({});
      spool.start();
    }
    std::unique_ptr<net::MqttClient> client;
    nucleus::MqttRouter router;
    Spool spool;
  };
  std::optional<Device> device;
};

TEST(SpoolSim, NothingIsWrittenWhileTheConnectionIsWell) {
  SpoolWorld world(1);
  world.run_for(1'000);
  const size_t before = world.files.operations().size();
  for (int i = 0; i < 100; ++i) world.publish();
  world.run_for(5'000);
  EXPECT_EQ(world.acknowledged.size(), 100u);
  EXPECT_EQ(world.arrived().size(), 100u);
  EXPECT_EQ(world.files.operations().size(), before);
}

TEST(SpoolSim, WhatWasAcknowledgedOfflineSurvivesAPowerCutAndGoesInOrder) {
  SpoolWorld world(1);
  world.run_for(1'000);
  world.broker.stop();
  for (int i = 0; i < 500; ++i) {
    world.publish();
    if (i % 50 == 0) world.run_for(10);
  }
  world.run_for(1'000);
  EXPECT_EQ(world.acknowledged.size(), 500u);
  world.lose_power(io::CrashPolicy::kDropUnsynced);
  world.boot();
  world.broker.start();
  world.run_for(5'000);
  world.publish();
  world.run_for(5'000);
  EXPECT_EQ(world.wrong(), "");
  EXPECT_EQ(world.arrived().size(), 501u);
  const auto left = world.files.list("/device/spool");
  ASSERT_TRUE(left);
  EXPECT_EQ(left->size(), 2u);  // the count, and a segment with nothing in it
}

// Opening writes, so a disk that fails for a moment is asked again, whether or not somebody has
// more to say; what is said meanwhile waits for what is kept.
TEST(SpoolSim, ADiskThatFailsForAMomentAtTheStartChangesNoOrder) {
  for (const bool publishes : {false, true}) {
    SpoolWorld world(1);
    world.run_for(1'000);
    world.broker.stop();
    for (int i = 0; i < 10; ++i) world.publish();
    world.run_for(1'000);
    ASSERT_EQ(world.acknowledged.size(), 10u);
    world.lose_power(io::CrashPolicy::kDropUnsynced);
    world.broker.start();
    world.files.fail_from(world.files.operations().size(), EIO);
    world.boot();
    world.run_for(1'500);
    if (publishes) world.publish();
    world.run_for(500);
    world.files.stop_failing();
    world.run_for(5'000);
    EXPECT_EQ(world.wrong(), "");
    EXPECT_EQ(world.arrived().size(), publishes ? 11u : 10u);
  }
}

TEST(SpoolSim, ADiskThatKeepsFailingKeepsNobodyFromTheBroker) {
  SpoolWorld world(1);
  world.run_for(1'000);
  world.lose_power(io::CrashPolicy::kDropUnsynced);
  world.files.fail_from(world.files.operations().size(), EIO);
  world.boot();
  world.run_for(10'000);
  world.publish();
  world.run_for(1'000);
  EXPECT_EQ(world.acknowledged.size(), 1u);
  EXPECT_EQ(world.arrived().size(), 1u);
}

TEST(SpoolSim, ABrokerThatDoesNotAnswerKeepsNoComponentWaiting) {
  SpoolWorld world(1);
  world.run_for(1'000);
  world.broker.hold(true);
  for (int i = 0; i < 10; ++i) world.publish();
  world.run_for(1'000);
  EXPECT_EQ(world.answered, 0);
  world.run_for(10'000);
  EXPECT_EQ(world.acknowledged.size(), 10u);
  world.publish();
  world.run_for(100);
  EXPECT_EQ(world.acknowledged.size(), 11u);
  world.broker.hold(false);
  world.run_for(5'000);
  EXPECT_EQ(world.wrong(), "");
  EXPECT_EQ(world.duplicates(), 0u);
}

TEST(SpoolSim, AFullSpoolRefusesAsTheReferenceDoesAndQos0MakesRoom) {
  SpoolWorld world(1, io::Lie::kNone, {.max_bytes = 20'000, .keeps_qos0 = true});
  world.run_for(1'000);
  world.broker.stop();
  world.run_for(100);
  for (int i = 0; i < 200; ++i) world.publish(0, 100);
  world.run_for(100);
  const int of_qos0 = static_cast<int>(world.acknowledged.size());
  EXPECT_EQ(of_qos0, 200);  // the newest of them are there
  world.acknowledged.clear();
  for (int i = 0; i < 200; ++i) world.publish(1, 100);
  world.run_for(100);
  EXPECT_GT(world.acknowledged.size(), 60u);
  EXPECT_LT(world.acknowledged.size(), 140u);
  EXPECT_EQ(world.answered, 400);
  world.publish(1, 30'000);
  EXPECT_EQ(world.last_refusal, "Message is larger than the size of message spool.");
  world.broker.start();
  world.run_for(10'000);
  EXPECT_EQ(world.wrong(), "");
}

TEST(SpoolSim, Qos0IsRefusedOfflineUnlessItIsToBeKept) {
  SpoolWorld world(1);
  world.broker.stop();
  world.run_for(100);
  world.publish(0);
  EXPECT_EQ(world.refused, 1);
}

TEST(SpoolSim, InMemoryNothingIsWritten) {
  SpoolWorld world(1, io::Lie::kNone, {.on_disk = false});
  world.broker.stop();
  world.run_for(100);
  for (int i = 0; i < 10; ++i) world.publish();
  world.run_for(100);
  EXPECT_EQ(world.acknowledged.size(), 10u);
  EXPECT_TRUE(world.files.operations().empty());
  world.broker.start();
  world.run_for(5'000);
  EXPECT_EQ(world.wrong(), "");
}

TEST(SpoolSim, ADiskThatTakesNothingIsSaidToTheComponentAndAffectsNobodyOnline) {
  SpoolWorld world(1);
  world.files.fail_from(0, ENOSPC);
  world.run_for(1'000);
  world.publish();
  world.run_for(1'000);
  EXPECT_EQ(world.arrived().size(), 1u);
  world.broker.stop();
  world.run_for(100);
  world.publish();
  world.run_for(100);
  EXPECT_EQ(world.acknowledged, std::set<int>{1});
  EXPECT_EQ(world.answered, 2);
  world.files.stop_failing();
  world.publish();
  world.run_for(100);
  EXPECT_EQ(world.acknowledged, (std::set<int>{1, 3}));
}

// A script with an outage, with the power going at operation `at`.
bool survives(size_t at, io::CrashPolicy policy, uint64_t seed, io::Lie lie, bool* crashed) {
  SpoolWorld world(seed, lie);
  world.files.crash_at(world.files.operations().size() + at);
  const auto say = [&](int messages) {
    for (int i = 0; i < messages; ++i) world.publish();
    world.run_for(30);
  };
  world.run_for(500);
  say(3);
  world.broker.stop();
  say(20);
  say(20);
  world.broker.start();
  world.run_for(60);
  say(40);
  world.run_for(300);
  *crashed = world.files.crashed();
  world.lose_power(policy);
  const size_t before = world.duplicates();
  world.boot();
  world.run_for(500);
  say(1);
  world.run_for(10'000);
  return world.wrong().empty() && world.duplicates() - before <= Spool::kUnmarked;
}

size_t losses(io::Lie lie) {
  size_t lost = 0;
  for (const auto policy : {io::CrashPolicy::kDropUnsynced, io::CrashPolicy::kSeeded}) {
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      bool crashed = true;
      for (size_t at = 0; crashed; ++at) lost += survives(at, policy, seed, lie, &crashed) ? 0 : 1;
    }
  }
  return lost;
}

TEST(SpoolSim, APowerCutAtAnyOperationLosesNothingThatWasAcknowledged) {
  EXPECT_EQ(losses(io::Lie::kNone), 0u);
}

TEST(SpoolSim, TheTestSeesADiskThatLies) {
  EXPECT_GT(losses(io::Lie::kSync), 0u);
  EXPECT_GT(losses(io::Lie::kDirectorySync), 0u);
}

TEST(SpoolSim, SeedsOfEverything) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SpoolWorld world(seed);
    for (int step = 0; step < 60; ++step) {
      world.broken_of_1000 = world.random.below(3) == 0 ? 30 : 0;
      world.max_delay_ms = 1 + world.random.below(100);
      switch (world.random.below(8)) {
        case 0:
          world.broker.stop();
          break;
        case 1:
        case 2:
          world.broker.start();
          break;
        case 3:
          if (world.random.below(4) == 0) {
            world.lose_power();
            world.boot();
          }
          break;
        default:
          for (uint64_t n = world.random.below(30); n > 0; --n) world.publish();
      }
      world.run_for(static_cast<int64_t>(world.random.below(3'000)));
    }
    world.broken_of_1000 = 0;
    world.broker.start();
    world.run_for(60'000);
    ASSERT_EQ(world.wrong(), "") << "seed " << seed;
    ASSERT_EQ(world.device->spool.waiting(), 0u) << "seed " << seed;
  }
}

}  // namespace
}  // namespace skerry::sim
