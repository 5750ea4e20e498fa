// The IPC socket itself: many clients, and those that misbehave.
#include "nucleus/ipc/server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "io/test_directory.h"
#include "net/socket.h"
#include "nucleus/ipc/address.h"
#include "nucleus/ipc/test_host.h"
#include "rpc/client_connection.h"
#include "rpc/ipc_client.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr const char* kGet = "aws.greengrass#GetConfiguration";

// The server on a thread of its own; the tests are its blocking clients.
class IpcServerTest : public testing::Test {
 protected:
  void SetUp() override {}
  void TearDown() override {
    if (thread_.joinable()) {
      on_loop([this] { server_.reset(); });
      loop_.post([this] { loop_.stop(); });
      thread_.join();
    }
  }

  void start(IpcLimits limits = {}) {
    host_.tokens = {{"TOKEN-APP", ComponentName("app")}, {"TOKEN-OTHER", ComponentName("other")}};
    for (const char* name : {"app", "other"}) {
      ASSERT_TRUE(update_now(config_, ComponentName(name), {},
                             json::parse(R"({"k":1,"accessControl":{
          "aws.greengrass.ipc.pubsub":{"p":{"operations":["*"],"resources":["*"]}}}})"),
                             1));
    }
    server_ = std::make_unique<IpcServer>(loop_, host_, config_, limits);
    auto listening = server_->listen(socket_, 0600);
    ASSERT_TRUE(listening) << listening.error().message();
    thread_ = std::thread([this] { loop_.run(); });
  }
  // The result of `f`, run on the server's thread.
  template <class F>
  std::invoke_result_t<F> on_loop(F f) {
    std::packaged_task<std::invoke_result_t<F>()> task(std::move(f));
    auto result = task.get_future();
    loop_.post([&task] { task(); });
    return result.get();
  }
  rpc::IpcClient client(std::string_view token = "TOKEN-APP") {
    auto connected = rpc::IpcClient::connect(socket_, token);
    EXPECT_TRUE(connected) << connected.error().message();
    return std::move(*connected);
  }
  net::Fd raw_socket() {
    net::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket_.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  // Everything the server sends until it closes.
  static std::string read_to_end(const net::Fd& fd) {
    std::string all;
    char buffer[4096];
    for (;;) {
      const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
      if (got <= 0) return all;
      all.append(buffer, static_cast<size_t>(got));
    }
  }

  const io::ScratchDirectory scratch_;
  const std::filesystem::path directory_ = scratch_.path();
  std::filesystem::path socket_ = directory_ / "ipc.socket";
  io::RealLoop loop_;
  FakeHost host_{loop_};
  ConfigStore config_{persist_at_once()};
  std::unique_ptr<IpcServer> server_;
  std::thread thread_;
};

TEST_F(IpcServerTest, ServesManyClientsAtOnce) {
  start();
  struct stat info{};
  ASSERT_EQ(::stat(socket_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  std::vector<rpc::IpcClient> clients;
  clients.reserve(20);
  for (int i = 0; i < 20; ++i) clients.push_back(client());
  for (int round = 0; round < 10; ++round) {
    for (rpc::IpcClient& c : clients) {
      auto got = c.call(kGet, R"({"keyPath":["k"]})");
      ASSERT_TRUE(got) << got.error().message();
      EXPECT_EQ(got->payload, R"({"componentName":"app","value":{"k":1}})");
    }
  }
  EXPECT_EQ(on_loop([this] { return server_->connections(); }), 20u);
}

TEST_F(IpcServerTest, EventsReachAnIdleClient) {
  start();
  rpc::IpcClient subscriber = client(), publisher = client("TOKEN-OTHER");
  auto stream = subscriber.open("aws.greengrass#SubscribeToTopic", R"({"topic":"t"})");
  ASSERT_TRUE(stream);
  ASSERT_TRUE(subscriber.next(*stream));
  const std::string big(300'000, 'x');
  const std::string request =
      json{{"topic", "t"}, {"publishMessage", {{"jsonMessage", {{"message", big}}}}}}.dump();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(publisher.call("aws.greengrass#PublishToTopic", request));
  }
  for (int i = 0; i < 20; ++i) {
    auto event = subscriber.next(*stream);
    ASSERT_TRUE(event) << event.error().message();
    EXPECT_EQ(json::parse(event->payload)["jsonMessage"]["message"], big);
  }
}

TEST_F(IpcServerTest, AnUnknownTokenIsRefusedAndTheConnectionClosed) {
  start();
  auto refused = rpc::IpcClient::connect(socket_, "WRONG");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kPermissionDenied);
  const net::Fd fd = raw_socket();
  const std::string noise = "GET / HTTP/1.1\r\n\r\n";
  ASSERT_EQ(::write(fd.get(), noise.data(), noise.size()), static_cast<ssize_t>(noise.size()));
  EXPECT_EQ(read_to_end(fd), "");
}

TEST_F(IpcServerTest, ASilentClientIsDropped) {
  IpcLimits limits;
  limits.handshake_timeout_ms = 1;
  start(limits);
  EXPECT_EQ(read_to_end(raw_socket()), "");
}

TEST_F(IpcServerTest, ConnectionsAreLimited) {
  IpcLimits limits;
  limits.connections = 1;
  start(limits);
  {
    rpc::IpcClient first = client();
    auto second = rpc::IpcClient::connect(socket_, "TOKEN-APP");
    ASSERT_FALSE(second);
    EXPECT_TRUE(second.error().retryable()) << second.error().message();
    EXPECT_TRUE(first.call(kGet, "{}"));
  }
  // The first has gone: its place is free as soon as the server has seen it.
  Result<rpc::IpcClient> again = fail(Code::kUnavailable, "not tried");
  while (!again && again.error().retryable()) again = rpc::IpcClient::connect(socket_, "TOKEN-APP");
  EXPECT_TRUE(again);
}

// IPC-18
TEST_F(IpcServerTest, SilentConnectionsKeepNobodyOut) {
  IpcLimits limits;
  limits.unknown_per_user = 4;
  start(limits);
  rpc::IpcClient before = client();
  std::vector<net::Fd> silent;
  for (int i = 0; i < 50; ++i) silent.push_back(raw_socket());
  rpc::IpcClient after = client("TOKEN-OTHER");
  EXPECT_TRUE(before.call(kGet, "{}"));
  EXPECT_TRUE(after.call(kGet, "{}"));
  EXPECT_EQ(read_to_end(silent[0]), "") << "the oldest was closed";
  EXPECT_LE(on_loop([this] { return server_->connections(); }), 6u);
}

// IPC-18
TEST_F(IpcServerTest, OneComponentCannotTakeEveryConnection) {
  IpcLimits limits;
  limits.connections_per_component = 2;
  start(limits);
  rpc::IpcClient first = client(), second = client();
  auto third = rpc::IpcClient::connect(socket_, "TOKEN-APP");
  ASSERT_FALSE(third);
  EXPECT_TRUE(third.error().retryable()) << third.error().message();
  EXPECT_TRUE(client("TOKEN-OTHER").call(kGet, "{}"));
}

// IPC-10
TEST_F(IpcServerTest, WhoIsUnknownMaySendLittle) {
  start();
  const net::Fd fd = raw_socket();
  // The prelude of a message of 20,000 bytes: refused before its bytes are waited for.
  std::string big;
  ASSERT_TRUE(rpc::append_frame(big, {}, std::string(20'000, 'x')));
  ASSERT_EQ(::write(fd.get(), big.data(), 12), 12);
  EXPECT_EQ(read_to_end(fd), "");
  // Once known, a component may.
  const std::string large = json{{"keyPath", {std::string(100'000, 'k')}}}.dump();
  auto answered = client().call(kGet, large);
  ASSERT_TRUE(answered) << answered.error().message();
  EXPECT_TRUE(answered->is_error);
}

TEST_F(IpcServerTest, RefusalsDoNotFillTheLog) {
  start();
  testing::internal::CaptureStderr();
  for (int i = 0; i < 500; ++i) EXPECT_FALSE(rpc::IpcClient::connect(socket_, "WRONG"));
  on_loop([this] { return server_->connections(); });
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_LE(std::ranges::count(log, '\n'), 20) << log;
}

// IPC-17
TEST_F(IpcServerTest, AClientThatDoesNotReadIsDroppedAndOthersAreServed) {
  IpcLimits limits;
  limits.connection.outbound_bytes = 100'000;
  limits.linger_ms = 1;
  start(limits);
  const net::Fd fd = raw_socket();
  rpc::ClientConnection slow;
  slow.connect("TOKEN-APP");
  ASSERT_TRUE(slow.call("aws.greengrass#SubscribeToTopic", R"({"topic":"t"})", {}));
  const std::string up = slow.take_output();
  ASSERT_EQ(::write(fd.get(), up.data(), up.size()), static_cast<ssize_t>(up.size()));
  rpc::IpcClient publisher = client("TOKEN-OTHER");
  const std::string request =
      json{{"topic", "t"},
           {"publishMessage", {{"jsonMessage", {{"message", std::string(20'000, 'x')}}}}}}
          .dump();
  while (on_loop([this] { return server_->connections(); }) == 2) {
    ASSERT_TRUE(publisher.call("aws.greengrass#PublishToTopic", request));
  }
  EXPECT_TRUE(publisher.call(kGet, "{}"));
}

TEST_F(IpcServerTest, ComponentsReachItHoweverLongThePathOfItsSocketIs) {
  const std::string runtime = directory_ / "run";
  std::filesystem::create_directory(runtime);
  EXPECT_EQ(*ipc_address(socket_, runtime), socket_);
  const auto folder = directory_ / std::string(150, 'x');
  std::filesystem::create_directory(folder);
  socket_ = folder / "ipc.socket";
  EXPECT_NE(ipc_address(socket_, "").error().message().find("shorter root"), std::string::npos);
  start();
  for (int run = 0; run < 2; ++run) {  // an earlier run has made the link
    const auto address = ipc_address(socket_, runtime);
    ASSERT_TRUE(address) << address.error().message();
    EXPECT_LE(address->size(), 107u);
    auto connected = rpc::IpcClient::connect(*address, "TOKEN-APP");
    ASSERT_TRUE(connected) << connected.error().message();
    EXPECT_TRUE(connected->call(kGet, "{}"));
  }
}

TEST_F(IpcServerTest, GoingAwayClosesEveryConnection) {
  start();
  rpc::IpcClient waiting = client();
  auto stream = waiting.open("aws.greengrass#SubscribeToTopic", R"({"topic":"t"})");
  ASSERT_TRUE(waiting.next(*stream));
  on_loop([this] { server_.reset(); });
  auto ended = waiting.next(*stream);
  ASSERT_FALSE(ended);
  EXPECT_TRUE(ended.error().retryable());
  EXPECT_FALSE(rpc::IpcClient::connect(socket_, "TOKEN-APP"));
}

}  // namespace
}  // namespace skerry::nucleus
