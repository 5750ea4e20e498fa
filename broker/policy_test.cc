// The broker's rules, one by one.
#include "policy.h"

#include <gtest/gtest.h>

namespace skerry::broker {
namespace {

const std::string kFingerprint(64, 'a');
const Registry kRegistry = {{kFingerprint, "lathe-1"}};
// Its common name says nothing: the registry knows the thing.
const Certificate kDevice = {"anything", "Skerry device", kFingerprint};

TEST(Registry, TakesFingerprintsAndComments) {
  Registry registry;
  const std::string text =
      "# active certificates\n" + kFingerprint + " a:b\n\n" + std::string(64, '0') + " c\n";
  ASSERT_EQ(apply_registry(text, registry), text.size());
  EXPECT_EQ(registry, (Registry{{kFingerprint, "a:b"}, {std::string(64, '0'), "c"}}));
}

TEST(Registry, ChangesAreAppliedAndAnUnfinishedLineWaits) {
  Registry registry = kRegistry;
  const std::string other(64, 'b');
  const std::string whole = other + " saw\n-" + kFingerprint + "\n";
  EXPECT_EQ(apply_registry(whole + other.substr(9), registry), whole.size());
  EXPECT_EQ(registry, (Registry{{other, "saw"}}));
  EXPECT_EQ(apply_registry("-" + std::string(64, 'c') + "\n", registry), 66);  // never was in it
  EXPECT_EQ(apply_registry("", registry), 0);
  apply_registry(other + " press\n", registry);  // attached to another thing
  EXPECT_EQ(registry, (Registry{{other, "press"}}));
}

TEST(Registry, ADamagedLineLeavesTheOldListInForce) {
  Registry registry = kRegistry;
  for (const std::string& line :
       {kFingerprint.substr(1) + " t", std::string(64, 'A') + " t", std::string("-"), kFingerprint,
        kFingerprint + " ", kFingerprint + " +", kFingerprint + " a/b", kFingerprint + " a b",
        kFingerprint + "  a", "-" + kFingerprint + " t",
        kFingerprint + " " + std::string(129, 'a')}) {
    EXPECT_FALSE(apply_registry("-" + kFingerprint + "\n" + line + "\n", registry));
  }
  EXPECT_EQ(registry, kRegistry);
}

TEST(Claims, AreLinesOfTheRegistry) {
  Registry registry;
  const std::string line = kFingerprint + " *line-a\n";
  ASSERT_EQ(apply_registry(line, registry), line.size());
  EXPECT_EQ(claim_of(registry.at(kFingerprint)), "line-a");
  EXPECT_EQ(claim_of("line-a"), "");
  EXPECT_FALSE(apply_registry(kFingerprint + " *\n", registry));
  EXPECT_FALSE(apply_registry(kFingerprint + " **a\n", registry));
}

TEST(Claims, ConnectUnderAnyNameThatIsNoThings) {
  const Registry registry = {{kFingerprint, "*line-a"}, {std::string(64, 'b'), "lathe-1"}};
  EXPECT_EQ(check_connect(kDevice, "2c1f-any", registry), "");
  EXPECT_EQ(check_connect(kDevice, "line-a", registry), "");
  for (const char* taken : {"lathe-1", "skerry-fleet", "", "a/b", "lathe-1#2", "a+b"})
    EXPECT_NE(check_connect(kDevice, taken, registry), "") << taken;
}

TEST(Claims, MayAskAndHearTheAnswersAndNothingElse) {
  const std::string provision = "$aws/provisioning-templates/line-a/provision/json";
  for (const std::string& topic : {std::string("$aws/certificates/create-from-csr/json"),
                                   std::string("$aws/certificates/create/json"), provision}) {
    EXPECT_TRUE(claim_may_publish(topic)) << topic;
    EXPECT_TRUE(claim_may_hear(topic + "/accepted")) << topic;
    EXPECT_TRUE(claim_may_hear(topic + "/rejected")) << topic;
    EXPECT_FALSE(claim_may_publish(topic + "/accepted")) << topic;
    EXPECT_FALSE(claim_may_hear(topic)) << topic;
  }
  for (const char* no :
       {"#", "$aws/#", "a", "$aws/things/lathe-1/jobs/notify", "$skerry/claims/#",
        "$aws/certificates/create-from-csr/cbor", "$skerry/answers/x/accepted",
        "$aws/certificates/#", "$share/g/$aws/certificates/create/json/accepted"}) {
    EXPECT_FALSE(claim_may_publish(no)) << no;
    EXPECT_FALSE(claim_may_hear(no)) << no;
  }
}

TopicPolicy topics(std::string_view text) {
  TopicPolicy policy;
  EXPECT_EQ(parse_topics(text, policy), 0);
  return policy;
}

const TopicPolicy kNothingOpen;
const TopicPolicy kOpen = topics(
    "# the plant\npublish plant/+/alarm\nsubscribe plant/#\n\nretain  plant/+/alarm \r\n"
    "subscribe $share/readers/orders/#\npublish fleet/{thing}/#\nretain {thing}/status\n");

TEST(Topics, ALineThatIsNoPermissionIsNamedAndNothingChanges) {
  TopicPolicy policy = kOpen;
  for (const char* text : {"publish\n", "publish a\npublish a/#/b\n", "publish a\nallow a\n",
                           "# x\nsubscribe $aws/#\n", "\npublish $share/g/a\n",
                           "#\nsubscribe $share/g\n", "publish a\nretain a+\n"}) {
    EXPECT_NE(parse_topics(text, policy), 0) << text;
  }
  EXPECT_EQ(parse_topics("publish a\npublish a/#/b\n", policy), 2);
  EXPECT_EQ(policy.publish, kOpen.publish);
}

TEST(Topics, APatternCoversFiltersThatMatchNothingElse) {
  const std::pair<const char*, const char*> covered[] = {
      {"#", "a/b"}, {"#", "#"},     {"#", "+/b/#"}, {"a/#", "a"},     {"a/#", "a/#"},
      {"+", "a"},   {"+/b", "+/b"}, {"a/+", "a/"},  {"a//b", "a//b"}, {"+/#", "a"}};
  for (const auto& [pattern, filter] : covered) {
    EXPECT_TRUE(covers(pattern, filter)) << pattern << " " << filter;
  }
  const std::pair<const char*, const char*> not_covered[] = {
      {"a/#", "#"}, {"a/#", "ab"}, {"a/#", "+/b"}, {"+", "#"},   {"+", "a/b"},
      {"a/+", "a"}, {"a", "a/"},   {"a", "a/b"},   {"a/b", "a"}, {"a/+/c", "a/#"}};
  for (const auto& [pattern, filter] : not_covered) {
    EXPECT_FALSE(covers(pattern, filter)) << pattern << " " << filter;
  }
}

TEST(Connect, TheClientIdIsTheThingOrOneOfItsFurtherSessions) {
  for (const char* id : {"lathe-1", "lathe-1#2", "lathe-1#9", "lathe-1#endpoint-switch"}) {
    EXPECT_EQ(check_connect(kDevice, id, kRegistry), "") << id;
  }
  for (const char* id :
       {"lathe-2", "lathe-10", "lathe-1x", "", "#lathe-1", "lathe-2#lathe-1", "#2", "lathe-1#",
        "lathe-1#10", "lathe-1#1", "lathe-1#0", "lathe-1#a", "lathe-1#2#2", "anything"}) {
    EXPECT_NE(check_connect(kDevice, id, kRegistry), "") << id;
  }
}

TEST(Connect, TheLongestNamesAndAllTheirCharactersHold) {
  const std::string longest = "aZ09:_-" + std::string(121, ':');
  const Registry registry = {{kFingerprint, longest}};
  EXPECT_EQ(check_connect(kDevice, longest, registry), "");
  EXPECT_EQ(check_connect(kDevice, longest + "#2", registry), "");
  EXPECT_NE(check_connect(kDevice, longest.substr(1), registry), "");
  EXPECT_TRUE(may_publish(longest, "$aws/things/" + longest + "/jobs/x/get", false, {}));
}

TEST(Connect, RevokedAndUnknownCertificatesAreRefused) {
  EXPECT_NE(check_connect(kDevice, "lathe-1", {}).find("revoked"), std::string::npos);
}

TEST(Connect, TheControlPlanesNameNeedsItsOrganization) {
  const Registry registry = {{kFingerprint, "skerry-fleet"}};
  for (const char* id : {"skerry-fleet", "skerry-fleet#2"}) {
    EXPECT_NE(check_connect(kDevice, id, registry), "") << id;
    EXPECT_NE(check_connect({"skerry-fleet", "Skerry device", kFingerprint}, id, registry), "");
    EXPECT_NE(check_connect({"localhost", "Skerry control plane", kFingerprint}, id, registry), "");
  }
  const Certificate control{"skerry-fleet", "Skerry control plane", "not in the registry"};
  EXPECT_EQ(check_connect(control, "skerry-fleet", {}), "");
  EXPECT_EQ(check_connect(control, "skerry-fleet#2", {}), "");
  EXPECT_NE(check_connect(control, "lathe-1", kRegistry), "");
}

TEST(Subscribe, OwnTopicsAlwaysAndOthersWhereTheyAreOpen) {
  for (const char* filter :
       {"$aws/things/T/jobs/notify-next-namespace-aws-gg-deployment", "$aws/things/T/#",
        "$aws/things/T/shadow/name/+/update/accepted", "T", "T/#", "T/+/alarm", "$share/r/T/a",
        "$share/readers/$aws/things/T/jobs/#"}) {
    EXPECT_TRUE(may_subscribe("T", filter, kNothingOpen)) << filter;
    EXPECT_TRUE(may_subscribe("T#2", filter, kNothingOpen)) << filter;
  }
  for (const char* filter :
       {"#", "+", "+/b", "plant/+/alarm", "plant/#", "X/#", "TT/#", "$share/readers/plant/#",
        "$share/readers/orders/#", "/T", "{thing}/a"}) {
    EXPECT_FALSE(may_subscribe("T", filter, kNothingOpen)) << filter;
  }
  for (const char* filter : {"plant/+/alarm", "plant/#", "plant", "$share/readers/orders/1"}) {
    EXPECT_TRUE(may_subscribe("T", filter, kOpen)) << filter;
  }
  // Opening topics opens no group in which others share them.
  for (const char* filter : {"#", "+/#", "$share/g/plant/#", "$share/other/orders/1", "orders/1"}) {
    EXPECT_FALSE(may_subscribe("T", filter, kOpen)) << filter;
  }
}

TEST(Subscribe, NothingOfOtherThingsAndNothingOfTheBrokers) {
  for (const char* filter : {"$aws/things/X/jobs/#", "$aws/things/+/jobs/#", "$aws/things/#",
                             "$aws/#", "$aws/things/T", "$aws/things/TT/#", "$SYS/#",
                             "$skerry/subscribed/T", "$share/g/$aws/things/X/#", "$share/g", ""}) {
    EXPECT_FALSE(may_subscribe("T", filter, topics("subscribe #\n"))) << filter;
    EXPECT_TRUE(may_subscribe("skerry-fleet", filter, kNothingOpen)) << filter;
  }
}

TEST(Receive, WhateverTheFilterWasOnlyOwnAndOpenTopics) {
  EXPECT_TRUE(may_receive("T", "$aws/things/T/jobs/notify-next", kNothingOpen));
  EXPECT_TRUE(may_receive("T", "T/command", kNothingOpen));
  EXPECT_FALSE(may_receive("T#2", "plant/alarm", kNothingOpen));
  EXPECT_TRUE(may_receive("T#2", "plant/alarm", kOpen));
  EXPECT_TRUE(may_receive("T", "orders/1", kOpen));
  EXPECT_FALSE(may_receive("T", "$aws/things/X/jobs/notify-next", kOpen));
  EXPECT_FALSE(may_receive("T", "$skerry/subscribed/X", kOpen));
  EXPECT_TRUE(may_receive("skerry-fleet", "$aws/things/X/jobs/$next/get", kNothingOpen));
}

TEST(Publish, RequestsButNotTheAnswersToThem) {
  for (const char* topic :
       {"$aws/things/T/jobs/$next/namespace-aws-gg-deployment/get",
        "$aws/things/T/greengrassv2/health/json",
        "$aws/things/T/jobs/j-1/namespace-aws-gg-deployment/update",
        "$aws/things/T/shadow/name/AWSManagedGreengrassV2Deployment/update", "T/accepted"}) {
    EXPECT_TRUE(may_publish("T", topic, false, kNothingOpen)) << topic;
  }
  for (const char* topic :
       {"$aws/things/T/jobs/$next/namespace-aws-gg-deployment/get/accepted",
        "$aws/things/T/jobs/j-1/namespace-aws-gg-deployment/update/rejected",
        "$aws/things/T/jobs/notify-next-namespace-aws-gg-deployment", "$aws/things/T/jobs/notify",
        "$aws/things/T/shadow/update/delta", "$aws/things/X/greengrassv2/health/json",
        "$skerry/subscribed/T", "$SYS/broker/uptime", "$aws/rules/r"}) {
    EXPECT_FALSE(may_publish("T", topic, false, topics("publish #\n"))) << topic;
    EXPECT_TRUE(may_publish("skerry-fleet", topic, false, kNothingOpen)) << topic;
  }
}

TEST(Publish, ApplicationTopicsWhereTheyAreOpen) {
  for (const char* topic : {"X/command", "plant/1/alarm", "TT", "", "fleet/T/a"}) {
    EXPECT_FALSE(may_publish("T", topic, false, kNothingOpen)) << topic;
  }
  EXPECT_TRUE(may_publish("T", "plant/1/alarm", false, kOpen));
  EXPECT_TRUE(may_publish("T", "fleet/T/a", false, kOpen));
  EXPECT_FALSE(may_publish("T", "plant/1/other", false, kOpen));
  EXPECT_FALSE(may_publish("T", "fleet/X/a", false, kOpen));
}

TEST(Publish, NothingStaysInTheBrokerUnlessThatIsOpen) {
  EXPECT_FALSE(may_publish("T", "T/status", true, kNothingOpen));
  EXPECT_FALSE(may_publish("T", "$aws/things/T/greengrassv2/health/json", true, kOpen));
  EXPECT_TRUE(may_publish("T", "T/status", true, kOpen));
  EXPECT_TRUE(may_publish("T", "plant/1/alarm", true, kOpen));
  EXPECT_FALSE(may_publish("T", "X/status", true, kOpen));
  EXPECT_TRUE(may_publish("skerry-fleet", "anything", true, kNothingOpen));
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
