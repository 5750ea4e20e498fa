// What the service counts about each model: requests, time per phase and latency quantiles.
// All of it belongs to the loop's thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/log_linear.h"
#include "serve/watchdog.h"

namespace skerry::serve {

// Nanoseconds of the monotonic clock. Not io::Clock: phases of microseconds need finer ticks.
int64_t now_ns();

// Counts of nanoseconds in constant memory; a quantile is at most 1/16 too large.
class LatencyHistogram {
 public:
  void add(int64_t value_ns);
  // The smallest bucket limit that at least a share `q` (0–1) of the values does not exceed; 0
  // without values.
  int64_t quantile(double q) const;
  uint64_t count() const { return count_; }
  int64_t sum_ns() const { return sum_ns_; }

 private:
  using Buckets = LogLinear<4, 40>;  // 2^40 ns = 18 minutes; longer counts as that

  std::array<uint64_t, Buckets::kBuckets> counts_{};
  uint64_t count_ = 0;
  int64_t sum_ns_ = 0;
};

// One request's way through the service.
struct RequestTimes {
  int64_t input_ns = 0;   // decoding the request
  int64_t queue_ns = 0;   // waiting for a thread
  int64_t infer_ns = 0;   // inside the runtime
  int64_t output_ns = 0;  // encoding the answer
  int64_t total_ns() const { return input_ns + queue_ns + infer_ns + output_ns; }
};

class ModelStats {
 public:
  void add_success(const RequestTimes& times, int64_t wall_ms);
  void add_failure(int64_t total_ns);
  // `requests`, 2 or more, ran as one; each of them is counted as a success or failure besides.
  void add_execution(size_t requests, int64_t infer_ns);

  // What the model holds in memory, as its trial has measured it; 0: unknown.
  void set_memory(uint64_t bytes) { memory_bytes_ = bytes; }
  uint64_t memory_bytes() const { return memory_bytes_; }
  // What the runtime counts for the model; 0: it does not count. From any thread.
  void note_counted_memory(uint64_t bytes) { counted_bytes_ = bytes; }
  uint64_t counted_memory() const { return counted_bytes_; }

  // An output held NaN or infinity where it must not. From any thread.
  void note_not_finite() { ++not_finite_; }
  uint64_t not_finite() const { return not_finite_; }

  uint64_t successes() const { return total_.count(); }
  uint64_t failures() const { return failures_; }
  // Runs of the model that gave the successes: fewer where requests ran together.
  uint64_t executions() const;
  const LatencyHistogram& total() const { return total_; }
  const LatencyHistogram& infer() const { return infer_; }
  const LatencyHistogram& queue() const { return queue_; }

  // One entry of "model_stats" of the protocol's statistics extension, as JSON.
  std::string to_json(std::string_view model, std::string_view version) const;

 private:
  LatencyHistogram total_;
  LatencyHistogram queue_;
  LatencyHistogram infer_;
  int64_t input_ns_ = 0;
  int64_t output_ns_ = 0;
  struct Executions {
    uint64_t count = 0;
    int64_t infer_ns = 0;
  };
  std::map<size_t, Executions> together_;  // by how many requests; a queue's length bounds it
  uint64_t failures_ = 0;
  int64_t failure_ns_ = 0;
  int64_t last_inference_ms_ = 0;
  uint64_t memory_bytes_ = 0;
  std::atomic<uint64_t> counted_bytes_ = 0;
  std::atomic<uint64_t> not_finite_ = 0;
};

struct StatsRow {
  std::string_view model;
  std::string_view version;
  const ModelStats* stats;
  const Watchdog* watchdog;
};

struct RuntimeRow {
  std::string runtime;
  std::string version;
  uint64_t memory_bytes = 0;  // 0: unknown
};

// All models and runtimes in Prometheus's text format.
std::string to_prometheus(std::span<const StatsRow> rows,
                          std::span<const RuntimeRow> runtimes = {});

}  // namespace skerry::serve
