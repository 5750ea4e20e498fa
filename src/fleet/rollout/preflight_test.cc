// What a release would meet on each device: platform, capabilities, the device's other deployments,
// free disk; and that what is not known is not assumed.
#include "fleet/rollout/preflight.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fleet/rollout/rollouts.h"
#include "fleet/test_fleet.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;
using Kind = Concern::Kind;

const std::string kPreflightDigest(64, 'a');
constexpr int64_t kArtifactBytes = 100'000'000;

class PreflightTest : public testing::Test {
 protected:
  PreflightTest() {
    for (const char* name : {"a", "b", "c"}) fleet_.add_thing(name);
    fleet_.add_group("line", {"a", "b", "c"});
    publish("app", "1.0.0");
  }

  void publish(const std::string& name, const std::string& version, json manifest = json::object(),
               const json& dependencies = json::object()) {
    manifest["Lifecycle"]["Run"] = "true";
    const json recipe = {{"RecipeFormatVersion", "2020-01-25"},
                         {"ComponentName", name},
                         {"ComponentVersion", version},
                         {"ComponentDependencies", dependencies},
                         {"Manifests", {manifest}}};
    ASSERT_TRUE(fleet_.store->create_component(
        {ComponentName(name), version, recipe.dump(), "", "", "{}", 1}));
  }
  void report(const std::string& thing, const std::string& architecture = "amd64",
              const std::string& runtime = "skerry", int64_t free_bytes = int64_t{1} << 40) {
    CoreDevice device;
    device.thing = ThingName(thing);
    device.platform = "linux";
    device.architecture = architecture;
    device.runtime = runtime;
    device.nucleus_version = "2.16.0";
    device.free_disk_bytes = free_bytes;
    ASSERT_TRUE(fleet_.store->upsert_core_device(device));
  }
  void report_all() {
    for (const char* name : {"a", "b", "c"}) report(name);
  }
  static json deployment(const json& versions) {
    json components = json::object();
    for (const auto& [name, version] : versions.items()) {
      components[name] = {{"componentVersion", version}};
    }
    return {{"components", components}};
  }
  void deploy(const std::string& target, const json& versions) {
    json request = deployment(versions);
    request["targetArn"] = "arn:aws:iot:eu-west-1:000000000000:" + target;
    const auto made =
        fleet_.write([&](Store& store) { return fleet_.deployments.create(store, request); });
    ASSERT_TRUE(made) << made.error().message();
  }
  Preflight look(const json& request, const std::string& group = "line") {
    const auto document = formats::parse_deployment(request);
    EXPECT_TRUE(document) << document.error().message();
    auto found =
        preflight(*fleet_.store, {}, {formats::Target::Kind::kThingGroup, group}, *document);
    EXPECT_TRUE(found) << found.error().message();
    return found.value_or(Preflight{});
  }
  Preflight look_at(const json& versions) { return look(deployment(versions)); }

  TestFleet fleet_;
};

TEST_F(PreflightTest, DevicesThatCanTakeItAreReady) {
  report_all();
  const Preflight found = look_at({{"app", "1.0.0"}});
  EXPECT_EQ(found.ready, 3);
  EXPECT_TRUE(found.listed.empty());
}

TEST_F(PreflightTest, ADeviceThatNeverReportedIsUnknown) {
  report("a");
  report("c");
  const Preflight found = look_at({{"app", "1.0.0"}});
  EXPECT_EQ(found.ready, 2);
  EXPECT_EQ(found.unknown, 1);
  ASSERT_EQ(found.listed.size(), 1u);
  EXPECT_EQ(found.listed[0].thing.str(), "b");
  EXPECT_TRUE(found.listed[0].refuses.empty());
}

TEST_F(PreflightTest, AnotherPlatformRefuses) {
  publish("camera", "1.0.0", {{"Platform", {{"os", "linux"}, {"architecture", "aarch64"}}}});
  publish("vision", "1.0.0", json::object(), {{"camera", {{"VersionRequirement", ">=1.0.0"}}}});
  report_all();
  report("b", "aarch64");
  const Preflight found = look_at({{"vision", "1.0.0"}});  // a dependency's manifest counts as well
  EXPECT_EQ(found.ready, 1);
  ASSERT_EQ(found.refusing, 2);
  EXPECT_EQ(found.listed[0].thing.str(), "a");
  EXPECT_EQ(found.listed[0].refuses[0].kind, Kind::kPlatform);
  EXPECT_NE(found.listed[0].refuses[0].text.find("camera 1.0.0 has no manifest for"),
            std::string::npos);
}

TEST_F(PreflightTest, AnAttributeThatAStockNucleusDoesNotReportIsUnknown) {
  publish("camera", "1.0.0", {{"Platform", {{"os", "linux"}, {"gpu", "yes"}}}});
  report("a", "amd64", "aws_nucleus_classic");
  report("b");
  report("c");
  const Preflight found = look_at({{"camera", "1.0.0"}});
  EXPECT_EQ(found.unknown, 1);
  EXPECT_EQ(found.refusing, 2);
}

TEST_F(PreflightTest, WhatAnotherGroupWantsExcludesTheRelease) {
  publish("lib", "1.0.0");
  publish("lib", "2.0.0");
  publish("old", "1.0.0", json::object(), {{"lib", {{"VersionRequirement", "<2.0.0"}}}});
  report_all();
  fleet_.add_group("plant", {"b"});
  deploy("thinggroup/plant", {{"old", "1.0.0"}});
  deploy("thing/c", {{"lib", "1.0.0"}});
  const Preflight found = look_at({{"lib", "2.0.0"}});
  EXPECT_EQ(found.ready, 1);
  ASSERT_EQ(found.refusing, 2);
  EXPECT_EQ(found.listed[0].thing.str(), "b");
  EXPECT_EQ(found.listed[0].refuses[0].kind, Kind::kDependency);
  EXPECT_EQ(found.listed[1].refuses[0].text,
            "no version of lib satisfies everyone: thing/c wants =1.0.0, this release wants "
            "=2.0.0");
  // The target's own former deployment does not count: the release takes its place.
  deploy("thinggroup/line", {{"lib", "1.0.0"}});
  EXPECT_EQ(look_at({{"lib", "2.0.0"}}).refusing, 2);
}

TEST_F(PreflightTest, ADependencyIsChosenAgainWhereALaterOneWantsLess) {
  publish("lib", "1.0.0");
  publish("lib", "2.0.0");
  publish("first", "1.0.0", json::object(), {{"lib", {{"VersionRequirement", ">=1.0.0"}}}});
  publish("second", "1.0.0", json::object(), {{"lib", {{"VersionRequirement", "<2.0.0"}}}});
  report_all();
  EXPECT_EQ(look_at({{"first", "1.0.0"}, {"second", "1.0.0"}}).ready, 3);
}

TEST_F(PreflightTest, TheNucleusIsAComponentWithAVersion) {
  publish("new", "1.0.0", json::object(),
          {{"aws.greengrass.Nucleus", {{"VersionRequirement", ">=3.0.0"}}}});
  report_all();
  const Preflight found = look_at({{"new", "1.0.0"}});
  ASSERT_EQ(found.refusing, 3);
  EXPECT_EQ(found.listed[0].refuses[0].text,
            "new wants aws.greengrass.Nucleus >=3.0.0, the device has 2.16.0");
}

TEST_F(PreflightTest, WhatDoesNotFitTheDiskIsRefusedUnlessItIsThere) {
  ASSERT_TRUE(fleet_.store->put_object({.bucket = "b",
                                        .key = "k",
                                        .sha256 = kPreflightDigest,
                                        .size_bytes = static_cast<uint64_t>(kArtifactBytes),
                                        .modified_ms = 1}));
  publish("big", "1.0.0",
          {{"Artifacts", {{{"URI", "greengrass:" + kPreflightDigest + "/model.onnx"}}}}});
  report("a", "amd64", "skerry", kArtifactBytes + (int64_t{20} << 20));
  report("b", "amd64", "skerry", kArtifactBytes + (int64_t{10} << 20));  // the reserve is kept
  report("c", "amd64", "aws_nucleus_lite", -1);
  Preflight found = look_at({{"big", "1.0.0"}});
  EXPECT_EQ(found.ready, 1);
  ASSERT_EQ(found.refusing, 1);
  EXPECT_EQ(found.listed[0].thing.str(), "b");
  EXPECT_EQ(found.listed[0].refuses[0].kind, Kind::kDisk);
  ASSERT_EQ(found.unknown, 1);
  EXPECT_EQ(found.listed[1].thing.str(), "c");
  EXPECT_EQ(found.listed[1].unknown[0].kind, Kind::kDisk);
  InstalledComponent installed;
  installed.name = ComponentName("big");
  installed.version = "1.0.0";
  ASSERT_TRUE(fleet_.store->replace_installed_components(ThingName("b"), {installed}));
  found = look_at({{"big", "1.0.0"}});
  EXPECT_EQ(found.ready, 2);
}

TEST_F(PreflightTest, CapabilitiesAreThoseOfTheNucleusThatReports) {
  report_all();
  report("a", "amd64", "aws_nucleus_lite");
  json request = deployment({{"app", "1.0.0"}});
  request["components"]["app"]["runWith"] = {{"systemResourceLimits", {{"memory", 1000}}}};
  const Preflight found = look(request);
  EXPECT_EQ(found.ready, 2);
  ASSERT_EQ(found.unknown, 1);
  EXPECT_EQ(found.listed[0].unknown[0].kind, Kind::kCapability);
  request["requiredCapabilities"] = {"TELEPATHY"};
  EXPECT_EQ(look(request).refusing, 2);
}

// The bytes of a release are what a site's bandwidth is shared by.
TEST_F(PreflightTest, ARolloutKnowsHowManyBytesItBrings) {
  ASSERT_TRUE(fleet_.store->put_object({.bucket = "b",
                                        .key = "k",
                                        .sha256 = kPreflightDigest,
                                        .size_bytes = static_cast<uint64_t>(kArtifactBytes),
                                        .modified_ms = 1}));
  publish("big", "1.0.0",
          {{"Artifacts", {{{"URI", "greengrass:" + kPreflightDigest + "/model.onnx"}}}}});
  json request = deployment({{"big", "1.0.0"}});
  request["targetArn"] = "arn:aws:iot:eu-west-1:000000000000:thinggroup/line";
  const auto plan = parse_plan(json::parse(
      R"({"stages": [{"percent": 100}], "site": {"attribute": "plant", "maxBytesPerSecond": 1000}})"));
  ASSERT_TRUE(plan);
  const auto made =
      fleet_.write([&](Store& store) { return fleet_.deployments.create(store, request, *plan); });
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(find_rollout(*fleet_.store, made->id)->release_bytes, kArtifactBytes);
}

TEST_F(PreflightTest, ListsAreShortAndCountsAreWhole) {
  std::vector<std::string> names;
  for (int i = 0; i < 1'500; ++i) {
    names.push_back("d" + std::to_string(i));
    fleet_.add_thing(names.back());
  }
  fleet_.add_group("many", names);
  const Preflight found = look(deployment({{"app", "1.0.0"}}), "many");
  EXPECT_EQ(found.unknown, 1'500);
  EXPECT_EQ(found.listed.size(), Preflight::kListed);
}

}  // namespace
}  // namespace skerry::fleet::rollout
