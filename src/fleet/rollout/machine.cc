// The transitions. One rule stands above all: a verdict against the release is acted on in every
// phase in which devices may have it, before anything else is done.
#include "fleet/rollout/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/node.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;
using Kind = Effect::Kind;

constexpr formats::EnumNames<Phase, 10> kPhases = {{{Phase::kAsking, "asking"},
                                                    {Phase::kBaking, "baking"},
                                                    {Phase::kApproval, "waitingForApproval"},
                                                    {Phase::kPaused, "paused"},
                                                    {Phase::kRollingBack, "rollingBack"},
                                                    {Phase::kCompleted, "completed"},
                                                    {Phase::kCanceled, "canceled"},
                                                    {Phase::kRolledBack, "rolledBack"},
                                                    {Phase::kSuperseded, "superseded"},
                                                    {Phase::kTargetGone, "targetGone"}}};
constexpr int64_t kMinuteMs = 60'000;
// A rollback is waited for so long where the plan knows no silence, so that it ends.
constexpr int64_t kRollbackSilenceS = 3'600;

// One step under way.
class Stepping {
 public:
  Stepping(const Plan& plan, const State& state) : plan_(plan), state_(state), out_{state, {}} {}

  Result<Step> operator()(const Tick& tick) {
    if (is_over(state_.phase)) return out_;
    pass_time(tick.facts);
    if (tick.facts.overdue > 0) effect(Kind::kTimeOut);
    if (tick.facts.retries_due > 0) effect(Kind::kRetry);
    if (state_.phase == Phase::kRollingBack) {
      roll_back_on(tick.facts);
    } else if (auto verdict = verdict_against(tick.facts)) {
      fail_release(*verdict);
    } else if (state_.phase == Phase::kAsking || state_.phase == Phase::kBaking) {
      go_on(tick.facts);
    }
    return out_;
  }

  Result<Step> operator()(const Pause&) {
    if (state_.phase == Phase::kPaused) return refuse("is paused already");
    if (is_over(state_.phase) || state_.phase == Phase::kRollingBack) {
      return refuse("has no stage to pause");
    }
    pause("paused by an operator");
    return out_;
  }

  Result<Step> operator()(const Resume&) {
    if (state_.phase != Phase::kPaused) return refuse("is not paused");
    enter(state_.paused_in, "resumed by an operator");
    out_.state.held_ms = 0;
    out_.state.held_for_evidence = false;
    return out_;
  }

  Result<Step> operator()(const Approve& approve) {
    const bool waits = state_.phase == Phase::kApproval ||
                       (state_.phase == Phase::kPaused && state_.held_for_evidence);
    if (approve.stage != state_.stage) {
      return refuse(
          fmt::format("is in stage {}: the approval of stage {} has expired, look at the "
                      "present one",
                      state_.stage + 1, approve.stage + 1));
    }
    if (!waits) return refuse("waits for no approval");
    note(fmt::format("stage {} approved", state_.stage + 1));
    next_stage();
    return out_;
  }

  Result<Step> operator()(const Abort&) {
    if (is_over(state_.phase)) return refuse("is over; rollback takes its release back");
    if (state_.phase == Phase::kRollingBack) return refuse("is on its way back, which goes on");
    effect(Kind::kCancel);
    enter(Phase::kCanceled, "aborted by an operator");
    return out_;
  }

  Result<Step> operator()(const Rollback&) {
    switch (state_.phase) {
      case Phase::kRollingBack:
        return refuse("goes back already");
      case Phase::kRolledBack:
        return refuse("was rolled back; to have the release again, deploy it again");
      case Phase::kSuperseded:
        return refuse("is superseded by a later deployment: roll that one back");
      case Phase::kTargetGone:
        return refuse("has no target any more: its group was deleted");
      default:
        break;
    }
    begin_rollback("rolled back by an operator");
    return out_;
  }

  Result<Step> operator()(const Superseded&) {
    return end(Phase::kSuperseded, "a later deployment to the target has begun");
  }
  Result<Step> operator()(const TargetGone&) {
    return end(Phase::kTargetGone, "the group was deleted");
  }

 private:
  std::unexpected<Error> refuse(std::string_view why) const {
    return fail(Code::kFailedPrecondition,
                fmt::format("the rollout is {} and {}", name_of(state_.phase), why));
  }
  void effect(Kind kind, int64_t amount = 0) { out_.effects.push_back({kind, amount}); }
  void note(std::string text) { out_.effects.push_back({Kind::kNote, 0, std::move(text)}); }

  void enter(Phase phase, std::string reason) {
    note(fmt::format("{}: {}", name_of(phase), reason));
    out_.state.phase = phase;
    out_.state.reason = std::move(reason);
  }

  void pause(std::string reason) {
    out_.state.paused_in = state_.phase;
    enter(Phase::kPaused, std::move(reason));
  }

  // Its executions belong to what ended it.
  Result<Step> end(Phase phase, std::string reason) {
    // A release that is over can still be superseded: it is not to be rolled back then.
    if (state_.phase != Phase::kRolledBack && state_.phase != Phase::kTargetGone) {
      enter(phase, std::move(reason));
    }
    return out_;
  }

  void pass_time(const Facts& facts) {
    State& state = out_.state;
    state.watched_ms += facts.elapsed_ms;
    state.quiet_ms = facts.is_continuous ? state.quiet_ms + facts.elapsed_ms : 0;
    if (state.watched_ms - state.minute_ms >= kMinuteMs) {
      state.minute_ms = state.watched_ms;
      state.minute_asked = facts.release.asked();
    }
  }

  std::optional<std::string> verdict_against(const Facts& facts) const {
    for (const AbortCriterion& criterion : plan_.abort) {
      const int64_t failed = failures(criterion.failure, facts.release);
      const int64_t ended = facts.release.ended();
      if (failed == 0 || ended < criterion.min_executed) continue;
      const double percentage = 100.0 * static_cast<double>(failed) / static_cast<double>(ended);
      if (percentage < criterion.percentage) continue;
      return fmt::format("{} of {} ended executions failed, {:.2f} % where {:.2f} % abort", failed,
                         ended, percentage, criterion.percentage);
    }
    for (const Finding& finding : facts.findings) {
      if (finding.verdict != Verdict::kWorse) continue;
      return fmt::format("gate {}: {}", name_of(finding.metric), finding.text);
    }
    return std::nullopt;
  }

  static int64_t failures(AbortCriterion::Failure kind, const Census& census) {
    switch (kind) {
      case AbortCriterion::Failure::kFailed:
        return census.failed;
      case AbortCriterion::Failure::kRejected:
        return census.rejected;
      case AbortCriterion::Failure::kTimedOut:
        return census.timed_out;
      case AbortCriterion::Failure::kAll:
        break;
    }
    return census.failures();
  }

  void fail_release(const std::string& verdict) {
    switch (plan_.on_failure) {
      case OnFailure::kRollback:
        return begin_rollback(verdict);
      case OnFailure::kCancel:
        effect(Kind::kCancel);
        return enter(Phase::kCanceled, verdict);
      case OnFailure::kPause:
        if (state_.phase == Phase::kPaused) return;
        return pause(verdict);
    }
  }

  void begin_rollback(std::string reason) {
    effect(Kind::kBeginRollback);
    enter(Phase::kRollingBack, std::move(reason));
  }

  void roll_back_on(const Facts& facts) {
    if (!facts.has_rollback) return effect(Kind::kBeginRollback);
    // First nobody else gets the release.
    if (facts.release.queued + facts.release.silent > 0) return effect(Kind::kCancel);
    if (facts.rollback_waiting > 0) {
      effect(Kind::kAskBack, kBatch);
      return;
    }
    // Who still works at the release takes the rollback when it ends, or when it is timed out.
    if (facts.rollback.open() > 0 || facts.release.in_progress > 0) return;
    const Census& back = facts.rollback;
    std::string outcome = fmt::format("{} of {} devices are back", back.succeeded, back.asked());
    if (back.failures() > 0) outcome += fmt::format(", {} could not go back", back.failures());
    if (back.silent > 0) outcome += fmt::format(", {} get it when they return", back.silent);
    enter(Phase::kRolledBack, state_.reason + "; " + outcome);
  }

  void go_on(const Facts& facts) {
    if (!state_.stage_is_open) {
      note(fmt::format("stage {} of {} begins", state_.stage + 1, plan_.stages.size()));
      effect(Kind::kOpenStage);
      out_.state.stage_is_open = true;
      return;
    }
    if (facts.waiting > 0) ask(facts);
    if (state_.phase == Phase::kAsking) {
      if (facts.waiting > 0 || facts.release.open() > 0) return;
      out_.state.baked_ms = 0;
      out_.state.held_ms = 0;
      enter(Phase::kBaking, "every device of the stage has ended, or is silent");
      if (plan_.stages.at(state_.stage).bake_s > 0) return;
    } else {
      out_.state.baked_ms += facts.elapsed_ms;
    }
    if (out_.state.baked_ms >= plan_.stages.at(state_.stage).bake_s * 1000) end_stage(facts);
  }

  void ask(const Facts& facts) {
    if (!facts.window_is_open) return;
    int64_t amount = std::min(facts.waiting, kBatch);
    if (auto rate = rate_now(plan_.rate, facts.release)) {
      const int64_t asked = facts.release.asked() - out_.state.minute_asked;
      amount = std::min(amount, *rate - asked);
    }
    if (amount > 0) effect(Kind::kAsk, amount);
  }

  void end_stage(const Facts& facts) {
    const auto missing =
        std::ranges::find(facts.findings, Verdict::kNotEnoughData, &Finding::verdict);
    if (missing != facts.findings.end()) {
      out_.state.held_ms += facts.elapsed_ms;
      out_.state.reason =
          fmt::format("gate {} has not enough data: {}", name_of(missing->metric), missing->text);
      if (may_still_come(*missing, facts) && out_.state.held_ms < plan_.evidence_timeout_s * 1000) {
        return;
      }
      pause(out_.state.reason + "; approve the stage to go on without, or roll back");
      out_.state.held_for_evidence = true;
      return;
    }
    if (plan_.stages.at(state_.stage).needs_approval) {
      return enter(Phase::kApproval, fmt::format("stage {} is fine", state_.stage + 1));
    }
    next_stage();
  }

  // Every device of the stage has ended: what they count as failures is all that there will be,
  // unless one that kept silent answers after all. Waiting would only keep people waiting.
  static bool may_still_come(const Finding& missing, const Facts& facts) {
    return missing.metric != Metric::kDeploymentFailures || facts.release.silent > 0;
  }

  void next_stage() {
    out_.state.held_for_evidence = false;
    if (state_.stage + 1 == plan_.stages.size()) {
      out_.state.is_proven = true;
      return enter(Phase::kCompleted, "every stage is fine");
    }
    ++out_.state.stage;
    out_.state.stage_is_open = false;
    out_.state.phase = Phase::kAsking;
    out_.state.reason.clear();
  }

  const Plan& plan_;
  const State& state_;
  Step out_;
};

}  // namespace

std::string_view name_of(Phase phase) {
  return formats::enum_name(kPhases, phase);
}

bool parse(std::string_view text, Phase& phase) {
  const auto value = formats::enum_value(kPhases, text);
  if (value) phase = *value;
  return value.has_value();
}

bool is_over(Phase phase) {
  return phase >= Phase::kCompleted;
}

Result<Step> step(const Plan& plan, const State& state, const Event& event) {
  return std::visit(Stepping(plan, state), event);
}

Deadlines deadlines(const Plan& plan, const State& state) {
  const auto after = [&](int64_t seconds) -> std::optional<int64_t> {
    if (seconds == 0 || state.quiet_ms < seconds * 1000) return std::nullopt;
    return seconds * 1000;
  };
  const bool is_back = state.phase == Phase::kRollingBack;
  const auto seconds = [&](int64_t of_plan) {
    return is_back && of_plan == 0 ? kRollbackSilenceS : of_plan;
  };
  return {after(seconds(plan.in_progress_timeout_s)), after(seconds(plan.silence_timeout_s))};
}

std::optional<int64_t> rate_now(const Rate& rate, const Census& release) {
  if (rate.per_minute == 0) return std::nullopt;
  const double base = static_cast<double>(rate.per_minute);
  double steps = 0;
  if (rate.notified > 0)
    steps = std::floor(static_cast<double>(release.asked()) / static_cast<double>(rate.notified));
  if (rate.succeeded > 0)
    steps =
        std::floor(static_cast<double>(release.succeeded) / static_cast<double>(rate.succeeded));
  const double grown = base * std::pow(rate.factor, std::min(steps, 1000.0));
  return static_cast<int64_t>(std::min(grown, static_cast<double>(Rate::kMost)));
}

json to_json(const State& state) {
  return {{"phase", name_of(state.phase)},
          {"pausedIn", name_of(state.paused_in)},
          {"stage", state.stage},
          {"stageIsOpen", state.stage_is_open},
          {"boundary", state.boundary},
          {"watchedMs", state.watched_ms},
          {"quietMs", state.quiet_ms},
          {"bakedMs", state.baked_ms},
          {"heldMs", state.held_ms},
          {"minuteMs", state.minute_ms},
          {"minuteAsked", state.minute_asked},
          {"heldForEvidence", state.held_for_evidence},
          {"isProven", state.is_proven},
          {"reason", state.reason}};
}

Result<State> parse_state(const json& document) {
  const formats::Node node(document, "state");
  State state;
  SKERRY_TRY(node.read("phase", kPhases, state.phase));
  SKERRY_TRY(node.read("pausedIn", kPhases, state.paused_in));
  int64_t stage = 0;
  SKERRY_TRY(node.read("stage", stage));
  state.stage = static_cast<size_t>(stage);
  SKERRY_TRY(node.read("stageIsOpen", state.stage_is_open));
  SKERRY_TRY(node.read("boundary", state.boundary));
  SKERRY_TRY(node.read("watchedMs", state.watched_ms));
  SKERRY_TRY(node.read("quietMs", state.quiet_ms));
  SKERRY_TRY(node.read("bakedMs", state.baked_ms));
  SKERRY_TRY(node.read("heldMs", state.held_ms));
  SKERRY_TRY(node.read("minuteMs", state.minute_ms));
  SKERRY_TRY(node.read("minuteAsked", state.minute_asked));
  SKERRY_TRY(node.read("heldForEvidence", state.held_for_evidence));
  SKERRY_TRY(node.read("isProven", state.is_proven));
  SKERRY_TRY(node.read("reason", state.reason));
  return state;
}

}  // namespace skerry::fleet::rollout
