// For tests: the IPC operations through real client and server connections, without a socket.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "nucleus/ipc/operations.h"
#include "nucleus/ipc/test_host.h"
#include "rpc/test_wire.h"

namespace skerry::nucleus {

using nlohmann::json;

inline constexpr const char* kAllAllowed = R"({"accessControl":{
  "aws.greengrass.ipc.pubsub": {"p": {"operations": ["*"], "resources": ["*"]}},
  "aws.greengrass.ipc.mqttproxy": {"p": {"operations": ["*"], "resources": ["*"]}}}})";

struct Got {
  std::string shape;
  json body;
  bool is_error = false, last = false;
};

class IpcOperationsTest : public testing::Test {
 protected:
  IpcOperationsTest() {
    host_.tokens = {{"TOKEN-APP", ComponentName("app")},
                    {"TOKEN-OTHER", ComponentName("other")},
                    {"TOKEN-BARE", ComponentName("bare")},
                    {"TOKEN-GONE", ComponentName("gone")},
                    {"TOKEN-OPERATOR", ComponentName(std::string(kOperator))},
                    {"TESTTOKEN0123456", ComponentName("c")}};
    configure("app", kAllAllowed);
    configure("other", kAllAllowed);
    configure("c", kAllAllowed);
    while (!host_.router.connected()) loop_.run_for(10);
  }
  void configure(const char* component, std::string_view config, int64_t time = 1) {
    ASSERT_TRUE(update_now(config_, ComponentName(component), {}, json::parse(config), time));
  }

  // A connected client; its replies are kept in order.
  struct Client {
    Client(const rpc::Service& service, std::string_view token) : wire(service) {
      EXPECT_TRUE(wire.connect(token));
    }
    int32_t call(const std::string& operation, const json& request) {
      auto id = wire.client.call(
          "aws.greengrass#" + operation, request.dump(), [this](const rpc::Reply& reply) {
            got.push_back({std::string(reply.shape), json::parse(reply.payload, nullptr, false),
                           reply.is_error, reply.last});
          });
      EXPECT_TRUE(id);
      EXPECT_TRUE(wire.run());
      return id ? *id : 0;
    }
    // What came since the last question.
    std::vector<Got> news() {
      EXPECT_TRUE(wire.run());
      return std::exchange(got, {});
    }
    rpc::Wire wire;
    std::vector<Got> got;
  };
  // The single reply of a unary call by `token`.
  Got ask(std::string_view token, const std::string& operation, const json& request) {
    Client client(service_, token);
    client.call(operation, request);
    EXPECT_EQ(client.got.size(), 1u);
    return client.got.empty() ? Got{} : client.got[0];
  }
  // The same of an operation that waits for the disk.
  Got ask_disk(std::string_view token, const std::string& operation, const json& request) {
    Client client(service_, token);
    client.call(operation, request);
    while (client.got.empty()) {
      loop_.run_for(1);
      EXPECT_TRUE(client.wire.run());
    }
    return client.got[0];
  }
  // Everything under way to and from the broker arrives.
  void settle() {
    for (int i = 0; i < 50; ++i) loop_.run_for(2);
  }
  void expect_error(const Got& got, std::string_view shape, std::string_view says) {
    EXPECT_TRUE(got.is_error && got.last) << got.body;
    EXPECT_EQ(got.shape, "aws.greengrass#" + std::string(shape));
    EXPECT_NE(got.body.value("message", "").find(says), std::string::npos) << got.body;
  }

  Result<void> persist_result_;
  ConfigStore config_{persist_at_once([this](const std::string&) { return persist_result_; })};
  io::RealLoop loop_;
  FakeHost host_{loop_};
  IpcContext context_{host_, config_};
  const rpc::Service service_ = greengrass_service(context_);
};

}  // namespace skerry::nucleus
