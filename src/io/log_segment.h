// Segment: one file of a stream's log. Only the last segment of a stream is appended to.
//
// A read goes on behind damage: what is behind it is not lost with it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/files.h"
#include "io/log_record.h"

namespace skerry::io {

class Segment {
 public:
  // What a scan found.
  struct Scan {
    int64_t messages = 0;   // intact
    int64_t last = -1;      // the highest sequence number that is taken, intact or not; -1: none
    int64_t newest_ms = 0;  // ingest time of the last intact message
    uint64_t end = 0;       // behind the last frame; what follows is an append that was cut short
    uint64_t damaged_bytes = 0;  // that were skipped before it
  };

  // A durable, empty one; its name is durable once the directory is synced.
  static Result<Segment> create(Files& files, std::string path, int64_t first_sequence);
  // kUnsupported for one of a newer program. A damaged header costs nothing: `first_sequence` is
  // known from the file's name, and each frame has its own checksum.
  static Result<Segment> open(Files& files, std::string path, int64_t first_sequence);

  int64_t first_sequence() const { return first_; }
  uint64_t size_bytes() const { return size_; }
  bool has_intact_header() const { return has_intact_header_; }
  const std::string& path() const { return path_; }

  // Reads everything and drops an unfinished append at the end of the file. Before the first
  // append() to a segment that was opened.
  Result<Scan> recover();

  // Frames for the messages from `sequence` on, the first at the start of `frames`. A write that
  // fails may leave half of them behind: cut() them off before anything else is appended.
  Result<void> append(std::string_view frames, int64_t sequence);
  Result<void> sync();
  // Gives its descriptor back; the next use opens it again. For segments that are only read.
  void close() { file_.reset(); }
  // Takes back what was appended since the file had `size` bytes, also what a failed append left.
  Result<void> cut(uint64_t size);

  // Calls `visit` with each intact message whose number is at least `from`, until it says false.
  // Messages are looked at in pieces, so memory is one message and a piece.
  using Visit = std::function<bool(LogMessage&&)>;
  Result<Scan> read(int64_t from, const Visit& visit);

 private:
  struct Mark {
    int64_t sequence;
    uint64_t offset;
  };
  class Reader;

  Segment(Files& files, std::string path, int64_t first)
      : files_(&files), path_(std::move(path)), first_(first) {}
  Result<void> reopen();  // where it is closed
  void mark(int64_t sequence, uint64_t offset);
  uint64_t offset_before(int64_t sequence) const;

  Files* files_;
  std::string path_;
  int64_t first_;
  std::unique_ptr<File> file_;
  uint64_t size_ = 0;
  bool has_intact_header_ = true;
  std::vector<Mark> index_;  // sparse: one mark in kMarkEveryBytes, as far as anybody has read
};

}  // namespace skerry::io
