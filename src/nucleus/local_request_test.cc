// What CreateLocalDeployment may say.
#include "nucleus/local_request.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace skerry::nucleus {
namespace {

using nlohmann::json;

std::string request_problem(const json& body) {
  const auto request = parse_local_request(body);
  return request ? "none" : request.error().message();
}

TEST(LocalRequest, EverythingThatTheModelHasIsTaken) {
  const auto request = parse_local_request(
      {{"groupName", "line-a"},
       {"rootComponentVersionsToAdd", {{"app", "1.2.0"}}},
       {"rootComponentsToRemove", {"old"}},
       {"componentToConfiguration",
        {{"app", {{"MERGE", {{"speed", 3}}}}}, {"below", {{"RESET", {"/a", ""}}}}}},
       {"componentToRunWithInfo",
        {{"app",
          {{"posixUser", "nobody"}, {"systemResourceLimits", {{"memory", 1000}, {"cpus", 0.5}}}}}}},
       {"failureHandlingPolicy", "DO_NOTHING"}});
  ASSERT_TRUE(request) << request.error().message();
  EXPECT_EQ(request->target, "thinggroup/line-a");
  EXPECT_EQ(request->added, (std::set{ComponentName("app")}));
  EXPECT_EQ(request->removed, (std::set{ComponentName("old")}));
  EXPECT_EQ(request->run_with, (std::set{ComponentName("app")}));
  const auto& app = request->document.components.at(ComponentName("app"));
  EXPECT_EQ(app.version.str(), "1.2.0");
  EXPECT_EQ(*app.configuration.merge, json({{"speed", 3}}));
  EXPECT_EQ(app.run_with.posix_user, "nobody");
  EXPECT_EQ(app.run_with.limits.memory_kb, 1000);
  EXPECT_EQ(request->document.components.at(ComponentName("below")).configuration.reset,
            (std::vector<std::string>{"/a", ""}));
  EXPECT_EQ(request->document.failure_handling, formats::FailureHandling::kDoNothing);
  // As a record of the device's state has it.
  const auto again = local_request_from(to_json(*request));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(to_json(*again), to_json(*request));
}

TEST(LocalRequest, NothingIsRequired) {
  const auto request = parse_local_request(json::object());
  ASSERT_TRUE(request);
  EXPECT_EQ(request->target, "LOCAL_DEPLOYMENT");
  EXPECT_EQ(request->document.failure_handling, formats::FailureHandling::kRollback);
  // What a client leaves null is absent.
  EXPECT_EQ(request_problem({{"groupName", nullptr}, {"rootComponentsToRemove", nullptr}}), "none");
}

TEST(LocalRequest, WhatMakesNoSenseIsNamed) {
  const auto says = [](const json& body, const std::string& text) {
    EXPECT_NE(request_problem(body).find(text), std::string::npos)
        << body << ": " << request_problem(body);
  };
  says({{"groupName", "a/../b"}}, "groupName");
  says({{"rootComponentVersionsToAdd", {{"app", "latest"}}}}, "app");
  says({{"rootComponentVersionsToAdd", {{"../app", "1.0.0"}}}}, "../app");
  says({{"rootComponentVersionsToAdd", {{"app", 1}}}}, "app");
  says({{"rootComponentsToRemove", {".."}}}, "rootComponentsToRemove");
  says({{"rootComponentsToRemove", "app"}}, "rootComponentsToRemove");
  says({{"rootComponentVersionsToAdd", {{"app", "1.0.0"}}}, {"rootComponentsToRemove", {"app"}}},
       "both");
  says({{"componentToConfiguration", {{"app", {{"merge it", 1}}}}}}, "neither MERGE nor RESET");
  says({{"componentToConfiguration", {{"app", {{"MERGE", {1}}}}}}}, "merge");
  says({{"componentToConfiguration", {{"app", {{"RESET", {"no pointer"}}}}}}}, "reset");
  says({{"componentToRunWithInfo", {{"app", {{"systemResourceLimits", {{"memory", 0}}}}}}}},
       "memory");
  says({{"failureHandlingPolicy", "HOPE"}}, "HOPE");
}

}  // namespace
}  // namespace skerry::nucleus
