// Runs inferences, whatever the protocol: decides where one runs, holds callers to the contract,
// watches what takes long and answers for it.
//
// On the loop run only inferences known to be short: the runtime promises that a model's time
// depends on its inputs' shapes alone, and these very shapes took a short time before. Everything
// else runs on threads of the model's own, so that a model that hangs keeps nobody waiting but its
// own callers: they get an error, its threads are given up, and it is refused until it is loaded
// again.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log_limit.h"
#include "io/loop.h"
#include "io/task.h"
#include "serve/loop_door.h"
#include "serve/served_model.h"
#include "tensor/tensor.h"

namespace skerry::serve {

struct InferenceRequest {
  std::vector<tensor::Tensor> inputs;
  std::vector<std::string> outputs;   // empty: all
  std::optional<int64_t> timeout_ms;  // the caller waits no longer
  uint64_t priority = 0;              // of those that wait: 1 goes first, 0 last
  std::shared_ptr<void> holds;        // what its inputs count against, until it has run
  // Asked now and then while the inference waits or runs; what nobody waits for is dropped.
  std::function<bool()> caller_is_gone;
};

// Belongs to the loop's thread.
class InferenceService {
 public:
  struct Options {
    size_t threads = 1;       // inferences of one model at once, besides the short ones on the loop
    size_t max_queued = 256;  // of one model, waiting for a thread; above: kResourceExhausted
    // A hand-off to a thread and back costs 10–20 µs.
    int64_t inline_limit_ns = 100'000;
    int64_t run_timeout_ms = 60'000;  // an inference that takes longer is ended; a package may say
    int64_t grace_ms = 2'000;         // until one that was told to end is given up
  };

  struct Outcome {
    Result<std::vector<tensor::Tensor>> outputs;
    int64_t queue_ns = 0;
    int64_t infer_ns = 0;
  };

  InferenceService(io::Loop& loop, Options options) : loop_(loop), options_(options) {}

  // Checks the request against the model's contract and runs it. Where the caller is destroyed
  // before it begins, it is dropped; where it runs already, the runtime is asked to end it.
  io::Task<Outcome> infer(ServedModelPtr model, InferenceRequest request);

  // Whether infer() would run it at once, on the loop.
  bool runs_inline(const ServedModel& model, std::span<const tensor::Tensor> inputs) const;
  // Called when an inference on a thread has ended or was dropped, so that the model has room.
  void on_end(std::function<void(const ServedModel& model)> hook) { on_end_ = std::move(hook); }

 private:
  struct Job;
  struct Run;
  using JobPtr = std::shared_ptr<Job>;

  bool is_short(const ServedModel& model, uint64_t shapes) const;
  Outcome run_inline(ServedModel& model, const InferenceRequest& request, uint64_t shapes);
  Result<void> admit(const ServedModel& model) const;
  void submit(const JobPtr& job);
  void finished(const JobPtr& job);
  void leave(const JobPtr& job);
  void watch();
  void watch_one(JobPtr job, int64_t now);
  void tell_watchdog(ServedModel& model, uint64_t shapes, const Run& run, int64_t infer_ns);
  int64_t limit_ms(const ServedModel& model) const;

  io::Loop& loop_;
  Options options_;
  std::function<void(const ServedModel&)> on_end_;
  std::list<JobPtr> jobs_;  // on threads or waiting for one
  io::Timer watch_timer_;
  bool watching_ = false;
  log::Limit hang_log_;   // requests can make a model hang
  log::Limit fault_log_;  // or be at fault
  LoopDoor door_{loop_};
};

}  // namespace skerry::serve
