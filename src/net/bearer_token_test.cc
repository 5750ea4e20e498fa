// Where tokens come from, and that they go with every request.
#include "net/bearer_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "net/test_support.h"

namespace skerry::net {
namespace {

constexpr const char* kVariable = "SKERRY_TEST_TOKEN";

class BearerTokenTest : public testing::Test {
 protected:
  void SetUp() override { ::unsetenv(kVariable); }
  void TearDown() override {
    ::unsetenv(kVariable);
    std::filesystem::remove(file_);
  }
  // As tokens are replaced: another file under the same name.
  void replace(const std::string& text) {
    std::ofstream(file_ + ".new") << text;
    std::filesystem::rename(file_ + ".new", file_);
  }
  static std::string sent(BearerToken& token) {
    HttpRequest request;
    token.authorize(request);
    return std::string(request.headers.get("Authorization"));
  }

  const std::string file_ = testing::TempDir() + "bearer_token_" + std::to_string(::getpid());
};

TEST_F(BearerTokenTest, TheFileComesBeforeTheEnvironmentAndNoneIsNone) {
  auto none = BearerToken::open("", kVariable);
  ASSERT_TRUE(none);
  EXPECT_EQ(sent(*none), "");
  ::setenv(kVariable, "of-environment", 1);
  auto of_environment = BearerToken::open("", kVariable);
  ASSERT_TRUE(of_environment);
  EXPECT_EQ(sent(*of_environment), "Bearer of-environment");
  replace("of-file\n");
  auto of_file = BearerToken::open(file_, kVariable);
  ASSERT_TRUE(of_file);
  EXPECT_EQ(sent(*of_file), "Bearer of-file");
}

TEST_F(BearerTokenTest, AReplacedFileIsReadAgainAndABadOneChangesNothing) {
  replace("first");
  auto token = BearerToken::open(file_, kVariable);
  ASSERT_TRUE(token);
  replace("second");
  EXPECT_EQ(sent(*token), "Bearer second");
  replace("");
  EXPECT_EQ(sent(*token), "Bearer second");
  std::filesystem::remove(file_);
  EXPECT_EQ(sent(*token), "Bearer second");
  replace("third");
  EXPECT_EQ(sent(*token), "Bearer third");
}

TEST_F(BearerTokenTest, WhatIsNoTokenIsRefusedAndNotRepeated) {
  for (const std::string text : {"", "\n", "two words", "a\r\nX-Header: b", "gr\xc3\xbcn"}) {
    replace(text);
    const auto token = BearerToken::open(file_, kVariable);
    ASSERT_FALSE(token) << text;
    EXPECT_THAT(token.error().message(), testing::HasSubstr("holds no token"));
    if (!text.empty()) {
      EXPECT_THAT(token.error().message(), testing::Not(testing::HasSubstr("words")));
    }
  }
  std::filesystem::remove(file_);
  EXPECT_EQ(BearerToken::open(file_, kVariable).error().code(), Code::kNotFound);
}

struct Recorder : HttpClient {
  explicit Recorder(std::vector<std::string>& seen) : seen(seen) {}
  io::Task<Result<HttpResponse>> fetch(std::string, HttpRequest request, FetchOptions) override {
    seen.emplace_back(request.headers.get("Authorization"));
    co_return HttpResponse{};
  }
  std::vector<std::string>& seen;
};

TEST_F(BearerTokenTest, TheClientSendsItEveryTime) {
  replace("mine");
  std::vector<std::string> seen;
  io::RealLoop loop;
  auto token = BearerToken::open(file_, kVariable);
  ASSERT_TRUE(token);
  const auto http = with_token(std::make_unique<Recorder>(seen), std::move(*token));
  ASSERT_TRUE(run_task(loop, http->fetch("http://a/b", {})));
  ASSERT_TRUE(run_task(loop, http->fetch("http://a/b", {})));
  EXPECT_THAT(seen, testing::ElementsAre("Bearer mine", "Bearer mine"));
}

}  // namespace
}  // namespace skerry::net
