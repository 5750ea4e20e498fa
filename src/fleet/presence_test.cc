// Who is there, as the broker's lines, restarts and moving clocks say.
#include "fleet/presence.h"

#include <gtest/gtest.h>

#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

constexpr int64_t kUnreachableAfterMs = 500;
constexpr int64_t kPresenceDeadlineMs = 30'000;

class PresenceTest : public testing::Test {
 protected:
  PresenceTest() {
    for (const char* thing : {"a", "b", "c"}) fleet.add_thing(thing);
    start();
  }
  // A control plane's start: a link and what listens to it are new, the store is as it was.
  void start() {
    service.reset();
    link.reset();
    link = std::make_unique<DeviceLink>(mqtt.client());
    service.emplace(fleet.env, fleet.stores, *link, kUnreachableAfterMs);
    bool loaded = false;
    io::TaskScope scope;
    scope.spawn([](PresenceService& service, bool& loaded) -> io::Task<void> {
      loaded = (co_await service.load()).has_value();
    }(*service, loaded));
    ASSERT_TRUE(loaded);
    link->start();
  }
  void say(const std::string& lines) { mqtt.receive("$skerry/presence", lines); }
  DevicePresence of(const std::string& thing) {
    return presence_of(*fleet.store, ThingName(thing)).value();
  }
  bool until(const std::function<bool()>& done) {
    io::RealClock clock;
    const int64_t deadline = clock.monotonic_ms() + kPresenceDeadlineMs;
    while (!done()) {
      if (clock.monotonic_ms() > deadline) return false;
      fleet.loop.run_for(50);
    }
    return true;
  }

  TestFleet fleet;
  MemoryBroker& mqtt = fleet.mqtt;
  std::unique_ptr<DeviceLink> link;
  std::optional<PresenceService> service;
};

TEST_F(PresenceTest, AListAndWhatComesAfterItAreStored) {
  mqtt.connect();
  const auto sent = mqtt.take_sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].topic, "$skerry/presence/get");
  say("=\n+a\n+b\n");
  say("+unregistered\n.\n");
  ASSERT_TRUE(until([&] { return of("b").connected; }));
  EXPECT_TRUE(of("a").connected);
  EXPECT_EQ(of("a").since_ms, fleet.clock.wall);
  EXPECT_FALSE(of("c").connected);
  EXPECT_EQ(of("c").last_seen_ms, 0);
  fleet.clock.wall += 5'000;
  say("-a\n+c\n");
  ASSERT_TRUE(until([&] { return of("c").connected; }));
  EXPECT_FALSE(of("a").connected);
  EXPECT_EQ(of("a").last_seen_ms, fleet.clock.wall);
  EXPECT_TRUE(of("b").connected);
}

TEST_F(PresenceTest, WhoIsAwayForTooLongIsUnreachableUntilItComesBack) {
  mqtt.connect();
  say("=\n+a\n+b\n.\n");
  say("-a\n");
  ASSERT_TRUE(until([&] { return of("a").unreachable; }));
  EXPECT_FALSE(of("b").unreachable);
  EXPECT_FALSE(of("c").unreachable);  // never was there
  say("+a\n");
  ASSERT_TRUE(until([&] { return of("a").connected; }));
  EXPECT_FALSE(of("a").unreachable);
}

TEST_F(PresenceTest, AClockThatStepsMakesNobodyUnreachable) {
  mqtt.connect();
  say("=\n+a\n+b\n.\n-b\n");
  ASSERT_TRUE(until([&] { return of("a").connected; }));
  for (const int64_t step_ms : {int64_t{20} * 365 * 86'400'000, int64_t{-50} * 365 * 86'400'000}) {
    fleet.clock.wall += step_ms;
    say("-a\n");
    say("+b\n");
    ASSERT_TRUE(until([&] { return !of("a").connected && of("b").connected; }));
    EXPECT_FALSE(of("a").unreachable);
    say("+a\n-b\n");
    ASSERT_TRUE(until([&] { return of("a").connected; }));
    EXPECT_FALSE(of("b").unreachable);
  }
}

TEST_F(PresenceTest, ARestartCorrectsWhatIsKnownAndCountsAnew) {
  mqtt.connect();
  say("=\n+a\n+b\n.\n");
  ASSERT_TRUE(until([&] { return of("b").connected; }));
  const int64_t known_ms = fleet.clock.wall;
  start();
  fleet.clock.wall += 3'600'000;
  mqtt.connect();
  EXPECT_TRUE(of("b").connected);  // until the broker has said otherwise
  say("=\n+a\n.\n");
  ASSERT_TRUE(until([&] { return !of("b").connected; }));
  EXPECT_TRUE(of("a").connected);
  EXPECT_EQ(of("b").last_seen_ms, known_ms);
  EXPECT_FALSE(of("b").unreachable);
  ASSERT_TRUE(until([&] { return of("b").unreachable; }));
  start();
  EXPECT_TRUE(of("b").unreachable);  // it still is
}

TEST_F(PresenceTest, WithoutTheBrokerNobodyBecomesUnreachable) {
  mqtt.connect();
  say("=\n+a\n.\n-a\n");
  mqtt.disconnect();
  io::RealClock clock;
  const int64_t start_ms = clock.monotonic_ms();
  ASSERT_TRUE(until([&] { return clock.monotonic_ms() > start_ms + 4 * kUnreachableAfterMs; }));
  EXPECT_FALSE(of("a").unreachable);
  mqtt.connect();
  say("=\n.\n");
  EXPECT_TRUE(until([&] { return of("a").unreachable; }));
}

TEST_F(PresenceTest, ADeletedThingIsForgotten) {
  mqtt.connect();
  say("=\n+a\n+b\n.\n");
  ASSERT_TRUE(until([&] { return of("b").connected; }));
  ASSERT_TRUE(fleet.write([](Store& store) { return store.delete_thing(ThingName("a")); }));
  say("-a\n-b\n");
  ASSERT_TRUE(until([&] { return !of("b").connected; }));
  EXPECT_EQ(all_presence(*fleet.store)->size(), 1u);
}

TEST_F(PresenceTest, TenThousandThatComeBackAtOnceAreStoredTogether) {
  ASSERT_TRUE(fleet.write([](Store& store) -> Result<void> {
    for (int i = 0; i < 10'000; ++i) {
      const std::string name = "t" + std::to_string(i);
      SKERRY_TRY(store.create_thing({.name = ThingName(name), .id = name}));
    }
    return {};
  }));
  mqtt.connect();
  std::string lines = "=\n";
  for (int i = 0; i < 10'000; ++i) lines += "+t" + std::to_string(i) + "\n";
  say(lines + ".\n");
  ASSERT_TRUE(until([&] { return of("t9999").connected; }));
  EXPECT_EQ(all_presence(*fleet.store)->size(), 10'000u);
}

}  // namespace
}  // namespace skerry::fleet
