// StreamService: a StreamStore for many callers at once. What they ask for is done by a thread of
// its own, all that waits at a time: so appends share writes and syncs.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/env.h"
#include "io/task.h"
#include "streams/messages.h"
#include "streams/stream_store.h"

namespace skerry::streams {

class StreamService {
 public:
  // The store is used on `env.records` only. Both outlive the service; destroy the pool's work
  // before the store.
  StreamService(const io::Env& env, StreamStore& store);

  io::Task<Result<void>> create(Definition definition);
  io::Task<Result<void>> update(Definition definition);
  io::Task<Result<void>> remove(std::string name);
  io::Task<Result<std::vector<std::string>>> list();
  io::Task<Result<StreamInfo>> describe(std::string name);
  io::Task<Result<ExportRead>> read_for_export(std::string name, std::string identifier,
                                               size_t max_count, size_t max_bytes);
  io::Task<Result<void>> record_export(std::string name, std::string identifier,
                                       ExportProgress progress);
  // Its sequence number, once it counts.
  io::Task<Result<int64_t>> append(std::string name, std::string payload);
  // Waits up to options.timeout_ms for options.min_count messages; then kUnavailable.
  io::Task<Result<std::vector<Message>>> read(std::string name, ReadOptions options);

  // Hears of what has happened to a stream; one listener.
  enum class Change { kAppended, kDefinition };
  using OnChange = std::function<void(const std::string& stream, Change change)>;
  void on_change(OnChange listener) { on_change_ = std::move(listener); }

  // Syncs what is not flushed with each write, and drops what has outlived its time.
  io::Task<void> keep_house();
  static constexpr int64_t kSyncEveryMs = 1'000;

 private:
  using Failed = std::map<std::string, Error>;  // by stream
  struct Job {
    std::move_only_function<void(StreamStore&)> run;      // on the pool
    std::move_only_function<void(const Failed&)> finish;  // on the loop, after the commit
  };
  // `work(store)` on the pool. The result of an append counts only if its stream's commit did.
  template <class T, class Work>
  io::Task<Result<T>> submit(Work work, std::string appends_to = {});
  io::Task<void> pump();
  io::Task<void> more_messages(std::string name, uint64_t seen, int64_t timeout_ms);
  bool clock_is_steady();
  void tell(const std::string& stream, Change change) {
    if (on_change_) on_change_(stream, change);
  }

  const io::Env& env_;
  StreamStore& store_;
  std::vector<Job> queue_;
  bool pumping_ = false;
  OnChange on_change_;
  // By stream: how often something was appended, and who waits for more of it.
  struct News {
    uint64_t appends = 0;
    std::vector<std::weak_ptr<io::Completion<bool>>> readers;
  };
  std::map<std::string, News> news_;
  // Since when the wall clock has gone as the monotonic one does.
  int64_t steady_since_ms_, clock_offset_ms_;
  io::TaskScope tasks_;
};

}  // namespace skerry::streams
