// Refusals of a server as its clients see them.
#include "formats/inference_refusal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skerry::formats {
namespace {

using testing::HasSubstr;

TEST(InferenceRefusal, TheCodeSaysWhetherToTryAgain) {
  const std::pair<int, Code> kCodes[] = {
      {400, Code::kInvalidArgument},    {401, Code::kPermissionDenied},
      {403, Code::kPermissionDenied},   {404, Code::kNotFound},
      {409, Code::kFailedPrecondition}, {429, Code::kResourceExhausted},
      {500, Code::kInternal},           {503, Code::kUnavailable},
  };
  for (const auto& [status, code] : kCodes) {
    EXPECT_EQ(inference_refusal(status, R"({"error":"why"})").code(), code) << status;
  }
}

TEST(InferenceRefusal, TheTextIsTheServersAndNeverLong) {
  EXPECT_EQ(inference_refusal(403, R"({"error":"'a' may not"})").message(), "'a' may not");
  EXPECT_THAT(inference_refusal(401, R"({"error":"needs a token"})").message(),
              testing::AllOf(HasSubstr("needs a token; "), HasSubstr("--token-file")));
  for (const char* body : {"", "<html>", "[]", R"({"error":7})", "{\"error\":"}) {
    EXPECT_EQ(inference_refusal(502, body).message(),
              "the inference service answers with status 502")
        << body;
  }
  const std::string endless = R"({"error":")" + std::string(10'000, 'x') + R"("})";
  EXPECT_EQ(inference_refusal(400, endless).message().size(), 300u);
}

}  // namespace
}  // namespace skerry::formats
