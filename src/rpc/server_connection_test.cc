// Every rule of the protocol from the server's side, over a service made of lambdas.
#include "rpc/server_connection.h"

#include <gtest/gtest.h>

#include <limits>

#include "rpc/test_wire.h"

namespace skerry::rpc {
namespace {

std::string message(int32_t type, int32_t flags, int32_t stream, std::string_view payload = {},
                    std::vector<Header> more = {}) {
  more.push_back(Header::int32(kMessageTypeHeader, type));
  more.push_back(Header::int32(kMessageFlagsHeader, flags));
  more.push_back(Header::int32(kStreamIdHeader, stream));
  std::string out;
  EXPECT_TRUE(append_frame(out, more, payload));
  return out;
}

std::string request(int32_t stream, std::string_view operation, std::string_view payload = "{}",
                    int32_t flags = 0) {
  return message(0, flags, stream, payload, {Header::text(kOperationHeader, operation)});
}

const std::string kConnect =
    message(4, 0, 0, R"({"authToken":"T"})", {Header::text(kVersionHeader, "0.1.0")});

class ServerConnectionTest : public testing::Test {
 protected:
  ServerConnectionTest() {
    service_.authenticate = [](const Frame& connect) -> Result<std::string> {
      if (connect.payload != R"({"authToken":"T"})") {
        return skerry::fail(Code::kPermissionDenied, "unknown token");
      }
      return "tester";
    };
    service_.operations["test#Echo"] = [](const ServerStream& s, std::string_view payload) {
      s.respond("test#EchoResponse", payload);
    };
    service_.operations["test#Fail"] = [](const ServerStream& s, std::string_view) {
      s.fail("test#Error", R"({"message":"no"})");
    };
    service_.operations["test#Crash"] = [](const ServerStream& s, std::string_view) {
      s.fail_unmodelled("InternalServerError");
    };
    service_.operations["test#Open"] = [this](const ServerStream& s, std::string_view) {
      s.start("test#OpenResponse", "{}");
      s.on_message([this](std::string_view payload) { heard_.emplace_back(payload); });
      s.on_closed([this] { ++closed_; });
      open_.push_back(s);
    };
  }

  // The messages that answer `bytes` on a new connection after CONNECT.
  std::vector<WireMessage> answers(std::string_view bytes) {
    connection_.emplace(service_, limits_, [this] { ++wake_ups_; });
    connection_->receive(kConnect);
    EXPECT_TRUE(connection_->connected());
    connection_->take_output();
    connection_->receive(bytes);
    return decode_all(connection_->take_output());
  }

  Service service_;
  ServerLimits limits_;
  std::vector<ServerStream> open_;
  std::vector<std::string> heard_;
  int closed_ = 0;
  int wake_ups_ = 0;
  std::optional<ServerConnection> connection_;
};

TEST_F(ServerConnectionTest, AcceptsAGoodConnect) {
  ServerConnection connection(service_, {}, {});
  connection.receive(kConnect);
  const auto out = decode_all(connection.take_output());
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].type, 5);
  EXPECT_EQ(out[0].flags, kFlagConnectionAccepted);
  EXPECT_EQ(out[0].stream, 0);
  EXPECT_EQ(connection.principal(), "tester");
  EXPECT_FALSE(connection.ended());
}

// IPC-3
TEST_F(ServerConnectionTest, RefusesABadConnectAndEnds) {
  struct Case {
    std::string bytes;
    const char* says;
  };
  for (const Case& c : {
           Case{message(4, 0, 0, R"({"authToken":"X"})", {Header::text(kVersionHeader, "0.1.0")}),
                "unknown token"},
           Case{message(4, 0, 0, R"({"authToken":"T"})", {Header::text(kVersionHeader, "0.2.0")}),
                "protocol version 0.2.0"},
           Case{message(4, 0, 0, R"({"authToken":"T"})"), "protocol version missing"},
       }) {
    ServerConnection connection(service_, {}, {});
    connection.receive(c.bytes + request(1, "test#Echo"));
    const auto out = decode_all(connection.take_output());
    ASSERT_EQ(out.size(), 1u) << "nothing is served after a refusal";
    EXPECT_EQ(out[0].type, 5);
    EXPECT_EQ(out[0].flags, 0);
    EXPECT_TRUE(connection.ended());
    EXPECT_NE(connection.end_reason().find(c.says), std::string::npos) << connection.end_reason();
  }
}

// IPC-4
TEST_F(ServerConnectionTest, NothingIsServedBeforeConnect) {
  for (const std::string& first : {request(1, "test#Echo"), message(2, 0, 0), message(4, 0, 1)}) {
    ServerConnection connection(service_, {}, {});
    connection.receive(first);
    const auto out = decode_all(connection.take_output());
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0].type, 6);
    EXPECT_EQ(out[0].stream, 0);
    EXPECT_TRUE(connection.ended());
  }
}

// IPC-7
TEST_F(ServerConnectionTest, AUnaryAnswerEndsItsStream) {
  const auto out = answers(request(1, "test#Echo", R"({"a":1})"));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].type, 0);
  EXPECT_EQ(out[0].flags, kFlagTerminateStream);
  EXPECT_EQ(out[0].stream, 1);
  EXPECT_EQ(out[0].shape, "test#EchoResponse");
  EXPECT_EQ(out[0].payload, R"({"a":1})");
  EXPECT_EQ(out[0].header_names,
            (std::vector<std::string>{":content-type", "service-model-type", ":message-type",
                                      ":message-flags", ":stream-id"}));
  EXPECT_EQ(connection_->streams(), 0u);
}

// IPC-8
TEST_F(ServerConnectionTest, ErrorsAreModelledOrPlainText) {
  const auto out =
      answers(request(1, "test#Fail") + request(2, "test#Crash") + request(3, "test#Nothing\"x"));
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0].type, 1);
  EXPECT_EQ(out[0].flags, kFlagTerminateStream);
  EXPECT_EQ(out[0].shape, "test#Error");
  EXPECT_EQ(out[1].type, 1);
  EXPECT_EQ(out[1].content_type, "text/plain");
  EXPECT_EQ(out[1].payload, "InternalServerError");
  EXPECT_EQ(out[1].shape, "");
  EXPECT_EQ(out[2].type, 1);
  EXPECT_EQ(out[2].shape, "");
  EXPECT_EQ(out[2].payload,
            R"({ "error": "Unsupported Operation", "message": "This server has no operation )"
            R"(test#Nothing\"x" })");
  EXPECT_FALSE(connection_->ended()) << "an error ends a stream, not the connection";
}

// IPC-7
TEST_F(ServerConnectionTest, AStreamGoesOnUntilTheClientEndsIt) {
  EXPECT_EQ(answers(request(1, "test#Open"))[0].flags, 0);
  open_[0].send("test#Event", R"({"n":1})");
  EXPECT_EQ(wake_ups_, 1);
  open_[0].send("test#Event", R"({"n":2})");
  EXPECT_EQ(wake_ups_, 1) << "one wake-up while output waits";
  const auto events = decode_all(connection_->take_output());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].flags, 0);
  EXPECT_EQ(events[1].stream, 1);
  connection_->receive(message(0, 0, 1, R"({"up":1})"));
  EXPECT_EQ(heard_, std::vector<std::string>{R"({"up":1})"});
  connection_->receive(message(0, kFlagTerminateStream, 1));
  EXPECT_EQ(closed_, 1);
  EXPECT_FALSE(open_[0].open());
  open_[0].send("test#Event", "{}");
  EXPECT_FALSE(connection_->has_output());
  // Its end crossing ours, and a late message, are no violations.
  connection_->receive(message(0, kFlagTerminateStream, 1) + message(0, 0, 1, "late"));
  EXPECT_FALSE(connection_->ended());
}

TEST_F(ServerConnectionTest, TheServerMayEndAStream) {
  answers(request(1, "test#Open"));
  open_[0].close();
  const auto out = decode_all(connection_->take_output());
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].flags, kFlagTerminateStream);
  EXPECT_EQ(out[0].payload, "");
  EXPECT_EQ(out[0].header_names,
            (std::vector<std::string>{":message-type", ":message-flags", ":stream-id"}));
  EXPECT_EQ(closed_, 1);
}

TEST_F(ServerConnectionTest, StreamsEndWithTheirConnection) {
  answers(request(1, "test#Open") + request(2, "test#Open"));
  connection_.reset();
  EXPECT_EQ(closed_, 2);
  open_[0].send("test#Event", "{}");
  EXPECT_EQ(open_[0].principal(), "tester");
  open_[1].on_closed([this] { ++closed_; });
  EXPECT_EQ(closed_, 3) << "too late to hear of the end: told at once";
}

// IPC-5
TEST_F(ServerConnectionTest, StreamIdsCountUp) {
  struct Case {
    std::string bytes;
    const char* says;
  };
  for (const Case& c : {
           Case{request(2, "test#Echo"), "2 came after 0"},
           Case{request(0, "test#Echo"), "not on :stream-id 0"},
           Case{request(-1, "test#Echo"), "-1 came after 0"},
           Case{request(1, "test#Echo") + request(3, "test#Echo"), "3 came after 1"},
           Case{request(1, "test#Echo") + request(1, "test#Echo"), "1 was used before"},
           Case{request(std::numeric_limits<int32_t>::max(), "test#Echo"), "came after 0"},
           Case{message(0, 0, 1, "{}"), "needs an operation header"},
           Case{message(2, 0, 1), "Only application messages"},
           Case{kConnect, "second time"},
           Case{message(5, 0, 0), ":message-type 5"},
           Case{message(99, 0, 0), ":message-type 99"},
       }) {
    const auto out = answers(c.bytes);
    ASSERT_FALSE(out.empty()) << c.says;
    EXPECT_EQ(out.back().type, 6);
    EXPECT_EQ(out.back().stream, 0);
    EXPECT_EQ(out.back().content_type, "application/json");
    EXPECT_NE(out.back().payload.find(c.says), std::string::npos) << out.back().payload;
    EXPECT_TRUE(connection_->ended());
  }
}

// IPC-6
TEST_F(ServerConnectionTest, MandatoryHeadersAreMandatory) {
  std::string bytes;
  ASSERT_TRUE(append_frame(
      bytes, std::array{Header::int32(kMessageTypeHeader, 0), Header::text(kStreamIdHeader, "1")},
      "{}"));
  EXPECT_EQ(answers(bytes)[0].type, 6);
}

// IPC-9
TEST_F(ServerConnectionTest, PingIsAnsweredWithItsPayloadAndHeaders) {
  const auto out =
      answers(message(2, 0, 0, "hello", {Header::text("mine", "1"), Header::text(":theirs", "2")}));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].type, 3);
  EXPECT_EQ(out[0].payload, "hello");
  EXPECT_EQ(out[0].header_names,
            (std::vector<std::string>{"mine", ":message-type", ":message-flags", ":stream-id"}));
  EXPECT_TRUE(answers(message(3, 0, 0, "unasked")).empty());
  EXPECT_FALSE(connection_->ended());
}

TEST_F(ServerConnectionTest, BrokenBytesEndTheConnection) {
  EXPECT_TRUE(answers("this is no event stream").empty());
  EXPECT_TRUE(connection_->ended());
  EXPECT_NE(connection_->end_reason().find("checksum of the prelude"), std::string::npos);
  connection_->receive(request(1, "test#Echo"));
  EXPECT_FALSE(connection_->has_output());
}

TEST_F(ServerConnectionTest, AClientsReportOfAnErrorEndsTheConnection) {
  answers(request(1, "test#Open") + message(6, 0, 0, R"({ "message": "bad" })"));
  EXPECT_TRUE(connection_->ended());
  EXPECT_NE(connection_->end_reason().find("bad"), std::string::npos);
  EXPECT_EQ(closed_, 1);
}

TEST_F(ServerConnectionTest, StreamsAreLimited) {
  limits_.streams = 2;
  const auto out =
      answers(request(1, "test#Open") + request(2, "test#Open") + request(3, "test#Open") +
              message(0, kFlagTerminateStream, 1) + request(4, "test#Echo"));
  ASSERT_EQ(out.size(), 4u);
  EXPECT_EQ(out[2].stream, 3);
  EXPECT_EQ(out[2].type, 1);
  EXPECT_NE(out[2].payload.find("allows 2"), std::string::npos);
  EXPECT_EQ(out[3].type, 0) << "a closed stream makes room";
}

// IPC-10
TEST_F(ServerConnectionTest, MessagesAreLimited) {
  limits_.message_bytes = 1000;
  answers(request(1, "test#Echo", std::string(1000, 'x')));
  EXPECT_TRUE(connection_->ended());
  EXPECT_NE(connection_->end_reason().find("at most 1000"), std::string::npos);
}

TEST_F(ServerConnectionTest, AClientThatDoesNotReadIsDropped) {
  limits_.outbound_bytes = 1000;
  answers(request(1, "test#Open"));
  const std::string payload(300, 'x');
  for (int i = 0; i < 10; ++i) open_[0].send("test#Event", payload);
  EXPECT_TRUE(connection_->ended());
  EXPECT_NE(connection_->end_reason().find("does not read"), std::string::npos);
  EXPECT_EQ(closed_, 1);
  EXPECT_FALSE(connection_->has_output());
}

TEST_F(ServerConnectionTest, AHandlerMayEndStreamsFromTheirOwnCallbacks) {
  answers(request(1, "test#Open") + request(2, "test#Open"));
  open_[0].on_message([this](std::string_view) {
    open_[0].close();
    open_[1].close();
    open_.clear();
  });
  connection_->receive(message(0, 0, 1, "go") + message(0, kFlagTerminateStream, 2));
  EXPECT_EQ(closed_, 2);
  EXPECT_FALSE(connection_->ended());
}

}  // namespace
}  // namespace skerry::rpc
