// The spool on the disk (docs/data/spool.md): messages for the broker that it has not acknowledged,
// numbered, in a log of segments, and how far they have gone. Blocking: run it on the pool for
// records, which does one thing after the other.
//
// What holds after a power cut at any point: a message whose append() returned its number is there,
// in order, until set_next() was told of a higher number.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/message_log.h"
#include "net/mqtt.h"

namespace skerry::nucleus {

// The bytes of a message: a line of JSON, then the payload as it is.
std::string spooled_bytes(const net::MqttMessage& message);
Result<net::MqttMessage> parse_spooled(std::string_view bytes);

class SpoolStore {
 public:
  // Makes `directory`. `max_bytes` of log, all files together; `files` must outlive it.
  static Result<std::unique_ptr<SpoolStore>> open(io::Files& files, std::string directory,
                                                  uint64_t max_bytes);

  int64_t next() const { return next_; }  // below it the broker has everything
  int64_t end() const { return log_->range().newest + 1; }
  int64_t bytes() const { return log_->range().bytes; }

  // The number of each, or why it is not kept: kResourceExhausted where there is no room. Durable
  // when it returns; one write and one fsync for all of them.
  std::vector<Result<int64_t>> append(const std::vector<std::string>& messages, int64_t now_ms);
  // From `from` on; fewer where some are damaged, none where nothing is left.
  Result<std::vector<io::LogMessage>> read(int64_t from, size_t max_count, size_t max_bytes);
  // Durable before the room of those below it is used again.
  Result<void> set_next(int64_t sequence);

  const std::string& damaged() const { return damaged_; }  // what open() found, "" for nothing

 private:
  SpoolStore(io::Files& files, std::string directory, uint64_t max_bytes)
      : files_(files), directory_(std::move(directory)), max_bytes_(max_bytes) {}
  Result<void> load();
  Result<void> open_log();

  io::Files& files_;
  const std::string directory_;
  const uint64_t max_bytes_;
  std::unique_ptr<io::FileLog> log_;
  bool failed_ = false;  // the log is to be opened again: what stands in it is not known
  int64_t next_ = 0;
  std::string damaged_;
};

}  // namespace skerry::nucleus
