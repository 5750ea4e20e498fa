// Signature V4 against requests that botocore signed (testdata/make_sigv4_vectors.py), the example
// of the AWS documentation, and requests that somebody tampered with.
#include "net/sigv4.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "net/sigv2.h"
#include "test_paths.h"

namespace skerry::net {
namespace {

using nlohmann::json;
using Kind = SigV4Refusal::Kind;

json vectors() {
  std::ifstream file(SKERRY_SOURCE_DIR "/src/net/testdata/sigv4_vectors.json");
  return json::parse(file);
}

AwsCredentials credentials_of(const json& vector) {
  return {vector.at("access_key_id"), vector.at("secret_access_key"), vector.at("session_token")};
}

HttpRequest request_of(const json& vector) {
  HttpRequest request;
  request.method = vector.at("method");
  request.target = vector.at("target");
  request.headers.add("Host", vector.at("host"));
  for (const auto& field : vector.at("headers")) request.headers.add(field.at(0), field.at(1));
  request.body = *base64_decode(vector.at("body").get<std::string>());
  return request;
}

SecretLookup knows(const AwsCredentials& credentials) {
  return [credentials](std::string_view key, std::string_view token) -> std::optional<std::string> {
    if (key != credentials.access_key_id || token != credentials.session_token) return std::nullopt;
    return credentials.secret_access_key;
  };
}

TEST(SigV4, VerifiesWhatBotocoreSigns) {
  json all = vectors();
  ASSERT_EQ(all.size(), 17u);
  for (const json& vector : all) {
    SCOPED_TRACE(vector.at("name"));
    auto caller =
        sigv4_verify(request_of(vector), knows(credentials_of(vector)), vector.at("wall_ms"));
    ASSERT_TRUE(caller) << caller.error().message;
    EXPECT_EQ(json(caller->access_key_id), vector.at("access_key_id"));
    EXPECT_EQ(json(caller->scope.service), vector.at("service"));
    EXPECT_EQ(caller->scope.region, "eu-west-1");
    EXPECT_EQ(caller->presigned, vector.at("presigned").get<bool>());
  }
}

TEST(SigV4, SignsAsBotocoreDoes) {
  for (const json& vector : vectors()) {
    if (vector.at("presigned")) continue;
    SCOPED_TRACE(vector.at("name"));
    HttpRequest request = request_of(vector);
    std::string expected(request.headers.get("Authorization"));
    request.headers.set("Authorization", "");
    auto done = sigv4_sign(request, vector.at("host"), credentials_of(vector),
                           {vector.at("region"), vector.at("service")}, vector.at("wall_ms"));
    ASSERT_TRUE(done) << done.error().message();
    EXPECT_EQ(request.headers.get("Authorization"), expected);
  }
}

// "GET Object" of "Authenticating Requests: Using the Authorization Header", Amazon S3 API
// reference.
TEST(SigV4, SignsTheExampleOfTheS3Documentation) {
  HttpRequest request;
  request.target = "/test.txt";
  request.headers.add("Range", "bytes=0-9");
  ASSERT_TRUE(sigv4_sign(request, "examplebucket.s3.amazonaws.com",
                         {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""},
                         {"us-east-1", "s3"}, 1'369'353'600'000));
  EXPECT_EQ(request.headers.get("Authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

// The pre-signed example of the same reference, "Using Query Parameters".
TEST(SigV4, PresignsTheExampleOfTheS3Documentation) {
  auto target =
      sigv4_presign("GET", "/test.txt", "examplebucket.s3.amazonaws.com",
                    {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""},
                    {"us-east-1", "s3"}, 1'369'353'600'000, 86'400);
  ASSERT_TRUE(target) << target.error().message();
  EXPECT_TRUE(target->ends_with(
      "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"))
      << *target;
}

class SigV4Refuses : public testing::Test {
 protected:
  // Signs `request_`, lets `tamper` change it, and gives the refusal's kind.
  template <class Tamper>
  Kind refusal(Tamper tamper, int64_t later_ms = 0) {
    HttpRequest request = request_;
    EXPECT_TRUE(sigv4_sign(request, "localhost", keys_, {"eu-west-1", "greengrass"}, now_ms_));
    tamper(request);
    auto caller = sigv4_verify(request, knows(keys_), now_ms_ + later_ms);
    EXPECT_FALSE(caller);
    return caller ? Kind::kUnsupported : caller.error().kind;
  }

  HttpRequest request_{"POST", "/greengrass/v2/deployments?a=1", {}, "{}", {}};
  AwsCredentials keys_{"AKIDEXAMPLE", "secret", ""};
  int64_t now_ms_ = 1'773'500'966'000;
};

TEST_F(SigV4Refuses, ChangedParts) {
  EXPECT_EQ(refusal([](HttpRequest& r) { r.method = "DELETE"; }), Kind::kMismatch);
  EXPECT_EQ(refusal([](HttpRequest& r) { r.target = "/greengrass/v2/deployment?a=1"; }),
            Kind::kMismatch);
  EXPECT_EQ(refusal([](HttpRequest& r) { r.target += "&b=2"; }), Kind::kMismatch);
  EXPECT_EQ(refusal([](HttpRequest& r) { r.body = "{\"x\":1}"; }), Kind::kMismatch);
  EXPECT_EQ(refusal([](HttpRequest& r) { r.headers.set("Host", "elsewhere"); }), Kind::kMismatch);
  EXPECT_EQ(refusal([](HttpRequest& r) { r.headers.add("Host", "elsewhere"); }), Kind::kMismatch);
}

TEST_F(SigV4Refuses, MissingAndUnknownParts) {
  EXPECT_EQ(refusal([](HttpRequest& r) { r.headers = {}; }), Kind::kUnsigned);
  EXPECT_EQ(refusal([](HttpRequest& r) { r.headers.set("Authorization", "Bearer x"); }),
            Kind::kMalformed);
  EXPECT_EQ(refusal([](HttpRequest& r) { r.headers.set("X-Amz-Date", "yesterday"); }),
            Kind::kMalformed);
  EXPECT_EQ(refusal([](HttpRequest& r) { r.target = "/%zz?%zz=1"; }), Kind::kMalformed);
  // Leaving a body unsigned is for s3 only, and streaming it for whoever decodes it.
  for (const char* payload : {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", "UNSIGNED-PAYLOAD"}) {
    request_.headers.set("X-Amz-Content-Sha256", payload);
    EXPECT_EQ(refusal([](HttpRequest&) {}), Kind::kUnsupported);
  }
  keys_.access_key_id = "AKIDOTHER";
  auto nobody = [](std::string_view, std::string_view) -> std::optional<std::string> { return {}; };
  HttpRequest request = request_;
  ASSERT_TRUE(sigv4_sign(request, "localhost", keys_, {"eu-west-1", "greengrass"}, now_ms_));
  EXPECT_EQ(sigv4_verify(request, nobody, now_ms_).error().kind, Kind::kUnknownKey);
}

TEST_F(SigV4Refuses, ClocksApart) {
  auto nothing = [](HttpRequest&) {};
  EXPECT_EQ(refusal(nothing, 15 * 60 * 1000 + 1000), Kind::kSkewed);
  EXPECT_EQ(refusal(nothing, -15 * 60 * 1000 - 1000), Kind::kSkewed);
}

TEST_F(SigV4Refuses, PresignedUrlsPastTheirEndOrForAnotherMethod) {
  HttpRequest request;
  request.headers.add("Host", "localhost");
  request.target =
      *sigv4_presign("GET", "/bucket/a%20b", "localhost", keys_, {"eu-west-1", "s3"}, now_ms_, 60);
  EXPECT_TRUE(sigv4_verify(request, knows(keys_), now_ms_ + 60'000));
  EXPECT_EQ(sigv4_verify(request, knows(keys_), now_ms_ + 61'000).error().kind, Kind::kExpired);
  request.method = "PUT";
  EXPECT_EQ(sigv4_verify(request, knows(keys_), now_ms_).error().kind, Kind::kMismatch);
}

TEST_F(SigV4Refuses, HeadersOfAwsThatAreNotSigned) {
  for (const char* name : {"x-amzn-principal", "X-Amz-Security-Token", "x-amz-checksum-crc32",
                           "x-amz-meta-owner", "X-Amz-Copy-Source"}) {
    EXPECT_EQ(refusal([&](HttpRequest& r) { r.headers.add(name, "v"); }), Kind::kNotSigned) << name;
  }
  // Proxies add this one.
  HttpRequest request = request_;
  ASSERT_TRUE(sigv4_sign(request, "localhost", keys_, {"eu-west-1", "greengrass"}, now_ms_));
  request.headers.add("X-Amzn-Trace-Id", "Root=1-2-3");
  EXPECT_TRUE(sigv4_verify(request, knows(keys_), now_ms_));
  // And with a pre-signed URL, which signs Host alone.
  HttpRequest presigned;
  presigned.headers.add("Host", "localhost");
  presigned.target =
      *sigv4_presign("GET", "/bucket/a", "localhost", keys_, {"eu-west-1", "s3"}, now_ms_, 60);
  presigned.headers.add("x-amz-copy-source", "/other/key");
  EXPECT_EQ(sigv4_verify(presigned, knows(keys_), now_ms_).error().kind, Kind::kNotSigned);
}

TEST_F(SigV4Refuses, BadKeysFromTheHeadAlone) {
  HttpRequest head = request_;
  ASSERT_TRUE(sigv4_sign(head, "localhost", keys_, {"eu-west-1", "greengrass"}, now_ms_));
  head.body.clear();  // it has not come yet
  EXPECT_TRUE(sigv4_verify_head(head, knows(keys_), now_ms_)) << "nothing is known of the body";
  const AwsCredentials other{"AKIDOTHER", "secret", ""};
  EXPECT_EQ(sigv4_verify_head(head, knows(other), now_ms_).error().kind, Kind::kUnknownKey);
  EXPECT_EQ(sigv4_verify_head(head, knows(keys_), now_ms_ + 3'600'000).error().kind, Kind::kSkewed);
  // Where the head says what the body is, its signature is checked at once.
  head = request_;
  head.headers.set("X-Amz-Content-Sha256", hex_encode(sha256(head.body)));
  ASSERT_TRUE(sigv4_sign(head, "localhost", keys_, {"eu-west-1", "greengrass"}, now_ms_));
  EXPECT_TRUE(sigv4_verify_head(head, knows(keys_), now_ms_));
  head.method = "PUT";
  EXPECT_EQ(sigv4_verify_head(head, knows(keys_), now_ms_).error().kind, Kind::kMismatch);
}

// URLs that botocore's HmacV1QueryAuth made for the endpoint http://localhost:8080/artifacts.
TEST(SigV2, VerifiesWhatBotocorePresigns) {
  const AwsCredentials keys{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};
  AwsCredentials temporary = keys;
  temporary.session_token = "token+of/session==";
  const std::string start = "/artifacts/bucket/a%20b.onnx?response-content-type=x%2Fy&";
  const std::string plain = start +
                            "AWSAccessKeyId=AKIDEXAMPLE&Signature=WRcatvxaqwZ7xcT9eckzv2GegNs%3D&"
                            "Expires=1773501566";
  const std::string with_token =
      start +
      "AWSAccessKeyId=AKIDEXAMPLE&Signature=aotTAoNsHkq9BiiJcHKJpJvuWqo%3D&"
      "x-amz-security-token=token%2Bof%2Fsession%3D%3D&Expires=1773501566";
  const int64_t now_ms = 1'773'500'966'000;
  const auto kind = [&](const HttpRequest& request, const AwsCredentials& who, int64_t at_ms) {
    auto caller = sigv2_verify(request, knows(who), at_ms, "/artifacts");
    return caller ? std::optional<Kind>() : caller.error().kind;
  };
  HttpRequest request;
  request.target = plain;
  ASSERT_TRUE(is_sigv2_presigned(request.target));
  EXPECT_EQ(kind(request, keys, now_ms), std::nullopt);
  EXPECT_EQ(kind(request, keys, now_ms + 600'000), Kind::kExpired);
  EXPECT_EQ(kind(request, temporary, now_ms), Kind::kUnknownKey);
  request.method = "PUT";
  EXPECT_EQ(kind(request, keys, now_ms), Kind::kMismatch);
  request.method = "GET";
  request.headers.add("x-amz-copy-source", "/other/key");
  EXPECT_EQ(kind(request, keys, now_ms), Kind::kMismatch);
  request = {};
  request.target = with_token;
  EXPECT_EQ(kind(request, temporary, now_ms), std::nullopt);
  request.target = plain + "&Expires=9999999999";
  EXPECT_EQ(kind(request, keys, now_ms + 600'000), Kind::kExpired) << "the first one counts";
  EXPECT_FALSE(is_sigv2_presigned("/artifacts/bucket/key?AWSAccessKeyId=A"));
}

TEST(SigV4, TakesTheDigestOfAStreamedBody) {
  AwsCredentials keys{"AKID", "secret", ""};
  std::string digest = hex_encode(sha256("the file"));
  HttpRequest request{"PUT", "/bucket/key", {}, "", {}};
  request.headers.add("X-Amz-Content-Sha256", digest);
  ASSERT_TRUE(sigv4_sign(request, "localhost", keys, {"eu-west-1", "s3"}, 1'773'500'966'000));
  auto caller = sigv4_verify_head(request, knows(keys), 1'773'500'966'000);
  ASSERT_TRUE(caller);
  EXPECT_EQ(caller->payload, digest);
  EXPECT_EQ(sigv4_verify(request, knows(keys), 1'773'500'966'000).error().kind, Kind::kMismatch);
}

}  // namespace
}  // namespace skerry::net
