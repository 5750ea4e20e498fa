// Two copies of a shadow come together: by examples, and by many histories.
#include "nucleus/shadow_merge.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/random.h"

namespace skerry::nucleus {
namespace {

using formats::Shadow;
using nlohmann::json;
using Act = ShadowPlan::Act;

// "" for one that is not there.
Shadow shadow(const std::string& state) {
  if (state.empty()) return {};
  return *parse_shadow_document({{"version", 3}, {"state", json::parse(state)}});
}

std::string text(const formats::JsonPtr& value) {
  return value ? value->dump() : "";
}

json state_of(const Shadow& shadow) {
  return {shadow.desired.state ? *shadow.desired.state : json::object(),
          shadow.reported.state ? *shadow.reported.state : json::object()};
}

// `shadow` after the change.
Shadow carried_out(const Shadow& before, const ShadowPlan::Change& change) {
  if (change.act == Act::kNothing) return before;
  if (change.act == Act::kDelete) return {.version = before.version, .deleted = true};
  const auto update = formats::parse_shadow_update(json{{"state", *change.state}}.dump());
  EXPECT_TRUE(update);
  return *formats::apply_shadow_update(before, *update, 1);
}

TEST(ShadowMergeTest, WhatOneSideChangedCountsAndBothSidesHaveAKindThatIsTheirs) {
  const Shadow agreed = shadow(R"({"desired":{"a":1,"b":{"x":1,"y":1}},"reported":{"a":1,"b":1}})");
  const Shadow device =
      shadow(R"({"desired":{"a":2,"b":{"x":1,"y":1,"z":3}},"reported":{"a":2,"b":1,"c":5}})");
  const Shadow cloud = shadow(R"({"desired":{"a":3,"b":{"x":4}},"reported":{"a":3}})");
  const ShadowPlan plan = plan_shadow(ShadowDirection::kBoth, agreed, device, cloud);
  EXPECT_EQ(text(plan.agreed.desired.state), R"({"a":3,"b":{"x":4,"z":3}})");
  EXPECT_EQ(text(plan.agreed.reported.state), R"({"a":2,"c":5})");
  EXPECT_EQ(text(plan.device.state),
            R"({"desired":{"a":3,"b":{"x":4,"y":null}},"reported":{"b":null}})");
  EXPECT_EQ(text(plan.cloud.state), R"({"desired":{"b":{"z":3}},"reported":{"a":2,"c":5}})");
}

TEST(ShadowMergeTest, TheFirstMeetingKeepsWhatBothHave) {
  const ShadowPlan plan = plan_shadow(ShadowDirection::kBoth, {}, shadow(R"({"reported":{"a":1}})"),
                                      shadow(R"({"desired":{"b":1},"reported":{"a":2}})"));
  EXPECT_EQ(text(plan.device.state), R"({"desired":{"b":1}})");
  EXPECT_EQ(text(plan.cloud.state), R"({"reported":{"a":1}})");
}

TEST(ShadowMergeTest, OneThatIsMissingIsMadeAtFirstAndWasDeletedLater) {
  const Shadow none, one = shadow(R"({"reported":{"a":1}})");
  using enum ShadowDirection;
  struct Case {
    ShadowDirection direction;
    Shadow agreed, device, cloud;
    Act on_device, on_cloud;
  };
  const Case cases[] = {{kBoth, none, one, none, Act::kNothing, Act::kUpdate},
                        {kBoth, none, none, one, Act::kUpdate, Act::kNothing},
                        {kBoth, one, one, none, Act::kDelete, Act::kNothing},
                        {kBoth, one, none, one, Act::kNothing, Act::kDelete},
                        {kBoth, one, none, none, Act::kNothing, Act::kNothing},
                        {kDeviceToCloud, one, one, none, Act::kNothing, Act::kUpdate},
                        {kDeviceToCloud, one, none, one, Act::kNothing, Act::kDelete},
                        {kDeviceToCloud, none, none, one, Act::kNothing, Act::kNothing},
                        {kCloudToDevice, one, none, one, Act::kUpdate, Act::kNothing},
                        {kCloudToDevice, one, one, none, Act::kDelete, Act::kNothing},
                        {kCloudToDevice, none, one, none, Act::kNothing, Act::kNothing}};
  for (const Case& one_case : cases) {
    SCOPED_TRACE(&one_case - cases);
    const ShadowPlan plan =
        plan_shadow(one_case.direction, one_case.agreed, one_case.device, one_case.cloud);
    EXPECT_EQ(plan.device.act, one_case.on_device);
    EXPECT_EQ(plan.cloud.act, one_case.on_cloud);
  }
}

TEST(ShadowMergeTest, ADirectionNeverChangesItsSource) {
  const Shadow agreed = shadow(R"({"desired":{"a":1},"reported":{"a":1}})");
  const Shadow device = shadow(R"({"desired":{"a":2},"reported":{"a":2}})");
  const Shadow cloud = shadow(R"({"desired":{"a":3,"b":1},"reported":{"a":3}})");
  const ShadowPlan up = plan_shadow(ShadowDirection::kDeviceToCloud, agreed, device, cloud);
  EXPECT_EQ(up.device.act, Act::kNothing);
  EXPECT_EQ(text(up.cloud.state), R"({"desired":{"a":2,"b":null},"reported":{"a":2}})");
  const ShadowPlan down = plan_shadow(ShadowDirection::kCloudToDevice, agreed, device, cloud);
  EXPECT_EQ(down.cloud.act, Act::kNothing);
  EXPECT_EQ(text(down.device.state), R"({"desired":{"a":3,"b":1},"reported":{"a":3}})");
}

TEST(ShadowMergeTest, AShadowInWhichNothingIsIsMadeOnTheOtherSideToo) {
  const ShadowPlan plan = plan_shadow(ShadowDirection::kBoth, {}, shadow(R"({"desired":{}})"), {});
  EXPECT_EQ(plan.cloud.act, Act::kUpdate);
  EXPECT_TRUE(carried_out({}, plan.cloud).exists());
  EXPECT_TRUE(plan.agreed.exists());
}

TEST(ShadowMergeTest, WhatIsNoDocumentIsNone) {
  for (const char* text : {"[]", "{}", R"({"version":1})", R"({"version":0,"state":{}})",
                           R"({"version":"1","state":{}})", R"({"version":1,"state":[]})",
                           R"({"version":1,"state":{"desired":3}})"}) {
    EXPECT_FALSE(parse_shadow_document(json::parse(text))) << text;
  }
}

// A few keys, two levels, small values: what meets often.
json random_state(io::Random& random, int depth = 0) {
  json object = json::object();
  for (const char* key : {"a", "b", "c"}) {
    const uint64_t draw = random.below(5);
    if (draw == 0) continue;
    object[key] = draw == 1 && depth < 2 ? random_state(random, depth + 1) : json(draw % 3);
  }
  return object;
}

Shadow random_shadow(io::Random& random) {
  if (random.below(6) == 0) return {};
  return *parse_shadow_document(
      {{"version", 2},
       {"state", {{"desired", random_state(random)}, {"reported", random_state(random)}}}});
}

TEST(ShadowMergeTest, BothSidesAgreeAfterAPlanAlsoAfterHalfOfOneAndTheWhole) {
  io::SeededRandom random(7);
  for (int round = 0; round < 3'000; ++round) {
    SCOPED_TRACE(round);
    const Shadow agreed = random_shadow(random), device = random_shadow(random),
                 cloud = random_shadow(random);
    const ShadowPlan plan = plan_shadow(ShadowDirection::kBoth, agreed, device, cloud);
    const Shadow device_after = carried_out(device, plan.device);
    const Shadow cloud_after = carried_out(cloud, plan.cloud);
    EXPECT_EQ(device_after.exists(), cloud_after.exists());
    EXPECT_EQ(state_of(device_after), state_of(cloud_after));
    EXPECT_EQ(plan.agreed.exists(), device_after.exists());
    EXPECT_EQ(state_of(plan.agreed), state_of(device_after));
    const ShadowPlan settled =
        plan_shadow(ShadowDirection::kBoth, plan.agreed, device_after, cloud_after);
    EXPECT_EQ(settled.device.act, Act::kNothing);
    EXPECT_EQ(settled.cloud.act, Act::kNothing);
    if (!cloud_after.exists()) continue;  // the deletion of one side alone is seen from there
    const ShadowPlan rest = plan_shadow(ShadowDirection::kBoth, agreed, device, cloud_after);
    EXPECT_EQ(state_of(carried_out(device, rest.device)), state_of(device_after));
    EXPECT_EQ(rest.cloud.act, Act::kNothing);
  }
}

}  // namespace
}  // namespace skerry::nucleus
