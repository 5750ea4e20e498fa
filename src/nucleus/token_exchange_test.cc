// What components are given for their token, and how often the fleet is asked.
#include "nucleus/token_exchange.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/test_env.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr int64_t kExchangeMs = 1'800'000'000'000;  // 2027-01-15T08:00:00Z

// The fleet: answers when it is told to.
struct FakeFleet : net::HttpClient {
  explicit FakeFleet(io::Loop& loop) : loop_(loop) {}
  io::Task<Result<net::HttpResponse>> fetch(std::string url, net::HttpRequest request,
                                            net::FetchOptions) override {
    ++asked;
    asked_url = std::move(url);
    named = request.headers.get("x-amzn-iot-thingname");
    co_await io::sleep(loop_, 1);
    if (status == 0) co_return fail(Code::kUnavailable, "no network");
    co_return net::json_response(status, body);
  }
  io::Loop& loop_;
  int asked = 0, status = 200;
  std::string asked_url, named;
  std::string body = json{{"credentials",
                           {{"accessKeyId", "A"},
                            {"secretAccessKey", "S"},
                            {"sessionToken", "T"},
                            {"expiration", "2027-01-15T09:00:00Z"}}}}
                         .dump();
};

struct TokenExchangeTest : testing::Test {
  TokenExchangeTest() { machine_.clock.wall = kExchangeMs; }
  static io::Task<void> keep(TokenExchange* exchange, net::HttpRequest request,
                             std::vector<net::HttpResponse>* answers) {
    answers->push_back(co_await exchange->answer(std::move(request)));
  }
  // The answers to as many of the same at once.
  std::vector<net::HttpResponse> ask_all(size_t count, const char* token = "TOKEN",
                                         std::string target = std::string(TokenExchange::kPath),
                                         const char* method = "GET") {
    net::HttpRequest request;
    request.method = method;
    request.target = std::move(target);
    if (token) request.headers.set("Authorization", token);
    std::vector<net::HttpResponse> answers;
    io::TaskScope tasks;
    for (size_t i = 0; i < count; ++i) tasks.spawn(keep(&exchange_, request, &answers));
    while (answers.size() < count) machine_.loop.run_for(1);
    return answers;
  }
  io::BasicTestEnv<io::ManualClock, io::FaultFiles> machine_;
  FakeFleet fleet_{machine_.loop};
  RoleCredentials credentials_{
      machine_.env, fleet_, {"https://fleet:8443/role-aliases/R/credentials", ThingName("press")}};
  TokenExchange exchange_{machine_.loop, credentials_,
                          [](std::string_view token) { return token == "TOKEN"; }};
};

TEST_F(TokenExchangeTest, AComponentGetsWhatTheFleetGivesInTheSdksWords) {
  const auto answer = ask_all(1)[0];
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(json::parse(answer.body), json({{"AccessKeyId", "A"},
                                            {"SecretAccessKey", "S"},
                                            {"Token", "T"},
                                            {"Expiration", "2027-01-15T09:00:00Z"}}));
  EXPECT_EQ(fleet_.asked_url, "https://fleet:8443/role-aliases/R/credentials");
  EXPECT_EQ(fleet_.named, "press");
}

TEST_F(TokenExchangeTest, OthersGetNothing) {
  for (const char* token : {static_cast<const char*>(nullptr), "", "OTHER", "Bearer TOKEN"})
    EXPECT_EQ(ask_all(1, token)[0].status, 403);
  EXPECT_EQ(ask_all(1, "TOKEN", "/")[0].status, 400);
  EXPECT_EQ(ask_all(1, "TOKEN", std::string(TokenExchange::kPath), "POST")[0].status, 405);
  EXPECT_EQ(fleet_.asked, 0);
}

TEST_F(TokenExchangeTest, ManyAskAndTheFleetIsAskedOnceUntilFiveMinutesBeforeTheEnd) {
  for (const auto& answer : ask_all(20)) EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(fleet_.asked, 1);
  machine_.clock.monotonic += 54 * 60'000;
  machine_.clock.wall += 54 * 60'000;
  ask_all(3);
  EXPECT_EQ(fleet_.asked, 1);
  machine_.clock.monotonic += 60'000;
  machine_.clock.wall += 60'000;
  ask_all(3);
  EXPECT_EQ(fleet_.asked, 2);
}

TEST_F(TokenExchangeTest, ARefusalIsToldAndKeptForSomeSeconds) {
  fleet_.status = 404;
  fleet_.body = R"({"message":"role alias R does not exist"})";
  const auto answer = ask_all(2)[1];
  EXPECT_EQ(answer.status, 404);
  EXPECT_NE(answer.body.find("role alias R does not exist"), std::string::npos);
  ask_all(1);
  EXPECT_EQ(fleet_.asked, 1);
  machine_.clock.monotonic += 10'000;
  fleet_.status = 0;
  EXPECT_EQ(ask_all(1)[0].status, 503);
  machine_.clock.monotonic += 10'000;
  fleet_.status = 200;
  for (const char* wrong : {"", "[]", "{}", R"({"credentials":[]})",
                            R"({"credentials":{"accessKeyId":"A","secretAccessKey":1}})"}) {
    fleet_.body = wrong;
    EXPECT_EQ(ask_all(1)[0].status, 502) << wrong;
    machine_.clock.monotonic += 10'000;
  }
}

TEST_F(TokenExchangeTest, WhoGoesAwayTakesNobodysAnswerAlong) {
  std::vector<net::HttpResponse> answers;
  net::HttpRequest request;
  request.method = "GET";
  request.target = std::string(TokenExchange::kPath);
  request.headers.set("Authorization", "TOKEN");
  io::TaskScope first, second;
  first.spawn(keep(&exchange_, request, &answers));
  second.spawn(keep(&exchange_, request, &answers));
  first.cancel_all();
  while (answers.empty()) machine_.loop.run_for(1);
  EXPECT_EQ(answers[0].status, 200);
  EXPECT_EQ(fleet_.asked, 1);
}

}  // namespace
}  // namespace skerry::nucleus
