// Journal: the one durable format of the device. An append-only log of records in a directory,
// replaced as a whole ("compacted") when its owner has a shorter way to say the same.
//
// Files: DIR/journal-GENERATION (ten digits); the highest generation counts. All numbers
// little-endian.
//   header   "SKRYJRNL"  u32 version = 1  u64 generation  u32 CRC-32C of the 20 bytes before
//   frame*   u32 body length  u32 CRC-32C of the body
//            u32 CRC-32C of generation (u64), the frame's offset in the file (u64), length, body
//            CRC body: (u32 length, bytes) for each record of one append
//
// What holds after a crash (SIGKILL or power cut) at any point:
// - A record whose append returned success is there, in order. An append is all there or not at
// all,
//   and only the last one, if its success was not reported yet, may be either.
// - compact() took place as a whole or not at all.
// How: the next frame is written only after the one before is synced, so only the last frame can be
// torn; and a generation gets its name by a rename after it is synced, before the old one is
// removed.
// - Any damage to the bytes is noticed. Damage with an intact frame behind it is kCorrupt; damage
// to
//   the last frame cannot be told from a torn write, so that frame is dropped and reported in
//   recovery().torn_bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/files.h"

namespace skerry::io {

inline constexpr size_t kMaxRecordBytes = 16 << 20;
inline constexpr size_t kMaxAppendBytes = 32 << 20;  // of one append_all, lengths included

struct JournalOptions {
  // Of the file; appends beyond fail with kResourceExhausted until the journal is compacted.
  uint64_t max_bytes = 256 << 20;
  // Damage in the middle: keep the damaged file as PATH.corrupt and go on with the records before
  // the damage, instead of failing. For owners who can get the rest from elsewhere.
  bool salvage = false;
};

// What open() found.
struct JournalRecovery {
  uint64_t records = 0;
  uint64_t torn_bytes = 0;  // an unfinished append at the end, dropped
  std::string salvaged;     // what was wrong and where the damaged file is kept; empty: nothing
};

class Journal {
 public:
  // Gets each record in order; an error of its stops open() and is returned.
  using Replay = std::function<Result<void>(std::string_view record)>;

  // Makes `directory` and an empty journal where there is none. When it fails, what `replay` has
  // seen is to be forgotten. `files` must outlive the journal. One journal object for a directory
  // at a time (the owner's lock).
  static Result<Journal> open(Files& files, std::string directory, const Replay& replay,
                              JournalOptions options = {});

  // Durable when it returns success. After a failed sync nobody knows what is on the disk: this and
  // every later call fails until the journal is opened again. Other failures (disk full, too large)
  // leave the journal as it was and usable.
  Result<void> append(std::string_view record);
  // The records together: after a crash all of them are there or none.
  Result<void> append_all(std::span<const std::string> records);
  // Replaces everything by `records`.
  Result<void> compact(std::span<const std::string> records);

  uint64_t size_bytes() const { return size_; }
  uint64_t generation() const { return generation_; }
  const JournalRecovery& recovery() const { return recovery_; }

 private:
  Journal(Files& files, std::string directory, JournalOptions options)
      : files_(&files), directory_(std::move(directory)), options_(options) {}

  Result<void> load(const Replay& replay);
  Result<void> replay_file(const Replay& replay);
  Result<void> salvage(const std::string& damage);
  Result<void> write_frame(std::string_view body);
  Result<void> start_generation(uint64_t generation, const std::vector<std::string>& bodies);
  Result<void> usable() const;
  std::string path_of(uint64_t generation) const;

  Files* files_;
  std::string directory_;
  JournalOptions options_;
  std::unique_ptr<File> file_;
  uint64_t generation_ = 0;
  uint64_t size_ = 0;  // up to the last acknowledged frame
  bool poisoned_ = false;
  JournalRecovery recovery_;
};

}  // namespace skerry::io
