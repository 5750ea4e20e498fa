// Policies changed by those who may, and what is refused.
#include "serve/version_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace skerry::serve {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::vector<std::string> kVersions = {"1", "2"};

TEST(VersionPolicyTest, WhatIsNotNamedStays) {
  VersionPolicy policy;
  policy = *changed_policy(policy, {{"keep", 3}, {"labels", {{"stable", "1"}}}}, kVersions);
  policy =
      *changed_policy(policy, {{"labels", {{"canary", "2"}}}, {"canary_percent", 10}}, kVersions);
  EXPECT_EQ(to_json(policy), json::parse(R"({"keep":3,"canary_percent":10,
      "labels":{"stable":"1","canary":"2"}})"));
  policy = *changed_policy(policy, {{"labels", {{"canary", nullptr}}}}, kVersions);
  EXPECT_EQ(policy.label("canary"), "");
  EXPECT_EQ(policy.label("stable"), "1");
  EXPECT_EQ(policy.canary_percent, 10);
}

TEST(VersionPolicyTest, KeepsTheLastAndTheLabelled) {
  VersionPolicy policy;
  policy.labels = {{"stable", "1"}};
  EXPECT_TRUE(policy.keeps("1", false));
  EXPECT_FALSE(policy.keeps("2", false));
  EXPECT_TRUE(policy.keeps("2", true));
}

TEST(VersionPolicyTest, RefusesWhatIsNoPolicy) {
  for (const char* wrong :
       {"[]", R"({"keep":0})", R"({"keep":17})", R"({"keep":"2"})", R"({"keep":1.5})",
        R"({"canary_percent":101})", R"({"canary_percent":-1})", R"({"labels":[]})",
        R"({"labels":{"canary":"3"}})", R"({"labels":{"canary":2}})", R"({"labels":{"":"1"}})",
        R"({"labels":{"2":"1"}})", R"({"labels":{"a b":"1"}})", R"({"other":1})"}) {
    const auto changed = changed_policy({}, json::parse(wrong), kVersions);
    ASSERT_FALSE(changed) << wrong;
    EXPECT_EQ(changed.error().code(), Code::kInvalidArgument) << wrong;
  }
  json labels = json::object();
  for (int i = 0; i < 17; ++i) labels["l" + std::to_string(i)] = "1";
  const auto many = changed_policy({}, {{"labels", labels}}, kVersions);
  ASSERT_FALSE(many);
  EXPECT_THAT(many.error().message(), HasSubstr("too many labels"));
}

}  // namespace
}  // namespace skerry::serve
