// MessageLog: the messages of one stream, numbered from 0 and read by number. FileLog keeps them in
// segment files of a directory, MemoryLog until the program ends.
//
// What is appended counts once finish() says so: all of it, or none. What finish(true) has said
// survives a power cut; what finish(false) has said survives the end of the program at any instant,
// and a power cut once sync() returned.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/files.h"
#include "io/log_record.h"
#include "io/log_segment.h"

namespace skerry::io {

struct LogLimits {
  int64_t max_bytes = 256 << 20;  // of frames; a full log drops its oldest messages or refuses
  int64_t segment_bytes = 16 << 20;
  bool drops_oldest = false;
};

// What a log holds.
struct LogRange {
  int64_t oldest = 0;   // sequence numbers
  int64_t newest = -1;  // less than oldest where it holds nothing
  int64_t bytes = 0;    // of frames
};

class MessageLog {
 public:
  virtual ~MessageLog() = default;
  // Its sequence number. kResourceExhausted where it is full and keeps what it has, or where the
  // message is larger than the whole log may be.
  virtual Result<int64_t> append(std::string_view payload, int64_t now_ms) = 0;
  virtual Result<void> finish(bool durable) = 0;
  virtual Result<void> sync() = 0;
  // Finished messages from `from` on, or from the oldest; at least one of them where there is one,
  // then as many as fit.
  virtual Result<std::vector<LogMessage>> read(int64_t from, size_t max_count,
                                               size_t max_bytes) = 0;
  virtual LogRange range() const = 0;
  // Drops segments whose messages are all older; a message may stay a segment longer. Not between
  // an append and its finish().
  virtual Result<void> expire(int64_t before_ms) = 0;
  virtual void set_limits(const LogLimits& limits) = 0;
};

class FileLog : public MessageLog {
 public:
  // What open() found that was not as it had been written.
  struct Recovery {
    uint64_t torn_bytes = 0;     // of an append that a power cut left unfinished, dropped
    uint64_t damaged_bytes = 0;  // in the last segment, that no message could be read from
  };

  // In `directory`, which is there; the log is there once that is synced.
  static Result<std::unique_ptr<FileLog>> create(Files& files, std::string directory,
                                                 const LogLimits& limits);
  static Result<std::unique_ptr<FileLog>> open(Files& files, std::string directory,
                                               const LogLimits& limits);
  const Recovery& recovery() const { return recovery_; }
  // Drops segments whose messages are all numbered below `sequence`, the last one as well. Not
  // between an append and its finish().
  Result<void> drop_before(int64_t sequence);
  // Numbers below `next` have been given, whatever is left of their messages: none is given again.
  Result<void> skip_to(int64_t next);

  Result<int64_t> append(std::string_view payload, int64_t now_ms) override;
  Result<void> finish(bool durable) override;
  Result<void> sync() override;
  Result<std::vector<LogMessage>> read(int64_t from, size_t max_count, size_t max_bytes) override;
  LogRange range() const override;
  Result<void> expire(int64_t before_ms) override;
  void set_limits(const LogLimits& limits) override { limits_ = limits; }

 private:
  struct Part {  // of one segment, appended and not finished
    int64_t first;
    bool opens_segment;
    int64_t newest_ms = 0;
    std::string frames = {};
  };
  struct Sealed {  // what is known of a segment without reading it
    Segment segment;
    int64_t newest_ms;  // INT64_MAX: not known
  };

  FileLog(Files& files, std::string directory, const LogLimits& limits)
      : files_(files), directory_(std::move(directory)), limits_(limits) {}

  Result<void> load();
  Result<void> add_segment(int64_t first);
  void remove_made(const std::string& path);
  Part& part_with_room();
  uint64_t end_of(const Part& part) const;
  Result<void> write_parts(bool durable);
  void take_back(size_t segments, uint64_t size);
  void make_room();
  Result<void> drop_oldest();
  Result<int64_t> newest_ms_of(Sealed& sealed);
  Segment& active() { return segments_.back().segment; }

  Files& files_;
  std::string directory_;
  LogLimits limits_;
  std::deque<Sealed> segments_;  // never empty; the last one is appended to
  std::vector<Part> parts_;
  int64_t part_bytes_ = 0;
  int64_t next_ = 0;      // sequence number of the next append
  int64_t finished_ = 0;  // all below it are finished
  int64_t bytes_ = 0;     // of finished frames
  bool dirty_ = false;    // something is not synced
  bool broken_ = false;   // a failed append could not be taken back
  Recovery recovery_;
};

class MemoryLog : public MessageLog {
 public:
  explicit MemoryLog(const LogLimits& limits) : limits_(limits) {}

  Result<int64_t> append(std::string_view payload, int64_t now_ms) override;
  Result<void> finish(bool) override { return {}; }
  Result<void> sync() override { return {}; }
  Result<std::vector<LogMessage>> read(int64_t from, size_t max_count, size_t max_bytes) override;
  LogRange range() const override;
  Result<void> expire(int64_t before_ms) override;
  void set_limits(const LogLimits& limits) override { limits_ = limits; }

 private:
  void drop_oldest();

  LogLimits limits_;
  std::deque<LogMessage> messages_;
  int64_t next_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace skerry::io
