// Little-endian throughout, whatever the machine.
#include "io/log_record.h"

#include "io/crc32c.h"

namespace skerry::io::log_record {
namespace {

constexpr std::string_view kMagic = "SKRYSEGM";

template <class T>
void put(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i) & 0xff));
  }
}

template <class T>
T get(std::string_view bytes, size_t offset) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[offset + i])) << (8 * i);
  }
  return static_cast<T>(value);
}

uint32_t header_crc(std::string_view fields, const Place& place) {
  std::string at;
  put(at, place.segment);
  put(at, place.offset);
  return crc32c(at, crc32c(fields));
}

}  // namespace

std::string segment_header(int64_t first_sequence) {
  std::string out(kMagic);
  put(out, kVersion);
  put(out, first_sequence);
  put(out, crc32c(out));
  return out;
}

std::optional<int64_t> first_sequence_of(std::string_view header, uint32_t* version) {
  if (header.size() < kSegmentHeaderBytes || !header.starts_with(kMagic)) return std::nullopt;
  if (crc32c(header.substr(0, 20)) != get<uint32_t>(header, 20)) return std::nullopt;
  const auto its_version = get<uint32_t>(header, 8);
  if (version != nullptr) *version = its_version;
  if (its_version != kVersion) return std::nullopt;
  return get<int64_t>(header, 12);
}

void put_frame(std::string& out, const Place& place, int64_t sequence, int64_t ingest_ms,
               std::string_view payload) {
  const size_t begin = out.size();
  put(out, static_cast<uint32_t>(payload.size()));
  put(out, sequence);
  put(out, ingest_ms);
  put(out, crc32c(payload));
  put(out, header_crc(std::string_view(out).substr(begin, 24), place));
  out.append(payload);
}

std::optional<FrameHeader> frame_header(std::string_view bytes, const Place& place) {
  if (header_crc(bytes.substr(0, 24), place) != get<uint32_t>(bytes, 24)) return std::nullopt;
  FrameHeader header{.payload_bytes = get<uint32_t>(bytes, 0),
                     .sequence = get<int64_t>(bytes, 4),
                     .ingest_ms = get<int64_t>(bytes, 12),
                     .payload_crc = get<uint32_t>(bytes, 20)};
  if (header.payload_bytes > kMaxPayloadBytes || header.sequence < 0) return std::nullopt;
  return header;
}

bool is_payload_of(const FrameHeader& header, std::string_view payload) {
  return payload.size() == header.payload_bytes && crc32c(payload) == header.payload_crc;
}

}  // namespace skerry::io::log_record
