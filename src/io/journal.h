// Journal: the one durable format of the device. An append-only log of records, replaced as a whole
// ("compacted") when its owner has a shorter way to say the same. It is kept twice, in DIR and in
// DIR.copy; the bytes are described in docs/data/journal.md.
//
// What holds after a crash (SIGKILL or power cut) at any point:
// - A record whose append returned success is there, in order. Only the last one, if its success
//   was not reported yet, may be either.
// - compact() took place as a whole or not at all.
// How: a record is synced in DIR before the append returns and before the next one is written, so
// only the last frame can be torn; a generation gets its name by a rename after it is synced,
// before the old one is removed.
//
// What holds after damage (flipped bits, cut or missing files):
// - Damage to one of the two copies costs nothing: each frame is taken from whichever copy has it,
//   and both are made whole again. (The copy is not synced with each record: between a record and
//   the kernel's writeback a power cut *and* damage to DIR are two faults.)
// - Damage to the same place of both is never silent: what stood before it is used, or the newest
//   generation that can be read at all, and recovery().lost says so. open() fails for a format of a
//   newer program and for a disk that fails, never for damage.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/files.h"
#include "io/journal_format.h"

namespace skerry::io {

inline constexpr size_t kMaxRecordBytes = 16 << 20;  // of one append

struct JournalOptions {
  // Of a file; appends beyond fail with kResourceExhausted until the journal is compacted.
  uint64_t max_bytes = 256 << 20;
};

// What open() found.
struct JournalRecovery {
  bool fresh = false;  // there was none
  uint64_t records = 0;
  uint64_t torn_bytes = 0;  // an unfinished append at the end, dropped
  std::string repaired;     // damage that cost nothing, "" for none
  std::string lost;         // damage that cost records, "" for none; DIR/*.corrupt are what is left
};

class Journal {
 public:
  // Gets each record in order. kCorrupt ends the replay and counts as damage from that record on;
  // another error stops open() and is returned.
  using Replay = std::function<Result<void>(std::string_view record)>;
  class Compaction;

  // Makes an empty journal where there is none. When it fails, what `replay` has seen is to be
  // forgotten. `files` must outlive the journal. One journal object for a directory at a time (the
  // owner's lock).
  static Result<Journal> open(Files& files, std::string directory, const Replay& replay,
                              JournalOptions options = {});

  // For people: what open() would find. Changes nothing, so it may be called beside an open
  // journal.
  struct Contents {
    uint64_t generation = 0;
    std::vector<std::string> records;
    JournalRecovery found;
  };
  static Result<Contents> look(Files& files, std::string directory);

  // Durable when it returns success. Failures leave the journal as it was and usable (disk full,
  // too large), except that after a failed sync nobody knows what is on the disk: then it is
  // broken(), and every append fails until a compaction has written all of it anew.
  Result<void> append(std::string_view record);
  // Replaces everything by `snapshot`.
  Result<void> compact(std::string snapshot);

  // The same with the long part elsewhere: begin() on the owner's thread, write() on any, finish()
  // on the owner's. Records that are appended meanwhile follow the snapshot. A later begin() or
  // compact() replaces one that is not finished.
  std::shared_ptr<Compaction> begin_compaction(std::string snapshot);
  Result<void> finish_compaction(Compaction& compaction);

  bool broken() const { return broken_; }
  // False once the second copy could not be written (a full disk): until the next compaction.
  bool has_copy() const { return copy_ != nullptr; }
  uint64_t size_bytes() const { return size_; }
  uint64_t generation() const { return generation_; }
  const JournalRecovery& recovery() const { return recovery_; }

 private:
  struct Found;  // the files of one generation, while opening
  Journal(Files& files, std::string directory, JournalOptions options);

  Result<void> load(const Replay& replay);
  Result<std::vector<uint64_t>> generations();
  Result<Found> read(uint64_t generation);
  Result<Found> newest(std::span<const uint64_t> generations);
  Result<void> replay(Found& found, const Replay& replay);
  Result<void> adopt(const Found& found);
  Result<void> make_whole(const std::string& path, std::string_view on_disk, const Found& found);
  Result<void> start_from(const Found& found, std::span<const uint64_t> damaged);
  void remove_others();
  void drop_copy();
  std::string path_of(uint64_t generation) const;
  std::string copy_of(uint64_t generation) const;

  Files* files_;
  std::string directory_, copy_directory_;
  JournalOptions options_;
  std::unique_ptr<File> file_, copy_;
  uint64_t generation_ = 0;
  uint64_t newest_ = 0;  // generation that was ever begun
  uint64_t size_ = 0;    // up to the last acknowledged frame
  bool broken_ = false;
  uint64_t compacting_ = 0;             // the generation being written, 0: none
  std::vector<std::string> meanwhile_;  // records appended since it was begun
  JournalRecovery recovery_;
};

// A new generation on its way to the disk, under other names.
class Journal::Compaction {
 public:
  // Writes and syncs both copies; finish_compaction() reports how it went. Touches nothing of the
  // journal.
  void write();

 private:
  friend class Journal;
  struct Part {
    std::string path;  // that it is to get
    std::unique_ptr<File> file = nullptr;
  };
  Result<void> write(Part& part);
  Result<void> append(std::string_view bytes);
  Result<void> sync();
  void abandon();

  Files* files_ = nullptr;
  uint64_t generation_ = 0;
  uint64_t max_bytes_ = 0;
  std::string bytes_;  // the file, until it is written
  uint64_t size_ = 0;
  Part main_, copy_;  // the copy is without file where it could not be written
  Result<void> written_;
};

}  // namespace skerry::io
