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

TEST_F(OverviewTest, ADeploymentIsFoundByWhatItBringsUntilItIsDeleted) {
  for (const char* id : {"1", "2", "3"}) {
    Deployment deployment;
    deployment.id = DeploymentId(id);
    deployment.job_id = JobId(std::string("j") + id);
    deployment.target_arn = "arn";
    deployment.request_json = std::string(R"({"components": {"com.example.A": {)") +
                              R"("componentVersion": "1.0.)" + id + R"("}, "other": {}}})";
    ASSERT_TRUE(fleet_.store->create_deployment(deployment));
  }
  ASSERT_TRUE(fleet_.store->delete_deployment(DeploymentId("2")));
  const auto found = deployments_of_component(*fleet_.store, ComponentName("com.example.A"), 10);
  ASSERT_TRUE(found) << found.error().message();
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ((*found)[0].version, "1.0.3") << "the newest first";
  EXPECT_TRUE((*found)[0].is_latest);
  EXPECT_EQ((*found)[1].version, "1.0.1");
  EXPECT_FALSE((*found)[1].is_latest);
  EXPECT_EQ(deployments_of_component(*fleet_.store, ComponentName("com.example.A"), 1)->size(), 1U);
  EXPECT_TRUE(deployments_of_component(*fleet_.store, ComponentName("com.example.B"), 10)->empty());
}

TEST_F(OverviewTest, VersionsAreCountedOfOneComponentOrOfAll) {
  for (const char* thing : {"sick", "well"}) {
    InstalledComponent a{.name = ComponentName("a"), .version = "1.0.0", .state = "RUNNING"};
    InstalledComponent b{.name = ComponentName("b"), .version = "2.0.0", .state = "BROKEN"};
    ASSERT_TRUE(fleet_.store->replace_installed_components(ThingName(thing), {a, b}));
  }
  EXPECT_EQ(count_versions(*fleet_.store, {}, 10)->size(), 2U);
  const auto of_b = count_versions(*fleet_.store, ComponentName("b"), 10);
  ASSERT_TRUE(of_b) << of_b.error().message();
  ASSERT_EQ(of_b->size(), 1U);
  EXPECT_EQ(of_b->front().devices, 2);
  EXPECT_EQ(of_b->front().broken, 2);
}

}  // namespace
}  // namespace skerry::fleet
