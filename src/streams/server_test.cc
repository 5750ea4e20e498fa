// The server over real sockets, by a client of our own; the stock SDKs are in tests/streams.
#include "streams/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "io/test_env.h"
#include "net/test_support.h"
#include "rpc/test_golden_session.h"

namespace skerry::streams {
namespace {

using nlohmann::json;

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    EXPECT_TRUE(server_.listen());
    client_ = connect();
    call(Operation::kConnect, {{"protocolVersion", "1.1.0"}}, 1);
  }

  template <class T>
  T wait_for(io::Task<T> task) {
    std::optional<T> value;
    struct Await {
      static io::Task<void> run(io::Task<T> task, std::optional<T>& value) {
        value = co_await task;
      }
    };
    io::TaskScope scope;
    scope.spawn(Await::run(std::move(task), value));
    while (!value) test_.loop.run_for(10'000);
    return std::move(*value);
  }
  std::unique_ptr<net::Stream> connect() {
    return *wait_for(net::connect_tcp(test_.loop, "127.0.0.1", server_.port(), nullptr));
  }
  void send(const std::string& bytes) { ASSERT_TRUE(wait_for(client_->write_all(bytes))); }
  void send(Operation operation, json body, const std::string& first = "") {
    if (!body.contains("requestId")) body["requestId"] = "id";
    send(first + encode(operation, body));
  }
  std::string receive(size_t size) {
    std::string bytes(size, '\0');
    for (size_t got = 0; got < size;) {
      const auto read = wait_for(client_->read_some(bytes.data() + got, size - got));
      if (!read || *read == 0) return "";
      got += *read;
    }
    return bytes;
  }
  json receive() {
    const std::string head = receive(5);
    if (head.empty()) return nullptr;
    size_t length = 0;
    for (int i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(head[i]);
    operation_ = static_cast<Operation>(head[4]);
    return json::from_cbor(receive(length - 1));
  }
  json call(Operation operation, json body, int connects = 0) {
    send(operation, std::move(body), std::string(static_cast<size_t>(connects), kConnectVersion));
    if (connects > 0) {
      EXPECT_EQ(receive(1), "\1");
    }
    return receive();
  }
  Status status_of(const json& answer) { return static_cast<Status>(answer.value("status", -1)); }
  json payload(const std::string& text) { return json::binary({text.begin(), text.end()}); }

  io::BasicTestEnv<io::RealClock, io::FaultFiles> test_;
  std::unique_ptr<StreamStore> store_ =
      *StreamStore::open(test_.files, "/streams", {.reserve_bytes = 0});
  StreamService service_{test_.env, *store_};
  Server server_{test_.loop, service_, {.port = 0, .max_frame_bytes = 10'000}};
  std::unique_ptr<net::Stream> client_;
  Operation operation_ = Operation::kUnknown;
};

TEST_F(ServerTest, AStreamIsMadeFilledReadAndRemoved) {
  json answer = call(Operation::kCreateMessageStream, {{"definition", {{"name", "s"}}}});
  EXPECT_EQ(operation_, Operation::kCreateMessageStreamResponse);
  EXPECT_EQ(answer, json(success("id")));
  answer = call(Operation::kAppendMessage, {{"name", "s"}, {"payload", payload("hi")}});
  EXPECT_EQ(answer["sequenceNumber"], 0);
  answer = call(Operation::kReadMessages, {{"streamName", "s"}});
  EXPECT_EQ(answer["messages"][0]["payload"], payload("hi"));
  EXPECT_GT(answer["messages"][0]["ingestTime"], 1'700'000'000'000);
  answer = call(Operation::kDescribeMessageStream, {{"name", "s"}});
  EXPECT_EQ(answer["messageStreamInfo"]["storageStatus"]["newestSequenceNumber"], 0);
  EXPECT_EQ(call(Operation::kListStreams, {})["streams"], json::array({"s"}));
  EXPECT_EQ(call(Operation::kDeleteMessageStream, {{"name", "s"}}), json(success("id")));
  EXPECT_EQ(status_of(call(Operation::kReadMessages, {{"streamName", "s"}})),
            Status::kResourceNotFound);
}

TEST_F(ServerTest, AReaderWaitsForMessagesAndHoldsUpNobody) {
  call(Operation::kCreateMessageStream, {{"definition", {{"name", "s"}}}});
  EXPECT_EQ(status_of(call(Operation::kReadMessages, {{"streamName", "s"}})),
            Status::kNotEnoughMessages);
  send(Operation::kReadMessages,
       {{"requestId", "reader"},
        {"streamName", "s"},
        {"readMessagesOptions", {{"minMessageCount", 2}, {"readTimeoutMillis", 60'000}}}});
  call(Operation::kAppendMessage, {{"name", "s"}, {"payload", payload("a")}});
  EXPECT_EQ(call(Operation::kListStreams, {})["streams"].size(), 1u);
  send(Operation::kAppendMessage, {{"name", "s"}, {"payload", payload("b")}});
  json first = receive(), second = receive();
  if (first["requestId"] != "reader") std::swap(first, second);
  EXPECT_EQ(first["messages"].size(), 2u);
  EXPECT_EQ(second["sequenceNumber"], 1);
}

TEST_F(ServerTest, AsManyAsAskedForComeHoweverLarge) {
  call(Operation::kCreateMessageStream, {{"definition", {{"name", "s"}}}});
  for (int i = 0; i < 300; ++i) {
    call(Operation::kAppendMessage, {{"name", "s"}, {"payload", payload(std::string(9'000, 'x'))}});
  }
  const auto read = [&](int least, int most) {
    return call(Operation::kReadMessages,
                {{"streamName", "s"},
                 {"readMessagesOptions", {{"minMessageCount", least}, {"maxMessageCount", most}}}});
  };
  EXPECT_LT(read(1, 300)["messages"].size(), 200u);
  EXPECT_EQ(read(250, 300)["messages"].size(), 250u);
}

TEST_F(ServerTest, AReaderThatWaitsInVainIsTold) {
  call(Operation::kCreateMessageStream, {{"definition", {{"name", "s"}}}});
  send(Operation::kReadMessages,
       {{"streamName", "s"}, {"readMessagesOptions", {{"readTimeoutMillis", 20}}}});
  EXPECT_EQ(status_of(receive()), Status::kNotEnoughMessages);
}

TEST_F(ServerTest, WrongRequestsAreAnsweredAndTheConnectionStays) {
  EXPECT_EQ(status_of(call(static_cast<Operation>(99), {})), Status::kUnknownOperation);
  EXPECT_EQ(operation_, Operation::kUnknownOperationError);
  EXPECT_EQ(status_of(call(Operation::kConnect, {})), Status::kInvalidRequest);
  EXPECT_EQ(status_of(call(Operation::kCreateMessageStream, {{"definition", 7}})),
            Status::kInvalidRequest);
  EXPECT_EQ(status_of(call(Operation::kAppendMessage, {{"name", "s"}, {"payload", "text"}})),
            Status::kInvalidRequest);
  EXPECT_EQ(status_of(call(Operation::kAppendMessage, {{"name", 7}, {"payload", payload("x")}})),
            Status::kResourceNotFound);
  const json answer =
      call(Operation::kAppendMessage,
           {{"requestId", "large"}, {"payload", payload(std::string(20'000, 'x'))}});
  EXPECT_EQ(status_of(answer), Status::kRequestPayloadTooLarge);
  EXPECT_EQ(call(Operation::kListStreams, {}), [] {
    json all = success("id");
    all["streams"] = json::array();
    return all;
  }());
}

TEST_F(ServerTest, WhoDoesNotSpeakTheProtocolIsSentAway) {
  for (const auto& [first, operation, body, status] :
       std::vector<std::tuple<char, Operation, json, Status>>{
           {2,
            Operation::kConnect,
            {{"protocolVersion", "1.1.0"}},
            Status::kUnsupportedConnectVersion},
           {1, Operation::kListStreams, json::object(), Status::kUnexpectedOperation},
           {1,
            Operation::kConnect,
            {{"protocolVersion", "9.0.0"}},
            Status::kUnsupportedProtocolVersion}}) {
    client_ = connect();
    send(operation, body, std::string(1, first));
    EXPECT_EQ(receive(1), "\1");
    EXPECT_EQ(status_of(receive()), status);
    EXPECT_EQ(receive(), nullptr);
  }
  client_ = connect();
  send(std::string("\1\x7f\xff\xff\xff\1", 6));  // a length that is a promise only
  client_ = connect();
  send(std::string("\1\xff\xff\xff\xff\1", 6));
  EXPECT_EQ(receive(), nullptr);
}

// A recorded client gets what the recorder gave it, but for the words of an error, the version, the
// client's name and the time.
TEST_F(ServerTest, TheRecordedSessionIsAnsweredByteForByte) {
  client_ = connect();
  const auto session = rpc::read_session("stream-manager-session-js-sdk.txt");
  ASSERT_EQ(session.size(), 7u);
  for (size_t i = 0; i < session.size(); ++i) {
    send(session[i].from_client);
    std::string expected = session[i].from_server, answer = i == 0 ? receive(1) : "";
    const std::string head = receive(5);
    ASSERT_EQ(head.size(), 5u);
    size_t length = 0;
    for (size_t at = 0; at < 4; ++at) length = length << 8 | static_cast<unsigned char>(head[at]);
    answer += head + receive(length - 1);
    const size_t body = i == 0 ? 6 : 5;
    Answer ours = Answer::from_cbor(answer.substr(body)),
           theirs = Answer::from_cbor(expected.substr(body));
    for (const char* key : {"serverVersion", "clientIdentifier", "errorMessage"}) {
      if (theirs.contains(key)) ours.at(key) = theirs.at(key);
    }
    for (auto& message : theirs.value("messages", Answer::array())) {
      ours["messages"][0]["ingestTime"] = message["ingestTime"];
    }
    EXPECT_EQ(hex_encode(answer.substr(0, body - 5)), hex_encode(expected.substr(0, body - 5)));
    EXPECT_EQ(hex_encode(encode(static_cast<Operation>(answer[body - 1]), ours)),
              hex_encode(expected.substr(body - 5)))
        << "answer to frame " << i;
  }
}

TEST_F(ServerTest, WhoOpensTheSocketOfThisUserNeedsNoToken) {
  const net::ScratchDirectory directory;
  Server closed(test_.loop, service_,
                {.port = 0, .authenticate = [](std::string) -> io::Task<Result<void>> {
                   co_return fail(Code::kPermissionDenied, "nobody");
                 }});
  ASSERT_TRUE(closed.listen());
  ASSERT_TRUE(closed.listen_unix(directory.path("streams.sock")));
  client_ = *wait_for(net::connect_tcp(test_.loop, "127.0.0.1", closed.port(), nullptr));
  EXPECT_EQ(status_of(call(Operation::kConnect, {{"protocolVersion", "1.1.0"}}, 1)),
            Status::kUnauthorized);
  client_ = *wait_for(net::connect_unix(test_.loop, directory.path("streams.sock")));
  EXPECT_EQ(status_of(call(Operation::kConnect, {{"protocolVersion", "1.1.0"}}, 1)),
            Status::kSuccess);
  client_.reset();
}

TEST_F(ServerTest, AnOlderClientIsAnsweredInItsVersion) {
  client_ = connect();
  const json answer =
      call(Operation::kConnect,
           {{"protocolVersion", "2.0.0"}, {"otherSupportedProtocolVersions", {"1.0.0"}}}, 1);
  EXPECT_EQ(answer["protocolVersion"], "1.0.0");
  EXPECT_EQ(status_of(answer), Status::kSuccess);
}

}  // namespace
}  // namespace skerry::streams
