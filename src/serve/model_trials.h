// What is known of each package over restarts: whether a trial has proved it here, and how often
// the service died of it. Kept beside the list of models; docs/data/model-trials.md.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/log_limit.h"
#include "io/files.h"
#include "serve/activity.h"

namespace skerry::serve {

// A package on this machine with this runtime: another file, library or processor is another one.
struct PackageId {
  std::string key;  // 64 hex digits
  std::string model;
  std::string version;
};

// What a trial has measured.
struct TrialReport {
  uint64_t peak_memory_bytes = 0;   // of the whole process, libraries included
  uint64_t model_memory_bytes = 0;  // that the process has grown by: the model, what its runs keep
  uint64_t runtime_memory_bytes = 0;  // that it had grown by when the runtime's library was open
};

// Thread-safe.
class ModelTrials {
 public:
  static constexpr int kMaxCrashes = 3;

  // Counts what the last process died of. `path` "" remembers for this process only. Records that
  // cannot be read are as good as none: every package is tried again. `files` outlives it.
  static Result<std::shared_ptr<ModelTrials>> open(io::Files& files, const std::string& path);

  // kFailedPrecondition for a package that the service has died of too often. `retry` forgets that
  // it has.
  Result<void> admit(const PackageId& package, bool retry);
  bool is_proved(const PackageId& package) const;
  void prove(const PackageId& package, const TrialReport& report = {});
  // What its last trial has measured, but for the peak; all 0 where none has.
  TrialReport measured(const PackageId& package) const;
  // It has served for long: the crashes that were are no sign any more.
  void settle(const std::string& key);

  // The place for what the package's model does from now on; durable once this returns.
  std::shared_ptr<const Activity::Slot> begin(const PackageId& package);
  // The process ends in order.
  void end() { activity_->end(); }

 private:
  struct Record {
    std::string key;
    std::string model;
    std::string version;
    bool proved = false;
    int crashes = 0;
    uint64_t memory_bytes = 0;
    uint64_t runtime_memory_bytes = 0;
  };
  ModelTrials(io::Files& files, std::string path) : files_(files), path_(std::move(path)) {}
  void read();
  void count_crashes(const std::vector<std::string>& keys);
  Record* find(std::string_view key);
  const Record* find(std::string_view key) const;
  Record& ensure(const PackageId& package);
  void save();

  io::Files& files_;
  const std::string path_;
  mutable std::mutex mutex_;
  std::vector<Record> records_;  // oldest first
  std::shared_ptr<Activity> activity_;
  log::Limit log_;  // loads come from others
};

}  // namespace skerry::serve
