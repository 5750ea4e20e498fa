// Frames against recorded bytes, round trips over every header type, and every way a frame can be
// bad.
#include "rpc/event_stream.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <bit>

#include "base/encoding.h"
#include "rpc/protocol.h"

namespace skerry::rpc {
namespace {

// The first bytes of the public clients and the server's acceptance, as recorded.
constexpr std::string_view kConnectHex =
    "0000007800000048d487bdc5083a76657273696f6e070005302e312e300d3a6d6573736167652d7479706504000000"
    "0"
    "40e3a6d6573736167652d666c61677304000000000a3a73747265616d2d696404000000007b2261757468546f6b656"
    "e"
    "223a2254455354544f4b454e30313233343536227dcabcaa06";
constexpr std::string_view kConnectAckHex =
    "0000004700000037374cfe3f0d3a6d6573736167652d7479706504000000050e3a6d6573736167652d666c61677304"
    "0"
    "00000010a3a73747265616d2d69640400000000e237e27d";

std::string frame(std::span<const Header> headers, std::string_view payload) {
  std::string out;
  EXPECT_TRUE(append_frame(out, headers, payload));
  return out;
}

TEST(EventStream, EncodesTheRecordedBytes) {
  EXPECT_EQ(
      hex_encode(frame(
          std::array{Header::text(kVersionHeader, "0.1.0"), Header::int32(kMessageTypeHeader, 4),
                     Header::int32(kMessageFlagsHeader, 0), Header::int32(kStreamIdHeader, 0)},
          R"({"authToken":"TESTTOKEN0123456"})")),
      kConnectHex);
  EXPECT_EQ(hex_encode(frame(std::array{Header::int32(kMessageTypeHeader, 5),
                                        Header::int32(kMessageFlagsHeader, 1),
                                        Header::int32(kStreamIdHeader, 0)},
                             "")),
            kConnectAckHex);
}

TEST(EventStream, EveryHeaderTypeRoundTrips) {
  const std::string uuid(16, '\x7f'), long_name(255, 'n'), long_value(kMaxHeaderValueBytes, 'v');
  const std::vector<Header> headers = {
      {"true", HeaderType::kTrue, 0, {}},
      {"false", HeaderType::kFalse, 0, {}},
      {"byte", HeaderType::kByte, -1, {}},
      {"i16", HeaderType::kInt16, -32768, {}},
      {"i32", HeaderType::kInt32, INT32_MIN, {}},
      {"i64", HeaderType::kInt64, INT64_MIN, {}},
      {"time", HeaderType::kTimestamp, 1'767'225'600'123, {}},
      {"bytes", HeaderType::kBytes, 0, std::string_view("\0\1", 2)},
      {"uuid", HeaderType::kUuid, 0, uuid},
      {"empty", HeaderType::kString, 0, {}},
      {long_name, HeaderType::kString, 0, long_value},
  };
  const std::string payload(100'000, 'p');
  const std::string bytes = frame(headers, payload);
  // In one piece, and byte by byte.
  for (const size_t step : {bytes.size(), size_t{1}}) {
    FrameDecoder decoder;
    const Frame* decoded = nullptr;
    for (size_t i = 0; i < bytes.size(); i += step) {
      ASSERT_EQ(decoded, nullptr);
      decoder.feed(std::string_view(bytes).substr(i, step));
      auto next = decoder.next();
      ASSERT_TRUE(next) << next.error().message();
      decoded = *next;
    }
    ASSERT_NE(decoded, nullptr);
    EXPECT_EQ(decoded->payload, payload);
    ASSERT_EQ(decoded->headers.size(), headers.size());
    for (size_t i = 0; i < headers.size(); ++i) {
      EXPECT_EQ(decoded->headers[i].name, headers[i].name);
      EXPECT_EQ(decoded->headers[i].type, headers[i].type);
      EXPECT_EQ(decoded->headers[i].number, headers[i].number) << headers[i].name;
      EXPECT_EQ(decoded->headers[i].bytes, headers[i].bytes);
    }
  }
}

TEST(EventStream, SeveralFramesInOneRead) {
  const std::string one = frame({}, "1"), two = frame({}, "2"), three = frame({}, "3");
  FrameDecoder decoder;
  decoder.feed(one + two + three.substr(0, 5));
  EXPECT_EQ((*decoder.next())->payload, "1");
  EXPECT_EQ((*decoder.next())->payload, "2");
  EXPECT_EQ(*decoder.next(), nullptr);
  decoder.feed(three.substr(5));
  EXPECT_EQ((*decoder.next())->payload, "3");
  EXPECT_EQ(*decoder.next(), nullptr);
}

TEST(EventStream, HeadersAreFoundWithoutCaseAndByType) {
  const std::string bytes =
      frame(std::array{Header::text(":Content-Type", "x"), Header::int32("number", 7)}, "");
  FrameDecoder decoder;
  decoder.feed(bytes);
  const Frame& decoded = **decoder.next();
  EXPECT_EQ(decoded.text(":content-type"), "x");
  EXPECT_EQ(decoded.int32("NUMBER"), 7);
  EXPECT_FALSE(decoded.int32(":content-type"));
  EXPECT_FALSE(decoded.text("number"));
  EXPECT_FALSE(decoded.text("absent"));
}

TEST(EventStream, TooLargeIsNotEncoded) {
  std::string out = "kept";
  const std::string long_name(256, 'n'), long_value(kMaxHeaderValueBytes + 1, 'v');
  EXPECT_FALSE(append_frame(out, std::array{Header::text("", "v")}, ""));
  EXPECT_FALSE(append_frame(out, std::array{Header::text(long_name, "v")}, ""));
  EXPECT_FALSE(append_frame(out, std::array{Header::text("n", long_value)}, ""));
  EXPECT_FALSE(append_frame(out, std::array{Header{"u", HeaderType::kUuid, 0, "short"}}, ""));
  EXPECT_FALSE(append_frame(out, {}, std::string(100, 'p'), 115));
  EXPECT_TRUE(append_frame(out, {}, std::string(100, 'p'), 116));
  out.resize(4);
  EXPECT_EQ(out, "kept");
}

// A frame with right checksums around whatever headers and lengths a test wants.
std::string raw(std::string_view headers, uint32_t total, uint32_t headers_bytes) {
  const auto be32 = [](uint32_t value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
    return bytes;
  };
  const auto crc = [&](const std::string& bytes) {
    return be32(
        static_cast<uint32_t>(crc32_z(0, std::bit_cast<const Bytef*>(bytes.data()), bytes.size())));
  };
  std::string out = be32(total) + be32(headers_bytes);
  out += crc(out);
  out += headers;
  return out + crc(out);
}
std::string raw(std::string_view headers) {
  const auto size = static_cast<uint32_t>(headers.size());
  return raw(headers, kFrameOverheadBytes + size, size);
}

// IPC-1
TEST(EventStream, BadFramesNameTheirCause) {
  using namespace std::string_literals;
  std::string bad_prelude = frame({}, "x"), bad_message = frame({}, "x");
  bad_prelude[3] ^= 1;
  bad_message[12] ^= 1;
  struct Case {
    std::string bytes;
    const char* says;
    Code code = Code::kCorrupt;
  };
  for (const Case& c : {
           Case{bad_prelude, "checksum of the prelude"},
           Case{bad_message, "checksum of the message"},
           Case{raw("", 15, 0), "15 and 0 cannot be"},
           Case{raw("", 16, 1), "16 and 1 cannot be"},
           Case{raw("", 200'000, 150'000), "cannot be"},
           Case{raw("", 0xffffffff, 0), "at most 1000000", Code::kResourceExhausted},
           Case{raw("\0"s), "name is empty"},
           Case{raw("\5abc"s), "cut short"},
           Case{raw("\1a"s), "cut short"},
           Case{raw("\1a\x0a"s), "unknown value type 10"},
           Case{raw("\1a\4\0\0\0"s), "cut short"},
           Case{raw("\1a\7\0"s), "cut short"},
           Case{raw("\1a\7\0\5abc"s), "cut short"},
           Case{raw("\1a\7\xff\xff"s), "at most 32767"},
           Case{raw("\1a\x09 short"s), "cut short"},
       }) {
    FrameDecoder decoder(1'000'000);
    decoder.feed(c.bytes);
    auto next = decoder.next();
    ASSERT_FALSE(next) << c.says;
    EXPECT_EQ(next.error().code(), c.code);
    EXPECT_NE(next.error().message().find(c.says), std::string::npos) << next.error().message();
  }
}

}  // namespace
}  // namespace skerry::rpc
