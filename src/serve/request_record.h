// What is counted of a request to a model, whichever protocol has brought it: statistics, summary,
// drift, trace.
#pragma once

#include <span>
#include <string_view>

#include "io/clock.h"
#include "serve/inference_service.h"
#include "serve/served_model.h"
#include "serve/summaries.h"
#include "serve/trace.h"

namespace skerry::serve {

// Where it is counted besides the model's own statistics. All of it outlives the records.
struct Ledger {
  io::Clock& clock;
  Trace& trace;
  Summaries* summaries = nullptr;  // null where nobody wants any
};

// One request, from its arrival (the constructor) to answered() or failed(). Belongs to the loop's
// thread.
class RequestRecord {
 public:
  RequestRecord(const Ledger& ledger, ServedModel& model)
      : ledger_(ledger), model_(model), started_ns_(now_ns()) {}

  // Before the inference: what the model is about to see.
  void decoded(std::span<const tensor::Tensor> inputs);
  // After it, also where it failed.
  void ran(const InferenceService::Outcome& outcome);
  // `id`: the client's name for the request, for the trace.
  void answered(std::string_view id);
  void failed(const Error& error);

 private:
  const Ledger& ledger_;
  ServedModel& model_;
  RequestTimes times_;
  DriftWatch::Rows rows_;
  int64_t started_ns_;
  int64_t inferred_ns_ = 0;
};

}  // namespace skerry::serve
