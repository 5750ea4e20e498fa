// Coordinator's part of secure aggregation: when each phase of an attempt ends, and what comes of
// the sum. What devices say is in files of its own (secure/aggregation.h); `state` says who takes
// part in a phase before any device is told that it has begun.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "federated/coordinator.h"
#include "federated/secure/neighbours.h"

namespace skerry::federated {
namespace {

using nlohmann::json;
using secure::Aggregation;

constexpr uint64_t kMostMaskedBytes = uint64_t{8} << 30;
// Phases in which devices exchange messages only have this share of the time to train.
constexpr double kShareOfDeadline = 0.25;

}  // namespace

std::string_view Coordinator::phase_name() const {
  if (phase_ == Phase::kEvaluating) return "evaluating";
  if (!aggregation_) return "training";
  switch (aggregation_->phase()) {
    case Aggregation::Phase::kKeys:
      return "keys";
    case Aggregation::Phase::kShares:
      return "shares";
    case Aggregation::Phase::kUpdates:
      return "training";
    default:
      return "unmasking";
  }
}

Result<void> Coordinator::restore_aggregation(const json& state) {
  aggregation_.emplace(files_, updates_path());
  std::vector<std::string> names;
  for (const auto& [name, part] : devices_) names.push_back(name);
  return aggregation_->restore(state, names);
}

Result<secure::Step> Coordinator::secure_step(const std::string& device, size_t attempt) const {
  const auto found = devices_.find(device);
  const bool is_on = aggregation_ && phase_ == Phase::kTraining && attempt == attempt_ &&
                     found != devices_.end() &&
                     (found->second == Part::kTraining || found->second == Part::kUploaded);
  if (!is_on) return fail(Code::kFailedPrecondition, "the round went on without this device");
  const bool is_waiting =
      aggregation_->phase() == Aggregation::Phase::kUpdates && found->second == Part::kUploaded;
  return is_waiting ? secure::Step{} : aggregation_->next(device);
}

Result<void> Coordinator::hear(const std::string& device, size_t attempt, const secure::Said& said,
                               double now_s) {
  SKERRY_TRY(secure_step(device, attempt));  // takes part
  auto heard = aggregation_->hear(device, said);
  if (!heard && heard.error().code() == Code::kInvalidArgument) {
    // One whose update is in the sum stays there; that it does not help shows at the end.
    if (devices_[device] == Part::kTraining) SKERRY_TRY(leave_out(device, now_s));
    return heard;
  }
  SKERRY_TRY(std::move(heard));
  return finish_if_due(now_s);
}

// Whether the phase is not over for this device.
bool Coordinator::is_waiting_for(const std::string& device) const {
  const Part part = devices_.at(device);
  if (part == Part::kOut || part == Part::kNotDrawn || !aggregation_->is_in(device)) return false;
  if (aggregation_->phase() == Aggregation::Phase::kUpdates) return part == Part::kTraining;
  return !aggregation_->has_said(device);
}

Result<void> Coordinator::begin_phase(double now_s) {
  began_s_ = now_s;
  return save();
}

// Everybody has said what the phase is for, or its time is over and there are enough; else the
// attempt has failed.
Result<void> Coordinator::finish_secure(double now_s) {
  const Aggregation::Phase phase = aggregation_->phase();
  const bool trains = phase == Aggregation::Phase::kUpdates;
  const double deadline_s = plan_.deadline_s * (trains ? 1 : kShareOfDeadline);
  const bool late = now_s >= *began_s_ + deadline_s;
  std::vector<std::string> ready;
  bool is_waiting = phase == Aggregation::Phase::kKeys && !everybody_is_asked();
  for (const auto& [name, part] : devices_) {
    if (is_waiting_for(name)) {
      is_waiting = true;
    } else if (part != Part::kNotDrawn && part != Part::kOut && aggregation_->is_in(name)) {
      ready.push_back(name);
    }
  }
  if (phase == Aggregation::Phase::kUnmasking) {
    if (aggregation_->can_unmask()) return propose(now_s);
    return late || !is_waiting ? fail_attempt(failed_report()) : Result<void>();
  }
  if (is_waiting && !late) return {};
  if (ready.size() < std::max(plan_.quorum, secure::kFewestMembers)) {
    return fail_attempt(failed_report());
  }
  if (phase == Aggregation::Phase::kKeys) {
    aggregation_->begin_shares(ready, random_);
  } else if (phase == Aggregation::Phase::kShares) {
    aggregation_->begin_updates();
  } else {
    aggregation_->begin_unmasking({ready.begin(), ready.end()});
  }
  return begin_phase(now_s);
}

// The update, the loss, and whether it was cut where the longest follows a quantile.
size_t Coordinator::masked_numbers() const {
  return model_.size() + (plan_.clip_quantile > 0 ? 2 : 1);
}

// One update after the other: memory is that of the sum and one of them.
Result<Coordinator::Combined> Coordinator::combine_masked() {
  secure::Numbers sum(masked_numbers(), 0);
  Combined result;
  for (const auto& [device, part] : devices_) {
    if (part != Part::kUploaded) continue;
    SKERRY_ASSIGN(const std::string bytes,
                  io::read_file(files_, update_path(device), kMostMaskedBytes));
    SKERRY_ASSIGN(const auto masked, secure::decode_masked(bytes, sum.size()));
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += masked.numbers[i];
    ++result.updates;
  }
  SKERRY_TRY(aggregation_->unmask(sum));
  const secure::FixedPoint fixed = fixed_point_of(plan_, clip_);
  secure::Sum total = secure::from_numbers(sum, fixed, plan_.clip_quantile > 0);
  result.within = total.within;
  result.is_too_long =
      length_of(total.values) >
      secure::longest_sum(fixed, result.updates, model_.size(), noise_of_each(plan_));
  const auto updates = static_cast<double>(std::max<size_t>(result.updates, 1));
  result.loss = total.loss / updates;
  for (float& value : total.values) {
    value = static_cast<float>(static_cast<double>(value) / updates);
  }
  const Source one;
  strategy_->begin({&one, 1});
  result.change.resize(model_.size());
  strategy_->combine({&total.values, 1}, 0, result.change);
  return result;
}

}  // namespace skerry::federated
