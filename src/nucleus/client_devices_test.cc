// Who a client device is, and what its groups allow.
#include "nucleus/client_devices.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/files.h"
#include "net/test_support.h"
#include "nucleus/test_config.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr int64_t kMomentMs = 1;

int64_t now_ms() {
  return io::RealClock().wall_ms() + kMomentMs;
}

TEST(SelectionRule, NamesThings) {
  const auto is = [](const char* rule, const char* thing) { return selects(rule, thing).value(); };
  EXPECT_TRUE(is("thingName: press-1", "press-1"));
  EXPECT_FALSE(is("thingName: press-1", "press-11"));
  EXPECT_TRUE(is("thingName: press-*", "press-11"));
  EXPECT_TRUE(is("thingName:*-1*", "press-11"));
  EXPECT_TRUE(is("thingName: a OR thingName: b AND thingName: c", "a"));
  EXPECT_FALSE(is("(thingName: a OR thingName: b) AND thingName: c", "a"));
  EXPECT_TRUE(is("((thingName: a*)) AND thingName: *b", "ab"));
  for (const char* rule : {"", "thingName:", "thingName: a OR", "thingName: a b", "(thingName: a",
                           "thingName: a)", "thing: a", "thingName: (", "OR thingName: a"}) {
    EXPECT_EQ(selects(rule, "a").error().code(), Code::kInvalidArgument) << rule;
  }
  EXPECT_FALSE(selects(std::string(100'000, '('), "a"));
}

class ClientDevicesTest : public ::testing::Test {
 protected:
  void configure(const json& configuration) {
    ASSERT_TRUE(update_now(config_, ComponentName("aws.greengrass.clientdevices.Auth"), {},
                           configuration, ++time_));
  }
  std::string pem(bool expired = false) {
    io::RealFiles files;
    return io::read_file(files, ca_.issue({"a client", "", expired}).certificate_file).value();
  }

  io::SeededRandom random_{1};
  io::ScratchDirectory directory_;
  net::TestCa ca_{directory_, "any"};
  ConfigStore config_{persist_at_once()};
  ClientDevices devices_{config_};
  int64_t time_ = 0;
};

TEST_F(ClientDevicesTest, ItsCertificateSaysWhoItIs) {
  const std::string press = pem(), saw = pem(), old = pem(true);
  configure({{"clientDevices",
              {{"press-1", {{"certificatePem", press}}}, {"old", {{"certificatePem", old}}}}}});
  EXPECT_EQ(devices_.thing_of(press, now_ms()).value(), "press-1");
  for (const std::string& other : {saw, old, std::string("no certificate"), std::string()}) {
    EXPECT_EQ(devices_.thing_of(other, now_ms()).error().code(), Code::kPermissionDenied);
    EXPECT_EQ(devices_.token_for("c", other, random_, now_ms()).error().code(),
              Code::kPermissionDenied);
  }
  EXPECT_EQ(devices_.token_for("", press, random_, now_ms()).error().code(),
            Code::kInvalidArgument);
}

TEST_F(ClientDevicesTest, ItsGroupsSayWhatItMayDo) {
  const std::string press = pem();
  configure({{"clientDevices", {{"press-1", {{"certificatePem", press}}}}},
             {"deviceGroups",
              {{"definitions",
                {{"presses", {{"selectionRule", "thingName: press-*"}, {"policyName", "P"}}},
                 {"saws", {{"selectionRule", "thingName: saw-*"}, {"policyName", "All"}}},
                 {"odd", {{"selectionRule", "what?"}, {"policyName", "All"}}},
                 {"none", {{"selectionRule", "thingName: press-*"}, {"policyName", "absent"}}}}},
               {"policies",
                {{"P",
                  {{"connect",
                    {{"operations", {"mqtt:connect"}},
                     {"resources", {"mqtt:clientId:${iot:Connection.Thing.ThingName}"}}}},
                   {"talk",
                    {{"operations", {"mqtt:publish", "mqtt:subscribe"}},
                     {"resources", {"mqtt:topic:presses/*", "mqtt:topicfilter:presses/#"}}}},
                   {"not that",
                    {{"effect", "DENY"}, {"operations", {"*"}}, {"resources", {"*secret*"}}}}}},
                 {"All", {{"s", {{"operations", {"*"}}, {"resources", {"*"}}}}}}}}}}});
  const std::string token = devices_.token_for("press-1", press, random_, now_ms()).value();
  const auto may = [&](const char* operation, const char* resource) {
    return devices_.allows(token, operation, resource).value();
  };
  EXPECT_TRUE(may("mqtt:connect", "mqtt:clientId:press-1"));
  EXPECT_FALSE(may("mqtt:connect", "mqtt:clientId:press-2"));
  EXPECT_TRUE(may("mqtt:publish", "mqtt:topic:presses/1/temperature"));
  EXPECT_FALSE(may("mqtt:publish", "mqtt:topic:saws/1"));
  EXPECT_FALSE(may("mqtt:publish", "mqtt:topic:presses/secret/1"));
  EXPECT_TRUE(may("mqtt:subscribe", "mqtt:topicfilter:presses/#"));
  EXPECT_FALSE(may("mqtt:subscribe", "mqtt:topicfilter:#"));
  EXPECT_EQ(devices_.allows("none", "mqtt:publish", "mqtt:topic:a").error().code(),
            Code::kNotFound);
  for (const char* resource : {"mqtt:topicfilter:a", "mqtt:topic:", "a"})
    EXPECT_EQ(devices_.allows(token, "mqtt:publish", resource).error().code(),
              Code::kInvalidArgument);
  // Whatever is wrong in the configuration allows nothing.
  for (const json& groups : {json("text"), json(nullptr), json({{"definitions", {1, 2}}}),
                             json({{"definitions", {{"g", 1}}}, {"policies", 7}})}) {
    configure({{"deviceGroups", nullptr}});
    configure({{"deviceGroups", groups}});
    EXPECT_FALSE(may("mqtt:publish", "mqtt:topic:presses/1"));
  }
}

TEST_F(ClientDevicesTest, TokensAreFewEnough) {
  const std::string press = pem();
  configure({{"clientDevices", {{"press-1", {{"certificatePem", press}}}}}});
  const std::string first = devices_.token_for("c", press, random_, now_ms()).value();
  EXPECT_TRUE(devices_.allows(first, "mqtt:connect", "mqtt:clientId:c"));
  for (size_t i = 0; i < ClientDevices::kMaxTokens; ++i)
    ASSERT_TRUE(devices_.token_for("c", press, random_, now_ms()));
  EXPECT_FALSE(devices_.allows(first, "mqtt:connect", "mqtt:clientId:c"));
}

}  // namespace
}  // namespace skerry::nucleus
