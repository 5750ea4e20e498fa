// Where artifacts on S3 are asked for, how the questions are signed, what becomes of refusals.
#include "nucleus/s3_source.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/test_env.h"
#include "net/sigv4.h"

namespace skerry::nucleus {
namespace {

constexpr int64_t kS3NowMs = 1'800'000'000'000;  // 2027-01-15T08:00:00Z

// The fleet, which gives credentials, and S3.
struct FakeAws : net::HttpClient {
  struct Asked {
    std::string origin;
    net::HttpRequest request;
  };
  io::Task<Result<net::HttpResponse>> fetch(std::string url, net::HttpRequest request,
                                            net::FetchOptions) override {
    if (url.ends_with("/credentials")) {
      ++roles_asked;
      co_return net::json_response(
          role_status, nlohmann::json{{"message", "no such role"},
                                      {"credentials",
                                       {{"accessKeyId", "AKIA"},
                                        {"secretAccessKey", "SECRET"},
                                        {"sessionToken", "T" + std::to_string(roles_asked)},
                                        {"expiration", "2027-01-15T09:00:00Z"}}}}
                           .dump());
    }
    const size_t host = url.find("://") + 3;
    request.target = url.substr(url.find('/', host));
    asked.push_back({url.substr(0, url.find('/', host)), std::move(request)});
    co_return answer(asked.back());
  }
  std::function<net::HttpResponse(const Asked&)> answer = [](const Asked&) {
    return net::HttpResponse{};
  };
  int roles_asked = 0, role_status = 200;
  std::vector<Asked> asked;
};

class S3SourceTest : public testing::Test {
 protected:
  S3SourceTest() { machine_.clock.wall = kS3NowMs; }
  static net::HttpResponse refusal(int status, const std::string& code,
                                   const std::string& more = "") {
    net::HttpResponse response;
    response.status = status;
    response.body = "<?xml?><Error><Code>" + code + "</Code><Message>because</Message>" + more;
    return response;
  }
  Result<net::HttpResponse> get(const std::string& uri, S3Options options = {"eu-west-1", ""}) {
    if (!source_) source_.emplace(machine_.clock, aws_, role_, options);
    std::optional<Result<net::HttpResponse>> got;
    io::TaskScope tasks;
    tasks.spawn([](S3Source& source, std::string uri, auto& got) -> io::Task<void> {
      net::HttpRequest request;
      request.headers.set("Range", "bytes=7-");
      got.emplace(co_await source.get(std::move(uri), std::move(request), {}));
    }(*source_, uri, got));
    while (!got) machine_.loop.run_for(1);
    return *got;
  }
  std::string reason(const std::string& uri) {
    auto got = get(uri);
    return got ? "" : std::string(code_name(got.error().code())) + " " + got.error().message();
  }

  io::BasicTestEnv<io::ManualClock, io::FaultFiles> machine_;
  FakeAws aws_;
  RoleCredentials role_{machine_.env, aws_, {"https://fleet/credentials", ThingName("press")}};
  std::optional<S3Source> source_;
};

// DEP-23
TEST_F(S3SourceTest, AsksAwsForTheObjectSignedWithTheRolesCredentials) {
  ASSERT_TRUE(get("s3://models/a b/ü+1.bin"));
  const auto& asked = aws_.asked.at(0);
  EXPECT_EQ(asked.origin, "https://models.s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(asked.request.target, "/a%20b/%C3%BC%2B1.bin");
  EXPECT_EQ(asked.request.headers.get("Range"), "bytes=7-");
  EXPECT_EQ(asked.request.headers.get("Host"), "models.s3.eu-west-1.amazonaws.com");
  const auto caller = net::sigv4_verify(
      asked.request,
      [](std::string_view key, std::string_view token) -> std::optional<std::string> {
        return key == "AKIA" && token == "T1" ? std::optional<std::string>("SECRET") : std::nullopt;
      },
      kS3NowMs);
  ASSERT_TRUE(caller) << caller.error().message;
  EXPECT_EQ(caller->scope.region, "eu-west-1");
  EXPECT_EQ(caller->scope.service, "s3");
  ASSERT_TRUE(get("s3://models/b"));
  EXPECT_EQ(aws_.roles_asked, 1);
}

TEST_F(S3SourceTest, ABucketWithADotAndAServiceOfOnesOwnAreAskedByPath) {
  ASSERT_TRUE(get("s3://my.models/a/b"));
  EXPECT_EQ(aws_.asked.back().origin, "https://s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(aws_.asked.back().request.target, "/my.models/a/b");
  source_.reset();
  ASSERT_TRUE(get("s3://models/a", {"cn-north-1", ""}));
  EXPECT_EQ(aws_.asked.back().origin, "https://models.s3.cn-north-1.amazonaws.com.cn");
  source_.reset();
  ASSERT_TRUE(get("s3://models/a", {"eu-west-1", "http://10.0.0.7:9000/base"}));
  EXPECT_EQ(aws_.asked.back().origin, "http://10.0.0.7:9000");
  EXPECT_EQ(aws_.asked.back().request.target, "/base/models/a");
  EXPECT_EQ(aws_.asked.back().request.headers.get("Host"), "10.0.0.7:9000");
}

// DEP-23
TEST_F(S3SourceTest, ABucketInAnotherRegionIsAskedThereAndThatIsRemembered) {
  aws_.answer = [](const FakeAws::Asked& asked) {
    if (asked.origin.find("us-east-2") != std::string::npos) return net::HttpResponse{};
    auto moved = refusal(301, "PermanentRedirect");
    moved.headers.set("x-amz-bucket-region", "us-east-2");
    return moved;
  };
  ASSERT_TRUE(get("s3://models/a"));
  ASSERT_TRUE(get("s3://models/b"));
  ASSERT_EQ(aws_.asked.size(), 3u);
  EXPECT_EQ(aws_.asked[2].origin, "https://models.s3.us-east-2.amazonaws.com");
  // A service that sends us around in a circle, or to no region, does not keep us.
  aws_.answer = [n = 0](const FakeAws::Asked&) mutable {
    return refusal(400, "AuthorizationHeaderMalformed",
                   "<Region>r-" + std::to_string(++n) + "</Region>");
  };
  EXPECT_NE(reason("s3://others/a").find("AuthorizationHeaderMalformed"), std::string::npos);
  EXPECT_EQ(aws_.asked.size(), 6u);
  aws_.answer = [](const FakeAws::Asked&) {
    return refusal(301, "PermanentRedirect", "<Region>evil.example/</Region>");
  };
  EXPECT_NE(reason("s3://third/a"), "");
  EXPECT_EQ(aws_.asked.size(), 7u);
}

// DEP-23
TEST_F(S3SourceTest, RefusalsSayWhatTheServiceSaidAndWhetherToTryAgain) {
  const std::pair<net::HttpResponse, const char*> cases[] = {
      {refusal(403, "AccessDenied"),
       "permission_denied s3://m/a: HTTP 403, AccessDenied: because: let the role of the device's "
       "role alias read it (s3:GetObject)"},
      {refusal(404, "NoSuchKey"), "not_found s3://m/a: HTTP 404, NoSuchKey: because"},
      {refusal(403, "RequestTimeTooSkewed"),
       "unavailable s3://m/a: HTTP 403, RequestTimeTooSkewed: because"},
      {refusal(503, "SlowDown"), "unavailable s3://m/a: HTTP 503, SlowDown: because"},
      {net::HttpResponse{.status = 416, .headers = {}, .body = ""},
       "invalid_argument s3://m/a: HTTP 416"}};
  for (const auto& [answer, expected] : cases) {
    aws_.answer = [&answer](const FakeAws::Asked&) { return answer; };
    EXPECT_EQ(reason("s3://m/a"), expected);
  }
  for (const char* uri : {"s3://m", "s3://m/", "s3:///a", "s3://m@evil/a", "https://m/a"}) {
    EXPECT_NE(reason(uri).find("is not s3://BUCKET/KEY"), std::string::npos) << uri;
  }
}

TEST_F(S3SourceTest, AnExpiredTokenIsReplacedOnceAndWithoutARoleNothingIsAsked) {
  aws_.answer = [](const FakeAws::Asked& asked) {
    return asked.request.headers.get("X-Amz-Security-Token") == "T1" ? refusal(400, "ExpiredToken")
                                                                     : net::HttpResponse{};
  };
  ASSERT_TRUE(get("s3://models/a"));
  EXPECT_EQ(aws_.roles_asked, 2);
  role_.drop();
  aws_.role_status = 403;
  const size_t before = aws_.asked.size();
  EXPECT_EQ(reason("s3://models/a"),
            "permission_denied s3://models/a: the fleet gives no credentials: no such role");
  EXPECT_EQ(aws_.asked.size(), before);
}

}  // namespace
}  // namespace skerry::nucleus
