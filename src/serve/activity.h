// Which model does what at this moment, in a file that outlives the process: when native code takes
// the process down, the next one reads there whose it was. docs/data/model-trials.md shows the
// bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::serve {

// One for a process: it handles the signals that crashes raise, and hands them on to whoever had
// them before. Thread-safe.
class Activity {
 public:
  struct Record;
  enum class Doing { kLoading, kRunning };

  // A model's place in the file, until it is destroyed.
  class Slot {
   public:
    Slot(std::shared_ptr<Activity> owner, Record* record);
    ~Slot();
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

   private:
    friend class Activity;
    std::shared_ptr<Activity> owner_;
    Record* record_;
  };

  // The calling thread works for the slot's model while this lives. Costs nanoseconds. A null slot
  // is fine.
  class Scope {
   public:
    Scope(const Slot* slot, Doing doing);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    std::atomic<uint32_t>* count_ = nullptr;
    Record* before_ = nullptr;
  };

  // The packages (keys as slot() was given) that the last process with this file died of: the one
  // whose thread crashed; where a thread that belongs to none did, all that were loaded or ran;
  // where the process was killed, those that were being loaded; none where it ended in order.
  // `path` "" keeps all in memory. The file starts empty from here on.
  static Result<std::shared_ptr<Activity>> open(const std::string& path,
                                                std::vector<std::string>& died_of);
  ~Activity();

  // `key`: 64 hex digits. Null where more models are there than the file has places for.
  static std::unique_ptr<Slot> slot(const std::shared_ptr<Activity>& self, std::string_view key);
  // Makes what stands in the file survive a power cut.
  Result<void> sync() const;
  // The process ends in order: nothing in the file is a crash.
  void end();

 private:
  struct Header;
  explicit Activity(void* mapped) : mapped_(mapped) {}
  Header& header() const { return *static_cast<Header*>(mapped_); }
  Record* records() const;

  void* mapped_;
  std::mutex mutex_;  // places are given and taken back one at a time
};

}  // namespace skerry::serve
