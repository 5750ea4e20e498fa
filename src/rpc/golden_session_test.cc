// Recorded sessions of the public SDKs, answered byte for byte: framing, header order, flags. The
// bodies are those of the recorded server, served from a table.
#include "rpc/test_golden_session.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "rpc/client_connection.h"
#include "rpc/server_connection.h"

namespace skerry::rpc {
namespace {

Service recorded_service() {
  Service service;
  service.authenticate = [](const Frame& connect) -> Result<std::string> {
    if (connect.payload.find("TESTTOKEN0123456") == std::string_view::npos) {
      return fail(Code::kPermissionDenied, "not the recorded token");
    }
    return "component";
  };
  service.operations["aws.greengrass#GetConfiguration"] = [](const ServerStream& s,
                                                             std::string_view request) {
    if (request.find("missing") != std::string_view::npos) {
      s.fail(
          "aws.greengrass#ResourceNotFoundError",
          R"({"message":"Key not found","resourceType":"configuration","resourceName":"missing"})");
    } else if (request.find("boom") != std::string_view::npos) {
      s.fail_unmodelled("InternalServerError");
    } else {
      s.respond("aws.greengrass#GetConfigurationResponse",
                R"({"componentName":"c","value":{"a":1}})");
    }
  };
  service.operations["aws.greengrass#ListComponents"] = [](const ServerStream& s,
                                                           std::string_view) {
    s.fail({}, R"({ "error": "Unsupported Operation", "message": "x" })");
  };
  const auto subscriber = std::make_shared<std::optional<ServerStream>>();
  service.operations["aws.greengrass#SubscribeToTopic"] = [subscriber](const ServerStream& s,
                                                                       std::string_view) {
    s.start("aws.greengrass#SubscribeToTopicResponse", R"({"topicName":"t"})");
    *subscriber = s;
  };
  service.operations["aws.greengrass#PublishToTopic"] = [subscriber](const ServerStream& s,
                                                                     std::string_view) {
    s.respond("aws.greengrass#PublishToTopicResponse", "{}");
    (*subscriber)
        ->send("aws.greengrass#SubscriptionResponseMessage",
               R"({"binaryMessage":{"message":"aGVsbG8=","context":{"topic":"t"}}})");
  };
  return service;
}

// IPC-2
TEST(GoldenSession, TheJavaScriptSdksSessionIsAnsweredByteForByte) {
  const Service service = recorded_service();
  ServerConnection server(service, {}, {});
  const std::vector<Exchange> session = read_session("ipc-session-js-sdk.txt");
  ASSERT_EQ(session.size(), 8u);
  for (size_t i = 0; i < session.size(); ++i) {
    server.receive(session[i].from_client);
    EXPECT_EQ(hex_encode(server.take_output()), hex_encode(session[i].from_server))
        << "answer to frame " << i;
  }
  EXPECT_FALSE(server.ended());
  EXPECT_EQ(server.streams(), 0u);
}

TEST(GoldenSession, OurClientSendsTheJavaScriptSdksBytes) {
  const std::vector<Exchange> session = read_session("ipc-session-js-sdk.txt");
  ClientConnection client;
  client.connect("TESTTOKEN0123456");
  EXPECT_EQ(hex_encode(client.take_output()), hex_encode(session[0].from_client));
  ASSERT_TRUE(client.receive(session[0].from_server));
  EXPECT_TRUE(client.connected());
  std::string reply;
  ASSERT_TRUE(client.call("aws.greengrass#GetConfiguration",
                          R"({"componentName":"c","keyPath":["a"]})",
                          [&](const Reply& r) { reply = r.payload; }));
  EXPECT_EQ(hex_encode(client.take_output()), hex_encode(session[1].from_client));
  ASSERT_TRUE(client.receive(session[1].from_server));
  EXPECT_EQ(reply, R"({"componentName":"c","value":{"a":1}})");
}

TEST(GoldenSession, ThePythonSdksRequestsAreUnderstood) {
  const Service service = recorded_service();
  ServerConnection server(service, {}, {});
  const std::vector<Exchange> session = read_session("ipc-session-python-sdk.txt");
  ASSERT_EQ(session.size(), 5u);
  size_t messages = 0;
  for (const Exchange& exchange : session) {
    server.receive(exchange.from_client);
    FrameDecoder decoder;
    decoder.feed(server.take_output());
    for (auto frame = decoder.next(); frame && *frame; frame = decoder.next()) {
      ++messages;
      EXPECT_NE((*frame)->int32(kMessageTypeHeader), 1);
    }
  }
  EXPECT_EQ(messages, 5u) << "an acceptance, three responses, one event";
  EXPECT_FALSE(server.ended()) << server.end_reason();
}

TEST(GoldenSession, EveryRecordedConnectIsAccepted) {
  const Service service = recorded_service();
  for (const Exchange& exchange : read_session("ipc-connect-variants.txt")) {
    ServerConnection server(service, {}, {});
    server.receive(exchange.from_client);
    EXPECT_TRUE(server.connected());
    EXPECT_EQ(server.take_output(), read_session("ipc-session-js-sdk.txt")[0].from_server);
  }
}

}  // namespace
}  // namespace skerry::rpc
