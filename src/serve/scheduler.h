// Who runs next: a queue for each model in front of the InferenceService, in the order of
// priorities, and requests that run together where the model's package says so ("batching" in
// model.json).
//
// Nothing waits that could run: without "max_delay_ms" a batch is made of what has come while the
// model was busy.
#pragma once

#include <memory>
#include <vector>

#include "io/loop.h"
#include "io/pool.h"
#include "io/task.h"
#include "serve/inference_service.h"
#include "serve/loop_door.h"
#include "serve/served_model.h"

namespace skerry::serve {

struct QueuedRequest;  // scheduler.cc

// Belongs to the loop's thread.
class Scheduler {
 public:
  struct Options {
    size_t threads = 1;       // as InferenceService::Options
    size_t max_queued = 256;  // of a model whose package does not say; above: kResourceExhausted
  };

  // On `pool` large batches are put together and taken apart. All outlive it.
  Scheduler(io::Loop& loop, io::Pool& pool, InferenceService& inference, Options options);
  ~Scheduler();

  // As InferenceService::infer(), when it is the request's turn. A timeout counts from here.
  io::Task<InferenceService::Outcome> infer(ServedModelPtr model, InferenceRequest request);

 private:
  using Outcome = InferenceService::Outcome;
  using RequestPtr = std::shared_ptr<QueuedRequest>;
  using Batch = std::vector<RequestPtr>;
  using QueuePtr = std::shared_ptr<RequestQueue>;
  struct Leave;

  io::Task<Outcome> wait(ServedModelPtr model, InferenceRequest request);
  io::Task<void> run_together(QueuePtr queue, Batch batch);
  template <class Work>
  auto on_pool_where(bool is_large, Work work) -> io::Task<decltype(work())>;
  bool has_room(const ServedModel& model) const;
  Result<void> admit(const ServedModel& model) const;
  Batch next_batch(RequestQueue& queue);
  void pump(const QueuePtr& queue);
  void pump_soon(const QueuePtr& queue);

  io::Loop& loop_;
  io::Pool& pool_;
  InferenceService& inference_;
  Options options_;
  LoopDoor door_{loop_};
  io::TaskScope batches_;
};

}  // namespace skerry::serve
