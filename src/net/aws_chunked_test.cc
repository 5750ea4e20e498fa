// The coding aws-chunked against the examples of the AWS documentation, in pieces, cut and changed.
#include "net/aws_chunked.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace skerry::net {
namespace {

// "Example: signature calculations with trailing headers" and "… transferring a payload in multiple
// chunks", Amazon S3 API reference: 65 KiB of "a" in chunks of 64 KiB and 1 KiB.
const std::string kFirst(64 << 10, 'a');
const std::string kSecond(1024, 'a');

SigV4Chain chain_from(const std::string& seed) {
  std::string key = hmac_sha256("AWS4wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524");
  for (const char* part : {"us-east-1", "s3", "aws4_request"}) key = hmac_sha256(key, part);
  return {seed, key, "20130524T000000Z", "20130524/us-east-1/s3/aws4_request"};
}

struct Outcome {
  Result<void> result;
  std::string content;
  std::string crc32c;
};

Outcome decode(std::string_view payload, const std::string& body, size_t step = SIZE_MAX,
               uint64_t length = 65 << 10) {
  const bool trailer = payload.ends_with("TRAILER");
  auto decoder = AwsChunkedDecoder::make(
      payload, length,
      chain_from(trailer ? "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
                         : "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"));
  Outcome outcome;
  if (!decoder) {
    outcome.result = fail(decoder.error());
    return outcome;
  }
  for (size_t at = 0; at < body.size() && outcome.result; at += std::min(step, body.size() - at)) {
    outcome.result = decoder->write(std::string_view(body).substr(at, step),
                                    [&](std::string_view bytes) -> Result<void> {
                                      outcome.content.append(bytes);
                                      return {};
                                    });
  }
  if (outcome.result) outcome.result = decoder->finish();
  outcome.crc32c = decoder->trailers().get("x-amz-checksum-crc32c");
  return outcome;
}

constexpr std::string_view kSigned = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
constexpr std::string_view kSignedTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
constexpr std::string_view kUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

std::string signed_body() {
  return "10000;chunk-signature="
         "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" +
         kFirst +
         "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
         "\r\n" +
         kSecond +
         "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
         "\r\n\r\n";
}

std::string signed_trailer_body() {
  return "10000;chunk-signature="
         "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" +
         kFirst +
         "\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"
         "\r\n" +
         kSecond +
         "\r\n0;chunk-signature="
         "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
         "x-amz-checksum-crc32c:sOO8/Q==\r\n"
         "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
         "\r\n\r\n";
}

std::string unsigned_body() {
  return "10000\r\n" + kFirst + "\r\n400\r\n" + kSecond +
         "\r\n0\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n\r\n";
}

TEST(AwsChunked, DecodesTheExamplesOfTheDocumentation) {
  for (size_t step : {SIZE_MAX, size_t{1}, size_t{7}, size_t{65'537}}) {
    const Outcome plain = decode(kSigned, signed_body(), step);
    EXPECT_TRUE(plain.result) << plain.result.error().message();
    EXPECT_EQ(plain.content, kFirst + kSecond);
    const Outcome trailer = decode(kSignedTrailer, signed_trailer_body(), step);
    EXPECT_TRUE(trailer.result) << trailer.result.error().message();
    EXPECT_EQ(trailer.crc32c, "sOO8/Q==");
    const Outcome open = decode(kUnsignedTrailer, unsigned_body(), step);
    EXPECT_TRUE(open.result) << open.result.error().message();
    EXPECT_EQ(open.content, kFirst + kSecond);
    EXPECT_EQ(open.crc32c, "sOO8/Q==");
  }
}

TEST(AwsChunked, RefusesWhatSomebodyChanged) {
  const auto changed = [](std::string body, std::string_view what, std::string_view by) {
    return body.replace(body.find(what), what.size(), by);
  };
  EXPECT_EQ(decode(kSigned, changed(signed_body(), "aaa", "aba")).result.error().code(),
            Code::kPermissionDenied);
  EXPECT_EQ(decode(kSigned, changed(signed_body(), "=b6c6", "=b6c7")).result.error().code(),
            Code::kPermissionDenied);
  EXPECT_EQ(
      decode(kSignedTrailer, changed(signed_trailer_body(), "sOO8", "sOO9")).result.error().code(),
      Code::kPermissionDenied);
  EXPECT_FALSE(decode(kSigned, changed(signed_body(), ";chunk-signature=ad80", ";x=ad80")).result);
  EXPECT_FALSE(decode(kSigned, unsigned_body()).result);
}

TEST(AwsChunked, RefusesWhatIsNotWholeOrNotTheLength) {
  const std::string body = unsigned_body();
  for (size_t size : {size_t{0}, size_t{3}, size_t{70'000}, body.size() - 1, body.size() - 2}) {
    EXPECT_FALSE(decode(kUnsignedTrailer, body.substr(0, std::min(size, body.size() - 1))).result)
        << size;
  }
  EXPECT_FALSE(decode(kUnsignedTrailer, body + "x").result);
  EXPECT_FALSE(decode(kUnsignedTrailer, body, SIZE_MAX, (65 << 10) - 1).result);
  EXPECT_FALSE(decode(kUnsignedTrailer, body, SIZE_MAX, (65 << 10) + 1).result);
  for (const char* bad : {"-1\r\n", "zz\r\n", "\r\n", "ffffffffffffffffff\r\n", "1\nx\r\n",
                          "2\r\nxyz\r\n", "0\r\nno colon\r\n\r\n", "0\r\n:v\r\n\r\n"}) {
    EXPECT_FALSE(decode(kUnsignedTrailer, bad, 1, 2).result) << bad;
  }
  EXPECT_FALSE(decode(kUnsignedTrailer, "1;" + std::string(100'000, 'x'), 100, 1).result);
  EXPECT_EQ(decode("STREAMING-SOMETHING", body).result.error().code(), Code::kUnsupported);
}

}  // namespace
}  // namespace skerry::net
