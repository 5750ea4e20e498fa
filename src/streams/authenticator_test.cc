// Tokens of clients, shown to a nucleus that is a server of our own on a real socket.
#include "streams/authenticator.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "net/test_support.h"
#include "rpc/test_nucleus.h"

namespace skerry::streams {
namespace {

using nlohmann::json;

class AuthenticatorTest : public testing::Test {
 protected:
  AuthenticatorTest() {
    nucleus_.answer("ValidateAuthorizationToken",
                    [this](const rpc::ServerStream& stream, std::string_view payload) {
                      const std::string token = json::parse(payload).at("token");
                      if (!error_shape_.empty())
                        return stream.fail(error_shape_, R"({"message":"no"})");
                      if (token == "GOOD") {
                        return stream.respond("aws.greengrass#ValidateAuthorizationTokenResponse",
                                              R"({"isValid":true})");
                      }
                      stream.fail("aws.greengrass#InvalidTokenError", R"({"message":"no"})");
                    });
    nucleus_.start();
  }
  Result<void> check(const std::string& token) {
    return net::run_task(loop_, authenticator_.check(token));
  }
  Code refusal(const std::string& token) {
    const auto checked = check(token);
    EXPECT_FALSE(checked);
    return checked ? Code::kInternal : checked.error().code();
  }

  io::RealLoop loop_;
  net::ScratchDirectory directory_;
  rpc::TestNucleus nucleus_{loop_, directory_.path("ipc.socket")};
  Authenticator authenticator_{loop_, nucleus_.address()};
  std::string error_shape_;
};

TEST_F(AuthenticatorTest, OnlyTokensThatTheNucleusKnowsAreGood) {
  EXPECT_TRUE(check("GOOD"));
  EXPECT_EQ(refusal("BAD"), Code::kPermissionDenied);
  EXPECT_EQ(refusal(""), Code::kPermissionDenied);
  EXPECT_EQ(refusal(std::string(2'000, 'x')), Code::kPermissionDenied);
  EXPECT_EQ(refusal("\xff\xfe"), Code::kPermissionDenied) << "no text";
  EXPECT_TRUE(check("GOOD"));
}

TEST_F(AuthenticatorTest, ANucleusThatDoesNotSayIsNoRefusalOfTheToken) {
  error_shape_ = "aws.greengrass#ServiceError";
  EXPECT_EQ(refusal("GOOD"), Code::kUnavailable);
  error_shape_ = "aws.greengrass#UnauthorizedError";
  EXPECT_NE(check("GOOD").error().message().find("aws.greengrass.StreamManager"),
            std::string::npos);
  nucleus_.stop();
  EXPECT_TRUE(check("GOOD").error().retryable());
  error_shape_.clear();
  nucleus_.start();
  EXPECT_TRUE(check("GOOD")) << "it was restarted";
}

TEST_F(AuthenticatorTest, ManyWhoAskAtOnceAreAllAnsweredOverFewConnections) {
  int good = 0, bad = 0;
  {
    io::TaskScope clients;
    for (int i = 0; i < 200; ++i) {
      clients.spawn([](Authenticator& one, bool is_good, int& count) -> io::Task<void> {
        const auto checked = co_await one.check(is_good ? "GOOD" : "BAD");
        count += checked.has_value() == is_good;
      }(authenticator_, i % 2 == 0, i % 2 == 0 ? good : bad));
    }
    ASSERT_TRUE(net::run_until(loop_, [&] { return clients.size() == 0; }));
  }
  EXPECT_EQ(good, 100);
  EXPECT_EQ(bad, 100);
  EXPECT_LE(nucleus_.connections(), 3u);
}

}  // namespace
}  // namespace skerry::streams
