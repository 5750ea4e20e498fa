// Shadows at the control plane: what devices are answered and told, and what is kept.
#include "fleet/shadows.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fleet/store_migrations.h"
#include "fleet/store_sql.h"
#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

using nlohmann::json;

const std::string kClassic = "$aws/things/a/shadow", kNamed = "$aws/things/a/shadow/name/config";

class ShadowsTest : public testing::Test {
 protected:
  ShadowsTest() {
    fleet.add_thing("a");
    fleet.link.start();
    fleet.mqtt.connect();
    fleet.settle();
  }
  // What was said on which topic below the request's, since it was sent.
  std::vector<std::pair<std::string, json>> send(const std::string& topic, const json& payload) {
    return send_text(topic, payload.dump());
  }
  std::vector<std::pair<std::string, json>> send_text(const std::string& topic,
                                                      const std::string& payload) {
    fleet.mqtt.receive(topic, payload);
    fleet.settle();
    std::vector<std::pair<std::string, json>> said;
    for (const auto& message : fleet.mqtt.take_sent("$aws/things/a")) {
      said.emplace_back(message.topic, json::parse(message.payload));
    }
    return said;
  }
  // The code that the request is rejected with, 0 where it is not.
  int rejection(const std::string& topic, const std::string& payload) {
    const auto said = send_text(topic, payload);
    if (said.size() != 1 || said[0].first != topic + "/rejected") return 0;
    EXPECT_EQ(said[0].second["timestamp"], fleet.clock.wall / 1000);
    return said[0].second["code"].get<int>();
  }
  json get(const std::string& shadow) {
    const auto said = send(shadow + "/get", {{"clientToken", "g"}});
    if (said.size() != 1 || said[0].first != shadow + "/get/accepted") return {};
    EXPECT_EQ(said[0].second["clientToken"], "g");
    return said[0].second;
  }

  TestFleet fleet;
  ShadowService service{fleet.env, fleet.stores, fleet.link};
};

TEST_F(ShadowsTest, AnUpdateIsAcceptedAndEverybodyHearsWhatChanged) {
  const json update = {{"state", {{"desired", {{"rate", 5}}}, {"reported", {{"rate", 3}}}}},
                       {"clientToken", "mine"}};
  const auto said = send(kNamed + "/update", update);
  ASSERT_EQ(said.size(), 3u);
  EXPECT_EQ(said[0].first, kNamed + "/update/accepted");
  EXPECT_EQ(said[0].second["version"], 1);
  EXPECT_EQ(said[0].second["clientToken"], "mine");
  EXPECT_EQ(said[0].second["metadata"]["desired"]["rate"]["timestamp"], fleet.clock.wall / 1000);
  EXPECT_EQ(said[1].first, kNamed + "/update/documents");
  EXPECT_EQ(said[1].second["previous"], json());
  EXPECT_EQ(said[2].first, kNamed + "/update/delta");
  EXPECT_EQ(said[2].second["state"], json({{"rate", 5}}));
  EXPECT_EQ(get(kNamed)["state"]["delta"], json({{"rate", 5}}));
  EXPECT_EQ(get(kClassic), json()) << "another shadow";
  EXPECT_EQ(send(kNamed + "/update", {{"state", {{"reported", {{"rate", 5}}}}}}).size(), 2u)
      << "no delta is left";
}

TEST_F(ShadowsTest, WhatCannotBeIsRejectedWithItsCodeAndChangesNothing) {
  EXPECT_EQ(rejection(kClassic + "/get", ""), 404);
  EXPECT_EQ(rejection(kClassic + "/delete", "{}"), 404);
  EXPECT_EQ(rejection(kClassic + "/update", "{"), 400);
  EXPECT_EQ(rejection(kClassic + "/update", R"({"state":{"other":{}}})"), 400);
  EXPECT_EQ(rejection("$aws/things/a/shadow/name/no.name/update", R"({"state":{"desired":{}}})"),
            400);
  EXPECT_EQ(rejection("$aws/things/a/shadow/name//get", "{}"), 400)
      << "an empty name is not the classic shadow's";
  const json large = {{"state", {{"reported", {{"text", std::string(8 << 10, 'x')}}}}}};
  EXPECT_EQ(rejection(kClassic + "/update", large.dump()), 413);
  json deep = 1;
  for (int level = 0; level < 9; ++level) deep = {{"a", deep}};
  EXPECT_EQ(rejection(kClassic + "/update", json{{"state", {{"desired", deep}}}}.dump()), 400);
  send(kClassic + "/update", {{"state", {{"reported", {{"a", 1}}}}}});
  EXPECT_EQ(rejection(kClassic + "/update", R"({"state":{"reported":{"a":2}},"version":7})"), 409);
  EXPECT_EQ(get(kClassic)["state"], json::parse(R"({"reported":{"a":1}})"));
  EXPECT_EQ(get(kClassic)["version"], 1);
}

TEST_F(ShadowsTest, TheVersionOfADeletedShadowGoesOnForTwoDays) {
  const json update = {{"state", {{"reported", {{"a", 1}}}}}};
  send(kNamed + "/update", update);
  send(kNamed + "/update", update);
  const auto deleted = send(kNamed + "/delete", {{"clientToken", "d"}});
  ASSERT_EQ(deleted.size(), 1u);
  EXPECT_EQ(deleted[0].first, kNamed + "/delete/accepted");
  EXPECT_EQ(deleted[0].second["version"], 2);
  EXPECT_EQ(deleted[0].second["clientToken"], "d");
  EXPECT_EQ(rejection(kNamed + "/get", ""), 404);
  send(kNamed + "/update", update);
  EXPECT_EQ(get(kNamed)["version"], 3);
  send(kNamed + "/delete", json::object());
  fleet.clock.wall += kDeletedShadowMs;
  EXPECT_EQ(*prune_shadows(*fleet.store, fleet.clock.wall - 1, 10), 0);
  send(kNamed + "/update", update);
  EXPECT_EQ(get(kNamed)["version"], 1);
  send(kNamed + "/delete", json::object());
  EXPECT_EQ(*prune_shadows(*fleet.store, fleet.clock.wall + kDeletedShadowMs, 10), 1);
}

TEST_F(ShadowsTest, AThingHasSoManyShadowsAndDeletedOnesMakeRoom) {
  const std::string update = R"({"state":{"reported":{"a":1}}})";
  const auto key = [](size_t i) {
    return formats::ShadowKey{ThingName("a"), "s" + std::to_string(i)};
  };
  for (size_t i = 0; i < kShadowsOfThing; ++i) {
    ASSERT_TRUE(*update_shadow(*fleet.store, key(i), update, fleet.clock.wall));
  }
  fleet.store->drop_effects();
  EXPECT_EQ(rejection(kNamed + "/update", update), 400);
  ASSERT_TRUE(*delete_shadow(*fleet.store, key(7), "", fleet.clock.wall));
  fleet.store->drop_effects();
  EXPECT_EQ(rejection(kNamed + "/update", update), 0);
  Page page{.limit = 600, .after = ""};
  const auto first = *list_named_shadows(*fleet.store, ThingName("a"), page);
  page.after = first.next;
  EXPECT_EQ(
      first.items.size() + list_named_shadows(*fleet.store, ThingName("a"), page)->items.size(),
      kShadowsOfThing);
}

TEST_F(ShadowsTest, AThingThatAsksTooMuchIsToldSo) {
  int told = 0;
  for (int i = 0; i < 150; ++i) told += rejection(kClassic + "/get", "") == 429 ? 1 : 0;
  EXPECT_GT(told, 0);
  EXPECT_LT(told, 100);
  fleet.clock.monotonic += 10'000;
  EXPECT_EQ(rejection(kClassic + "/get", ""), 404);
}

TEST_F(ShadowsTest, ShadowsGoWithTheirThing) {
  send(kClassic + "/update", {{"state", {{"reported", {{"a", 1}}}}}});
  ASSERT_TRUE(fleet.store->delete_thing(ThingName("a")));
  EXPECT_EQ(rejection(kClassic + "/get", ""), 404);
  EXPECT_EQ(rejection(kClassic + "/update", R"({"state":{"reported":{"a":1}}})"), 404)
      << "what is not registered has none";
}

TEST_F(ShadowsTest, OnAFullDiskTheyAreReadAndDeletedAndNotChanged) {
  send(kClassic + "/update", {{"state", {{"reported", {{"a", 1}}}}}});
  fleet.limit_database(1);
  const json large = {{"state", {{"reported", {{"text", std::string(7'000, 'x')}}}}}};
  EXPECT_GE(rejection(kNamed + "/update", large.dump()), 500);
  EXPECT_EQ(get(kClassic)["version"], 1);
}

TEST(ShadowStoreTest, ADatabaseOfBeforeShadowsComesForward) {
  const io::ScratchDirectory directory;
  const std::string path = directory.path() + "/old.db";
  {
    auto database = Database::open(path);
    ASSERT_TRUE(database);
    ASSERT_TRUE(migrate(**database, 20));
    ASSERT_TRUE((*database)->execute(
        "INSERT INTO things (name, id, attributes, created_ms) VALUES ('t', 'x', '{}', 1)"));
  }
  const formats::ShadowKey key{ThingName("t"), ""};
  for (int version = 1; version <= 2; ++version) {
    auto store = Store::open(path);
    ASSERT_TRUE(store) << store.error().message();
    const auto answer = update_shadow(**store, key, R"({"state":{"reported":{"a":1}}})", 5'000);
    ASSERT_TRUE(answer && *answer);
    EXPECT_EQ(json::parse(**answer)["version"], version) << "it survives the store's reopening";
  }
}

}  // namespace
}  // namespace skerry::fleet
