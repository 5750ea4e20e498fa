// The device's metrics on its disk: a ring of text files, one summary a line
// (docs/data/device-metrics.md). Blocking: run it on the pool for records, one call at a time.
//
// What holds after a power cut at any point: a summary whose append() returned success is there, in
// order, until the ring comes round; no sequence number means two things to somebody who was only
// told of acknowledged ones.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/metric_summary.h"
#include "io/files.h"

namespace skerry::nucleus {

struct MetricStoreLimits {
  uint64_t file_bytes = 256 << 10;
  size_t files = 32;
};

class MetricStore {
 public:
  // Makes `directory`. `new_run` names the run where there are no records yet. `files` must outlive
  // it.
  static Result<std::unique_ptr<MetricStore>> open(io::Files& files, std::string directory,
                                                   const std::string& new_run,
                                                   MetricStoreLimits limits = {});

  // The next summary's names; the same until an append has succeeded.
  const std::string& run() const { return run_; }
  uint64_t next_sequence() const { return last_ + 1; }

  // Durable when it returns success. `line`: to_text() of the summary next_sequence(). After an
  // error the same line is to be appended again: nobody knows whether it is on the disk.
  Result<void> append(const std::string& line);

  // The oldest line with a larger sequence number; nothing where there is none.
  struct Line {
    uint64_t sequence;
    std::string text;
  };
  Result<std::optional<Line>> next(uint64_t after);

  // How far the fleet has got them. What a power cut forgets of it is sent again, and counts once
  // there.
  uint64_t sent() const { return sent_; }
  Result<void> set_sent(uint64_t sequence);

  const std::string& damaged() const { return damaged_; }  // what open() found, "" for nothing

 private:
  MetricStore(io::Files& files, std::string directory, MetricStoreLimits limits)
      : files_(files), directory_(std::move(directory)), limits_(limits) {}
  Result<void> load(const std::string& new_run);
  Result<void> recover_newest();
  Result<void> begin_file();
  std::string path_of(uint64_t first) const;

  io::Files& files_;
  const std::string directory_;
  const MetricStoreLimits limits_;
  std::string run_;
  uint64_t last_ = 0;
  uint64_t sent_ = 0;
  std::vector<uint64_t> firsts_;    // of the files, in order
  std::unique_ptr<io::File> file_;  // the newest; null: the next append begins one
  uint64_t size_ = 0;
  std::string damaged_;
};

}  // namespace skerry::nucleus
