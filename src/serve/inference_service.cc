// Where an inference runs, and what becomes of one that does not end.
#include "serve/inference_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stop_token>

#include "base/log.h"
#include "serve/memory_guard.h"

namespace skerry::serve {
namespace {

using Outputs = Result<std::vector<tensor::Tensor>>;

constexpr int64_t kWatchMs = 50;
constexpr int64_t kNsPerMs = 1'000'000;

// Whether all bits of an exponent are set, which is what NaN and infinity have in common.
template <class Bits>
bool is_finite(std::span<const std::byte> bytes, Bits exponent) {
  bool found = false;  // no way out of the loop: so it runs on whole vectors
  for (size_t at = 0; at + sizeof(Bits) <= bytes.size(); at += sizeof(Bits)) {
    Bits bits{};
    std::memcpy(&bits, bytes.data() + at, sizeof bits);
    found |= (bits & exponent) == exponent;
  }
  return !found;
}

bool is_finite(const tensor::Tensor& tensor) {
  switch (tensor.type) {
    case tensor::DataType::kFp16:
      return is_finite<uint16_t>(tensor.bytes, 0x7c00);
    case tensor::DataType::kFp32:
      return is_finite<uint32_t>(tensor.bytes, 0x7f80'0000);
    case tensor::DataType::kFp64:
      return is_finite<uint64_t>(tensor.bytes, 0x7ff0'0000'0000'0000);
    default:
      return true;
  }
}

// `named`: the output that is not.
Result<void> check_finite(ServedModel& model, std::span<const tensor::Tensor> outputs,
                          std::string& named) {
  for (const tensor::Tensor& output : outputs) {
    if (std::ranges::count(model.finite, output.name) == 0 || is_finite(output)) continue;
    model.stats.note_not_finite();
    named = output.name;
    return fail(Code::kInternal,
                fmt::format("version {} of model '{}' gave NaN or infinity in output '{}', which "
                            "its package says is finite",
                            model.version, model.name, output.name));
  }
  return {};
}

}  // namespace

// What came of a run, and of which output the package had said something else.
struct InferenceService::Run {
  Outputs outputs = fail(Code::kCancelled, "not run");
  std::string not_finite;  // "": none, or the inputs were not finite either
};

namespace {

// Against the contract, not the model: a caller that relied on more than was promised would be
// broken by the next version.
Outputs run_checked(ServedModel& model, const InferenceRequest& request,
                    const std::stop_token& stop, std::string& not_finite) {
  return within_memory("the inference", [&]() -> Outputs {
    const std::vector<tensor::TensorView> views = tensor::views_of(request.inputs);
    SKERRY_TRY(tensor::match_inputs(model.inputs, views));
    SKERRY_ASSIGN(const auto selected, tensor::select_outputs(model.outputs, request.outputs));
    const Activity::Scope running(model.activity.get(), Activity::Doing::kRunning);
    const auto& wanted = request.outputs.empty() ? model.output_names : request.outputs;
    Outputs outputs = model.model->run(views, wanted, stop);
    model.stats.note_counted_memory(model.model->memory_bytes());
    if (!outputs || model.finite.empty()) return outputs;
    auto checked = check_finite(model, *outputs, not_finite);
    if (checked) return outputs;
    const auto are_finite = [](const tensor::Tensor& input) { return is_finite(input); };
    if (!std::ranges::all_of(request.inputs, are_finite)) not_finite.clear();
    return fail(std::move(checked.error()));
  });
}

// A failure inside the model costs what it costs; a request that is refused says nothing.
void note_cost(ServedModel& model, uint64_t shapes, const Outputs& outputs, int64_t infer_ns) {
  if (outputs || outputs.error().code() != Code::kInvalidArgument) {
    model.costs.note(shapes, infer_ns);
  }
}

double seconds(int64_t ms) {
  return static_cast<double>(ms) / 1000;
}

// Once a version.
void tell_of_fault(ServedModel& model, log::Limit& limit) {
  if (model.watchdog.fault().empty() || std::exchange(model.told_of_fault, true)) return;
  limit.write(
      log::Level::kError, "watchdog", "a model is at fault",
      {{"model", model.name}, {"version", model.version}, {"reason", model.watchdog.fault()}});
}

}  // namespace

// Shared by the waiting coroutine, the watch and the thread that runs it.
struct InferenceService::Job {
  ServedModelPtr model;
  InferenceRequest request;
  uint64_t shapes = 0;
  io::Completion<Result<void>>
      done;  // the first to say so: the run, the caller's timeout, the watch
  std::stop_source stop;
  int64_t submitted_ns = 0;
  std::atomic<int64_t> started_ns = 0;
  // Written by the thread, read on the loop after it has posted:
  Run result;
  int64_t finished_ns = 0;
  // On the loop:
  Workers::Ticket ticket = 0;
  std::list<JobPtr>::iterator position;
  bool in_list = false;
  bool over_limit = false;
  bool given_up = false;
  std::function<bool()> caller_is_gone;

  explicit Job(io::Loop& loop) : done(loop) {}

  void run() {
    started_ns = now_ns();
    result.outputs = run_checked(*model, request, stop.get_token(), result.not_finite);
    request = {};
    finished_ns = now_ns();
  }
};

Result<void> InferenceService::admit(const ServedModel& model) const {
  if (model.hung > 0) {
    return fail(
        Code::kUnavailable,
        fmt::format("model '{}' hangs: an inference did not end within {:g} s and cannot be "
                    "stopped; load the model again",
                    model.name, seconds(limit_ms(model))));
  }
  if (model.in_flight >= options_.max_queued + options_.threads) {
    return fail(Code::kResourceExhausted,
                fmt::format("{} requests to model '{}' are waiting; send fewer at once, or start "
                            "skerry-infer with more --threads",
                            model.in_flight, model.name));
  }
  return {};
}

void InferenceService::submit(const JobPtr& job) {
  ServedModel& model = *job->model;
  if (!model.workers) {
    model.workers =
        std::make_unique<Workers>("infer", model.capabilities.thread_safe ? options_.threads : 1);
  }
  ++model.in_flight;
  job->position = jobs_.insert(jobs_.end(), job);
  job->in_list = true;
  job->submitted_ns = now_ns();
  job->ticket = model.workers->submit([this, key = door_.key(), job] {
    job->run();
    key.post([this, job] { finished(job); });
  });
  if (!watching_) watch();
}

void InferenceService::finished(const JobPtr& job) {
  ServedModel& model = *job->model;
  const int64_t infer_ns = job->finished_ns - job->started_ns;
  if (job->shapes != 0) note_cost(model, job->shapes, job->result.outputs, infer_ns);
  if (!job->over_limit) tell_watchdog(model, job->shapes, job->result, infer_ns);
  if (job->given_up) {
    --model.hung;
    hang_log_.write(log::Level::kInfo, "serve", "an inference that hung has ended",
                    {{"model", model.name}});
  }
  leave(job);
  job->done.complete({});
}

void InferenceService::leave(const JobPtr& job) {
  if (!std::exchange(job->in_list, false)) return;
  --job->model->in_flight;
  jobs_.erase(job->position);
  if (on_end_) on_end_(*job->model);
}

// One timer for all, and none while nothing runs on threads.
void InferenceService::watch() {
  watching_ = !jobs_.empty();
  if (!watching_) return;
  watch_timer_ = loop_.after(kWatchMs, [this] {
    const int64_t now = now_ns();
    for (auto job = jobs_.begin(); job != jobs_.end();) watch_one(*job++, now);
    watch();
  });
}

void InferenceService::watch_one(JobPtr job, int64_t now) {
  if (job->caller_is_gone && job->caller_is_gone()) {
    job->caller_is_gone = {};
    job->stop.request_stop();
    if (job->model->workers->withdraw(job->ticket)) leave(job);
    job->done.complete(fail(Code::kCancelled, "the caller is gone"));
    if (!job->in_list) return;
  }
  if (job->started_ns == 0 || job->given_up) return;
  ServedModel& model = *job->model;
  const int64_t limit = limit_ms(model);
  const int64_t over_ms = (now - job->started_ns) / kNsPerMs - limit;
  if (over_ms < 0) return;
  if (!std::exchange(job->over_limit, true)) {
    model.watchdog.note_over_limit(limit);
    tell_of_fault(model, fault_log_);
  }
  if (job->stop.request_stop()) {
    job->done.complete(
        fail(Code::kTimeout,
             fmt::format("model '{}' did not end within {:g} s; the inference was stopped",
                         model.name, seconds(limit))));
  }
  if (over_ms < options_.grace_ms || !model.workers->give_up(job->ticket)) return;
  job->given_up = true;
  ++model.hung;
  model.watchdog.note_stuck(limit);
  tell_of_fault(model, fault_log_);
  hang_log_.write(log::Level::kError, "serve",
                  "an inference hangs; its thread is given up, its model refused",
                  {{"model", model.name}, {"version", model.version}});
}

InferenceService::Outcome InferenceService::run_inline(ServedModel& model,
                                                       const InferenceRequest& request,
                                                       uint64_t shapes) {
  const int64_t started = now_ns();
  Run run;
  run.outputs = run_checked(model, request, {}, run.not_finite);
  const int64_t infer_ns = now_ns() - started;
  note_cost(model, shapes, run.outputs, infer_ns);
  tell_watchdog(model, shapes, run, infer_ns);
  return {std::move(run.outputs), 0, infer_ns};
}

int64_t InferenceService::limit_ms(const ServedModel& model) const {
  return model.max_inference_ms > 0 ? model.max_inference_ms : options_.run_timeout_ms;
}

// A run that was over its limit has been told of already; one that failed otherwise says nothing.
void InferenceService::tell_watchdog(ServedModel& model, uint64_t shapes, const Run& run,
                                     int64_t infer_ns) {
  if (run.outputs) {
    model.watchdog.note_good(shapes, infer_ns, now_ns());
  } else if (!run.not_finite.empty()) {
    model.watchdog.note_not_finite(run.not_finite);
  }
  tell_of_fault(model, fault_log_);
}

bool InferenceService::is_short(const ServedModel& model, uint64_t shapes) const {
  return shapes != 0 && model.costs.expected_ns(shapes) <= options_.inline_limit_ns &&
         (model.capabilities.thread_safe || model.in_flight == 0);
}

bool InferenceService::runs_inline(const ServedModel& model,
                                   std::span<const tensor::Tensor> inputs) const {
  return model.model->is_bounded() && is_short(model, shapes_key(inputs));
}

io::Task<InferenceService::Outcome> InferenceService::infer(ServedModelPtr model,
                                                            InferenceRequest request) {
  const uint64_t shapes = model->model->is_bounded() ? shapes_key(request.inputs) : 0;
  if (is_short(*model, shapes)) co_return run_inline(*model, request, shapes);
  if (auto admitted = admit(*model); !admitted) co_return Outcome{fail(admitted.error())};

  auto job = std::make_shared<Job>(loop_);
  job->model = std::move(model);
  job->shapes = shapes;
  const std::optional<int64_t> timeout_ms = request.timeout_ms;
  job->caller_is_gone = std::move(request.caller_is_gone);
  job->request = std::move(request);
  // Runs when the caller is answered, and when the caller is destroyed.
  struct Leave {
    InferenceService& service;
    JobPtr job;
    ~Leave() {
      job->caller_is_gone = {};
      if (!job->in_list) return;
      job->stop.request_stop();
      if (job->model->workers->withdraw(job->ticket)) service.leave(job);
    }
  } leave{*this, job};
  submit(job);
  io::Timer timer;
  if (timeout_ms) {
    timer = loop_.after(*timeout_ms, [job, ms = *timeout_ms] {
      job->done.complete(
          fail(Code::kTimeout,
               fmt::format("the inference did not end within its timeout of {} ms", ms)));
    });
  }
  auto done = co_await job->done;
  if (!done) co_return Outcome{fail(std::move(done.error()))};
  co_return Outcome{std::move(job->result.outputs), job->started_ns - job->submitted_ns,
                    job->finished_ns - job->started_ns};
}

}  // namespace skerry::serve
