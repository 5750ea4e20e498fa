// StreamStore: all streams of a directory. Blocking, one thread at a time.
//
// Appends are provisional until commit(): many callers share one write and, where a stream wants
// its messages flushed, one fsync (group commit). docs/data/streams.md has the bytes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/files.h"
#include "io/message_log.h"
#include "streams/definition.h"

namespace skerry::streams {

struct StoreLimits {
  size_t max_streams = 1'000;
  int64_t max_bytes = 0;                // of all streams in files together; 0: what the disk has
  int64_t reserve_bytes = 16 << 20;     // of the disk that are left to others
  int64_t max_memory_bytes = 64 << 20;  // of all streams in memory together
};

using Progress = std::map<std::string, ExportProgress>;  // by identifier of the export

struct StreamInfo {
  Definition definition;
  LogRange range;
  Progress exports;
};

// What an export sends next.
struct ExportRead {
  std::string stream_id;
  ExportProgress progress;
  int64_t waiting = 0;            // numbers from progress.next on
  std::vector<Message> messages;  // the first of them
};

class StreamStore {
 public:
  // What open() found that was not as it had been written, for the log.
  struct Recovery {
    std::string stream;
    std::string what;
  };

  // Made where absent. A stream that cannot be opened is in recoveries() and not among the streams;
  // its name stays taken and its files stay.
  static Result<std::unique_ptr<StreamStore>> open(io::Files& files, std::string directory,
                                                   const StoreLimits& limits);
  const std::vector<Recovery>& recoveries() const { return recoveries_; }
  // The name of a stream's folder in the directory.
  static std::string folder_of(const std::string& stream);

  // `id`: of this stream and none before it of the same name. kAlreadyExists
  Result<void> create(const Definition& definition, std::string id = "");
  // Name and persistence stay: kFailedPrecondition.
  Result<void> update(const Definition& definition);
  Result<void> remove(const std::string& name);
  std::vector<std::string> list() const;
  Result<StreamInfo> describe(const std::string& name) const;

  // Provisional; its sequence number. kResourceExhausted where the stream or the store is full.
  Result<int64_t> append(const std::string& name, std::string_view payload, int64_t now_ms);
  // Makes the appends to each stream count; the errors are those of streams whose appends since the
  // last commit() are all taken back.
  std::map<std::string, Error> commit();
  // Committed messages only.
  Result<std::vector<Message>> read(const std::string& name, int64_t from, size_t max_count,
                                    size_t max_bytes);
  // What has not gone, durable by now: no message that somebody else has may be lost here, or its
  // number would be given to another. kNotFound where there is no such stream or export.
  Result<ExportRead> read_for_export(const std::string& name, const std::string& identifier,
                                     size_t max_count, size_t max_bytes);
  // Durable where more has gone than before.
  Result<void> record_export(const std::string& name, const std::string& identifier,
                             const ExportProgress& progress);
  // Durable from now on: what was committed to streams that do not flush each write.
  Result<void> sync();
  // Drops what has outlived its stream's time. Not between append() and commit().
  Result<void> expire(int64_t now_ms);

 private:
  struct Stream {
    Definition definition;
    std::string id;
    std::string directory;  // "" in memory
    std::unique_ptr<MessageLog> log;
    Progress exports = {};
    // Those that `definition` has, each as far as it has come.
    void match_exports();
  };

  StreamStore(io::Files& files, std::string directory, const StoreLimits& limits)
      : files_(files), directory_(std::move(directory)), limits_(limits) {}
  Result<void> load(const std::string& directory);
  void load_exports(Stream& stream, FileLog& log);
  Result<void> write_definition(const Stream& stream);
  Result<Stream*> find(const std::string& name);
  Result<void> check_room(const Stream& stream, int64_t bytes);
  void count_bytes();

  io::Files& files_;
  std::string directory_;
  StoreLimits limits_;
  std::map<std::string, Stream> streams_;
  std::set<std::string> broken_;          // directories of streams that cannot be opened
  std::set<std::string> appended_;        // since the last commit
  int64_t in_files_ = 0, in_memory_ = 0;  // bytes of all streams, with what was appended since
  int64_t free_ = 0;                      // on the disk, without it
  std::vector<Recovery> recoveries_;
};

}  // namespace skerry::streams
