// The IPC operations, but for those that have a file of their own.
#include "nucleus/ipc/test_operations.h"
#include "rpc/test_golden_session.h"

namespace skerry::nucleus {
namespace {

TEST_F(IpcOperationsTest, TheRecordedSessionIsAnsweredByteForByte) {
  configure("c", R"({"a":1})");
  rpc::ServerConnection server(service_, {}, {});
  const auto session = rpc::read_session("ipc-session-js-sdk.txt");
  ASSERT_EQ(session.size(), 8u);
  for (size_t i = 0; i < session.size(); ++i) {
    server.receive(session[i].from_client);
    const std::string answer = server.take_output();
    // The recorded server crashed on purpose in one request, and did not know another.
    if (i == 3 || i == 4) continue;
    EXPECT_EQ(hex_encode(answer), hex_encode(session[i].from_server)) << "answer to frame " << i;
  }
}

TEST_F(IpcOperationsTest, AnUnknownTokenIsRefused) {
  for (const char* token : {"", "TOKEN", "TOKEN-APP "}) {
    rpc::Wire wire(service_);
    auto connected = wire.connect(token);
    ASSERT_FALSE(connected) << token;
    EXPECT_EQ(connected.error().code(), Code::kPermissionDenied);
  }
}

// --- Configuration ------------------------------------------------------------------------------

// IPC-13
TEST_F(IpcOperationsTest, GetConfigurationReadsAnyComponent) {
  configure("other", R"({"Mqtt":{"port":8883,"hosts":["a"]},"none":null})");
  const auto value = [&](const json& request) {
    const Got got = ask("TOKEN-APP", "GetConfiguration", request);
    EXPECT_EQ(got.shape, "aws.greengrass#GetConfigurationResponse");
    EXPECT_TRUE(got.last);
    return got.body;
  };
  EXPECT_EQ(value({{"componentName", "other"}, {"keyPath", {"mqtt"}}}),
            json::parse(R"({"componentName":"other","value":{"port":8883,"hosts":["a"]}})"));
  EXPECT_EQ(value({{"componentName", "other"}, {"keyPath", {"mqtt", "port"}}}),
            json::parse(R"({"componentName":"other","value":{"port":8883}})"));
  EXPECT_EQ(value({{"componentName", "other"}, {"keyPath", {"none"}}})["value"],
            json::parse(R"({"none":null})"));
  EXPECT_EQ(value({{"keyPath", json::array()}}),
            json({{"componentName", "app"}, {"value", json::parse(kAllAllowed)}}));
  EXPECT_EQ(value(json::object())["componentName"], "app");
}

TEST_F(IpcOperationsTest, GetConfigurationErrorsAreModelled) {
  const Got got =
      ask("TOKEN-APP", "GetConfiguration", {{"componentName", "other"}, {"keyPath", {"a", "b"}}});
  expect_error(got, "ResourceNotFoundError", "Key not found");
  EXPECT_EQ(got.body["resourceType"], "configuration");
  EXPECT_EQ(got.body["resourceName"], "other/a/b");
  expect_error(ask("TOKEN-APP", "GetConfiguration", {{"keyPath", "a"}}), "ServiceError",
               "keyPath must be a list");
  expect_error(ask("TOKEN-APP", "GetConfiguration", {{"componentName", 5}}), "ServiceError",
               "componentName must be a string");
  expect_error(ask("TOKEN-APP", "GetConfiguration", json::array()), "ServiceError",
               "must be a JSON object");
  json deep;
  for (int i = 0; i < 100; ++i) deep = json::array({deep});
  expect_error(ask("TOKEN-APP", "GetConfiguration", {{"keyPath", deep}}), "ServiceError",
               "deeper than 64");
}

// IPC-13
TEST_F(IpcOperationsTest, UpdateConfigurationMergesIntoTheCallersOwn) {
  const Got got =
      ask("TOKEN-BARE", "UpdateConfiguration",
          {{"keyPath", {"a"}}, {"timestamp", 1767225600.25}, {"valueToMerge", {{"b", 1}}}});
  EXPECT_EQ(got.shape, "aws.greengrass#UpdateConfigurationResponse");
  EXPECT_EQ(config_.tree().get(ComponentName("bare"), {}), json::parse(R"({"a":{"b":1}})"));
  EXPECT_EQ(config_.tree().modified_ms(ComponentName("bare"), {"a", "b"}), 1767225600250);
}

TEST_F(IpcOperationsTest, UpdateConfigurationRefusesByTheModel) {
  const auto update = [&](const json& request) {
    return ask("TOKEN-APP", "UpdateConfiguration", request);
  };
  expect_error(update({{"keyPath", {"accesscontrol", "x"}}, {"timestamp", 9}, {"valueToMerge", 1}}),
               "InvalidArgumentsError", "[accessControl]");
  expect_error(update({{"timestamp", 9}, {"valueToMerge", {{"ACCESSCONTROL", {}}}}}),
               "InvalidArgumentsError", "[accessControl]");
  expect_error(update({{"keyPath", {"Skerry", "sandbox", "enabled"}},
                       {"timestamp", 9},
                       {"valueToMerge", false}}),
               "InvalidArgumentsError", "[skerry]");
  expect_error(update({{"timestamp", 9}}), "InvalidArgumentsError", "valueToMerge is required");
  expect_error(update({{"timestamp", "9"}, {"valueToMerge", {{"a", 1}}}}), "InvalidArgumentsError",
               "timestamp is required");
  expect_error(update({{"timestamp", -1}, {"valueToMerge", {{"a", 1}}}}), "InvalidArgumentsError",
               "out of range");
  expect_error(update({{"timestamp", 9}, {"valueToMerge", 5}}), "InvalidArgumentsError",
               "must be a JSON object");
  configure("app", R"({"k":1})", 5'000);
  expect_error(update({{"timestamp", 4.999}, {"valueToMerge", {{"k", 2}}}}),
               "FailedUpdateConditionCheckError", "older than");
  EXPECT_EQ(config_.tree().get(ComponentName("app"), {"k"}), json(1));
  persist_result_ = fail(Code::kResourceExhausted, "write state/journal: No space left on device");
  expect_error(update({{"timestamp", 9}, {"valueToMerge", {{"k", 2}}}}), "ServiceError",
               "No space left");
  EXPECT_EQ(config_.tree().get(ComponentName("app"), {"k"}), json(1));
}

TEST_F(IpcOperationsTest, ConfigurationUpdatesAreToldUntilTheStreamEnds) {
  configure("other", R"({"a":{"b":1},"c":1})");
  Client client(service_, "TOKEN-APP");
  const int32_t stream = client.call("SubscribeToConfigurationUpdate",
                                     {{"componentName", "other"}, {"keyPath", {"A"}}});
  ASSERT_EQ(client.got.size(), 1u);
  EXPECT_EQ(client.got[0].shape, "aws.greengrass#SubscribeToConfigurationUpdateResponse");
  EXPECT_FALSE(client.news()[0].last);
  configure("other", R"({"a":{"b":2},"c":2})", 2);
  const auto events = client.news();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].shape, "aws.greengrass#ConfigurationUpdateEvents");
  EXPECT_EQ(events[0].body, json::parse(R"({"configurationUpdateEvent":
      {"componentName":"other","keyPath":["a","b"]}})"));
  client.wire.client.close(stream);
  client.news();
  configure("other", R"({"a":{"b":3}})", 3);
  EXPECT_FALSE(client.wire.server.has_output());
  expect_error(ask("TOKEN-APP", "SubscribeToConfigurationUpdate", {{"keyPath", {"nothing"}}}),
               "ResourceNotFoundError", "Key not found");
}

// --- Local topics -------------------------------------------------------------------------------

// IPC-14
TEST_F(IpcOperationsTest, LocalMessagesReachOtherComponents) {
  Client publisher(service_, "TOKEN-APP"), subscriber(service_, "TOKEN-OTHER");
  const int32_t stream = subscriber.call("SubscribeToTopic", {{"topic", "a/+"}});
  EXPECT_EQ(subscriber.news()[0].body, json::parse(R"({"topicName":"a/+"})"));
  publisher.call(
      "PublishToTopic",
      {{"topic", "a/1"}, {"publishMessage", {{"jsonMessage", {{"message", {{"k", 1.5}}}}}}}});
  publisher.call(
      "PublishToTopic",
      {{"topic", "a/2"}, {"publishMessage", {{"binaryMessage", {{"message", "aGVsbG8="}}}}}});
  EXPECT_EQ(publisher.got.size(), 2u);
  const auto events = subscriber.news();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].shape, "aws.greengrass#SubscriptionResponseMessage");
  EXPECT_EQ(events[0].body,
            json::parse(R"({"jsonMessage":{"message":{"k":1.5},"context":{"topic":"a/1"}}})"));
  EXPECT_EQ(events[1].body,
            json::parse(R"({"binaryMessage":{"message":"aGVsbG8=","context":{"topic":"a/2"}}})"));
  subscriber.wire.client.close(stream);
  subscriber.news();
  EXPECT_EQ(context_.topics.size(), 0u);
}

// IPC-14
TEST_F(IpcOperationsTest, OwnMessagesComeBackByReceiveMode) {
  const json message = {{"topic", "t"}, {"publishMessage", {{"jsonMessage", {{"message", 1}}}}}};
  struct Case {
    json request;
    size_t events;
  };
  for (const Case& c : {
           Case{{{"topic", "t"}}, 1},
           Case{{{"topic", "+"}}, 0},
           Case{{{"topic", "+"}, {"receiveMode", "RECEIVE_ALL_MESSAGES"}}, 1},
           Case{{{"topic", "t"}, {"receiveMode", "RECEIVE_MESSAGES_FROM_OTHERS"}}, 0},
       }) {
    Client client(service_, "TOKEN-APP");
    client.call("SubscribeToTopic", c.request);
    client.news();
    client.call("PublishToTopic", message);
    const auto news = client.news();
    ASSERT_EQ(news.size(), 1 + c.events) << c.request;
    EXPECT_EQ(news[0].shape, "aws.greengrass#PublishToTopicResponse") << "the response comes first";
  }
}

// IPC-12
TEST_F(IpcOperationsTest, LocalTopicsAreRefusedByTheModel) {
  const json fine = {{"jsonMessage", {{"message", 1}}}};
  expect_error(ask("TOKEN-BARE", "PublishToTopic", {{"topic", "t"}, {"publishMessage", fine}}),
               "UnauthorizedError",
               "Principal bare is not authorized to perform "
               "aws.greengrass.ipc.pubsub:aws.greengrass#PublishToTopic on resource t");
  expect_error(ask("TOKEN-BARE", "SubscribeToTopic", {{"topic", "t"}}), "UnauthorizedError",
               "bare");
  for (const char* topic : {"a/#", "+", "x*", ""}) {
    expect_error(ask("TOKEN-APP", "PublishToTopic", {{"topic", topic}, {"publishMessage", fine}}),
                 "InvalidArgumentsError", "wildcard");
  }
  expect_error(ask("TOKEN-APP", "PublishToTopic", {{"publishMessage", fine}}), "ServiceError",
               "topic is required");
  for (const char* bad :
       {"{}", R"({"jsonMessage":{}})", R"({"jsonMessage":{"message":1},
           "binaryMessage":{"message":""}})",
        R"({"binaryMessage":{"message":"!"}})", R"({"binaryMessage":{"message":5}})"}) {
    expect_error(
        ask("TOKEN-APP", "PublishToTopic", {{"topic", "t"}, {"publishMessage", json::parse(bad)}}),
        "ServiceError", "essage");
  }
  expect_error(ask("TOKEN-APP", "SubscribeToTopic", {{"topic", ""}}), "InvalidArgumentsError",
               "must not be empty");
  expect_error(ask("TOKEN-APP", "SubscribeToTopic", {{"topic", "t"}, {"receiveMode", "X"}}),
               "InvalidArgumentsError", "receiveMode must be");
}

// --- The cloud's topics -------------------------------------------------------------------------

// IPC-15
TEST_F(IpcOperationsTest, PublishesToIotCoreAndWaitsForTheBroker) {
  Client client(service_, "TOKEN-APP");
  host_.broker.hold(true);
  client.call("PublishToIoTCore",
              {{"topicName", "out/1"}, {"qos", "1"}, {"payload", "aGVsbG8="}, {"retain", true}});
  settle();
  EXPECT_TRUE(client.got.empty());
  host_.broker.hold(false);
  settle();
  EXPECT_EQ(client.news()[0].shape, "aws.greengrass#PublishToIoTCoreResponse");
  ASSERT_EQ(host_.broker.published.size(), 1u);
  EXPECT_EQ(host_.broker.published[0].topic, "out/1");
  EXPECT_EQ(host_.broker.published[0].payload, "hello");
  EXPECT_EQ(host_.broker.published[0].qos, 1);
  EXPECT_TRUE(host_.broker.published[0].retain);
}

TEST_F(IpcOperationsTest, PropertiesGoOutAndComeBack) {
  Client client(service_, "TOKEN-APP");
  client.call("SubscribeToIoTCore", {{"topicName", "in"}, {"qos", "1"}});
  settle();
  client.news();
  json message = json::parse(R"({"topicName":"in","payload":"aGVsbG8=",
      "userProperties":[{"key":"a","value":"1"},{"key":"a","value":"2"}],
      "messageExpiryIntervalSeconds":60,"correlationData":"AP8=","responseTopic":"out/answer",
      "payloadFormat":"1","contentType":"text/plain"})");
  json request = message;
  request["qos"] = "1";
  client.call("PublishToIoTCore", request);
  settle();
  json event;
  for (const Got& got : client.news()) {
    if (got.shape == "aws.greengrass#IoTCoreMessage") event = got.body["message"];
  }
  EXPECT_EQ(event, message);
}

// IPC-15
TEST_F(IpcOperationsTest, OfflinePublishesAreAnsweredWhenQueued) {
  host_.broker.stop();
  Client client(service_, "TOKEN-APP");
  client.call("PublishToIoTCore", {{"topicName", "t"}, {"qos", "1"}});
  settle();
  const auto news = client.news();
  ASSERT_EQ(news.size(), 1u);
  EXPECT_FALSE(news[0].is_error) << news[0].body;
  expect_error(ask("TOKEN-APP", "PublishToIoTCore", {{"topicName", "t"}, {"qos", "0"}}),
               "ServiceError", "not connected");
  host_.broker.start();
  settle();
  EXPECT_EQ(host_.broker.published.size(), 1u);
}

TEST_F(IpcOperationsTest, IotCoreIsRefusedByTheModel) {
  expect_error(ask("TOKEN-BARE", "PublishToIoTCore", {{"topicName", "t"}, {"qos", "1"}}),
               "UnauthorizedError", "mqttproxy:aws.greengrass#PublishToIoTCore on resource t");
  expect_error(ask("TOKEN-BARE", "SubscribeToIoTCore", {{"topicName", "t"}, {"qos", "1"}}),
               "UnauthorizedError", "bare");
  const auto refused = [&](json request, std::string_view says) {
    if (!request.contains("topicName")) request["topicName"] = "t";
    expect_error(ask("TOKEN-APP", "PublishToIoTCore", request), "ServiceError", says);
  };
  refused({{"topicName", "a/#"}}, "wildcard");
  refused({{"topicName", ""}}, "empty");
  refused({{"topicName", "1/2/3/4/5/6/7/8/9"}}, "7 slashes");
  refused({{"topicName", std::string(257, 'x')}}, "256 bytes");
  refused({{"qos", "2"}}, "qos must be");
  refused({{"payload", "!"}}, "base64");
  refused({{"retain", "yes"}}, "retain must be");
  refused({{"correlationData", 5}}, "base64");
  refused({{"responseTopic", "a/#"}}, "wildcard");
  refused({{"payloadFormat", "2"}}, "payloadFormat");
  refused({{"messageExpiryIntervalSeconds", -1}}, "messageExpiryIntervalSeconds");
  refused({{"messageExpiryIntervalSeconds", 1.5}}, "messageExpiryIntervalSeconds");
  refused({{"userProperties", {{{"key", "k"}}}}}, "userProperties");
  refused({{"userProperties", "k"}}, "userProperties");
  refused({{"contentType", "a\x01"}}, "content type");
  for (const char* filter : {"", "a/#/b", "a+", "$share/g", "1/2/3/4/5/6/7/8/9"}) {
    expect_error(ask("TOKEN-APP", "SubscribeToIoTCore", {{"topicName", filter}}), "ServiceError",
                 "topic");
  }
  host_.has_mqtt = false;
  refused({}, "iotDataEndpoint");
}

TEST_F(IpcOperationsTest, WhatTheBrokerRefusesIsAnError) {
  host_.broker.allow = [](const std::string&, const std::string&, bool) { return false; };
  for (const char* operation : {"PublishToIoTCore", "SubscribeToIoTCore"}) {
    Client client(service_, "TOKEN-APP");
    client.call(operation, {{"topicName", "t"}});
    settle();
    const auto news = client.news();
    ASSERT_EQ(news.size(), 1u);
    expect_error(news[0], "ServiceError", "Not authorized");
  }
  EXPECT_EQ(host_.router.filters(), 0u);
}

TEST_F(IpcOperationsTest, TopicsAreCheckedBeforeThePolicyIsAsked) {
  configure("bare", R"({"accessControl":{
      "aws.greengrass.ipc.pubsub": {"p": {"operations": ["*"], "resources": ["*/public"]}},
      "aws.greengrass.ipc.mqttproxy": {"p": {"operations": ["*"], "resources": ["*/public"]}}}})");
  const json fine = {{"jsonMessage", {{"message", 1}}}};
  for (const std::string& topic :
       {std::string("secret\0/public", 14), std::string("secret\x01/public"),
        std::string("\xef\xbf\xbf/public"), std::string("secret/#/public")}) {
    expect_error(ask("TOKEN-BARE", "PublishToIoTCore", {{"topicName", topic}}), "ServiceError",
                 "topic");
    expect_error(ask("TOKEN-BARE", "SubscribeToIoTCore", {{"topicName", topic}}), "ServiceError",
                 "topic");
    const Got local =
        ask("TOKEN-BARE", "PublishToTopic", {{"topic", topic}, {"publishMessage", fine}});
    EXPECT_TRUE(local.is_error) << local.body;
    expect_error(ask("TOKEN-BARE", "SubscribeToTopic", {{"topic", topic}}), "InvalidArgumentsError",
                 "topic");
  }
  // The group of a shared subscription opens nothing: this one reads "public".
  expect_error(ask("TOKEN-BARE", "SubscribeToIoTCore", {{"topicName", "$share/x/public"}}),
               "UnauthorizedError", "on resource public");
  EXPECT_TRUE(host_.broker.filters("device").empty());
}

TEST_F(IpcOperationsTest, MessagesOfTheCloudReachTheirSubscribers) {
  Client a(service_, "TOKEN-APP"), b(service_, "TOKEN-OTHER");
  const int32_t first = a.call("SubscribeToIoTCore", {{"topicName", "in/#"}, {"qos", "0"}});
  b.call("SubscribeToIoTCore", {{"topicName", "in/+"}, {"qos", "1"}});
  settle();
  EXPECT_EQ(a.news().size(), 1u);
  EXPECT_EQ(b.news()[0].shape, "aws.greengrass#SubscribeToIoTCoreResponse");
  host_.broker.publish({.topic = "in/x", .payload = "hello", .qos = 1});
  host_.broker.publish({.topic = "elsewhere", .payload = "hello", .qos = 1});
  settle();
  const auto events = b.news();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].shape, "aws.greengrass#IoTCoreMessage");
  EXPECT_EQ(events[0].body,
            json::parse(R"({"message":{"topicName":"in/x","payload":"aGVsbG8="}})"));
  EXPECT_EQ(a.news().size(), 1u);
  a.wire.client.close(first);
  a.news();
  settle();
  EXPECT_EQ(host_.broker.filters("device"), (std::map<std::string, uint8_t>{{"in/+", 1}}));
  b.wire.server.receive("this is not a frame");  // ends the connection
  settle();
  EXPECT_TRUE(host_.broker.filters("device").empty());
}

// IPC-16
TEST_F(IpcOperationsTest, TheSubscribeResponseComesBeforeAnyMessage) {
  host_.broker.publish({.topic = "t", .payload = "kept", .qos = 1, .retain = true});
  Client client(service_, "TOKEN-APP");
  client.call("SubscribeToIoTCore", {{"topicName", "t"}, {"qos", "1"}});
  EXPECT_TRUE(client.got.empty());
  settle();
  const auto news = client.news();
  ASSERT_EQ(news.size(), 2u);
  EXPECT_EQ(news[0].shape, "aws.greengrass#SubscribeToIoTCoreResponse");
  EXPECT_EQ(news[1].shape, "aws.greengrass#IoTCoreMessage");
  EXPECT_EQ(news[1].body["message"]["retain"], true);
}

TEST_F(IpcOperationsTest, OfflineSubscriptionsAreAnsweredAtOnce) {
  host_.broker.stop();
  Client client(service_, "TOKEN-APP");
  client.call("SubscribeToIoTCore", {{"topicName", "t"}, {"qos", "1"}});
  settle();
  EXPECT_EQ(client.news().size(), 1u);
}

// --- The rest -----------------------------------------------------------------------------------

TEST_F(IpcOperationsTest, UpdateStateIsReported) {
  EXPECT_EQ(ask("TOKEN-APP", "UpdateState", {{"state", "RUNNING"}}).shape,
            "aws.greengrass#UpdateStateResponse");
  ask("TOKEN-APP", "UpdateState", {{"state", "ERRORED"}});
  EXPECT_EQ(host_.reports, (std::vector<std::string>{"app RUNNING", "app ERRORED"}));
  expect_error(ask("TOKEN-APP", "UpdateState", {{"state", "FINISHED"}}), "ServiceError",
               "RUNNING or ERRORED");
  expect_error(ask("TOKEN-GONE", "UpdateState", {{"state", "RUNNING"}}), "ResourceNotFoundError",
               "not deployed");
}

// IPC-22
TEST_F(IpcOperationsTest, OnlyTheStreamManagerMayAskWhoseTokenItIs) {
  host_.tokens.emplace("TOKEN-STREAMS", ComponentName("aws.greengrass.StreamManager"));
  const auto validate = [&](const char* asks, const json& request) {
    return ask(asks, "ValidateAuthorizationToken", request);
  };
  const Got good = validate("TOKEN-STREAMS", {{"token", "TOKEN-BARE"}});
  EXPECT_EQ(good.shape, "aws.greengrass#ValidateAuthorizationTokenResponse");
  EXPECT_EQ(good.body, json({{"isValid", true}}));
  EXPECT_TRUE(good.last);
  for (const char* token : {"", "TOKEN", "token-bare"}) {
    expect_error(validate("TOKEN-STREAMS", {{"token", token}}), "InvalidTokenError", "no running");
  }
  expect_error(validate("TOKEN-STREAMS", json::object()), "ServiceError", "token is required");
  expect_error(validate("TOKEN-APP", {{"token", "TOKEN-BARE"}}), "UnauthorizedError",
               "app is not authorized to perform aws.greengrass#ValidateAuthorizationToken");
}

// IPC-11
TEST_F(IpcOperationsTest, TheWholeModelIsServed) {
  EXPECT_EQ(service_.operations.size(), 35u + 3u) << "the whole model, and our own three";
  const Got unknown = ask("TOKEN-APP", "MakeCoffee", json::object());
  EXPECT_TRUE(unknown.is_error);
  EXPECT_EQ(unknown.shape, "");
  EXPECT_EQ(unknown.body["error"], "Unsupported Operation");
}

TEST_F(IpcOperationsTest, TheConnectionsStatusComesAtOnceAndWithEachChange) {
  Client client(service_, "TOKEN-BARE");
  client.call("SubscribeToIoTCoreConnectionStatus", json::object());
  auto got = client.news();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].shape, "aws.greengrass#SubscribeToIoTCoreConnectionStatusResponse");
  EXPECT_EQ(got[1].shape, "aws.greengrass#IoTCoreConnectionStatusEvent");
  EXPECT_EQ(got[1].body, json({{"connectionStatusEvent", {{"status", "CONNECTED"}}}}));
  host_.broker.stop();
  while (host_.router.connected()) loop_.run_for(10);
  settle();  // attempts that fail are no news
  host_.broker.start();
  while (!host_.router.connected()) loop_.run_for(10);
  got = client.news();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].body["connectionStatusEvent"]["status"], "DISCONNECTED");
  EXPECT_EQ(got[1].body["connectionStatusEvent"]["status"], "CONNECTED");
}

}  // namespace
}  // namespace skerry::nucleus
