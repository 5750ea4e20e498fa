// Caps of sites: how many devices of one are at work at once, and how fast it downloads.
#include <gtest/gtest.h>

#include <map>

#include "fleet/rollout/rollout_fixture.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;

class SitesOfRollout : public RolloutTest {
 protected:
  void move(size_t device, const std::string& attributes) {
    ASSERT_TRUE(fleet_.store->update_thing(ThingName(in_order_[device]), attributes));
  }
  // Devices by turns at the sites; "" has no attribute.
  void spread(const std::vector<std::string>& sites) {
    for (size_t i = 0; i < in_order_.size(); ++i) {
      const std::string& site = sites[i % sites.size()];
      move(i, site.empty() ? "{}" : json{{"plant", site}}.dump());
    }
  }
  Deployment start_capped(const std::string& caps, const std::string& more = "",
                          const json& components = json::object()) {
    return start(R"({"site": {"attribute": "plant", )" + caps + "}, " + more +
                     R"("stages": [{"percent": 100}]})",
                 "thinggroup/g", components);
  }
  // How many are at work, by site.
  std::map<std::string, int> at_work(const Deployment& release) {
    std::map<std::string, int> sites;
    for (const ExecutionStatus status : {ExecutionStatus::kQueued, ExecutionStatus::kInProgress}) {
      for (const std::string& device : with(release.job_id, status)) {
        const auto thing = fleet_.store->find_thing(ThingName(device));
        ++sites[json::parse(thing->attributes_json).value("plant", "")];
      }
    }
    return sites;
  }
};

TEST_F(SitesOfRollout, DevicesWithoutTheAttributeAreOneSite) {
  spread({"a", "", "b", ""});
  const auto release = start_capped(R"("maxConcurrent": 3)");
  tick(release);
  EXPECT_EQ(at_work(release), (std::map<std::string, int>{{"", 3}, {"a", 3}, {"b", 3}}));
}

TEST_F(SitesOfRollout, NoSiteIsEverAboveItsCapUntilAllAreDone) {
  spread({"a", "a", "a", "b", ""});
  const auto release = start_capped(R"("maxConcurrent": 2)");
  for (int i = 0; i < 200 && with(release.job_id, ExecutionStatus::kSucceeded).size() < kDevices;
       ++i) {
    tick(release);
    for (const auto& [site, count] : at_work(release)) EXPECT_LE(count, 2) << site;
    const auto queued = with(release.job_id, ExecutionStatus::kQueued);
    const auto begun = with(release.job_id, ExecutionStatus::kInProgress);
    if (!queued.empty()) report(release.job_id, *queued.begin(), ExecutionStatus::kInProgress);
    if (!begun.empty()) report(release.job_id, *begun.begin(), ExecutionStatus::kSucceeded);
  }
  EXPECT_EQ(with(release.job_id, ExecutionStatus::kSucceeded).size(), size_t{kDevices});
}

TEST_F(SitesOfRollout, SmallBatchesLeaveNobodyOut) {
  rollouts_.emplace(fleet_.deployments, 4);
  spread({"a", "a", "a", "a", "a", "b"});
  const auto release = start_capped(R"("maxConcurrent": 1)");
  for (int i = 0; i < 100; ++i) {
    tick(release);
    for (const auto& [site, count] : at_work(release)) EXPECT_LE(count, 1) << site;
    answer_all(release.job_id, ExecutionStatus::kSucceeded);
  }
  EXPECT_EQ(with(release.job_id, ExecutionStatus::kSucceeded).size(), size_t{kDevices});
}

TEST_F(SitesOfRollout, ADeviceThatMovesCountsWhereItIsNow) {
  spread({"a", "b"});
  const auto release = start_capped(R"("maxConcurrent": 1)");
  tick(release);
  EXPECT_EQ(with(release.job_id), first(2));  // one of a, one of b
  move(0, R"({"plant": "b"})");               // b has two at work, a has none
  tick(release);
  Names asked = first(3);  // the next of a
  EXPECT_EQ(with(release.job_id), asked);
  report(release.job_id, in_order_[0], ExecutionStatus::kSucceeded);
  tick(release);
  EXPECT_EQ(with(release.job_id), asked);  // the other of b is still at work
  report(release.job_id, in_order_[1], ExecutionStatus::kSucceeded);
  tick(release);
  asked.insert(in_order_[3]);
  EXPECT_EQ(with(release.job_id), asked);
}

TEST_F(SitesOfRollout, AnAttributeThatIsRemovedOrNoTextIsNoSite) {
  spread({"a"});
  move(1, "{}");
  move(2, R"({"other": "a"})");
  move(3, R"({"plant": ""})");
  const auto release = start_capped(R"("maxConcurrent": 1)");
  tick(release);
  EXPECT_EQ(with(release.job_id), first(2));
}

TEST_F(SitesOfRollout, ASilentDeviceGivesItsPlaceAway) {
  spread({"a"});
  const auto release = start_capped(R"("maxConcurrent": 1)",
                                    R"("silenceTimeoutSeconds": 100, "onFailure": "pause",)");
  tick(release);
  EXPECT_EQ(with(release.job_id), first(1));
  tick(release, 99);
  EXPECT_EQ(with(release.job_id), first(1));
  tick(release, 2);
  EXPECT_EQ(with(release.job_id), first(2));
}

TEST_F(SitesOfRollout, RetriesKeepTheCap) {
  spread({"a"});
  const auto release = start_capped(R"("maxConcurrent": 2)", R"("onFailure": "pause",
      "retry": {"attempts": 5, "delaySeconds": 100},)");
  for (int i = 0; i < 5; ++i) {
    tick(release);
    EXPECT_LE(at_work(release)["a"], 2);
    answer_all(release.job_id, ExecutionStatus::kFailed);
  }
  tick(release, 200);  // all of them are due
  EXPECT_EQ(at_work(release)["a"], 2);
}

class SiteBandwidth : public SitesOfRollout {
 protected:
  // A component with an artifact of so many bytes.
  json component(uint64_t bytes) {
    ArtifactObject object;
    object.bucket = "bucket";
    object.key = "model.onnx";
    object.sha256 = std::string(64, 'a');
    object.size_bytes = bytes;
    EXPECT_TRUE(fleet_.store->put_object(object));
    const json recipe = {
        {"RecipeFormatVersion", "2020-01-25"},
        {"ComponentName", "com.example.Big"},
        {"ComponentVersion", "1.0.0"},
        {"Manifests",
         {{{"Lifecycle", json::object()},
           {"Artifacts", {{{"URI", "greengrass:" + std::string(64, 'a') + "/model.onnx"}}}}}}}};
    EXPECT_TRUE(fleet_.store->create_component(
        {ComponentName("com.example.Big"), "1.0.0", recipe.dump(), "", "", "{}", 1}));
    return {{"com.example.Big", {{"componentVersion", "1.0.0"}}}};
  }
};

TEST_F(SiteBandwidth, AnArtifactLargerThanAMinuteTakesItsTime) {
  spread({"a", "b"});
  // 10 GB at 1 MB/s: 10,000 s for each device of a site.
  const auto release =
      start_capped(R"("maxBytesPerSecond": 1000000)", R"("silenceTimeoutSeconds": 0,
      "inProgressTimeoutSeconds": 0,)",
                   component(10'000'000'000));
  EXPECT_EQ(record(release).release_bytes, 10'000'000'000);
  tick(release);
  EXPECT_EQ(with(release.job_id), first(2));
  answer_all(release.job_id, ExecutionStatus::kSucceeded);
  tick(release, 9'998);
  EXPECT_EQ(with(release.job_id), first(2));
  tick(release, 2);
  EXPECT_EQ(with(release.job_id), first(4));
}

TEST_F(SiteBandwidth, AReleaseWithoutArtifactsIsNotHeldBack) {
  spread({"a"});
  const auto release = start_capped(R"("maxBytesPerSecond": 1)");
  tick(release);
  EXPECT_EQ(with(release.job_id).size(), size_t{kDevices});
}

TEST_F(SiteBandwidth, BothCapsHold) {
  spread({"a"});
  const auto release =
      start_capped(R"("maxConcurrent": 1, "maxBytesPerSecond": 1000)", "", component(10'000));
  tick(release);
  EXPECT_EQ(with(release.job_id), first(1));
  tick(release, 60);  // it could have downloaded, but is at work
  EXPECT_EQ(with(release.job_id), first(1));
  report(release.job_id, in_order_[0], ExecutionStatus::kSucceeded);
  tick(release);
  EXPECT_EQ(with(release.job_id), first(2));
  report(release.job_id, in_order_[1], ExecutionStatus::kSucceeded);
  tick(release, 5);  // it has ended, but its ten seconds have not passed
  EXPECT_EQ(with(release.job_id), first(2));
  tick(release, 5);
  EXPECT_EQ(with(release.job_id), first(3));
}

}  // namespace
}  // namespace skerry::fleet::rollout
