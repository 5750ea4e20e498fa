// What the named shadow for deployments says, and what it is told.
#include "formats/shadow_deployment.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr const char* kConfiguration =
    "arn:aws:greengrass:eu-west-1:123456789012:configuration:thing/press-7:3";

json document() {
  return {{"configurationArn", kConfiguration},
          {"components", {{"com.example.Hello", {{"version", "1.0.0"}}}}}};
}

json message(const json& desired) {
  return {{"state", {{"desired", desired}}}, {"version", 7}, {"clientToken", "t"}};
}

TEST(ShadowDeployment, IsReadAsTheJavaNucleusReadsIt) {
  json text = message({{"fleetConfig", document().dump()}, {"desiredStatus", "IN_PROGRESS"}});
  text["state"]["reported"] = {{"fleetConfigurationArnForStatus", "arn:other"},
                               {"status", "SUCCEEDED"}};
  const auto word = parse_shadow_word(text.dump());
  ASSERT_TRUE(word) << word.error().message();
  EXPECT_EQ(word->version, 7);
  EXPECT_EQ(word->client_token, "t");
  EXPECT_EQ(word->reported_arn, "arn:other");
  EXPECT_EQ(word->reported_status, "SUCCEEDED");
  ASSERT_TRUE(word->wanted);
  EXPECT_EQ(word->wanted->configuration_arn, kConfiguration);
  EXPECT_FALSE(word->wanted->cancelled);
  ASSERT_TRUE(word->wanted->document);
  EXPECT_EQ(word->wanted->document->components.size(), 1u);
}

TEST(ShadowDeployment, OneThatCannotBeReadIsNamedWhereItHasAName) {
  json bad = document();
  bad["components"]["com.example.Hello"] = {{"version", "one"}};
  auto word = parse_shadow_word(
      message({{"fleetConfig", bad.dump()}, {"desiredStatus", "CANCELED"}}).dump());
  ASSERT_TRUE(word && word->wanted);
  EXPECT_TRUE(word->wanted->cancelled);
  EXPECT_FALSE(word->wanted->document);
  EXPECT_EQ(word->wanted->configuration_arn, kConfiguration);
  bad.erase("configurationArn");
  for (const json& desired :
       {json{{"fleetConfig", bad.dump()}, {"desiredStatus", "IN_PROGRESS"}},
        json{{"fleetConfig", "[]"}, {"desiredStatus", "IN_PROGRESS"}},
        json{{"fleetConfig", document()}, {"desiredStatus", "IN_PROGRESS"}},  // an object: no text
        json{{"fleetConfig", document().dump()}}, json{{"desiredStatus", "IN_PROGRESS"}}}) {
    word = parse_shadow_word(message(desired).dump());
    ASSERT_TRUE(word) << desired;
    EXPECT_TRUE(word->has_desired) << desired;
    EXPECT_FALSE(word->wanted) << desired;
  }
  for (const char* text : {"", "[]", "{}", R"({"version":-1})", R"({"version":"7"})"}) {
    EXPECT_FALSE(parse_shadow_word(text)) << text;
  }
}

TEST(ShadowDeployment, AReportReplacesAllOfTheOneBefore) {
  ShadowReport report{kConfiguration,
                      "FAILED",
                      "FAILED_ROLLBACK_COMPLETE",
                      std::string(2000, 'x'),
                      {"DEPLOYMENT_FAILURE"},
                      {"USER_ERROR"},
                      "2.16.0"};
  json update = json::parse(to_text(report, 7, "mine"));
  EXPECT_EQ(update["version"], 7);
  EXPECT_EQ(update["clientToken"], "mine");
  json& reported = update["state"]["reported"];
  EXPECT_EQ(reported["fleetConfigurationArnForStatus"], kConfiguration);
  EXPECT_EQ(reported["status"], "FAILED");
  EXPECT_EQ(reported["ggcVersion"], "2.16.0");
  EXPECT_EQ(reported["statusDetails"]["failureCause"].get<std::string>().size(), 1024u);
  EXPECT_EQ(reported["statusDetails"]["errorStack"], json({"DEPLOYMENT_FAILURE"}));
  report = {.configuration_arn = kConfiguration, .status = "SUCCEEDED"};
  update = json::parse(to_text(report, {}, "mine"));
  EXPECT_FALSE(update.contains("version"));
  for (const char* key : {"detailedStatus", "failureCause", "errorStack", "errorTypes"}) {
    const json& details = update["state"]["reported"]["statusDetails"];
    ASSERT_TRUE(details.contains(key) && details[key].is_null()) << key;
  }
}

}  // namespace
}  // namespace skerry::formats
