// Headers, frames and names of the journal.
#include "io/journal_format.h"

#include <algorithm>
#include <cstdio>

#include "io/crc32c.h"

namespace skerry::io::journal_format {
namespace {

constexpr std::string_view kMagic = "SKRYJRNL";
constexpr std::string_view kPrefix = "journal-";
constexpr size_t kNameDigits = 10;

void put(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

uint32_t get_u32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value |= uint32_t{static_cast<uint8_t>(bytes[at + i])} << (8 * i);
  }
  return value;
}

uint32_t frame_header_crc(uint64_t generation, uint64_t offset, std::string_view length_and_crc) {
  std::string place;
  put(place, generation, 8);
  put(place, offset, 8);
  return crc32c(length_and_crc, crc32c(place));
}

}  // namespace

std::string header(uint64_t generation) {
  std::string bytes(kMagic);
  put(bytes, kVersion, 4);
  put(bytes, generation, 8);
  put(bytes, crc32c(bytes), 4);
  return bytes;
}

std::optional<uint32_t> version_of(std::string_view file) {
  if (file.size() < kHeaderBytes || !file.starts_with(kMagic) ||
      crc32c(file.substr(0, 20)) != get_u32(file, 20)) {
    return std::nullopt;
  }
  return get_u32(file, 8);
}

std::string body_of(std::string_view record) {
  std::string body;
  body.reserve(4 + record.size());
  put(body, record.size(), 4);
  body += record;
  return body;
}

void put_frame(std::string& out, uint64_t generation, uint64_t offset, std::string_view body) {
  std::string fields;
  put(fields, body.size(), 4);
  put(fields, crc32c(body), 4);
  put(fields, frame_header_crc(generation, offset, fields), 4);
  out += fields;
  out += body;
}

std::optional<std::string_view> frame_at(std::string_view file, uint64_t generation,
                                         uint64_t offset) {
  if (offset > file.size() || file.size() - offset < kFrameHeaderBytes) return std::nullopt;
  const std::string_view rest = file.substr(offset);
  if (get_u32(rest, 8) != frame_header_crc(generation, offset, rest.substr(0, 8))) {
    return std::nullopt;
  }
  const uint32_t length = get_u32(rest, 0);
  if (length > rest.size() - kFrameHeaderBytes) return std::nullopt;
  if (crc32c(rest.substr(kFrameHeaderBytes, length)) != get_u32(rest, 4)) return std::nullopt;
  return rest.substr(0, kFrameHeaderBytes + length);
}

bool frame_behind(std::string_view file, uint64_t generation, uint64_t offset) {
  for (uint64_t at = offset + 1; at + kFrameHeaderBytes <= file.size(); ++at) {
    if (frame_at(file, generation, at)) return true;
  }
  return false;
}

std::optional<std::vector<std::string_view>> records_of(std::string_view frame) {
  std::vector<std::string_view> records;
  std::string_view body = frame.substr(kFrameHeaderBytes);
  while (!body.empty()) {
    if (body.size() < 4) return std::nullopt;
    const uint32_t length = get_u32(body, 0);
    if (length > body.size() - 4) return std::nullopt;
    records.push_back(body.substr(4, length));
    body.remove_prefix(4 + size_t{length});
  }
  return records;
}

std::string file_name(uint64_t generation) {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%010llu", static_cast<unsigned long long>(generation));
  return std::string(kPrefix) + digits;
}

std::optional<uint64_t> generation_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  if (name.size() != kNameDigits) return std::nullopt;
  uint64_t generation = 0;
  for (char c : name) {
    if (c < '0' || c > '9') return std::nullopt;
    generation = generation * 10 + static_cast<uint64_t>(c - '0');
  }
  return generation;
}

Merged merge(std::string_view first, std::string_view second, uint64_t generation) {
  // A damaged header costs nothing: all it says is in the name and in every frame's checksum.
  Merged merged{.bytes = header(generation)};
  for (;;) {
    const uint64_t offset = merged.bytes.size();
    auto frame = frame_at(first, generation, offset);
    if (!frame) frame = frame_at(second, generation, offset);
    if (!frame) break;
    merged.bytes += *frame;
    ++merged.frames;
  }
  const uint64_t end = merged.bytes.size();
  // The second copy gets a frame after the first has it for good. So an append that was cut short
  // has left bytes in the first alone, and nothing intact stands behind them.
  merged.damaged = second.size() > end || frame_behind(first, generation, end);
  // A file has its first frame before it has its name.
  if (merged.frames == 0) merged.damaged = true;
  if (!merged.damaged) merged.torn_bytes = std::max<uint64_t>(first.size(), end) - end;
  return merged;
}

}  // namespace skerry::io::journal_format
