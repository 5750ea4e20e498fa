// SubscribeToCertificateUpdates and CreateDebugPassword.
#include "net/x509.h"
#include "nucleus/ipc/test_operations.h"

namespace skerry::nucleus {
namespace {

constexpr const char* kMayServe =
    R"({"accessControl": {"aws.greengrass.clientdevices.Auth": {"p": {
        "operations": ["aws.greengrass#SubscribeToCertificateUpdates"], "resources": ["*"]}}}})";
const json kServer = {{"certificateOptions", {{"certificateType", "SERVER"}}}};

struct CertificateUpdatesTest : IpcOperationsTest {
  // Waits for as many answers and events.
  std::vector<Got> wait_for(Client& client, size_t count) {
    while (client.got.size() < count) {
      loop_.run_for(1);
      EXPECT_TRUE(client.wire.run());
    }
    return std::exchange(client.got, {});
  }
  json certificate_in(const Got& got) {
    EXPECT_EQ(got.shape, "aws.greengrass#CertificateUpdateEvent") << got.body;
    return got.body.value("certificateUpdate", json::object());
  }
};

TEST_F(CertificateUpdatesTest, TheFirstComesAtOnceAndTheNextWithANewName) {
  configure("app", kMayServe, 2);
  Client client(service_, "TOKEN-APP");
  client.call("SubscribeToCertificateUpdates", kServer);
  const auto begun = wait_for(client, 2);
  EXPECT_EQ(begun[0].shape, "aws.greengrass#SubscribeToCertificateUpdatesResponse");
  EXPECT_FALSE(begun[0].last);
  const json first = certificate_in(begun[1]);
  configure("aws.greengrass.clientdevices.Auth", R"({"hostAddresses": ["press.example.com"]})");
  const json second = certificate_in(wait_for(client, 1)[0]);
  EXPECT_NE(first["privateKey"], second["privateKey"]);
  EXPECT_EQ(first["caCertificates"], second["caCertificates"]);
  const auto shown = net::x509::parse_certificate(second["certificate"].get<std::string>());
  ASSERT_TRUE(shown);
  EXPECT_TRUE(net::x509::is_for(shown.get(), "press.example.com"));
  EXPECT_TRUE(net::x509::is_for(shown.get(), "127.0.0.1"));
}

TEST_F(CertificateUpdatesTest, AnotherLifetimeCountsAtOnce) {
  configure("app", kMayServe, 2);
  Client client(service_, "TOKEN-APP");
  configure("aws.greengrass.clientdevices.Auth",
            R"({"certificates": {"serverCertificateValiditySeconds": 3600}})");
  client.call("SubscribeToCertificateUpdates", kServer);
  wait_for(client, 2);
  configure("aws.greengrass.clientdevices.Auth",
            R"({"certificates": {"serverCertificateValiditySeconds": 999999999}})", 2);
  const json longest = certificate_in(wait_for(client, 1)[0]);
  const auto shown = net::x509::parse_certificate(longest["certificate"].get<std::string>());
  const int64_t left_s = net::x509::not_after_s(shown.get()) - io::RealClock().wall_ms() / 1000;
  EXPECT_GT(left_s, 863'000);
  EXPECT_LE(left_s, 864'000) << "the reference's longest";
}

TEST_F(CertificateUpdatesTest, WhoEndsTheStreamHearsNoMore) {
  configure("app", kMayServe, 2);
  {
    Client client(service_, "TOKEN-APP");
    client.call("SubscribeToCertificateUpdates", kServer);
    wait_for(client, 2);
    EXPECT_EQ(context_.tasks.size(), 1u);
  }
  settle();
  EXPECT_EQ(context_.tasks.size(), 0u);
}

TEST_F(CertificateUpdatesTest, WhatMakesNoSenseIsRefused) {
  configure("app", kMayServe, 2);
  for (const json& request : {json::object(), json{{"certificateOptions", "SERVER"}},
                              json{{"certificateOptions", {{"certificateType", "CLIENT"}}}}}) {
    expect_error(ask("TOKEN-APP", "SubscribeToCertificateUpdates", request),
                 "InvalidArgumentsError", "must be SERVER");
  }
  expect_error(ask("TOKEN-OTHER", "SubscribeToCertificateUpdates", kServer), "UnauthorizedError",
               "other is not authorized");
  configure("aws.greengrass.clientdevices.Auth", R"({"hostAddresses": ["a,IP:10.0.0.1"]})");
  expect_error(ask_disk("TOKEN-APP", "SubscribeToCertificateUpdates", kServer), "ServiceError",
               "no host's name");
}

TEST_F(IpcOperationsTest, ADebugPasswordMakesItsHolderTheOperator) {
  const Got made = ask("TOKEN-OPERATOR", "CreateDebugPassword", json::object());
  ASSERT_EQ(made.shape, "aws.greengrass#CreateDebugPasswordResponse") << made.body;
  EXPECT_EQ(made.body["username"], "debug");
  const auto password = made.body["password"].get<std::string>();
  EXPECT_EQ(password.size(), 32u);
  const double now_s = static_cast<double>(io::RealClock().wall_ms()) / 1000;
  EXPECT_NEAR(made.body["passwordExpiration"].get<double>(), now_s + 8 * 3600, 60);
  EXPECT_EQ(ask(password, "ListComponents", json::object()).shape,
            "aws.greengrass#ListComponentsResponse");
  rpc::Wire wrong(service_);
  EXPECT_FALSE(wrong.connect(password + "A"));
  expect_error(ask("TOKEN-APP", "CreateDebugPassword", json::object()), "UnauthorizedError",
               "app is not authorized");
}

}  // namespace
}  // namespace skerry::nucleus
