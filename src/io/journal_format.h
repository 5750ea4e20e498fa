// The bytes of a journal file: docs/data/journal.md. Pure functions on memory; what to do with what
// they find is io/journal.cc's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::io::journal_format {

inline constexpr uint32_t kVersion = 1;
inline constexpr size_t kHeaderBytes = 24;
inline constexpr size_t kFrameHeaderBytes = 12;

std::string header(uint64_t generation);
// The version that an intact header of any version names; nothing where the header is damaged.
std::optional<uint32_t> version_of(std::string_view file);

// A frame's body: one record, or none.
std::string body_of(std::string_view record);
// Appends a frame that will stand at `offset` of its file.
void put_frame(std::string& out, uint64_t generation, uint64_t offset, std::string_view body);
// The whole intact frame at `offset`, header included; nothing where none is there. A frame is good
// at its own place only: old bytes of another generation or offset are not frames.
std::optional<std::string_view> frame_at(std::string_view file, uint64_t generation,
                                         uint64_t offset);
// Whether an intact frame begins anywhere after `offset`.
bool frame_behind(std::string_view file, uint64_t generation, uint64_t offset);
// The records of an intact frame; nothing where its body is not a list of records.
std::optional<std::vector<std::string_view>> records_of(std::string_view frame);

std::string file_name(uint64_t generation);  // "journal-0000000001"
// The generation in a file's name; nothing for other names.
std::optional<uint64_t> generation_of(std::string_view name);

// What two copies of one generation hold together (an absent one is empty): frame by frame, from
// whichever has it intact.
struct Merged {
  std::string bytes;        // a file with all that is readable, in order
  uint64_t frames = 0;      // in it
  uint64_t torn_bytes = 0;  // of an append that was cut short, behind it
  bool damaged = false;     // something acknowledged stood behind it
};
Merged merge(std::string_view first, std::string_view second, uint64_t generation);

}  // namespace skerry::io::journal_format
