// The device's shadows over IPC.
#include "nucleus/ipc/test_operations.h"

namespace skerry::nucleus {
namespace {

constexpr const char* kShadowsAllowed = R"({"accessControl":{
  "aws.greengrass.ShadowManager": {"p": {"operations": ["*"], "resources": ["$aws/things/press/shadow*"]}},
  "aws.greengrass.ipc.pubsub": {"p": {"operations": ["*"], "resources": ["*"]}}}})";

// IPC-20
TEST_F(IpcOperationsTest, ShadowsAreUpdatedReadAndDeletedAndEverybodyIsTold) {
  configure("app", kShadowsAllowed, 2);
  Client listener(service_, "TOKEN-OTHER");
  listener.call("SubscribeToTopic", {{"topic", "$aws/things/press/shadow/name/config/#"}});
  listener.news();
  json request = {{"thingName", "press"}, {"shadowName", "config"}};
  const auto payload_of = [](const Got& got) {
    return json::parse(*base64_decode(got.body.value("payload", "")));
  };
  expect_error(ask_disk("TOKEN-APP", "GetThingShadow", request), "ResourceNotFoundError", "config");
  request["payload"] =
      base64_encode(R"({"state":{"desired":{"a":1},"reported":{"a":2}},"clientToken":"mine"})");
  const Got updated = ask_disk("TOKEN-APP", "UpdateThingShadow", request);
  EXPECT_EQ(updated.shape, "aws.greengrass#UpdateThingShadowResponse");
  EXPECT_EQ(payload_of(updated)["version"], 1);
  EXPECT_EQ(payload_of(updated)["clientToken"], "mine");
  const Got got = ask_disk("TOKEN-APP", "GetThingShadow", request);
  EXPECT_EQ(payload_of(got)["state"],
            json::parse(R"({"desired":{"a":1},"reported":{"a":2},"delta":{"a":1}})"));
  request["payload"] = base64_encode(R"({"state":{"desired":{"a":1}},"version":9})");
  expect_error(ask_disk("TOKEN-APP", "UpdateThingShadow", request), "ConflictError", "Version");
  EXPECT_EQ(payload_of(ask_disk("TOKEN-APP", "DeleteThingShadow", request))["version"], 1);
  std::vector<std::string> topics;
  for (const Got& event : listener.news()) {
    topics.push_back(event.body["binaryMessage"]["context"]["topic"].get<std::string>().substr(37));
  }
  EXPECT_EQ(topics, (std::vector<std::string>{"get/rejected", "update/delta", "update/documents",
                                              "update/accepted", "get/accepted", "update/rejected",
                                              "delete/accepted"}));
}

TEST_F(IpcOperationsTest, NamedShadowsAreListedByPages) {
  configure("app", kShadowsAllowed, 2);
  const std::string payload = base64_encode(R"({"state":{"reported":{"a":1}}})");
  for (const char* name : {"", "c", "a", "b"}) {
    ask_disk("TOKEN-APP", "UpdateThingShadow",
             {{"thingName", "press"}, {"shadowName", name}, {"payload", payload}});
  }
  json request = {{"thingName", "press"}, {"pageSize", 2}};
  const Got first = ask_disk("TOKEN-APP", "ListNamedShadowsForThing", request);
  EXPECT_EQ(first.body["results"], json::parse(R"(["a","b"])"));
  request["nextToken"] = first.body["nextToken"];
  const Got second = ask_disk("TOKEN-APP", "ListNamedShadowsForThing", request);
  EXPECT_EQ(second.body["results"], json::parse(R"(["c"])"));
  EXPECT_FALSE(second.body.contains("nextToken"));
  for (const json& size : {json(0), json(101), json("2"), json(1.5)}) {
    expect_error(ask_disk("TOKEN-APP", "ListNamedShadowsForThing",
                          {{"thingName", "press"}, {"pageSize", size}}),
                 "InvalidArgumentsError", "pageSize");
  }
  expect_error(ask_disk("TOKEN-APP", "ListNamedShadowsForThing",
                        {{"thingName", "press"}, {"nextToken", "Lw=="}}),
               "InvalidArgumentsError", "nextToken");
}

TEST_F(IpcOperationsTest, ShadowRequestsAreCheckedBeforeAnythingIsTouched) {
  configure("app", kShadowsAllowed, 2);
  const size_t before = host_.files.operations().size();
  const std::string payload = base64_encode(R"({"state":{"reported":{"a":1}}})");
  const std::pair<json, const char*> invalid[] = {
      {{{"payload", payload}}, "thingName"},
      {{{"thingName", "a/b"}, {"payload", payload}}, "thing"},
      {{{"thingName", ".."}, {"payload", payload}}, "thing"},
      {{{"thingName", "press"}, {"shadowName", "../x"}, {"payload", payload}}, "shadow"},
      {{{"thingName", "press"}, {"shadowName", 7}, {"payload", payload}}, "shadowName"},
      {{{"thingName", "press"}}, "payload"},
      {{{"thingName", "press"}, {"payload", "%"}}, "base64"},
      {{{"thingName", "press"}, {"payload", ""}}, "JSON"},
      {{{"thingName", "press"}, {"payload", base64_encode("{}")}}, "state"},
  };
  for (const auto& [request, says] : invalid) {
    expect_error(ask_disk("TOKEN-APP", "UpdateThingShadow", request), "InvalidArgumentsError",
                 says);
  }
  for (const char* operation :
       {"GetThingShadow", "DeleteThingShadow", "ListNamedShadowsForThing"}) {
    expect_error(ask_disk("TOKEN-APP", operation, {{"thingName", "lathe"}}), "UnauthorizedError",
                 "lathe");
    expect_error(ask_disk("TOKEN-BARE", operation, {{"thingName", "press"}}), "UnauthorizedError",
                 "bare");
  }
  EXPECT_EQ(host_.files.operations().size(), before);
}

}  // namespace
}  // namespace skerry::nucleus
