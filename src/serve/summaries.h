// What requests and predictions of each served version were since the last summary
// (formats/inference_summary.h). Counting one costs some additions; all of it belongs to the loop's
// thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/inference_summary.h"
#include "formats/model_package.h"
#include "serve/served_model.h"
#include "tensor/tensor.h"

namespace skerry::serve {

// Counts each prediction in `outputs`: rows of scores along the last dimension. Of an answer with
// more than kMaxCountedScores every n-th one. Nothing where the output was not asked for.
inline constexpr size_t kMaxCountedScores = 4096;
void count_predictions(const formats::ModelScores& scores, std::span<const tensor::Tensor> outputs,
                       formats::ModelCounts& counts);

class Summaries {
 public:
  // `run` is another text for each start of the program.
  Summaries(std::string run, int64_t now_ms) : run_(std::move(run)), since_ms_(now_ms) {}

  // Where the requests of `model` are counted.
  formats::ModelCounts& counts_of(ServedModel& model);
  void add_success(ServedModel& model, int64_t latency_ns) {
    formats::ModelCounts& counts = counts_of(model);
    ++counts.requests;
    counts.add_latency(latency_ns);
  }
  void add_failure(ServedModel& model, Code code);
  // What the model's watchdog has seen since the last call.
  void add_alarms(ServedModel& model);

  // What was counted becomes summaries that wait to be sent; the oldest become one where more than
  // kKept wait.
  void close_period(int64_t now_ms);
  // The oldest one, or null. It stays as it is, however often it is sent, until sent().
  const formats::InferenceSummary* next();
  void sent();
  size_t waiting() const { return waiting_.size(); }

 private:
  struct Entry {
    formats::ModelId model;
    std::shared_ptr<formats::ModelCounts> counts;  // shared with the model, which may be gone
  };
  void merge_oldest();

  static constexpr size_t kKept = 60;
  const std::string run_;
  int64_t since_ms_;
  uint64_t last_sequence_ = 0;
  std::vector<Entry> entries_;
  std::deque<formats::InferenceSummary> waiting_;  // sequence 0 until next() gave it out
};

}  // namespace skerry::serve
