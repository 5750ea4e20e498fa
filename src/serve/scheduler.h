// Decides where an inference runs: on the loop's thread where it is over sooner than a hand-off to
// another thread and back would be worth, on a pool of threads where it would hold the loop up.
#pragma once

#include <memory>
#include <vector>

#include "io/loop.h"
#include "io/pool.h"
#include "io/task.h"
#include "serve/model_repository.h"
#include "serve/tensor_codec.h"

namespace skerry::serve {

class Scheduler {
 public:
  struct Options {
    size_t threads = 1;       // inferences at once, besides the short ones on the loop
    size_t max_queued = 256;  // waiting for a thread; above: kResourceExhausted
    // Models expected to take no longer run on the loop. A hand-off costs 10–20 µs both ways.
    int64_t inline_limit_ns = 200'000;
  };

  struct Outcome {
    Result<std::vector<runtime::Tensor>> outputs;
    InferRequest request;  // given back for the answer
    int64_t queue_ns = 0;
    int64_t infer_ns = 0;
  };

  Scheduler(io::Loop& loop, Options options)
      : loop_(loop), options_(options), pool_("infer", options.threads) {}

  // Checks the request against the model's contract and runs it. The model and the request live as
  // long as the inference, even where the caller is destroyed while it runs.
  io::Task<Outcome> run(ServedModelPtr model, InferRequest request);

 private:
  struct Job;
  void submit(std::shared_ptr<Job> job);

  io::Loop& loop_;
  Options options_;
  // Shared with the callbacks that lower it, which may run after the scheduler.
  std::shared_ptr<size_t> queued_ = std::make_shared<size_t>(0);
  io::ThreadPool pool_;
};

}  // namespace skerry::serve
