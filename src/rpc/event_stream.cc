// Encoding and decoding of event-stream frames; the layout is in the header's comment.
#include "rpc/event_stream.h"

#include <strings.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace skerry::rpc {
namespace {

constexpr size_t kPreludeBytes = 12;
constexpr size_t kChecksumBytes = 4;
constexpr size_t kKeptBytes = 64 << 10;

uint32_t checksum(const char* data, size_t size) {
  return static_cast<uint32_t>(
      crc32_z(0, std::bit_cast<const Bytef*>(data), static_cast<z_size_t>(size)));
}

// Big-endian and signed; 1 to 8 bytes.
int64_t read_big_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  const int unused_bits = static_cast<int>(64 - 8 * bytes.size());
  return static_cast<int64_t>(value << unused_bits) >> unused_bits;
}

// ASCII only, as header names are.
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

uint32_t read_u32(const char* data) {
  return static_cast<uint32_t>(read_big_endian({data, 4}));
}

void write_big_endian(char* data, uint64_t value, size_t size) {
  for (size_t i = size; i-- > 0; value >>= 8) data[i] = static_cast<char>(value & 0xff);
}

void append_big_endian(std::string& out, uint64_t value, size_t size) {
  char bytes[8];
  write_big_endian(bytes, value, size);
  out.append(bytes, size);
}

// Bytes of a value of this type; 0 for the two booleans, nothing where a length prefix says it.
std::optional<size_t> fixed_size(HeaderType type) {
  switch (type) {
    case HeaderType::kTrue:
    case HeaderType::kFalse:
      return 0;
    case HeaderType::kByte:
      return 1;
    case HeaderType::kInt16:
      return 2;
    case HeaderType::kInt32:
      return 4;
    case HeaderType::kInt64:
    case HeaderType::kTimestamp:
      return 8;
    case HeaderType::kUuid:
      return 16;
    case HeaderType::kBytes:
    case HeaderType::kString:
      return std::nullopt;
  }
  return std::nullopt;
}

Result<void> append_header(std::string& out, const Header& header) {
  if (header.name.empty() || header.name.size() > 255) {
    return fail(Code::kInvalidArgument, "event-stream header: a name has 1 to 255 bytes, not " +
                                            std::to_string(header.name.size()));
  }
  out += static_cast<char>(header.name.size());
  out += header.name;
  out += static_cast<char>(header.type);
  const std::optional<size_t> size = fixed_size(header.type);
  if (!size) {
    if (header.bytes.size() > kMaxHeaderValueBytes) {
      return fail(Code::kInvalidArgument, "event-stream header " + std::string(header.name) +
                                              ": a value has at most 32767 bytes, not " +
                                              std::to_string(header.bytes.size()));
    }
    append_big_endian(out, header.bytes.size(), 2);
    out += header.bytes;
  } else if (header.type == HeaderType::kUuid) {
    if (header.bytes.size() != *size) {
      return fail(Code::kInvalidArgument, "event-stream header " + std::string(header.name) +
                                              ": a UUID has 16 bytes, not " +
                                              std::to_string(header.bytes.size()));
    }
    out += header.bytes;
  } else {
    append_big_endian(out, static_cast<uint64_t>(header.number), *size);
  }
  return {};
}

// Takes one header off the front of `rest`.
Result<Header> read_header(std::string_view& rest) {
  const auto cut_short = [] {
    return fail(Code::kCorrupt, "event-stream header: cut short by the end of the headers");
  };
  const size_t name_size = static_cast<unsigned char>(rest[0]);
  if (name_size == 0) return fail(Code::kCorrupt, "event-stream header: the name is empty");
  if (rest.size() < 1 + name_size + 1) return cut_short();
  Header header;
  header.name = rest.substr(1, name_size);
  const auto type = static_cast<unsigned char>(rest[1 + name_size]);
  if (type > static_cast<unsigned char>(HeaderType::kUuid)) {
    return fail(Code::kCorrupt, "event-stream header: unknown value type " + std::to_string(type));
  }
  header.type = static_cast<HeaderType>(type);
  rest.remove_prefix(1 + name_size + 1);

  std::optional<size_t> size = fixed_size(header.type);
  const bool has_length = !size;
  if (has_length) {
    if (rest.size() < 2) return cut_short();
    size = static_cast<uint16_t>(read_big_endian(rest.substr(0, 2)));
    rest.remove_prefix(2);
    if (*size > kMaxHeaderValueBytes) {
      return fail(Code::kCorrupt, "event-stream header: a value of " + std::to_string(*size) +
                                      " bytes, at most 32767 are allowed");
    }
  }
  if (rest.size() < *size) return cut_short();
  if (has_length || header.type == HeaderType::kUuid) {
    header.bytes = rest.substr(0, *size);
  } else {
    header.number = *size == 0 ? 0 : read_big_endian(rest.substr(0, *size));
  }
  rest.remove_prefix(*size);
  return header;
}

}  // namespace

const Header* Frame::find(std::string_view name) const {
  for (const Header& header : headers) {
    if (std::ranges::equal(header.name, name, {}, lower, lower)) return &header;
  }
  return nullptr;
}

std::optional<int32_t> Frame::int32(std::string_view name) const {
  const Header* header = find(name);
  if (!header || header->type != HeaderType::kInt32) return std::nullopt;
  return static_cast<int32_t>(header->number);
}

std::optional<std::string_view> Frame::text(std::string_view name) const {
  const Header* header = find(name);
  if (!header || header->type != HeaderType::kString) return std::nullopt;
  return header->bytes;
}

Result<void> append_frame(std::string& out, std::span<const Header> headers,
                          std::string_view payload, size_t max_message_bytes) {
  const size_t start = out.size();
  const auto undo = [&out, start](Error error) {
    out.resize(start);
    return fail(std::move(error));
  };
  out.append(kPreludeBytes, '\0');
  for (const Header& header : headers) {
    if (auto appended = append_header(out, header); !appended) return undo(appended.error());
  }
  const size_t headers_bytes = out.size() - start - kPreludeBytes;
  const size_t total = kFrameOverheadBytes + headers_bytes + payload.size();
  if (headers_bytes > kMaxHeadersBytes) {
    return undo(Error(Code::kInvalidArgument, "event-stream message: headers of " +
                                                  std::to_string(headers_bytes) +
                                                  " bytes, at most 131072 are allowed"));
  }
  if (total > max_message_bytes) {
    return undo(Error(Code::kInvalidArgument,
                      "event-stream message of " + std::to_string(total) + " bytes, at most " +
                          std::to_string(max_message_bytes) + " are allowed"));
  }
  write_big_endian(&out[start], total, 4);
  write_big_endian(&out[start + 4], headers_bytes, 4);
  write_big_endian(&out[start + 8], checksum(&out[start], 8), 4);
  out += payload;
  append_big_endian(out, checksum(&out[start], total - kChecksumBytes), kChecksumBytes);
  return {};
}

void FrameDecoder::feed(std::string_view bytes) {
  if (consumed_ == buffer_.size()) {
    // An idle connection does not hold the memory of the largest message it ever saw.
    if (buffer_.capacity() > kKeptBytes) buffer_ = {};
    buffer_.clear();
  } else {
    buffer_.erase(0, consumed_);
  }
  consumed_ = 0;
  buffer_ += bytes;
}

Result<const Frame*> FrameDecoder::next() {
  const size_t available = buffer_.size() - consumed_;
  if (available < kPreludeBytes) return nullptr;
  const char* data = buffer_.data() + consumed_;
  if (read_u32(data + 8) != checksum(data, 8)) {
    return fail(Code::kCorrupt, "event-stream message: wrong checksum of the prelude");
  }
  const size_t total = read_u32(data);
  const size_t headers_bytes = read_u32(data + 4);
  if (total > max_message_bytes_) {
    return fail(Code::kResourceExhausted, "event-stream message of " + std::to_string(total) +
                                              " bytes, at most " +
                                              std::to_string(max_message_bytes_) + " are allowed");
  }
  if (total < kFrameOverheadBytes || headers_bytes > total - kFrameOverheadBytes ||
      headers_bytes > kMaxHeadersBytes) {
    return fail(Code::kCorrupt, "event-stream message: the prelude's lengths " +
                                    std::to_string(total) + " and " +
                                    std::to_string(headers_bytes) + " cannot be");
  }
  if (available < total) {
    buffer_.reserve(consumed_ + total);
    return nullptr;
  }
  if (read_u32(data + total - kChecksumBytes) != checksum(data, total - kChecksumBytes)) {
    return fail(Code::kCorrupt, "event-stream message: wrong checksum of the message");
  }
  frame_.headers.clear();
  std::string_view rest(data + kPreludeBytes, headers_bytes);
  while (!rest.empty()) {
    SKERRY_ASSIGN(Header header, read_header(rest));
    frame_.headers.push_back(header);
  }
  frame_.payload = std::string_view(data + kPreludeBytes + headers_bytes,
                                    total - kFrameOverheadBytes - headers_bytes);
  consumed_ += total;
  return &frame_;
}

}  // namespace skerry::rpc
