// Who may do what: by token, by user, by address; and how often.
#include "serve/access.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/encoding.h"
#include "base/sha256.h"
#include "serve/test_support.h"

namespace skerry::serve {
namespace {

using net::HttpRequest;
using test::json;
using testing::HasSubstr;

constexpr int64_t kStranger = 54'321;  // a uid that is not ours

class AccessTest : public testing::Test {
 protected:
  static std::string digest(const std::string& token) { return hex_encode(sha256(token)); }

  void set_rules(const json& document) {
    auto rules = parse_access_rules(document.dump());
    ASSERT_TRUE(rules) << rules.error().message();
    access_.set_rules(std::move(*rules));
  }

  static HttpRequest over_tcp(const std::string& token = "", const std::string& host = "10.0.0.7") {
    HttpRequest request;
    request.peer = {.address = host + ":4711", .source = host};
    if (!token.empty()) request.headers.add("Authorization", "Bearer " + token);
    return request;
  }
  static HttpRequest over_socket(int64_t uid) {
    HttpRequest request;
    request.peer = {.address = "unix", .uid = uid, .source = "uid " + std::to_string(uid)};
    return request;
  }

  // 200 where it is admitted.
  int status(HttpRequest request, Right right, const std::string& model = "") {
    const auto grant = access_.admit(request, right, model);
    return grant ? 200 : grant.error().status;
  }

  io::ManualClock clock_;
  Access access_{clock_, false};
};

TEST_F(AccessTest, WithoutRulesTcpChangesNothingAndTheSocketMayDoEverything) {
  for (const Right right : {Right::kRead, Right::kInfer, Right::kMetrics, Right::kSharedMemory}) {
    EXPECT_EQ(status(over_tcp(), right), 200);
  }
  for (const Right right : {Right::kRepository, Right::kSettings, Right::kRuntimes}) {
    EXPECT_EQ(status(over_tcp(), right), 403);
    EXPECT_EQ(status(over_socket(kStranger), right), 200);
  }
  EXPECT_EQ(status(over_tcp("anything"), Right::kInfer), 200);  // nobody looks at tokens
  Access open(clock_, true);
  HttpRequest request = over_tcp();
  EXPECT_TRUE(open.admit(request, Right::kRepository, "m"));
  EXPECT_FALSE(open.admit(request, Right::kRuntimes, ""));
}

TEST_F(AccessTest, ATokenMayDoWhatItsRuleSays) {
  set_rules({{"format", 1},
             {"clients", json::array({{{"name", "line-3"},
                                       {"token_sha256", digest("secret")},
                                       {"allow", {"infer", "read"}},
                                       {"models", {"vad", "cam-*"}}}})}});
  EXPECT_EQ(status(over_tcp("secret"), Right::kInfer, "vad"), 200);
  EXPECT_EQ(status(over_tcp("secret"), Right::kInfer, "cam-7"), 200);
  EXPECT_EQ(status(over_tcp("secret"), Right::kInfer, "vad-2"), 403);
  EXPECT_EQ(status(over_tcp("secret"), Right::kRepository, "vad"), 403);
  EXPECT_EQ(status(over_tcp("Secret"), Right::kInfer, "vad"), 401);
  EXPECT_EQ(status(over_tcp(), Right::kInfer, "vad"), 401);
  EXPECT_EQ(status(over_tcp(), Right::kHealth), 200);
  // A wrong token is wrong wherever it comes from.
  HttpRequest local = over_socket(::geteuid());
  local.headers.add("authorization", "bearer nobody's");
  EXPECT_EQ(status(local, Right::kRead), 401);
  HttpRequest request = over_tcp("secret");
  const auto grant = access_.admit(request, Right::kRead, "");
  EXPECT_TRUE(grant->may_use("cam-1"));
  EXPECT_FALSE(grant->may_use("other"));
}

TEST_F(AccessTest, MetricsAreOfAllModels) {
  set_rules({{"format", 1},
             {"clients",
              json::array({{{"name", "all"}, {"token_sha256", digest("a")}, {"allow", {"metrics"}}},
                           {{"name", "some"},
                            {"token_sha256", digest("s")},
                            {"allow", {"metrics"}},
                            {"models", {"vad"}}}})}});
  EXPECT_EQ(status(over_tcp("a"), Right::kMetrics), 200);
  EXPECT_EQ(status(over_tcp("s"), Right::kMetrics), 403);
}

TEST_F(AccessTest, UsersAreKnownByTheSocket) {
  set_rules({{"format", 1},
             {"clients",
              json::array({{{"name", "camera"}, {"user", kStranger}, {"allow", {"infer"}}}})}});
  EXPECT_EQ(status(over_socket(kStranger), Right::kInfer, "m"), 200);
  EXPECT_EQ(status(over_socket(kStranger), Right::kRepository, "m"), 403);
  EXPECT_EQ(status(over_socket(kStranger + 1), Right::kInfer, "m"), 401);
  EXPECT_EQ(status(over_socket(::geteuid()), Right::kRuntimes), 200);
  EXPECT_EQ(status(over_socket(0), Right::kRepository, "m"), 200);
}

TEST_F(AccessTest, RulesHoldForTheServersOwnUserWhereTheyNameIt) {
  set_rules({{"format", 1},
             {"clients", json::array({{{"name", "me"},
                                       {"user", static_cast<int64_t>(::geteuid())},
                                       {"allow", {"infer"}}}})}});
  EXPECT_EQ(status(over_socket(::geteuid()), Right::kRepository, "m"), 403);
}

TEST_F(AccessTest, WhoSpeaksForOthersHasNoneOfItsOwnRights) {
  const auto forwarded = [](HttpRequest request, const std::string& host) {
    request.headers.add("Forwarded", "for=\"" + host + "\"");
    return request;
  };
  EXPECT_EQ(status(forwarded(over_socket(0), "10.0.0.9"), Right::kRepository, "m"), 403);
  set_rules(
      {{"format", 1},
       {"clients",
        json::array(
            {{{"name", "camera"}, {"user", kStranger}, {"allow", {"infer"}}},
             {{"name", "line-3"}, {"token_sha256", digest("secret")}, {"allow", {"infer"}}}})},
       {"anonymous", {{"allow", {"read"}}, {"requests_per_s", 1}}}});
  EXPECT_EQ(status(forwarded(over_socket(0), "10.0.0.9"), Right::kInfer, "m"), 401);
  HttpRequest with_token = forwarded(over_socket(0), "10.0.0.9");
  with_token.headers.add("Authorization", "Bearer secret");
  EXPECT_EQ(status(with_token, Right::kInfer, "m"), 200);
  // Each has its own limit; and who may not speak for others gets no second one by saying so.
  EXPECT_EQ(status(forwarded(over_socket(0), "10.0.0.9"), Right::kRead), 200);
  EXPECT_EQ(status(forwarded(over_socket(0), "10.0.0.9"), Right::kRead), 429);
  EXPECT_EQ(status(forwarded(over_socket(0), "10.0.0.10"), Right::kRead), 200);
  EXPECT_EQ(status(forwarded(over_socket(kStranger), "10.0.0.11"), Right::kInfer, "m"), 200);
  EXPECT_EQ(status(forwarded(over_tcp(), "10.0.0.12"), Right::kRead), 200);
  EXPECT_EQ(status(forwarded(over_tcp(), "10.0.0.13"), Right::kRead), 429);
}

TEST_F(AccessTest, NobodySpeaksForOthersOverTcp) {
  set_rules(
      {{"format", 1}, {"anonymous", {{"allow", {"read", "forward"}}, {"requests_per_s", 1}}}});
  for (const int expected : {200, 429}) {
    HttpRequest request = over_tcp();
    request.headers.add("Forwarded", fmt::format("for=\"10.9.9.{}\"", expected % 256));
    EXPECT_EQ(status(request, Right::kRead), expected);
  }
}

TEST_F(AccessTest, HandlersSeeForWhomAGatewaySpeaks) {
  set_rules({{"format", 1}, {"anonymous", {{"allow", {"infer"}}}}});
  HttpRequest request = over_socket(0);
  request.headers.add("Forwarded", "for=\"10.0.0.9\"");
  EXPECT_TRUE(access_.admit(request, Right::kInfer, "m"));
  EXPECT_EQ(request.peer.address, "10.0.0.9");
  EXPECT_EQ(request.peer.source, "10.0.0.9");
  EXPECT_EQ(request.peer.uid, -1);
}

TEST_F(AccessTest, RequestsPerSecondComeBackWithTime) {
  set_rules({{"format", 1},
             {"clients", json::array({{{"name", "c"},
                                       {"token_sha256", digest("c")},
                                       {"allow", {"infer"}},
                                       {"requests_per_s", 0.5},
                                       {"burst", 3}}})}});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(status(over_tcp("c"), Right::kInfer, "m"), 200) << i;
  HttpRequest request = over_tcp("c");
  const auto refused = access_.admit(request, Right::kInfer, "m");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, 429);
  EXPECT_EQ(refused.error().headers.get("Retry-After"), "2");
  EXPECT_EQ(refused.error().headers.get("Skerry-Error"), "resource_exhausted");
  const auto try_again_in = [this] {
    HttpRequest again = over_tcp("c", "10.0.0.8");  // its limit is the client's, wherever it is
    const auto grant = access_.admit(again, Right::kInfer, "m");
    return grant ? "now" : std::string(grant.error().headers.get("Retry-After"));
  };
  clock_.monotonic += 500;
  EXPECT_EQ(try_again_in(), "2");  // 1.5
  clock_.monotonic += 600;
  EXPECT_EQ(try_again_in(), "1");  // 0.9
  clock_.monotonic += 899;
  EXPECT_EQ(status(over_tcp("c"), Right::kInfer, "m"), 429);
  clock_.monotonic += 1;
  EXPECT_EQ(status(over_tcp("c"), Right::kInfer, "m"), 200);
  EXPECT_EQ(status(over_tcp("c"), Right::kInfer, "m"), 429);
  clock_.monotonic += 3'600'000;  // no more than the burst
  for (int i = 0; i < 3; ++i) EXPECT_EQ(status(over_tcp("c"), Right::kInfer, "m"), 200) << i;
  EXPECT_EQ(status(over_tcp("c"), Right::kInfer, "m"), 429);
  EXPECT_EQ(access_.refusals().limited, 6u);
}

TEST_F(AccessTest, ARequestRunsUntilItsGrantGoes) {
  set_rules({{"format", 1},
             {"clients", json::array({{{"name", "c"},
                                       {"token_sha256", {digest("old"), digest("new")}},
                                       {"allow", {"infer"}},
                                       {"concurrent", 2}}})}});
  HttpRequest first = over_tcp("old");
  HttpRequest second = over_tcp("new");
  auto one = access_.admit(first, Right::kInfer, "m");
  {
    const auto two = access_.admit(second, Right::kInfer, "m");
    EXPECT_TRUE(one && two);
    EXPECT_EQ(status(over_tcp("old"), Right::kInfer, "m"), 429);
    const Grant moved = std::move(*one);
    EXPECT_EQ(status(over_tcp("old"), Right::kInfer, "m"), 429);
  }
  EXPECT_EQ(status(over_tcp("old"), Right::kInfer, "m"), 200);
}

TEST_F(AccessTest, StrangersAreCountedByAddressInConstantMemory) {
  set_rules({{"format", 1}, {"anonymous", {{"allow", {"infer"}}, {"requests_per_s", 1}}}});
  for (int i = 0; i < 4096; ++i) {
    EXPECT_EQ(status(over_tcp("", "h" + std::to_string(i)), Right::kInfer, "m"), 200);
  }
  EXPECT_EQ(status(over_tcp("", "one more"), Right::kInfer, "m"), 200);
  EXPECT_EQ(status(over_tcp("", "another"), Right::kInfer, "m"), 429);  // they share what is left
  EXPECT_EQ(status(over_tcp("", "h7"), Right::kInfer, "m"), 429);
  clock_.monotonic += 1000;
  EXPECT_EQ(status(over_tcp("", "another"), Right::kInfer, "m"), 200);
  EXPECT_EQ(status(over_tcp("", "one more"), Right::kInfer, "m"), 200);
}

TEST_F(AccessTest, AStrangerWhoseRequestRunsIsNotForgotten) {
  set_rules({{"format", 1}, {"anonymous", {{"allow", {"infer"}}, {"concurrent", 1}}}});
  HttpRequest request = over_tcp("", "busy");
  const auto runs = access_.admit(request, Right::kInfer, "m");
  for (int i = 0; i < 4096; ++i) {
    EXPECT_EQ(status(over_tcp("", "h" + std::to_string(i)), Right::kInfer, "m"), 200);
  }
  EXPECT_EQ(status(over_tcp("", "busy"), Right::kInfer, "m"), 429);
}

TEST(AccessRulesTest, WhatIsWrongIsNamed) {
  const std::string good(64, 'a');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[]", "must be an object"},
      {R"({"format":2})", "format: must be 1"},
      {R"({"clients":[]})", "format"},
      {R"({"format":1,"tokens":[]})", "tokens: is unknown here"},
      {R"({"format":1,"clients":[{"name":"a"}]})", "neither 'token_sha256' nor 'user'"},
      {R"({"format":1,"clients":[{"name":"a","token_sha256":"abc"}]})", "64 hexadecimal digits"},
      {R"({"format":1,"clients":[{"user":1,"allow":["infer"]}]})", "name"},
      {R"({"format":1,"clients":[{"name":"a","user":"nobody-of-this-name"}]})", "no user"},
      {R"({"format":1,"clients":[{"name":"a","user":1},{"name":"b","user":1}]})",
       "another client's"},
      {R"({"format":1,"clients":[{"name":"a","user":1,"allow":["inferr"]}]})", "inferr"},
      {R"({"format":1,"clients":[{"name":"a","user":1,"models":["a*b"]}]})", "at the end"},
      {R"({"format":1,"clients":[{"name":"a","user":1,"models":[]}]})", "leave it out for all"},
      {R"({"format":1,"anonymous":{"requests_per_s":-1}})", "anonymous.requests_per_s"},
      {R"({"format":1,"anonymous":{"burst":5}})", "'burst' without"},
      {R"({"format":1,"anonymous":{"user":1}})", "anonymous.user: is unknown here"},
      {R"({"format":1,"clients":[{"name":"a","token_sha256":["AA","AA"]}]})", "64 hexadecimal"}};
  for (const auto& [text, message] : cases) {
    const auto rules = parse_access_rules(text);
    ASSERT_FALSE(rules) << text;
    EXPECT_THAT(rules.error().message(), HasSubstr(message)) << text;
  }
  const auto twice = parse_access_rules(json{
      {"format", 1}, {"clients", json::array({{{"name", "a"}, {"token_sha256", {good, good}}}})}}
                                            .dump());
  EXPECT_THAT(twice.error().message(), HasSubstr("another token's"));
}

}  // namespace
}  // namespace skerry::serve
