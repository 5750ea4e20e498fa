// The broker's rules, one by one.
#include "policy.h"

#include <gtest/gtest.h>

namespace skerry::broker {
namespace {

const std::string kFingerprint(64, 'a');
const Registry kRegistry = {kFingerprint};

Certificate device(std::string name) {
  return {std::move(name), "Skerry device", kFingerprint};
}

TEST(Registry, TakesFingerprintsAndComments) {
  Registry registry;
  ASSERT_TRUE(parse_registry(
      "# active certificates\n" + kFingerprint + "\n\n" + std::string(64, '0'), registry));
  EXPECT_EQ(registry, (Registry{kFingerprint, std::string(64, '0')}));
}

TEST(Registry, ADamagedLineLeavesTheOldListInForce) {
  Registry registry = kRegistry;
  EXPECT_FALSE(parse_registry(kFingerprint.substr(1) + "\n", registry));
  EXPECT_FALSE(parse_registry(std::string(64, 'A'), registry));
  EXPECT_EQ(registry, kRegistry);
}

TEST(Connect, TheClientIdIsTheThingOrOneOfItsFurtherSessions) {
  for (const char* id : {"lathe-1", "lathe-1#2", "lathe-1#endpoint-switch", "lathe-1#"}) {
    EXPECT_EQ(check_connect(device("lathe-1"), id, kRegistry), "") << id;
  }
  for (const char* id : {"lathe-2", "lathe-10", "lathe-1x", "", "#lathe-1", "lathe-2#lathe-1"}) {
    EXPECT_NE(check_connect(device("lathe-1"), id, kRegistry), "") << id;
  }
}

TEST(Connect, RevokedAndUnknownCertificatesAreRefused) {
  EXPECT_NE(check_connect(device("lathe-1"), "lathe-1", {}).find("revoked"), std::string::npos);
}

TEST(Connect, NamesThatMeanSomethingInTopicsAreRefused) {
  for (const char* name : {"+", "a/b", "a b", "a+"}) {
    EXPECT_NE(check_connect(device(name), name, kRegistry), "") << name;
  }
  EXPECT_NE(check_connect(device(""), "", kRegistry), "");
  EXPECT_NE(check_connect(device(""), "#2", kRegistry), "");
}

TEST(Connect, TheControlPlanesNameNeedsItsOrganization) {
  EXPECT_NE(check_connect(device("skerry-fleet"), "skerry-fleet", kRegistry), "");
  const Certificate control{"skerry-fleet", "Skerry control plane", "not in the registry"};
  EXPECT_EQ(check_connect(control, "skerry-fleet", {}), "");
  EXPECT_EQ(check_connect(control, "skerry-fleet#2", {}), "");
  EXPECT_NE(check_connect(control, "lathe-1", {}), "");
}

TEST(Subscribe, OwnReservedTopicsAndApplicationTopics) {
  for (const char* filter :
       {"$aws/things/T/jobs/notify-next-namespace-aws-gg-deployment", "$aws/things/T/#",
        "$aws/things/T/shadow/name/+/update/accepted", "#", "+/b", "plant/+/alarm",
        "$share/readers/plant/#", "$share/readers/$aws/things/T/jobs/#"}) {
    EXPECT_TRUE(may_subscribe("T", filter)) << filter;
    EXPECT_TRUE(may_subscribe("T#2", filter)) << filter;
  }
}

TEST(Subscribe, NothingOfOtherThingsAndNothingOfTheBrokers) {
  for (const char* filter : {"$aws/things/X/jobs/#", "$aws/things/+/jobs/#", "$aws/things/#",
                             "$aws/#", "$aws/things/T", "$aws/things/TT/#", "$SYS/#",
                             "$skerry/subscribed/T", "$share/g/$aws/things/X/#", "$share/g", ""}) {
    EXPECT_FALSE(may_subscribe("T", filter)) << filter;
    EXPECT_TRUE(may_subscribe("skerry-fleet", filter)) << filter;
  }
}

TEST(Receive, WhateverTheFilterWasOnlyOwnAndApplicationTopics) {
  EXPECT_TRUE(may_receive("T", "$aws/things/T/jobs/notify-next"));
  EXPECT_TRUE(may_receive("T#2", "plant/alarm"));
  EXPECT_FALSE(may_receive("T", "$aws/things/X/jobs/notify-next"));
  EXPECT_FALSE(may_receive("T", "$skerry/subscribed/X"));
  EXPECT_TRUE(may_receive("skerry-fleet", "$aws/things/X/jobs/$next/get"));
}

TEST(Publish, RequestsButNotTheAnswersToThem) {
  for (const char* topic :
       {"$aws/things/T/jobs/$next/namespace-aws-gg-deployment/get",
        "$aws/things/T/greengrassv2/health/json",
        "$aws/things/T/jobs/j-1/namespace-aws-gg-deployment/update",
        "$aws/things/T/shadow/name/AWSManagedGreengrassV2Deployment/update", "plant/accepted"}) {
    EXPECT_TRUE(may_publish("T", topic)) << topic;
  }
  for (const char* topic :
       {"$aws/things/T/jobs/$next/namespace-aws-gg-deployment/get/accepted",
        "$aws/things/T/jobs/j-1/namespace-aws-gg-deployment/update/rejected",
        "$aws/things/T/jobs/notify-next-namespace-aws-gg-deployment", "$aws/things/T/jobs/notify",
        "$aws/things/T/shadow/update/delta", "$aws/things/X/greengrassv2/health/json",
        "$skerry/subscribed/T", "$SYS/broker/uptime", "$aws/rules/r"}) {
    EXPECT_FALSE(may_publish("T", topic)) << topic;
    EXPECT_TRUE(may_publish("skerry-fleet", topic)) << topic;
  }
}

TEST(JobNotifications, TheFiltersThatCanCarryThem) {
  for (const char* filter :
       {"$aws/things/T/jobs/notify-namespace-aws-gg-deployment", "$aws/things/T/jobs/#",
        "$aws/things/T/#", "$aws/things/T/jobs/notify-next-namespace-aws-gg-deployment",
        "$aws/things/T/+/notify-next"}) {
    EXPECT_TRUE(carries_job_notifications("T", filter)) << filter;
  }
  for (const char* filter : {"$aws/things/T/jobs/$next/namespace-aws-gg-deployment/get/accepted",
                             "$aws/things/T/shadow/#", "plant/#"}) {
    EXPECT_FALSE(carries_job_notifications("T", filter)) << filter;
  }
}

}  // namespace
}  // namespace skerry::broker
