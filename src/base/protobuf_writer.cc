// Parts are joined where both are owned, so that small messages stay one string.
#include "base/protobuf_writer.h"

#include <cstring>

namespace skerry {
namespace {

constexpr uint32_t kVarint = 0, kBytes = 2, kFixed32 = 5;

size_t varint_size(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

}  // namespace

std::string& ProtobufWriter::own() {
  if (parts_.empty() || !std::holds_alternative<std::string>(parts_.back())) {
    parts_.emplace_back(std::string());
  }
  return std::get<std::string>(parts_.back());
}

void ProtobufWriter::varint(uint64_t value) {
  std::string& out = own();
  size_ += varint_size(value);
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void ProtobufWriter::key(uint32_t field, uint32_t wire_type) {
  varint(uint64_t{field} << 3 | wire_type);
}

void ProtobufWriter::number(uint32_t field, int64_t value) {
  key(field, kVarint);
  varint(static_cast<uint64_t>(value));
}

void ProtobufWriter::single(uint32_t field, float value) {
  key(field, kFixed32);
  own().append(reinterpret_cast<const char*>(&value), sizeof value);
  size_ += sizeof value;
}

void ProtobufWriter::text(uint32_t field, std::string_view value) {
  key(field, kBytes);
  varint(value.size());
  own() += value;
  size_ += value.size();
}

void ProtobufWriter::borrowed(uint32_t field, std::span<const std::byte> value) {
  constexpr size_t kCopied = 256;  // less than what a part of its own costs
  const std::string_view bytes(reinterpret_cast<const char*>(value.data()), value.size());
  if (bytes.size() <= kCopied) return text(field, bytes);
  key(field, kBytes);
  varint(bytes.size());
  parts_.emplace_back(bytes);
  size_ += bytes.size();
}

void ProtobufWriter::message(uint32_t field, ProtobufWriter&& inner) {
  key(field, kBytes);
  varint(inner.size_);
  fields(std::move(inner));
}

void ProtobufWriter::fields(ProtobufWriter&& more) {
  for (auto& part : more.parts_) {
    if (const auto* owned = std::get_if<std::string>(&part)) {
      own() += *owned;
    } else {
      parts_.push_back(part);
    }
  }
  size_ += more.size_;
  more.parts_.clear();
  more.size_ = 0;
}

void ProtobufWriter::numbers(uint32_t field, std::span<const int64_t> values) {
  if (values.empty()) return;
  size_t bytes = 0;
  for (const int64_t value : values) bytes += varint_size(static_cast<uint64_t>(value));
  key(field, kBytes);
  varint(bytes);
  for (const int64_t value : values) varint(static_cast<uint64_t>(value));
}

}  // namespace skerry
