// Each step of a request, put where it is counted.
#include "serve/request_record.h"

#include <fmt/format.h>

#include "base/log.h"

namespace skerry::serve {
namespace {

// Once a window.
void tell_of_drift(const ServedModel& model) {
  const std::vector<std::string> names = model.drift->drifted();
  if (names.empty()) return;
  log::warn("drift", "what the model sees is not what it saw in training",
            {{"model", model.name},
             {"version", model.version},
             {"features", fmt::format("{}", fmt::join(names, " "))}});
}

}  // namespace

void RequestRecord::decoded(std::span<const tensor::Tensor> inputs) {
  times_.input_ns = now_ns() - started_ns_;
  if (model_.drift) rows_ = model_.drift->look_at(inputs);
}

void RequestRecord::ran(const InferenceService::Outcome& outcome) {
  if (ledger_.summaries) ledger_.summaries->add_alarms(model_);
  if (!outcome.outputs) return;
  times_.queue_ns = outcome.queue_ns;
  times_.infer_ns = outcome.infer_ns;
  if (ledger_.summaries && model_.scores) {
    count_predictions(*model_.scores, *outcome.outputs, ledger_.summaries->counts_of(model_));
  }
  if (model_.drift &&
      model_.drift->add(std::move(rows_), *outcome.outputs, ledger_.clock.monotonic_ms())) {
    tell_of_drift(model_);
  }
  inferred_ns_ = now_ns();
}

void RequestRecord::answered(std::string_view id) {
  times_.output_ns = now_ns() - inferred_ns_;
  model_.stats.add_success(times_, ledger_.clock.wall_ms());
  ledger_.trace.note(model_.name, model_.version, id, times_);
  if (ledger_.summaries) ledger_.summaries->add_success(model_, times_.total_ns());
}

void RequestRecord::failed(const Error& error) {
  model_.stats.add_failure(now_ns() - started_ns_);
  if (ledger_.summaries) ledger_.summaries->add_failure(model_, error.code());
}

}  // namespace skerry::serve
