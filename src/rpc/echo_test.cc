// The public SDKs' echo service, hosted here: the RPC layer knows nothing of Greengrass. The shapes
// and errors are those of awstest#EchoTestRPC.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "rpc/test_echo_service.h"
#include "rpc/test_wire.h"

namespace skerry::rpc {
namespace {

using nlohmann::json;

class EchoTest : public testing::Test {
 protected:
  EchoTest() {
    const std::array headers = {Header::text("client-name", "accepted.testy_mc_testerson")};
    EXPECT_TRUE(wire_.connect("", headers));
    EXPECT_TRUE(wire_.client.connected());
  }
  struct Got {
    bool is_error, last;
    std::string shape, payload;
    bool operator==(const Got&) const = default;
  };
  int32_t call(std::string_view operation, std::string_view payload) {
    auto id = wire_.client.call(operation, payload, [this](const Reply& reply) {
      got_.push_back(
          {reply.is_error, reply.last, std::string(reply.shape), std::string(reply.payload)});
    });
    EXPECT_TRUE(id);
    EXPECT_TRUE(wire_.run());
    return id ? *id : 0;
  }

  const Service service_ = echo_service();
  Wire wire_{service_};
  std::vector<Got> got_;
};

// IPC-23
TEST_F(EchoTest, EchoesEveryKindOfMember) {
  const std::string message =
      json{{"message",
            {{"stringMessage", "Test!"},
             {"booleanMessage", true},
             {"timeMessage", 1767225600.123},
             {"documentMessage", {{"key1", {"value1", 5.0}}}},
             {"enumMessage", "apl"},
             {"blobMessage", "AAEC"},
             {"stringListMessage", {"a", "b"}},
             {"keyValuePairList", {{{"key", "k"}, {"value", "v"}}}},
             {"stringToValue", {{"key1", {{"name", "Milk"}, {"price", 1.5}}}}}}}}
          .dump();
  call("awstest#EchoMessage", message);
  EXPECT_EQ(got_, (std::vector<Got>{{false, true, "awstest#EchoMessageResponse", message}}));
}

TEST_F(EchoTest, AModelledErrorIsModelled) {
  call("awstest#CauseServiceError", "{}");
  EXPECT_EQ(got_, (std::vector<Got>{{true, true, "awstest#ServiceError",
                                     R"({"message":"Intentionally caused ServiceError"})"}}));
}

TEST_F(EchoTest, StreamsEchoBothWaysUntilClosed) {
  const int32_t stream = call("awstest#EchoStreamMessages", "{}");
  for (const char* text : {R"({"streamMessage":{"stringMessage":"1"}})",
                           R"({"keyValuePair":{"key":"k","value":"v"}})"}) {
    ASSERT_TRUE(wire_.client.send(stream, text, "awstest#EchoStreamingMessage"));
    ASSERT_TRUE(wire_.run());
    EXPECT_EQ(got_.back(), (Got{false, false, "awstest#EchoStreamingMessage", text}));
  }
  EXPECT_EQ(got_.size(), 3u);
  wire_.client.close(stream);
  ASSERT_TRUE(wire_.run());
  EXPECT_EQ(wire_.server.streams(), 0u);
}

TEST_F(EchoTest, AStreamMayEndInAnError) {
  const int32_t stream = call("awstest#CauseStreamServiceToError", "{}");
  ASSERT_TRUE(wire_.client.send(stream, "{}", "awstest#EchoStreamingMessage"));
  ASSERT_TRUE(wire_.run());
  ASSERT_EQ(got_.size(), 2u);
  EXPECT_TRUE(got_[1].is_error && got_[1].last);
  EXPECT_EQ(wire_.server.streams(), 0u);
  EXPECT_EQ(wire_.client.streams(), 0u);
}

TEST_F(EchoTest, ManyStreamsInterleave) {
  for (int i = 0; i < 100; ++i) call("awstest#EchoMessage", std::to_string(i));
  const int32_t a = call("awstest#EchoStreamMessages", "{}");
  const int32_t b = call("awstest#EchoStreamMessages", "{}");
  got_.clear();
  ASSERT_TRUE(wire_.client.send(b, "to b"));
  ASSERT_TRUE(wire_.client.send(a, "to a"));
  ASSERT_TRUE(wire_.run());
  ASSERT_EQ(got_.size(), 2u);
  EXPECT_EQ(got_[0].payload, "to b");
}

TEST_F(EchoTest, PingsAreAnswered) {
  std::string pong;
  wire_.client.ping("are you there", [&](std::string_view payload) { pong = payload; });
  ASSERT_TRUE(wire_.run());
  EXPECT_EQ(pong, "are you there");
}

TEST(Echo, AnUnacceptedClientIsRefused) {
  const Service service = echo_service();
  Wire wire(service);
  const std::array headers = {Header::text("client-name", "rejected.testy_mc_testerson")};
  auto connected = wire.connect("", headers);
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().code(), Code::kPermissionDenied);
  EXPECT_TRUE(wire.server.ended());
}

TEST(Echo, TheClientHearsOfAProtocolError) {
  const Service service = echo_service();
  Wire wire(service);
  ASSERT_TRUE(wire.client.call("awstest#EchoMessage", "{}", {}));  // before CONNECT
  auto ended = wire.run();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code(), Code::kFailedPrecondition);
  EXPECT_NE(ended.error().message().find("must be CONNECT"), std::string::npos);
}

}  // namespace
}  // namespace skerry::rpc
