// Errors and restarts of components, from fleet statuses on MQTT to the store: each counts once.
#include "fleet/component_events.h"

#include <gtest/gtest.h>

#include "fleet/fleet_status.h"
#include "fleet/store_sql.h"
#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

using formats::ComponentFailure;
using formats::ComponentHistory;

constexpr int64_t kEventMs = 1'800'000'000'000;
const ThingName kDevice("d");

class ComponentEventsTest : public testing::Test {
 protected:
  ComponentEventsTest() : service(fleet.env, fleet.stores, fleet.link) {
    fleet.add_thing("d");
    fleet.link.start();
    fleet.mqtt.connect();
    fleet.clock.wall = kEventMs;
  }
  void hear(const std::optional<ComponentHistory>& history) {
    formats::FleetStatus status;
    status.thing = kDevice;
    status.history = history;
    fleet.clock.wall += 1'000;
    fleet.mqtt.receive(formats::fleet_status_topic(kDevice), to_text(status));
    fleet.settle();
  }
  static ComponentHistory said(const std::string& run, int64_t errors, int64_t restarts,
                               const std::string& component = "a") {
    return {run, {{ComponentName(component), errors, restarts}}, std::nullopt};
  }
  ComponentTrouble trouble() { return trouble_of(*fleet.store, kDevice, fleet.clock.wall).value(); }
  void expect(int64_t errors, int64_t restarts) {
    EXPECT_EQ(trouble().errors, errors);
    EXPECT_EQ(trouble().restarts, restarts);
  }

  TestFleet fleet;
  FleetStatusService service;
};

TEST_F(ComponentEventsTest, WhatIsNewCountsOnceHoweverOftenItIsSaid) {
  hear(said("r1", 4, 4));  // it may be years old
  expect(0, 0);
  EXPECT_EQ(trouble().since_ms, kEventMs + 1'000);
  hear(said("r1", 6, 5));
  hear(said("r1", 6, 5));
  hear(said("r1", 5, 4));  // was overtaken
  hear(said("r1", 6, 5));
  expect(2, 1);
}

TEST_F(ComponentEventsTest, AfterTheNucleusHasStartedAgainEverythingIsNew) {
  hear(said("r1", 0, 0));
  hear(said("r1", 2, 2));
  hear(said("r2", 1, 1));
  hear(said("r2", 3, 3));
  expect(5, 5);
}

TEST_F(ComponentEventsTest, ComponentsAreCountedApart) {
  hear(said("r1", 3, 3, "a"));
  hear(said("r1", 1, 1, "b"));  // a is not named: it has not changed
  hear(said("r1", 4, 3, "a"));
  expect(2, 1);
}

TEST_F(ComponentEventsTest, ADayLaterTheyAreHistory) {
  hear(said("r1", 0, 0));
  hear(said("r1", 2, 2));
  fleet.clock.wall += int64_t{24} * 3'600'000;
  expect(0, 0);
}

TEST_F(ComponentEventsTest, TheLastFailureStaysWhenTheDeviceIsWellAgain) {
  ComponentHistory history = said("r1", 1, 1);
  history.last_failure = ComponentFailure{ComponentName("a"), "1.0.0", "RUN_ERROR",
                                          "exit code 1",      5,       {"<b>no such file</b>"}};
  hear(history);
  hear(said("r2", 0, 0));
  EXPECT_EQ(trouble().last_failure, history.last_failure);
}

TEST_F(ComponentEventsTest, AStockNucleusSaysNothingOfIt) {
  hear(std::nullopt);
  EXPECT_EQ(trouble().since_ms, 0);
  EXPECT_TRUE(fleet.store->find_core_device(kDevice));
}

TEST_F(ComponentEventsTest, ADeviceThatInventsRestartsFillsNoDisk) {
  for (int64_t i = 0; i < 2 * kEventsOfThing; ++i) {
    ASSERT_TRUE(take_history(*fleet.store, kDevice, said("r1", i, i), kEventMs + i));
  }
  const auto rows = fleet.store->database().select(
      "SELECT at_ms FROM component_events", [](const Row& row) { return row.number("at_ms"); });
  ASSERT_TRUE(rows);
  EXPECT_EQ(static_cast<int64_t>(rows->size()), kEventsOfThing);
  EXPECT_EQ(rows->back(), kEventMs + 2 * kEventsOfThing - 1);
}

TEST_F(ComponentEventsTest, OldOnesAreForgottenAndThoseOfADeletedThing) {
  for (int64_t i = 0; i < 10; ++i) {
    ASSERT_TRUE(take_history(*fleet.store, kDevice, said("r1", i, i), kEventMs + i));
  }
  EXPECT_EQ(prune_events(*fleet.store, kEventMs + 5, 2).value_or(-1), 2);
  EXPECT_EQ(prune_events(*fleet.store, kEventMs + 5, 100).value_or(-1), 2);
  ASSERT_TRUE(fleet.store->delete_thing(kDevice));
  EXPECT_EQ(trouble().since_ms, 0);
  EXPECT_EQ(prune_events(*fleet.store, INT64_MAX, 100).value_or(-1), 0);
}

}  // namespace
}  // namespace skerry::fleet
