// The configuration of aws.greengrass.ShadowManager, right and wrong.
#include "nucleus/shadow_sync_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace skerry::nucleus {
namespace {

using nlohmann::json;

const ThingName kCore("core");

TEST(ShadowSyncConfigTest, TheReferencesExampleIsRead) {
  const auto config = parse_shadow_sync_config(json::parse(R"({
    "strategy": {"type": "periodic", "delay": 60},
    "synchronize": {
      "coreThing": {"classic": true, "namedShadows": ["MyCoreShadow"]},
      "shadowDocuments": [{"thingName": "MyDevice1", "classic": false, "namedShadows": ["A", "B"]},
                          {"thingName": "MyDevice2", "classic": true, "namedShadows": []}],
      "direction": "deviceToCloud"},
    "rateLimits": {"maxOutboundSyncUpdatesPerSecond": 100}})"),
                                               kCore);
  ASSERT_TRUE(config) << config.error().message();
  const ThingName one("MyDevice1"), two("MyDevice2");
  EXPECT_EQ(config->shadows,
            (std::set<ShadowKey>{
                {kCore, ""}, {kCore, "MyCoreShadow"}, {one, "A"}, {one, "B"}, {two, ""}}));
  EXPECT_EQ(config->direction, ShadowDirection::kDeviceToCloud);
  EXPECT_EQ(config->period_ms, 60'000);
}

TEST(ShadowSyncConfigTest, WhatIsNotSaidHasItsDefault) {
  EXPECT_TRUE(parse_shadow_sync_config(json(), kCore)->shadows.empty());
  const auto config = parse_shadow_sync_config(json::parse(R"({"strategy":{"type":"periodic"},
                      "synchronize":{"coreThing":{"namedShadows":null},
                                     "shadowDocumentsMap":{"d":{"classic":false,"namedShadows":["x"]}}}})"),
                                               kCore);
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->shadows, (std::set<ShadowKey>{{kCore, ""}, {ThingName("d"), "x"}}));
  EXPECT_EQ(config->direction, ShadowDirection::kBoth);
  EXPECT_EQ(config->period_ms, 300'000);
}

TEST(ShadowSyncConfigTest, WhatIsWrongIsNamed) {
  for (const auto& [text, says] : {
           std::pair(R"({"synchronize":[]})", "synchronize"),
           std::pair(R"({"synchronize":{"coreThing":7}})", "coreThing"),
           std::pair(R"({"synchronize":{"coreThing":{"classic":"yes"}}})", "classic"),
           std::pair(R"({"synchronize":{"coreThing":{"namedShadows":"a"}}})", "namedShadows"),
           std::pair(R"({"synchronize":{"coreThing":{"namedShadows":["a/b"]}}})", "namedShadows"),
           std::pair(R"({"synchronize":{"coreThing":{"namedShadows":[""]}}})", "namedShadows"),
           std::pair(R"({"synchronize":{"shadowDocuments":[{}]}})", "shadowDocuments"),
           std::pair(R"({"synchronize":{"shadowDocuments":[7]}})", "shadowDocuments"),
           std::pair(R"({"synchronize":{"shadowDocumentsMap":{"a/b":{}}}})", "shadowDocumentsMap"),
           std::pair(R"({"synchronize":{"direction":"up"}})", "direction"),
           std::pair(R"({"strategy":{"type":"never"}})", "strategy.type"),
           std::pair(R"({"strategy":{"type":"periodic","delay":0}})", "strategy.delay"),
       }) {
    const auto config = parse_shadow_sync_config(json::parse(text), kCore);
    ASSERT_FALSE(config) << text;
    EXPECT_NE(config.error().message().find(says), std::string::npos) << config.error().message();
  }
  json many = json::array();
  for (size_t i = 0; i <= ShadowSyncConfig::kMaxShadows; ++i)
    many.push_back("n" + std::to_string(i));
  EXPECT_FALSE(parse_shadow_sync_config(
      {{"synchronize", {{"coreThing", {{"namedShadows", many}}}}}}, kCore));
}

}  // namespace
}  // namespace skerry::nucleus
