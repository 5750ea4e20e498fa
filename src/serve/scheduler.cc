// Inline or pooled execution of one inference.
#include "serve/scheduler.h"

#include <fmt/format.h>

#include "runtime/tensor.h"

namespace skerry::serve {
namespace {

using Outputs = Result<std::vector<runtime::Tensor>>;

// Against the contract, not the model: a caller that relied on more than was promised would be
// broken by the next version.
Outputs run_checked(ServedModel& model, const InferRequest& request) {
  const std::vector<runtime::TensorView> views = request.views();
  SKERRY_TRY(runtime::match_inputs(model.inputs, views));
  std::vector<std::string> wanted;
  wanted.reserve(request.outputs.size());
  for (const RequestedOutput& output : request.outputs) wanted.push_back(output.name);
  SKERRY_ASSIGN(const auto selected, runtime::select_outputs(model.outputs, wanted));
  if (wanted.empty()) {
    for (const size_t i : selected) wanted.push_back(model.outputs[i].name);
  }
  return model.model->run(views, wanted);
}

}  // namespace

// Shared by the waiting coroutine and the thread that runs it: either may end first.
struct Scheduler::Job {
  ServedModelPtr model;
  InferRequest request;
  io::Completion<bool> done;
  Outputs outputs = fail(Code::kCancelled, "not run");
  int64_t submitted_ns = 0;
  int64_t started_ns = 0;
  int64_t finished_ns = 0;

  void run() {
    started_ns = now_ns();
    outputs = run_checked(*model, request);
    finished_ns = now_ns();
  }
};

void Scheduler::submit(std::shared_ptr<Job> job) {
  ++*queued_;
  pool_.submit([&loop = loop_, queued = queued_, job = std::move(job)]() mutable {
    job->run();
    loop.post([queued = std::move(queued), job = std::move(job)] {
      --*queued;
      job->done.complete(true);
    });
  });
}

io::Task<Scheduler::Outcome> Scheduler::run(ServedModelPtr model, InferRequest request) {
  const bool is_short = model->expected_infer_ns <= options_.inline_limit_ns;
  if (!is_short && *queued_ >= options_.max_queued + options_.threads) {
    co_return Outcome{fail(Code::kResourceExhausted,
                           fmt::format("{} requests are waiting; send fewer at once, or start "
                                       "skerry-infer with more --threads",
                                       *queued_)),
                      std::move(request)};
  }
  auto job = std::make_shared<Job>(Job{.model = std::move(model),
                                       .request = std::move(request),
                                       .done = io::Completion<bool>(loop_)});
  job->submitted_ns = now_ns();
  if (is_short) {
    job->run();
  } else {
    submit(job);
    co_await job->done;
  }
  const int64_t infer_ns = job->finished_ns - job->started_ns;
  // Follows the model within some eight requests: a model that turns out slow leaves the loop soon.
  if (job->outputs) job->model->expected_infer_ns += (infer_ns - job->model->expected_infer_ns) / 8;
  co_return Outcome{std::move(job->outputs), std::move(job->request),
                    job->started_ns - job->submitted_ns, infer_ns};
}

}  // namespace skerry::serve
