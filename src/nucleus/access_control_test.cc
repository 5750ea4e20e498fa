// Tables of policies: what they allow, and that mistakes in them never do.
#include "nucleus/access_control.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nucleus/test_config.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

struct MatchCase {
  const char* pattern;
  const char* resource;
  bool plain;  // matches as a resource of pubsub
  bool mqtt;   // … of mqttproxy
};

TEST(AccessControl, ResourcesMatchByTable) {
  for (const MatchCase& c : {
           MatchCase{"a/b", "a/b", true, true},
           MatchCase{"a/b", "a/b/c", false, false},
           MatchCase{"a/b", "A/B", false, false},
           MatchCase{"*", "", true, true},
           MatchCase{"*", "a/b/c", true, true},
           MatchCase{"a/*", "a/b/c", true, true},
           MatchCase{"a/*", "a", false, false},
           MatchCase{"a*c", "abbbc", true, true},
           MatchCase{"a*c", "abbb", false, false},
           MatchCase{"*/x/*", "1/2/x/3", true, true},
           MatchCase{"a/*", "a/#", true, true},
           MatchCase{"a${*}b", "a*b", true, true},
           MatchCase{"a${*}b", "axb", false, false},
           MatchCase{"${?}${$}", "?$", true, true},
           MatchCase{"$aws/things/*", "$aws/things/t/jobs", true, true},
           MatchCase{"${other}", "${other}", true, true},
           // MQTT wildcards
           MatchCase{"a/+/c", "a/b/c", false, true},
           MatchCase{"a/+/c", "a//c", false, true},
           MatchCase{"a/+/c", "a/b/b/c", false, false},
           MatchCase{"a/+/c", "a/+/c", true, true},
           MatchCase{"a/+", "a/#", false, false},
           MatchCase{"a/#", "a/b/c", false, true},
           MatchCase{"a/#", "a", false, true},
           MatchCase{"a/#", "ab", false, false},
           MatchCase{"a/#", "a/#", true, true},
           MatchCase{"a/#", "a/+", false, true},
           MatchCase{"#", "a/b", false, true},
           MatchCase{"a+/b", "ax/b", false, false},
           MatchCase{"a+/b", "a+/b", true, true},
           MatchCase{"a#", "a/b", false, false},
           MatchCase{"*/+", "x/y/z", false, true},
       }) {
    for (const bool mqtt : {false, true}) {
      auto pattern = ResourcePattern::parse(c.pattern, mqtt);
      ASSERT_TRUE(pattern) << c.pattern;
      EXPECT_EQ(pattern->matches(c.resource), mqtt ? c.mqtt : c.plain)
          << c.pattern << " against " << c.resource << (mqtt ? " (mqtt)" : " (plain)");
    }
  }
}

TEST(AccessControl, ABareQuestionMarkIsRefusedWithTheRemedy) {
  auto pattern = ResourcePattern::parse("a?b", false);
  ASSERT_FALSE(pattern);
  EXPECT_NE(pattern.error().message().find("${?}"), std::string::npos);
}

TEST(AccessControl, HostilePatternsTakeLinearTime) {
  std::string pattern, resource(2000, 'a');
  for (int i = 0; i < 500; ++i) pattern += "a*";
  auto parsed = ResourcePattern::parse(pattern + "b", false);
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->matches(resource));
}

TEST(AccessControl, PoliciesAllowByServiceOperationAndResource) {
  const AccessPolicies policies = AccessPolicies::parse(json::parse(R"({
    "aws.greengrass.ipc.pubsub": {
      "p1": {"operations": ["aws.greengrass#PublishToTopic"], "resources": ["out/*"]},
      "p2": {"operations": ["*"], "resources": ["both"]}},
    "aws.greengrass.ipc.mqttproxy": {
      "m": {"operations": ["aws.greengrass#SubscribeToIoTCore"], "resources": ["dt/+/in"]}}})"));
  EXPECT_TRUE(policies.problems().empty());
  EXPECT_TRUE(policies.allow(kPubSubService, "aws.greengrass#PublishToTopic", "out/1"));
  EXPECT_FALSE(policies.allow(kPubSubService, "aws.greengrass#SubscribeToTopic", "out/1"));
  EXPECT_TRUE(policies.allow(kPubSubService, "aws.greengrass#SubscribeToTopic", "both"));
  EXPECT_FALSE(policies.allow(kMqttProxyService, "aws.greengrass#PublishToIoTCore", "out/1"));
  EXPECT_TRUE(policies.allow(kMqttProxyService, "aws.greengrass#SubscribeToIoTCore", "dt/x/in"));
}

TEST(AccessControl, MistakesAreNamedAndAllowNothing) {
  const AccessPolicies policies = AccessPolicies::parse(json::parse(R"({
    "s1": 5,
    "s2": {"a": [], "b": {"operations": "x", "resources": ["*"]},
           "c": {"operations": ["x", 1], "resources": ["a?", "ok"]},
           "d": {"operations": ["x"]}}})"));
  EXPECT_EQ(policies.problems().size(), 6u);
  EXPECT_TRUE(policies.allow("s2", "x", "ok")) << "what is right still counts";
  EXPECT_FALSE(policies.allow("s2", "x", "ab"));
  EXPECT_FALSE(policies.allow("s1", "x", "ok"));
  EXPECT_EQ(AccessPolicies::parse(json::parse("[]")).problems().size(), 1u);
}

TEST(AccessControl, FollowsTheConfiguration) {
  ConfigStore store(persist_at_once());
  AccessControl access(store);
  const ComponentName app("com.example.App");
  const auto allowed = [&] {
    return access.check(app, kPubSubService, "aws.greengrass#PublishToTopic", "t").has_value();
  };
  EXPECT_FALSE(allowed());
  ConfigTree next = store.tree();
  ASSERT_TRUE(next.merge(app, {}, json::parse(R"({"accessControl":{"aws.greengrass.ipc.pubsub":
      {"p":{"operations":["*"],"resources":["t"]}}}})"),
                         1));
  store.replace(next);
  EXPECT_TRUE(allowed());
  ASSERT_TRUE(update_now(store, app, {"unrelated"}, 1, 2));
  EXPECT_TRUE(allowed());
  ASSERT_TRUE(next.reset(app, {"/accessControl"}));
  store.replace(next);
  auto denied = access.check(app, kPubSubService, "aws.greengrass#PublishToTopic", "t");
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().message(),
            "Principal com.example.App is not authorized to perform "
            "aws.greengrass.ipc.pubsub:aws.greengrass#PublishToTopic on resource t");
}

}  // namespace
}  // namespace skerry::nucleus
