// Turns taken, batches made, answers handed back.
#include "serve/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <list>

#include "base/log.h"
#include "serve/batch.h"
#include "serve/memory_guard.h"

namespace skerry::serve {
namespace {

constexpr size_t kMaxBytesOnLoop = 256 << 10;
constexpr int64_t kNsPerMillisecond = 1'000'000;

size_t bytes_of(const Tensors& tensors) {
  size_t bytes = 0;
  for (const tensor::Tensor& each : tensors) bytes += each.bytes.size();
  return bytes;
}

// Errors that each of a batch would get alone as well.
bool is_everybodys(Code code) {
  return code == Code::kUnavailable || code == Code::kTimeout || code == Code::kCancelled;
}

}  // namespace

// Shared by the coroutine that waits, the queue and the batch it is in.
struct QueuedRequest {
  ServedModelPtr model;
  InferenceRequest request;
  int64_t since_ns = now_ns();
  int64_t rows = 0;        // 0: runs alone
  bool is_called = false;  // it is its turn, but it has not begun
  bool has_left = false;   // its caller was destroyed
  // Nothing: it runs alone now. Otherwise what came of it.
  io::Completion<std::optional<InferenceService::Outcome>> turn;

  QueuedRequest(io::Loop& loop, ServedModelPtr its_model, InferenceRequest its_request)
      : model(std::move(its_model)), request(std::move(its_request)), turn(loop) {}

  uint64_t rank() const { return request.priority - 1; }  // 0, the default, is the last
  bool is_awaited() const {
    return !has_left && !turn.done() && !(request.caller_is_gone && request.caller_is_gone());
  }
  bool fits(const QueuedRequest& other) const {
    if (rows == 0 || other.rows == 0 || request.outputs != other.request.outputs) return false;
    return is_same_form(request.inputs, other.request.inputs);
  }
};

// Of one model.
struct RequestQueue {
  std::list<std::shared_ptr<QueuedRequest>> waiting;  // the next one first
  size_t called = 0;  // whose turn it is, but the InferenceService has not seen them yet
  bool is_pump_posted = false;
  io::Timer delay;               // runs only while something waits: it must not outlive the loop
  bool keeps_rows_apart = true;  // the model has not shown otherwise

  void enter(const std::shared_ptr<QueuedRequest>& request) {
    const auto later = std::ranges::find_if(
        waiting, [&](const auto& each) { return each->rank() > request->rank(); });
    waiting.insert(later, request);
  }
  // They are the next, each alone.
  void enter_again(const std::vector<std::shared_ptr<QueuedRequest>>& batch) {
    const auto next = waiting.begin();
    for (const auto& each : batch) {
      if (each->has_left || each->turn.done()) continue;
      each->rows = 0;
      waiting.insert(next, each);
    }
  }
  void take(const std::vector<std::shared_ptr<QueuedRequest>>& batch) {
    std::erase_if(waiting, [&](const auto& each) { return std::ranges::count(batch, each) > 0; });
    if (waiting.empty()) delay.cancel();
  }
  void drop_unawaited() {
    std::vector<std::shared_ptr<QueuedRequest>> dropped;
    for (const auto& each : waiting) {
      if (!each->is_awaited()) dropped.push_back(each);
    }
    take(dropped);
    for (const auto& each : dropped) {
      each->turn.complete(InferenceService::Outcome{fail(Code::kCancelled, "the caller is gone")});
    }
  }
};

// Runs when the caller is answered, and when the caller is destroyed.
struct Scheduler::Leave {
  Scheduler& scheduler;
  QueuePtr queue;
  RequestPtr request;

  ~Leave() {
    request->has_left = true;
    request->request.caller_is_gone = {};
    queue->take({request});
    begin();
    if (!queue->waiting.empty()) scheduler.pump_soon(queue);
  }
  // From here on the InferenceService counts it.
  void begin() const {
    if (std::exchange(request->is_called, false)) --queue->called;
  }
};

Scheduler::Scheduler(io::Loop& loop, io::Pool& pool, InferenceService& inference, Options options)
    : loop_(loop), pool_(pool), inference_(inference), options_(options) {
  inference_.on_end([this](const ServedModel& model) {
    if (model.queue && !model.queue->waiting.empty()) pump_soon(model.queue);
  });
}

Scheduler::~Scheduler() {
  inference_.on_end({});
}

bool Scheduler::has_room(const ServedModel& model) const {
  const size_t limit = model.capabilities.thread_safe ? options_.threads : 1;
  const size_t called = model.queue ? model.queue->called : 0;
  return model.hung > 0 || model.in_flight + called < limit;  // one that hangs refuses at once
}

Result<void> Scheduler::admit(const ServedModel& model) const {
  size_t limit = options_.max_queued;
  if (model.batching) limit = model.batching->max_queued.value_or(limit);
  if (has_room(model) || model.queue->waiting.size() < limit) return {};
  model.queue->drop_unawaited();
  if (model.queue->waiting.size() < limit) return {};
  return fail(Code::kResourceExhausted,
              fmt::format("{} requests to model '{}' are waiting; send fewer at once, or start "
                          "skerry-infer with more --threads",
                          model.queue->waiting.size(), model.name));
}

// No coroutine where nothing waits: it would be another block of memory.
io::Task<InferenceService::Outcome> Scheduler::infer(ServedModelPtr model,
                                                     InferenceRequest request) {
  const bool is_first = !model->queue || model->queue->waiting.empty();
  const bool collects = model->batching && model->batching->max_delay_ms > 0;
  const bool is_free = is_first && !collects && has_room(*model);
  if (is_free || (!collects && inference_.runs_inline(*model, request.inputs))) {
    return inference_.infer(std::move(model), std::move(request));
  }
  return wait(std::move(model), std::move(request));
}

io::Task<InferenceService::Outcome> Scheduler::wait(ServedModelPtr model,
                                                    InferenceRequest request) {
  if (!model->queue) model->queue = std::make_shared<RequestQueue>();
  const QueuePtr queue = model->queue;
  if (auto admitted = admit(*model); !admitted) co_return Outcome{fail(admitted.error())};
  const auto timeout_ms = request.timeout_ms;
  auto mine = std::make_shared<QueuedRequest>(loop_, std::move(model), std::move(request));
  if (mine->model->batching && queue->keeps_rows_apart) {
    auto sorted = sort_inputs(mine->model->inputs, mine->request.inputs);
    if (!sorted) co_return Outcome{fail(std::move(sorted.error()))};
    mine->rows = rows_of(mine->request.inputs).value_or(0);
  }
  queue->enter(mine);
  const Leave leave{*this, queue, mine};
  io::Timer timer;
  if (timeout_ms) {
    timer = loop_.after(*timeout_ms, [mine, ms = *timeout_ms] {
      mine->turn.complete(
          Outcome{fail(Code::kTimeout,
                       fmt::format("the inference did not end within its timeout of {} ms", ms))});
    });
  }
  pump(queue);
  auto turn = co_await mine->turn;
  timer.cancel();
  if (turn) co_return std::move(*turn);
  const int64_t waited_ns = now_ns() - mine->since_ns;
  if (timeout_ms) {
    mine->request.timeout_ms = std::max<int64_t>(1, *timeout_ms - waited_ns / kNsPerMillisecond);
  }
  leave.begin();
  auto outcome = co_await inference_.infer(mine->model, std::move(mine->request));
  outcome.queue_ns += waited_ns;
  co_return outcome;
}

// The requests that run now; none where it is better to wait for more.
Scheduler::Batch Scheduler::next_batch(RequestQueue& queue) {
  while (!queue.waiting.empty() && !queue.waiting.front()->is_awaited()) queue.drop_unawaited();
  if (queue.waiting.empty()) return {};
  const RequestPtr first = queue.waiting.front();
  Batch batch = {first};
  if (first->rows > 0) {
    const formats::ModelBatching& batching = *first->model->batching;
    int64_t rows = 0;
    int64_t oldest_ns = std::numeric_limits<int64_t>::max();
    bool is_full = false;
    size_t preferred = 0;  // so many requests have a preferred number of rows
    batch.clear();
    for (const RequestPtr& each : queue.waiting) {
      if (!each->fits(*first) || !each->is_awaited()) continue;
      is_full = !batch.empty() && rows + each->rows > batching.max_rows;
      if (is_full) break;
      batch.push_back(each);
      rows += each->rows;
      oldest_ns = std::min(oldest_ns, each->since_ns);
      if (std::ranges::count(batching.preferred_rows, rows) > 0) preferred = batch.size();
    }
    const int64_t left_ms = batching.max_delay_ms - (now_ns() - oldest_ns) / kNsPerMillisecond;
    if (preferred > 0) {
      batch.resize(preferred);
    } else if (!is_full && rows < batching.max_rows && left_ms > 0) {
      const auto queue_of_them = first->model->queue;
      queue.delay = loop_.after(left_ms, [this, queue_of_them] { pump(queue_of_them); });
      return {};
    }
  }
  queue.take(batch);
  return batch;
}

void Scheduler::pump(const QueuePtr& queue) {
  while (!queue->waiting.empty() && has_room(*queue->waiting.front()->model)) {
    Batch batch = next_batch(*queue);
    if (batch.empty()) return;
    ++queue->called;
    if (batch.size() > 1) {
      batches_.spawn(run_together(queue, std::move(batch)));
      // It may have run on the loop: others have their turn before the next one.
      if (!queue->waiting.empty()) pump_soon(queue);
      return;
    }
    batch[0]->is_called = true;
    batch[0]->turn.complete(std::nullopt);
  }
}

void Scheduler::pump_soon(const QueuePtr& queue) {
  if (std::exchange(queue->is_pump_posted, true)) return;
  door_.key().post([this, queue] {
    queue->is_pump_posted = false;
    pump(queue);
  });
}

template <class Work>
auto Scheduler::on_pool_where(bool is_large, Work work) -> io::Task<decltype(work())> {
  if (is_large) co_return co_await io::run_on(pool_, loop_, std::move(work));
  co_return work();
}

io::Task<void> Scheduler::run_together(QueuePtr queue, Batch batch) {
  const ServedModelPtr model = batch[0]->model;
  const int64_t begun_ns = now_ns();
  std::vector<int64_t> rows;
  size_t bytes = 0;
  for (const RequestPtr& each : batch) {
    rows.push_back(each->rows);
    bytes += bytes_of(each->request.inputs);
  }
  auto merged = co_await on_pool_where(bytes > kMaxBytesOnLoop, [batch] {
    return within_memory("the batch", [&]() -> Result<Tensors> {
      std::vector<const Tensors*> inputs;
      for (const RequestPtr& each : batch) inputs.push_back(&each->request.inputs);
      return merge_rows(inputs);
    });
  });
  --queue->called;
  Result<std::vector<Tensors>> parts = fail(Code::kInternal, "");
  Outcome outcome{fail(Code::kInternal, "")};
  if (merged) {
    InferenceRequest together{.inputs = std::move(*merged), .outputs = batch[0]->request.outputs};
    together.caller_is_gone = [batch] {
      return std::ranges::none_of(batch, [](const auto& each) { return each->is_awaited(); });
    };
    outcome = co_await inference_.infer(model, std::move(together));
    if (!outcome.outputs && is_everybodys(outcome.outputs.error().code())) {
      for (const RequestPtr& each : batch) {
        each->turn.complete(Outcome{fail(outcome.outputs.error())});
      }
      co_return;
    }
    if (outcome.outputs) {
      const bool is_large = bytes_of(*outcome.outputs) > kMaxBytesOnLoop;
      parts = co_await on_pool_where(is_large, [outputs = std::move(*outcome.outputs), rows] {
        return within_memory("the batch", [&] { return split_rows(outputs, rows); });
      });
      if (!parts && parts.error().code() == Code::kInternal) {
        queue->keeps_rows_apart = false;
        log::warn("serve", "a model's requests run alone from here on: it mixes rows",
                  {{"model", model->name}, {"reason", parts.error().message()}});
      }
    }
  }
  if (!parts) {
    // One of them may be what the model cannot take: the others must not suffer for it.
    queue->enter_again(batch);
    pump_soon(queue);
    co_return;
  }
  model->stats.add_execution(batch.size(), outcome.infer_ns);
  for (size_t i = 0; i < batch.size(); ++i) {
    batch[i]->turn.complete(Outcome{std::move((*parts)[i]),
                                    begun_ns - batch[i]->since_ns + outcome.queue_ns,
                                    outcome.infer_ns});
  }
}

}  // namespace skerry::serve
