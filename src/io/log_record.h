// The bytes of a segment file (docs/data/streams.md): a header, then one frame a message. Pure
// functions on memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace skerry::io {

// One message of a log.
struct LogMessage {
  int64_t sequence = 0;   // from 0, one more with each message
  int64_t ingest_ms = 0;  // wall clock
  std::string payload;

  bool operator==(const LogMessage&) const = default;
};

namespace log_record {

inline constexpr uint32_t kVersion = 1;
inline constexpr size_t kSegmentHeaderBytes = 24;
inline constexpr size_t kFrameHeaderBytes = 28;
inline constexpr size_t kMaxPayloadBytes = (1 << 30) - 4096;  // of the protocol's largest frame

// What a message takes on the disk.
constexpr int64_t size_of(size_t payload_bytes) {
  return static_cast<int64_t>(kFrameHeaderBytes + payload_bytes);
}

std::string segment_header(int64_t first_sequence);
// The sequence number of its first message; nothing where the header is damaged or of another
// version (then `version`, where given, says which).
std::optional<int64_t> first_sequence_of(std::string_view header, uint32_t* version = nullptr);

// Where a frame stands. It is good at its own place only: bytes of another segment, or inside of a
// message, are no frames, whatever they look like.
struct Place {
  int64_t segment = 0;  // its first sequence number
  uint64_t offset = 0;  // in the file
};
void put_frame(std::string& out, const Place& place, int64_t sequence, int64_t ingest_ms,
               std::string_view payload);

struct FrameHeader {
  size_t payload_bytes = 0;
  int64_t sequence = 0;
  int64_t ingest_ms = 0;
  uint32_t payload_crc = 0;
};
// Of at least kFrameHeaderBytes; nothing where they are no intact header.
std::optional<FrameHeader> frame_header(std::string_view bytes, const Place& place);
bool is_payload_of(const FrameHeader& header, std::string_view payload);

}  // namespace log_record
}  // namespace skerry::io
