// AWS event-stream framing, as bytes: a frame is a prelude (u32 total length, u32 headers length,
// u32 CRC-32 of those), headers, a payload and a CRC-32 of everything before it; all big-endian. No
// I/O.
//
// Limits (those of the public SDKs): headers 128 KiB in all, a name 255 bytes, a value 32767 bytes;
// a message at most what the caller allows, 24 MiB by the protocol.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::rpc {

constexpr size_t kMaxMessageBytes = 24 << 20;
constexpr size_t kMaxHeadersBytes = 128 << 10;
constexpr size_t kMaxHeaderValueBytes = 32767;
constexpr size_t kFrameOverheadBytes = 16;  // prelude and trailing checksum

enum class HeaderType : uint8_t {
  kTrue = 0,
  kFalse = 1,
  kByte = 2,
  kInt16 = 3,
  kInt32 = 4,
  kInt64 = 5,
  kBytes = 6,
  kString = 7,
  kTimestamp = 8,  // milliseconds since 1970
  kUuid = 9,       // 16 bytes
};

// Views of somebody else's memory: of the decoder's buffer, or of the caller's.
struct Header {
  std::string_view name;
  HeaderType type = HeaderType::kString;
  int64_t number = 0;      // kByte, kInt16, kInt32, kInt64, kTimestamp
  std::string_view bytes;  // kBytes, kString, kUuid

  static Header text(std::string_view name, std::string_view value) {
    return Header{name, HeaderType::kString, 0, value};
  }
  static Header int32(std::string_view name, int32_t value) {
    return Header{name, HeaderType::kInt32, value, {}};
  }
};

struct Frame {
  std::vector<Header> headers;  // in order of arrival
  std::string_view payload;

  // The first header of that name (names compare case-insensitively), or null.
  const Header* find(std::string_view name) const;
  // The value of a header of that name and type, or nothing.
  std::optional<int32_t> int32(std::string_view name) const;
  std::optional<std::string_view> text(std::string_view name) const;
};

// Appends one frame to `out`. kInvalidArgument where a limit above does not hold, and then `out` is
// as before.
Result<void> append_frame(std::string& out, std::span<const Header> headers,
                          std::string_view payload, size_t max_message_bytes = kMaxMessageBytes);

// Cuts a byte stream into frames.
class FrameDecoder {
 public:
  explicit FrameDecoder(size_t max_message_bytes = kMaxMessageBytes)
      : max_message_bytes_(max_message_bytes) {}

  void feed(std::string_view bytes);
  // From the next frame on.
  void set_max_message_bytes(size_t bytes) { max_message_bytes_ = bytes; }
  // The next whole frame, or null where more bytes are needed. It lives until the next call of
  // next() or feed(). kCorrupt (or kResourceExhausted for a message over the limit) names the
  // cause; the stream cannot be continued then.
  Result<const Frame*> next();

 private:
  std::string buffer_;
  size_t consumed_ = 0;
  size_t max_message_bytes_;
  Frame frame_;
};

}  // namespace skerry::rpc
