// What an overview counts as what.
#include "fleet/overview_store.h"

#include <gtest/gtest.h>

#include "fleet/store_presence.h"
#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

class OverviewTest : public testing::Test {
 protected:
  OverviewTest() {
    for (const char* name : {"gone", "new", "sick", "well"}) fleet_.add_thing(name);
    report("gone", true);
    report("sick", false);
    report("well", true);
    change("well", {.what = PresenceChange::What::kConnected});
    change("gone", {.what = PresenceChange::What::kDisconnected, .is_unreachable = true});
  }
  void report(const char* thing, bool healthy) {
    CoreDevice device;
    device.thing = ThingName(thing);
    device.healthy = healthy;
    device.last_status_ms = 1000;
    EXPECT_TRUE(fleet_.store->upsert_core_device(device));
  }
  void change(const char* thing, PresenceChange one) {
    one.thing = ThingName(thing);
    one.now_ms = one.seen_ms = 2000;
    EXPECT_TRUE(record_presence(*fleet_.store, {one}));
  }
  std::vector<std::string> with(const std::string& status) {
    std::vector<std::string> names;
    auto found = find_devices(*fleet_.store, {.status = status}, {});
    EXPECT_TRUE(found);
    for (const DeviceRow& row : found->items) names.push_back(row.thing.str());
    return names;
  }

  TestFleet fleet_;
};

TEST_F(OverviewTest, WhoIsAwayForTooLongIsNotHealthyWhateverItSaidLast) {
  const auto counts = count_fleet(*fleet_.store);
  ASSERT_TRUE(counts) << counts.error().message();
  EXPECT_EQ(counts->healthy, 1);
  EXPECT_EQ(counts->unhealthy, 1);
  EXPECT_EQ(counts->unreachable, 1);
  EXPECT_EQ(counts->new_ones, 1);
  EXPECT_EQ(with("UNREACHABLE"), std::vector<std::string>{"gone"});
  EXPECT_EQ(with("HEALTHY"), std::vector<std::string>{"well"});
  EXPECT_EQ(with("UNHEALTHY"), std::vector<std::string>{"sick"});
  EXPECT_EQ(with("NEW"), std::vector<std::string>{"new"});
  EXPECT_EQ(with("").size(), 4U);
}

TEST_F(OverviewTest, PagesGoOnWhereTheLastOneEnded) {
  auto first = find_devices(*fleet_.store, {}, {.limit = 3});
  ASSERT_TRUE(first);
  ASSERT_EQ(first->items.size(), 3U);
  auto rest = find_devices(*fleet_.store, {}, {.limit = 3, .after = first->next});
  ASSERT_EQ(rest->items.size(), 1U);
  EXPECT_EQ(rest->items[0].thing.str(), "well");
  EXPECT_EQ(rest->next, "");
}

}  // namespace
}  // namespace skerry::fleet
