// Journal: framing, recovery and the two ways to change it. See the header for format and
// guarantees.
#include "io/journal.h"

#include <array>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include "io/crc32c.h"

namespace skerry::io {
namespace {

constexpr std::string_view kMagic = "SKRYJRNL";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 24;
constexpr size_t kFrameHeaderBytes = 12;
constexpr size_t kWriteBytes = 256 << 10;  // of a new generation at a time
constexpr size_t kScanBytes = 1 << 20;
constexpr std::string_view kPrefix = "journal-";

// Numbers as bytes.

void put(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

uint64_t get(std::string_view bytes, size_t at, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    value |= uint64_t{static_cast<uint8_t>(bytes[at + i])} << (8 * i);
  }
  return value;
}
uint32_t get_u32(std::string_view bytes, size_t at) {
  return static_cast<uint32_t>(get(bytes, at, 4));
}

// Headers and frames.

std::string file_header(uint64_t generation) {
  std::string header(kMagic);
  put(header, kVersion, 4);
  put(header, generation, 8);
  put(header, crc32c(header), 4);
  return header;
}

// A frame is good at its own place only: old bytes of another generation or offset are not frames.
uint32_t frame_header_crc(uint64_t generation, uint64_t offset, std::string_view length_and_crc) {
  std::string place;
  put(place, generation, 8);
  put(place, offset, 8);
  return crc32c(length_and_crc, crc32c(place));
}

void put_frame(std::string& out, uint64_t generation, uint64_t offset, std::string_view body) {
  std::string header;
  put(header, body.size(), 4);
  put(header, crc32c(body), 4);
  put(header, frame_header_crc(generation, offset, header), 4);
  out += header;
  out += body;
}

void put_record(std::string& body, std::string_view record) {
  put(body, record.size(), 4);
  body += record;
}

Result<void> check_record(std::string_view record) {
  if (record.size() <= kMaxRecordBytes) return {};
  return fail(Code::kInvalidArgument, "a journal record of " + std::to_string(record.size()) +
                                          " bytes is above the limit of " +
                                          std::to_string(kMaxRecordBytes));
}

// The body of the frame at `offset` of a file of `size` bytes; nothing where no intact frame is
// there.
Result<std::optional<std::string>> read_frame(File& file, uint64_t size, uint64_t generation,
                                              uint64_t offset) {
  std::optional<std::string> nothing;
  if (size - offset < kFrameHeaderBytes) return nothing;
  SKERRY_ASSIGN(std::string header, file.read_at(offset, kFrameHeaderBytes));
  if (header.size() < kFrameHeaderBytes) return nothing;
  const std::string_view fields = std::string_view(header).substr(0, 8);
  if (get_u32(header, 8) != frame_header_crc(generation, offset, fields)) return nothing;
  const uint32_t length = get_u32(header, 0);
  if (length > size - offset - kFrameHeaderBytes) return nothing;
  SKERRY_ASSIGN(std::string body, file.read_at(offset + kFrameHeaderBytes, length));
  if (body.size() != length || crc32c(body) != get_u32(header, 4)) return nothing;
  return body;
}

// Whether an intact frame begins anywhere after `offset`. Runs only when the frame there is not
// intact.
Result<bool> intact_frame_behind(File& file, uint64_t size, uint64_t generation, uint64_t offset) {
  for (uint64_t begin = offset + 1; begin < size; begin += kScanBytes) {
    SKERRY_ASSIGN(std::string bytes, file.read_at(begin, kScanBytes + kFrameHeaderBytes - 1));
    const std::string_view window = bytes;
    for (size_t i = 0; i < kScanBytes && i + kFrameHeaderBytes <= window.size(); ++i) {
      if (get_u32(window, i + 8) != frame_header_crc(generation, begin + i, window.substr(i, 8))) {
        continue;
      }
      SKERRY_ASSIGN(auto body, read_frame(file, size, generation, begin + i));
      if (body) return true;
    }
  }
  return false;
}

// Hands the records of `body` to `replay`; false when the body is not a list of records.
Result<bool> replay_body(std::string_view body, const Journal::Replay& replay, uint64_t& count) {
  while (!body.empty()) {
    if (body.size() < 4) return false;
    const uint32_t length = get_u32(body, 0);
    if (length > body.size() - 4) return false;
    SKERRY_TRY(replay(body.substr(4, length)));
    body.remove_prefix(4 + length);
    ++count;
  }
  return true;
}

// The generation in a file's name; nothing for other names.
std::optional<uint64_t> generation_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  if (name.size() != 10) return std::nullopt;
  uint64_t generation = 0;
  for (char c : name) {
    if (c < '0' || c > '9') return std::nullopt;
    generation = generation * 10 + static_cast<uint64_t>(c - '0');
  }
  return generation;
}

}  // namespace

Result<Journal> Journal::open(Files& files, std::string directory, const Replay& replay,
                              JournalOptions options) {
  Journal journal(files, std::move(directory), options);
  SKERRY_TRY(journal.load(replay));
  return journal;
}

std::string Journal::path_of(uint64_t generation) const {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%010llu", static_cast<unsigned long long>(generation));
  return directory_ + "/" + std::string(kPrefix) + digits;
}

// Opening.

Result<void> Journal::load(const Replay& replay) {
  SKERRY_TRY(make_directories(*files_, directory_, 0700));
  // 1. What is seen now must not vanish later: an earlier process may have been killed between a
  //    change of names and its sync.
  SKERRY_TRY(files_->sync_directory(parent_of(directory_)));
  SKERRY_TRY(files_->sync_directory(directory_));
  // 2. The highest generation counts.
  SKERRY_ASSIGN(std::vector<std::string> names, files_->list(directory_));
  for (const std::string& name : names) {
    generation_ = std::max(generation_, generation_of(name).value_or(0));
  }
  if (generation_ == 0) {
    SKERRY_TRY(start_generation(1, {}));
  } else {
    SKERRY_TRY(replay_file(replay));
  }
  // 3. Leftovers of compactions that were cut short.
  for (const std::string& name : names) {
    const bool older = generation_of(name).value_or(generation_) < generation_;
    const bool unfinished = name.starts_with(kPrefix) && name.ends_with(".tmp");
    const std::string path = directory_ + "/" + name;
    if ((older || unfinished) && exists(*files_, path)) SKERRY_TRY(files_->remove(path));
  }
  return {};
}

Result<void> Journal::replay_file(const Replay& replay) {
  const std::string path = path_of(generation_);
  SKERRY_ASSIGN(file_, files_->open(path, OpenMode::kAppend));
  SKERRY_ASSIGN(const uint64_t file_size, file_->size());
  SKERRY_ASSIGN(const std::string header, file_->read_at(0, kHeaderBytes));
  size_ = kHeaderBytes;
  if (header.size() < kHeaderBytes || !header.starts_with(kMagic) ||
      crc32c(std::string_view(header).substr(0, 20)) != get_u32(header, 20) ||
      get(header, 12, 8) != generation_) {
    return salvage("its header is damaged");
  }
  if (const uint32_t version = get_u32(header, 8); version != kVersion) {
    return fail(Code::kUnsupported, path + " has format version " + std::to_string(version) +
                                        ", this program reads version 1: use a newer one");
  }
  while (size_ < file_size) {
    SKERRY_ASSIGN(const auto body, read_frame(*file_, file_size, generation_, size_));
    if (!body) break;
    SKERRY_ASSIGN(const bool whole, replay_body(*body, replay, recovery_.records));
    if (!whole) return salvage("the record at byte " + std::to_string(size_) + " is malformed");
    size_ += kFrameHeaderBytes + body->size();
  }
  if (size_ < file_size) {
    SKERRY_ASSIGN(const bool more, intact_frame_behind(*file_, file_size, generation_, size_));
    if (more) return salvage("the record at byte " + std::to_string(size_) + " is damaged");
    recovery_.torn_bytes = file_size - size_;
    SKERRY_TRY(file_->truncate(size_));
  }
  // The last frame may come from a process that was killed before its sync; its records count now.
  return file_->sync();
}

// Bytes that were acknowledged are damaged: the end, unless the owner asked to go on without them.
Result<void> Journal::salvage(const std::string& damage) {
  const std::string path = path_of(generation_);
  const std::string aside = path + ".corrupt";
  if (!options_.salvage) {
    return fail(Code::kCorrupt,
                path + ": " + damage +
                    "; the disk or another program changed it. Restore it from a copy, or move it "
                    "away to start empty");
  }
  std::vector<std::string> bodies;
  for (uint64_t offset = kHeaderBytes; offset < size_;) {
    SKERRY_ASSIGN(auto body, read_frame(*file_, size_, generation_, offset));
    if (!body) return fail(Code::kInternal, path + " reads differently the second time");
    offset += kFrameHeaderBytes + body->size();
    bodies.push_back(std::move(*body));
  }
  // First the new file, then the old one aside: a crash between them costs the evidence, no record.
  SKERRY_TRY(start_generation(generation_ + 1, bodies));
  SKERRY_TRY(files_->rename(path, aside));
  SKERRY_TRY(files_->sync_directory(directory_));
  recovery_.salvaged = path + ": " + damage + "; kept as " + aside;
  return {};
}

// Changing.

Result<void> Journal::usable() const {
  if (!poisoned_) return {};
  return fail(
      Code::kFailedPrecondition,
      "journal " + directory_ +
          ": an earlier write failed and may not have reached the disk; nothing is accepted "
          "until the program starts again");
}

Result<void> Journal::append(std::string_view record) {
  SKERRY_TRY(check_record(record));
  std::string body;
  body.reserve(4 + record.size());
  put_record(body, record);
  return write_frame(body);
}

Result<void> Journal::append_all(std::span<const std::string> records) {
  std::string body;
  for (const std::string& record : records) {
    SKERRY_TRY(check_record(record));
    put_record(body, record);
    if (body.size() > kMaxAppendBytes) {
      return fail(Code::kInvalidArgument,
                  "journal records appended together are above the limit of " +
                      std::to_string(kMaxAppendBytes) + " bytes");
    }
  }
  return body.empty() ? Result<void>() : write_frame(body);
}

Result<void> Journal::write_frame(std::string_view body) {
  SKERRY_TRY(usable());
  if (size_ + kFrameHeaderBytes + body.size() > options_.max_bytes) {
    return fail(Code::kResourceExhausted, "journal " + directory_ + " is at its limit of " +
                                              std::to_string(options_.max_bytes) + " bytes");
  }
  std::string frame;
  frame.reserve(kFrameHeaderBytes + body.size());
  put_frame(frame, generation_, size_, body);
  if (auto written = file_->write(frame); !written) {
    // Take back what was written of it, so that the next append starts at a frame's end.
    poisoned_ = !file_->truncate(size_) || !file_->sync();
    return fail(std::move(written.error()));
  }
  if (auto synced = file_->sync(); !synced) {
    // The kernel may now believe that the bytes are on the disk. Without them in the file, opening
    // it again cannot take them for acknowledged.
    poisoned_ = true;
    (void)file_->truncate(size_);
    return fail(std::move(synced.error()));
  }
  size_ += frame.size();
  return {};
}

Result<void> Journal::compact(std::span<const std::string> records) {
  SKERRY_TRY(usable());
  std::vector<std::string> bodies;
  uint64_t total = kHeaderBytes;
  for (const std::string& record : records) {
    SKERRY_TRY(check_record(record));
    put_record(bodies.emplace_back(), record);
    total += kFrameHeaderBytes + bodies.back().size();
  }
  if (total > options_.max_bytes) {
    return fail(Code::kResourceExhausted, "journal " + directory_ + ": " + std::to_string(total) +
                                              " bytes are above its limit of " +
                                              std::to_string(options_.max_bytes));
  }
  const std::string old_path = path_of(generation_);
  SKERRY_TRY(start_generation(generation_ + 1, bodies));
  // Where this fails the file stays until the next open(), which removes it: nothing to report.
  (void)files_->remove(old_path);
  return {};
}

// Writes the file of `generation` under another name, syncs it, and gives it its name.
Result<void> Journal::start_generation(uint64_t generation,
                                       const std::vector<std::string>& bodies) {
  const std::string path = path_of(generation);
  const std::string temporary = path + ".tmp";
  auto write = [&]() -> Result<uint64_t> {
    SKERRY_ASSIGN(auto file, files_->open(temporary, OpenMode::kTruncate));
    std::string bytes = file_header(generation);
    uint64_t written = 0;
    for (const std::string& body : bodies) {
      put_frame(bytes, generation, written + bytes.size(), body);
      if (bytes.size() < kWriteBytes) continue;
      SKERRY_TRY(file->write(bytes));
      written += std::exchange(bytes, {}).size();
    }
    SKERRY_TRY(file->write(bytes));
    SKERRY_TRY(file->sync());
    return written + bytes.size();
  };
  auto size = write();
  if (!size) {
    (void)files_->remove(temporary);  // gives its space back; what counts is the first error
    return fail(std::move(size.error()));
  }
  // From here on an error leaves open which of the two files a power cut would keep.
  poisoned_ = true;
  SKERRY_TRY(files_->rename(temporary, path));
  SKERRY_TRY(files_->sync_directory(directory_));
  SKERRY_ASSIGN(file_, files_->open(path, OpenMode::kAppend));
  poisoned_ = false;
  generation_ = generation;
  size_ = *size;
  return {};
}

}  // namespace skerry::io
