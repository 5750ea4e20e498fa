// A cascade before tiers that are sure, unsure, slow, away, or out of budget.
#include "hybrid/cascade.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/test_env.h"

namespace skerry::hybrid {
namespace {

using net::HttpRequest;
using net::HttpResponse;
using nlohmann::json;

// Tiers by host: what each answers, and how often it was asked.
class FakeTiers : public net::HttpClient {
 public:
  struct Tier {
    std::vector<double> scores = {0.9, 0.1};
    int status = 200;
    bool is_away = false;
    std::string body;  // instead of scores
    int asked = 0;
    HttpRequest last;
  };
  io::Task<Result<HttpResponse>> fetch(std::string url, HttpRequest request,
                                       net::FetchOptions) override {
    Tier& tier = tiers[url.substr(7, url.find('/', 7) - 7)];
    ++tier.asked;
    tier.last = std::move(request);
    if (tier.is_away) co_return fail(Code::kUnavailable, "nobody there");
    const auto classes = static_cast<int64_t>(std::min<size_t>(2, tier.scores.size()));
    const json answer = {
        {"model_name", "theirs"},
        {"model_version", "1"},
        {"outputs",
         {{{"name", "p"},
           {"datatype", "FP32"},
           {"shape", {static_cast<int64_t>(tier.scores.size()) / classes, classes}},
           {"data", tier.scores}}}}};
    co_return net::json_response(tier.status, tier.body.empty() ? answer.dump() : tier.body);
  }
  std::map<std::string, Tier> tiers;
};

class CascadeTest : public testing::Test {
 protected:
  void make(const std::string& more = "", const std::string& of_big = "") {
    const std::string text = R"(
name: garments
scores: {output: p, activation: none}
confidence: {by: max}
)" + more + R"(
tiers:
  - {name: small, url: "http://small/v2/models/s", threshold: 0.8}
  - {name: middle, url: "http://middle/v2/models/m", threshold: 0.7}
  - {name: big, url: "http://big/v2/models/b" )" +
                             of_big + "}\n";
    auto config = parse_cascade(text);
    ASSERT_TRUE(config) << config.error().message();
    auto made = Cascade::make(env_.env, http_, std::move(*config));
    ASSERT_TRUE(made) << made.error().message();
    cascade_ = std::move(*made);
  }
  HttpResponse send(const std::string& target, const std::string& method, std::string body = "{}") {
    HttpRequest request;
    request.method = method;
    request.target = target;
    request.body = std::move(body);
    std::optional<HttpResponse> response;
    io::TaskScope scope;
    scope.spawn([](Cascade& cascade, HttpRequest asked, auto& out) -> io::Task<void> {
      out = co_await cascade.handle(std::move(asked));
    }(*cascade_, std::move(request), response));
    while (!response) env_.loop.run_for(10);
    return std::move(*response);
  }
  json infer() {
    const HttpResponse response = send("/v2/models/garments/infer", "POST");
    json answer = json::parse(response.body);
    answer["status"] = response.status;
    return answer;
  }
  FakeTiers::Tier& tier(const std::string& name) { return http_.tiers[name]; }

  io::BasicTestEnv<io::ManualClock, io::RealFiles> env_;
  FakeTiers http_;
  std::unique_ptr<Cascade> cascade_;
};

TEST_F(CascadeTest, ATokenGoesToItsOwnTierAlone) {
  const std::string file = testing::TempDir() + "cascade_token_" + std::to_string(::getpid());
  std::ofstream(file) << "of-big\n";
  make("", ", tokenFile: \"" + file + "\"");
  tier("small").scores = tier("middle").scores = {0.5, 0.5};
  infer();
  std::filesystem::remove(file);
  EXPECT_EQ(tier("small").last.headers.get("Authorization"), "");
  EXPECT_EQ(tier("middle").last.headers.get("Authorization"), "");
  EXPECT_EQ(tier("big").last.headers.get("Authorization"), "Bearer of-big");
  auto config = parse_cascade(R"(
name: a
scores: {output: p}
tiers: [{name: b, url: "http://b/v2/models/b", threshold: 1, tokenFile: /nowhere},
        {name: c, url: "http://c/v2/models/c"}])");
  ASSERT_TRUE(config);
  EXPECT_EQ(Cascade::make(env_.env, http_, std::move(*config)).error().code(), Code::kNotFound);
}

TEST_F(CascadeTest, TheFirstTierThatIsSureAnswers) {
  make();
  json answer = infer();
  EXPECT_EQ(answer["model_name"], "garments");
  EXPECT_EQ(answer["parameters"]["tier"], "small");
  EXPECT_EQ(answer["parameters"]["escalated"], false);
  EXPECT_NEAR(answer["parameters"]["confidence"].get<double>(), 0.9, 1e-9);
  tier("small").scores = {0.6, 0.4};
  tier("middle").scores = {0.25, 0.75};
  answer = infer();
  EXPECT_EQ(answer["parameters"]["tier"], "middle");
  EXPECT_EQ(answer["parameters"]["escalated"], true);
  tier("middle").scores = {0.5, 0.5};
  tier("big").scores = {0.55, 0.45};  // the last one answers, sure or not
  answer = infer();
  EXPECT_EQ(answer["parameters"]["tier"], "big");
  EXPECT_FALSE(answer["parameters"].contains("fallback"));
  EXPECT_EQ(tier("small").asked, 3);
  EXPECT_EQ(tier("middle").asked, 2);
  EXPECT_EQ(tier("big").asked, 1);
}

TEST_F(CascadeTest, ARequestIsAsSureAsItsLeastSureRow) {
  make();
  tier("small").scores = {0.9, 0.1, 0.95, 0.05, 0.7, 0.3};
  EXPECT_EQ(infer()["parameters"]["tier"], "middle");
  tier("small").scores = {0.9, 0.1, 0.95, 0.05};
  EXPECT_NEAR(infer()["parameters"]["confidence"].get<double>(), 0.9, 1e-9);
}

TEST_F(CascadeTest, WhatIsNotThereIsFlaggedAndTheBestAnswerStands) {
  make();
  tier("small").scores = {0.6, 0.4};
  tier("middle").is_away = true;
  tier("big").status = 503;
  const json answer = infer();
  EXPECT_EQ(answer["status"], 200);
  EXPECT_EQ(answer["parameters"]["tier"], "small");
  EXPECT_EQ(answer["parameters"]["escalated"], true);
  EXPECT_EQ(answer["parameters"]["fallback"], "offline");
  tier("big").status = 200;  // a tier in the middle may be away
  EXPECT_EQ(infer()["parameters"]["tier"], "big");
  tier("small").is_away = true;  // and the smallest
  EXPECT_EQ(infer()["parameters"]["tier"], "big");
  tier("big").is_away = true;
  EXPECT_EQ(infer()["status"], 503);
}

TEST_F(CascadeTest, WhereAnUnsureAnswerIsWorthNothingItIsRefused) {
  make("offline: reject");
  tier("small").scores = {0.6, 0.4};
  tier("middle").is_away = tier("big").is_away = true;
  const json answer = infer();
  EXPECT_EQ(answer["status"], 503);
  EXPECT_NE(answer["error"].get<std::string>().find("offline"), std::string::npos);
}

TEST_F(CascadeTest, ABreakerSparesATierThatIsAway) {
  make("", ", breaker: {failures: 2, openMs: 1000}");
  tier("small").scores = tier("middle").scores = {0.6, 0.4};
  tier("big").is_away = true;
  for (int i = 0; i < 5; ++i) infer();
  EXPECT_EQ(tier("big").asked, 2);
  EXPECT_EQ(infer()["parameters"]["fallback"], "breaker");
  env_.clock.monotonic += 1'000;
  tier("big").is_away = false;
  EXPECT_EQ(infer()["parameters"]["tier"], "big");
  EXPECT_EQ(infer()["parameters"]["tier"], "big");
}

TEST_F(CascadeTest, ABudgetIsKept) {
  make("", ", budget: {perHour: 3600, burst: 2}");
  tier("small").scores = tier("middle").scores = {0.6, 0.4};
  for (int i = 0; i < 10; ++i) infer();
  EXPECT_EQ(tier("big").asked, 2);
  const json answer = infer();
  EXPECT_EQ(answer["parameters"]["fallback"], "budget");
  EXPECT_EQ(answer["parameters"]["tier"], "middle");
  env_.clock.monotonic += 1'000;
  EXPECT_EQ(infer()["parameters"]["tier"], "big");
}

TEST_F(CascadeTest, SureAnswersAreComparedNowAndThen) {
  make("shadow: 1");
  for (int i = 0; i < 20; ++i) infer();
  tier("middle").scores = {0.1, 0.9};
  for (int i = 0; i < 20; ++i) infer();
  env_.loop.run_for(10);
  const auto counts = cascade_->counts();
  EXPECT_EQ(counts[0].answered, 40u);
  EXPECT_EQ(counts[0].shadowed, 40u);
  EXPECT_EQ(counts[0].shadow_agreed, 20u);
  const json statistics = json::parse(send("/v2/models/garments/cascade", "GET").body);
  EXPECT_LT(statistics["tiers"][0]["shadow"]["agreementFrom"], 0.5);
  EXPECT_EQ(statistics["escalated"], 0);
}

TEST_F(CascadeTest, TheCallersFaultIsToldAndDoesNotOpenTheBreaker) {
  make();
  tier("small").status = 400;
  tier("small").body = R"({"error":"no input x"})";
  for (int i = 0; i < 5; ++i) EXPECT_EQ(infer()["error"], "no input x");
  EXPECT_EQ(tier("small").asked, 5);
  EXPECT_EQ(tier("middle").asked, 0);
  for (const char* body : {"", "[]", "{", R"({"outputs":[{"name":"p"}]})",
                           R"({"outputs":[{"name":"p","shape":[2],"data":[]}]})",
                           R"({"outputs":[{"name":"p","shape":[2],"data":["a","b"]}]})",
                           R"({"outputs":[{"name":"p","shape":[0],"data":[1]}]})",
                           R"({"outputs":[{"name":"p","shape":[3],"data":[1,2]}]})",
                           R"({"outputs":[7]})", R"({"outputs":{}})"}) {
    tier("small").status = 200;
    tier("small").body = *body ? body : "x";
    EXPECT_EQ(infer()["status"], 400) << body;
  }
}

TEST_F(CascadeTest, ScoresThatAreNotNumbersAreNotSure) {
  make();
  tier("small").body = R"({"outputs":[{"name":"p","shape":[1,2],"data":[null,0.9]}]})";
  EXPECT_EQ(infer()["parameters"]["tier"], "middle");
}

TEST_F(CascadeTest, ThePathsOfTheProtocol) {
  make();
  EXPECT_EQ(send("/v2/health/ready", "GET").status, 200);
  EXPECT_EQ(send("/v2/models/garments/ready", "GET").status, 200);
  EXPECT_EQ(send("/v2/models/other/infer", "POST").status, 405);
  EXPECT_EQ(send("/v2/models/other", "GET").status, 404);
  EXPECT_EQ(send("/v2/models/garments/infer", "GET").status, 405);
  EXPECT_EQ(json::parse(send("/v2/models/garments", "GET").body)["name"], "garments");
}

TEST(CascadeConfig, WhatIsWrongIsNamed) {
  const json good = {{"name", "g"},
                     {"scores", {{"output", "p"}}},
                     {"tiers",
                      {{{"name", "a"}, {"url", "http://h/v2/models/a"}, {"threshold", 0.5}},
                       {{"name", "b"}, {"url", "unix:/s:/v2/models/b"}}}}};
  ASSERT_TRUE(parse_cascade(good.dump()));
  const std::pair<const char*, json> wrong[] = {
      {"/name", "a/b"},
      {"/scores", json()},
      {"/scores/activation", "relu"},
      {"/confidence", {{"by", "luck"}}},
      {"/confidence", {{"temperature", 0}}},
      {"/tiers", json::array({good["tiers"][0]})},
      {"/tiers/0/url", "http://h/models/a"},
      {"/tiers/0/url", "file:///v2/models/a"},
      {"/tiers/0/threshold", json()},
      {"/tiers/0/deadlineMs", 0},
      {"/tiers/1/budget", json::object()},
      {"/tiers/1/breaker", {{"failures", 0}}},
      {"/offline", "pray"},
      {"/shadow", 2},
  };
  for (const auto& [pointer, value] : wrong) {
    json document = good;
    document[json::json_pointer(pointer)] = value;
    EXPECT_FALSE(parse_cascade(document.dump())) << pointer << " " << value;
  }
}

}  // namespace
}  // namespace skerry::hybrid
