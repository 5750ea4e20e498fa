// Deployment documents: the published examples, what jobs and the API carry, and printing.
#include "formats/deployment.h"
#include "test_paths.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace skerry::formats {
namespace {

using nlohmann::json;
using std::chrono::seconds;

Deployment parse(const json& document) {
  auto deployment = parse_deployment(document);
  EXPECT_TRUE(deployment) << deployment.error().message();
  return deployment.value_or(Deployment());
}

std::string error_of(const json& document) {
  auto deployment = parse_deployment(document);
  return deployment ? "no error" : deployment.error().message();
}

json with_component(const json& component) {
  return {{"components", {{"A", component}}}};
}

TEST(DeploymentFilesTest, PublishedExamples) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(
           SKERRY_SOURCE_DIR "/tests/data/recipes/configurations")) {
    std::ifstream file(entry.path());
    std::ostringstream text;
    text << file.rdbuf();
    auto deployment = parse_deployment_text(text.str());
    ASSERT_TRUE(deployment) << entry.path() << ": " << deployment.error().message();
    EXPECT_EQ(deployment->failure_handling, FailureHandling::kDoNothing);
    EXPECT_EQ(deployment->update_action, UpdateAction::kSkipNotify);
    EXPECT_EQ(deployment->update_timeout, seconds(5000));
    EXPECT_EQ(deployment->validation_timeout, seconds(30000));
    const auto& component = deployment->components.at(ComponentName("MyThermostatComponent"));
    EXPECT_EQ(component.version.str(), "1.0.0");
    EXPECT_EQ(component.configuration.merge->at("rooms").at("Office").at("temperature"), 22);
    EXPECT_EQ(component.configuration.reset.at(2), "/rooms/Conference Room");
    EXPECT_EQ(component.run_with.posix_user, "user:group");
    ++files;
  }
  EXPECT_EQ(files, 4u);
}

TEST(DeploymentTest, PrintsWhatItParsed) {
  const json document = json::parse(R"({
    "schemaDate": "2021-05-17", "deploymentId": "8a1c-1", "deploymentName": "release 7",
    "configurationArn": "arn:aws:greengrass:eu-west-1:000000000000:configuration:thinggroup/G1:3",
    "parentTargetArn": "arn:aws:iot:eu-west-1:000000000000:thinggroup/G0",
    "onBehalfOf": "arn:aws:iot:eu-west-1:000000000000:thinggroup/G0",
    "creationTimestamp": 1700000000123, "requiredCapabilities": ["LARGE_CONFIGURATION"],
    "components": {"A": {"version": "1.0.0"},
      "B": {"version": "2.0.0-rc.1", "configurationUpdate": {"merge": {"a": [1]}, "reset": ["", "/x~1y"]},
            "runWith": {"posixUser": "u:g", "windowsUser": "w",
                        "systemResourceLimits": {"memory": 64, "cpus": 1.5}}}},
    "failureHandlingPolicy": "DO_NOTHING",
    "componentUpdatePolicy": {"timeout": 7, "action": "SKIP_NOTIFY_COMPONENTS"},
    "configurationValidationPolicy": {"timeout": 8}})");
  const Deployment deployment = parse(document);
  EXPECT_EQ(to_json(deployment), document);
  const auto id = deployment.configuration_id();
  ASSERT_TRUE(id);
  EXPECT_EQ(id->target, (Target{Target::Kind::kThingGroup, "G1"}));
  EXPECT_EQ(id->revision, 3);
}

TEST(DeploymentTest, Defaults) {
  const Deployment deployment = parse(json::object());
  EXPECT_EQ(deployment.failure_handling, FailureHandling::kRollback);
  EXPECT_EQ(deployment.update_action, UpdateAction::kNotify);
  EXPECT_EQ(deployment.update_timeout, seconds(60));
  EXPECT_EQ(deployment.validation_timeout, seconds(60));
  EXPECT_TRUE(deployment.components.empty());
  EXPECT_FALSE(deployment.configuration_id());
}

TEST(DeploymentTest, NamesOfTheApi) {
  const Deployment deployment = parse(json::parse(R"({
    "targetArn": "ignored here",
    "components": {"A": {"componentVersion": "1.2.0",
      "configurationUpdate": {"merge": "{\"a\": {\"b\": 1}}", "reset": ["/c"]}}},
    "deploymentPolicies": {"failureHandlingPolicy": "DO_NOTHING",
      "componentUpdatePolicy": {"timeoutInSeconds": 5, "action": "SKIP_NOTIFY_COMPONENTS"},
      "configurationValidationPolicy": {"timeoutInSeconds": "6"}}})"));
  const auto& component = deployment.components.at(ComponentName("A"));
  EXPECT_EQ(component.version.str(), "1.2.0");
  EXPECT_EQ(*component.configuration.merge, (json{{"a", {{"b", 1}}}}));
  EXPECT_EQ(component.configuration.reset, std::vector<std::string>{"/c"});
  EXPECT_EQ(deployment.failure_handling, FailureHandling::kDoNothing);
  EXPECT_EQ(deployment.update_action, UpdateAction::kSkipNotify);
  EXPECT_EQ(deployment.update_timeout, seconds(5));
  EXPECT_EQ(deployment.validation_timeout, seconds(6));
}

TEST(DeploymentTest, MergeAndResetAsText) {
  const auto configuration = [](const json& update) {
    return parse(with_component({{"version", "1.0.0"}, {"configurationUpdate", update}}))
        .components.at(ComponentName("A"))
        .configuration;
  };
  EXPECT_EQ(configuration({{"merge", ""}}).merge, nullptr);
  EXPECT_EQ(configuration({{"reset", R"(["", "/a"])"}}).reset,
            (std::vector<std::string>{"", "/a"}));
  EXPECT_EQ(*configuration({{"MERGE", json::object()}}).merge, json::object());
}

TEST(DeploymentTest, ErrorsNameThePlace) {
  const auto update = [](const json& value) {
    return error_of(with_component({{"version", "1.0.0"}, {"configurationUpdate", value}}));
  };
  EXPECT_EQ(error_of(with_component(json::object())), "components.A: has no version");
  EXPECT_NE(error_of(with_component({{"version", "1"}}))
                .find("components.A.version: '1' is not a version"),
            std::string::npos);
  EXPECT_EQ(update({{"merge", 1}}), "components.A.configurationUpdate.merge: must be an object");
  EXPECT_EQ(update({{"merge", "[1]"}}),
            "components.A.configurationUpdate.merge: must be an object");
  EXPECT_NE(update({{"merge", "{"}}).find("components.A.configurationUpdate.merge: not JSON"),
            std::string::npos);
  EXPECT_NE(update({{"merge", std::string(65, '[')}}).find("deeper than 64"), std::string::npos);
  EXPECT_NE(update({{"reset", {"a"}}}).find("has to start with a slash"), std::string::npos);
  EXPECT_NE(error_of({{"components", {{"../A", {{"version", "1.0.0"}}}}}})
                .find("is not a component name"),
            std::string::npos);
  EXPECT_NE(error_of({{"deploymentId", "../x"}}).find("deploymentId: "), std::string::npos);
  EXPECT_NE(error_of({{"configurationArn", "x"}}).find("configurationArn: "), std::string::npos);
  EXPECT_EQ(error_of({{"failureHandlingPolicy", "HOPE"}}),
            "failureHandlingPolicy: 'HOPE' is not one of ROLLBACK, DO_NOTHING");
  EXPECT_EQ(error_of({{"componentUpdatePolicy", {{"timeout", -1}}}}),
            "componentUpdatePolicy.timeout: must be 0 to 31536000 seconds");
  EXPECT_EQ(
      error_of(with_component(
          {{"version", "1.0.0"}, {"runWith", {{"systemResourceLimits", {{"memory", 0}}}}}})),
      "components.A.runWith.systemResourceLimits.memory: must be 1 to 9007199254740991 kilobytes");
  EXPECT_EQ(error_of(json::array()), "the deployment document must be an object");
  EXPECT_NE(parse_deployment_text("{").error().message().find("deployment document: not JSON"),
            std::string::npos);
}

}  // namespace
}  // namespace skerry::formats
