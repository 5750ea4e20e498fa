// Shadows: the rules of AWS IoT's documents, by their examples.
#include "formats/shadow.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace skerry::formats {
namespace {

using nlohmann::json;

class ShadowTest : public ::testing::Test {
 protected:
  // One update of shadow_ at `now`; the code of its rejection, 200 where it is taken.
  int update(const std::string& payload, int64_t now = 100) {
    auto parsed = parse_shadow_update(payload, limits_);
    if (!parsed) return note(parsed.error());
    auto after = apply_shadow_update(shadow_, *parsed, now, limits_);
    if (!after) return note(after.error());
    accepted_ = json::parse(shadow_accepted(*after, *parsed, now));
    change_ = json::parse(shadow_change(shadow_, *after, now, parsed->client_token));
    shadow_ = *after;
    return 200;
  }
  int note(const ShadowError& error) {
    message_ = error.message;
    return error.code;
  }
  json document(int64_t now = 200) { return json::parse(shadow_document(shadow_, now, {})); }

  ShadowLimits limits_;
  Shadow shadow_;
  json accepted_, change_;
  std::string message_;
};

TEST_F(ShadowTest, AnUpdateMakesMergesAndRemoves) {
  ASSERT_EQ(
      update(R"({"state":{"desired":{"color":"red","led":{"a":1,"b":2}}},"clientToken":"t"})", 10),
      200);
  EXPECT_EQ(accepted_, json::parse(R"({"state":{"desired":{"color":"red","led":{"a":1,"b":2}}},
    "metadata":{"desired":{"color":{"timestamp":10},"led":{"a":{"timestamp":10},"b":{"timestamp":10}}}},
    "version":1,"timestamp":10,"clientToken":"t"})"));
  EXPECT_EQ(change_["previous"], json());
  ASSERT_EQ(
      update(R"({"state":{"desired":{"led":{"a":null,"c":[1,2]}},"reported":{"color":"red"}}})",
             20),
      200);
  EXPECT_EQ(document(), json::parse(R"({
    "state":{"desired":{"color":"red","led":{"b":2,"c":[1,2]}},"reported":{"color":"red"},
             "delta":{"led":{"b":2,"c":[1,2]}}},
    "metadata":{"desired":{"color":{"timestamp":10},
                           "led":{"b":{"timestamp":10},"c":[{"timestamp":20},{"timestamp":20}]}},
                "reported":{"color":{"timestamp":20}}},
    "version":2,"timestamp":200})"));
  EXPECT_EQ(change_["previous"]["version"], 1);
  EXPECT_EQ(change_["current"]["state"]["reported"], json::parse(R"({"color":"red"})"));
  ASSERT_EQ(update(R"({"state":{"desired":null}})"), 200);
  EXPECT_EQ(document()["state"], json::parse(R"({"reported":{"color":"red"}})"));
  EXPECT_EQ(accepted_["metadata"], json::object());
}

TEST_F(ShadowTest, NullsInsideOfWhatIsNewAreNotKept) {
  ASSERT_EQ(update(R"({"state":{"reported":{"a":{"b":null,"c":{"d":null,"e":1}},"f":null}}})"),
            200);
  EXPECT_EQ(document()["state"]["reported"], json::parse(R"({"a":{"c":{"e":1}}})"));
}

TEST_F(ShadowTest, TheDeltaIsWhatIsWishedAndNotSo) {
  ASSERT_EQ(update(R"({"state":{"desired":{"a":1,"b":{"c":2,"d":3},"l":[1]},
                               "reported":{"a":1.0,"b":{"c":2,"d":4,"x":9},"l":[1,2],"y":1}}})",
                   7),
            200);
  const json delta = json::parse(*shadow_delta(shadow_, 9, "tok"));
  EXPECT_EQ(delta, json::parse(R"({"state":{"b":{"d":3},"l":[1]},
    "metadata":{"b":{"d":{"timestamp":7}},"l":[{"timestamp":7}]},"version":1,"timestamp":9,"clientToken":"tok"})"));
  ASSERT_EQ(update(R"({"state":{"reported":{"b":{"d":3},"l":[1]}}})"), 200);
  EXPECT_FALSE(shadow_delta(shadow_, 9, {}));
  EXPECT_FALSE(document()["state"].contains("delta"));
}

TEST_F(ShadowTest, VersionsGuardAgainstLostUpdates) {
  EXPECT_EQ(update(R"({"state":{"desired":{"a":1}},"version":3})"), 400);
  ASSERT_EQ(update(R"({"state":{"desired":{"a":1}},"version":0})"), 200);
  EXPECT_EQ(update(R"({"state":{"desired":{"a":2}},"version":2})"), 409);
  EXPECT_EQ(message_, "Version conflict");
  ASSERT_EQ(update(R"({"state":{"desired":{"a":2}},"version":1})"), 200);
  shadow_.deleted = true;
  ASSERT_EQ(update(R"({"state":{"reported":{"b":1}}})"), 200);
  EXPECT_EQ(document()["state"], json::parse(R"({"reported":{"b":1}})"))
      << "nothing of the old one";
  EXPECT_EQ(shadow_.version, 3) << "the versions of a deleted shadow go on";
}

TEST_F(ShadowTest, WhatIsNoUpdateIsRejected) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "Invalid JSON"},
      {"[]", "Invalid JSON"},
      {R"({"state":{"desired":{"a":1}})", "Invalid JSON"},
      {R"({"state":{"desired":{"a":1,"a":2}}})", "Invalid JSON"},
      {"{}", "state"},
      {R"({"state":null})", "State node"},
      {R"({"state":[]})", "State node"},
      {R"({"state":{}})", "State node"},
      {R"({"state":{"wanted":{}}})", "wanted"},
      {R"({"state":{"desired":1}})", "Desired node"},
      {R"({"state":{"reported":[]}})", "Reported node"},
      {R"({"state":{"reported":{}},"version":"1"})", "Invalid version"},
      {R"({"state":{"reported":{}},"version":-1})", "Invalid version"},
      {R"({"state":{"reported":{}},"version":1.5})", "Invalid version"},
      {R"({"state":{"reported":{}},"version":18446744073709551615})", "Invalid version"},
      {R"({"state":{"reported":{}},"clientToken":7})", "Invalid clientToken"},
  };
  for (const auto& [payload, says] : cases) {
    EXPECT_EQ(update(payload), 400) << payload;
    EXPECT_NE(message_.find(says), std::string::npos) << payload << ": " << message_;
  }
  EXPECT_EQ(update(R"({"state":{"reported":{}},"clientToken":")" + std::string(65, 't') + "\"}"),
            400);
  EXPECT_FALSE(shadow_.exists());
}

TEST_F(ShadowTest, SizeAndDepthHaveLimits) {
  limits_.state_bytes = 100;
  EXPECT_EQ(update(R"({"state":{"desired":{"a":")" + std::string(90, 'x') + R"("}}})"), 200);
  EXPECT_EQ(update(R"({"state":{"reported":{"a":")" + std::string(10, 'x') + R"("}}})"), 413);
  EXPECT_EQ(update(R"({"state":{"reported":{"a":")" + std::string(2000, 'x') + R"("}}})"), 413);
  EXPECT_EQ(shadow_.version, 1);
  limits_.state_bytes = 8 << 10;
  const auto nested = [](int levels) {
    std::string open, close;
    for (int i = 0; i < levels; ++i) open += R"({"k":)", close += "}";
    return R"({"state":{"reported":)" + open + "1" + close + "}}";
  };
  limits_.depth = 6;
  EXPECT_EQ(update(nested(6)), 200);
  EXPECT_EQ(update(nested(7)), 400);
  EXPECT_NE(message_.find('6'), std::string::npos);
  EXPECT_EQ(update(nested(100)), 400);
  EXPECT_EQ(update(nested(100'000)), 413);
}

TEST_F(ShadowTest, NamesAreTopicLevels) {
  for (const char* good : {"", "config", "a-b_c:d$9"}) EXPECT_TRUE(check_shadow_name(good)) << good;
  for (const char* bad : {"a/b", "a b", "+", "#", "\xC3\xA4", ".."}) {
    EXPECT_FALSE(check_shadow_name(bad)) << bad;
  }
  EXPECT_FALSE(check_shadow_name(std::string(65, 'a')));
  EXPECT_EQ(shadow_topic("t", ""), "$aws/things/t/shadow");
  EXPECT_EQ(shadow_topic("t", "n"), "$aws/things/t/shadow/name/n");
}

TEST_F(ShadowTest, RecordsRoundTripAndDamageIsSeen) {
  ASSERT_EQ(update(R"({"state":{"desired":{"a":[1,{"b":2}]},"reported":{"c":"d"}}})"), 200);
  auto again = parse_shadow_record(shadow_record(shadow_));
  ASSERT_TRUE(again);
  EXPECT_EQ(shadow_document(*again, 5, {}), shadow_document(shadow_, 5, {}));
  shadow_.deleted = true;
  again = parse_shadow_record(shadow_record(shadow_));
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->exists());
  for (const char* bad :
       {"", "[]", "{}", R"({"version":0})", R"({"version":"1"})", R"({"version":1,"desired":[]})",
        R"({"version":1,"desired":{"state":1}})"}) {
    EXPECT_FALSE(parse_shadow_record(bad)) << bad;
  }
}

TEST_F(ShadowTest, RejectionsCarryTheRequestsToken) {
  EXPECT_EQ(shadow_client_token(R"({"clientToken":"x"})"), "x");
  EXPECT_EQ(shadow_client_token("no JSON"), std::nullopt);
  EXPECT_EQ(shadow_client_token(R"({"clientToken":1})"), std::nullopt);
  EXPECT_EQ(
      json::parse(shadow_rejected(no_shadow(""), 3, "x")),
      json::parse(
          R"({"code":404,"message":"No shadow exists with name: Unnamed Shadow","timestamp":3,"clientToken":"x"})"));
}

}  // namespace
}  // namespace skerry::formats
