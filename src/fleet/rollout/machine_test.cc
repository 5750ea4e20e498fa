// The transitions of a rollout, one by one.
#include "fleet/rollout/machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace skerry::fleet::rollout {
namespace {

using Kind = Effect::Kind;

class Machine : public testing::Test {
 protected:
  Machine() {
    plan_.stages.resize(2);
    plan_.stages[0].percent = 10;
    plan_.stages[0].bake_s = 60;
  }

  // What `event` did; the state goes on from there.
  std::vector<Kind> send(const Event& event) {
    auto made = step(plan_, state_, event);
    if (!made) {
      refused_ = made.error().message();
      return {};
    }
    refused_.clear();
    state_ = made->state;
    std::vector<Kind> kinds;
    amount_ = 0;
    for (const Effect& effect : made->effects) {
      if (effect.kind == Kind::kNote) continue;
      kinds.push_back(effect.kind);
      amount_ += effect.amount;
    }
    return kinds;
  }
  std::vector<Kind> tick(int64_t seconds = 1) {
    facts_.elapsed_ms = seconds * 1000;
    return send(Tick{facts_});
  }
  // The first stage's devices have been asked and have succeeded.
  void fill_stage() {
    tick();
    facts_.waiting = 0;
    facts_.release.succeeded = 10;
    tick();
    EXPECT_EQ(state_.phase, Phase::kBaking);
  }
  void find(Verdict verdict, Metric metric = Metric::kDeploymentFailures) {
    Finding finding;
    finding.metric = metric;
    finding.verdict = verdict;
    finding.text = "so it is";
    facts_.findings = {finding};
  }

  Plan plan_;
  State state_;
  Facts facts_;
  std::string refused_;
  int64_t amount_ = 0;
};
using Kinds = std::vector<Kind>;

TEST_F(Machine, OpensAStageAsksItsDevicesBakesAndGoesOn) {
  EXPECT_EQ(tick(), Kinds{Kind::kOpenStage});
  facts_.waiting = 10;
  EXPECT_EQ(tick(), Kinds{Kind::kAsk});
  EXPECT_EQ(amount_, 10);
  facts_.waiting = 0;
  facts_.release.in_progress = 10;
  EXPECT_EQ(tick(), Kinds{});
  EXPECT_EQ(state_.phase, Phase::kAsking);
  facts_.release = {};
  facts_.release.succeeded = 10;
  tick();
  EXPECT_EQ(state_.phase, Phase::kBaking);
  tick(59);
  EXPECT_EQ(state_.stage, 0u);
  tick(1);
  EXPECT_EQ(state_.stage, 1u);
  EXPECT_EQ(tick(), Kinds{Kind::kOpenStage});
  facts_.release.succeeded = 100;
  tick();
  EXPECT_EQ(state_.phase, Phase::kCompleted);
  EXPECT_EQ(tick(), Kinds{});
}

TEST_F(Machine, OfAGreatManyDevicesItAsksABatchAtATime) {
  tick();
  facts_.waiting = kBatch + 1;
  tick();
  EXPECT_EQ(amount_, kBatch);
}

TEST_F(Machine, AsksNobodyOutsideItsWindows) {
  tick();
  facts_.waiting = 10;
  facts_.window_is_open = false;
  EXPECT_EQ(tick(), Kinds{});
  facts_.window_is_open = true;
  EXPECT_EQ(tick(), Kinds{Kind::kAsk});
}

TEST_F(Machine, AsksNoFasterThanItsRate) {
  plan_.rate.per_minute = 4;
  tick();
  facts_.waiting = 100;
  tick();
  EXPECT_EQ(amount_, 4);
  facts_.release.queued = 3;
  tick();
  EXPECT_EQ(amount_, 1);
  facts_.release.queued = 4;
  EXPECT_EQ(tick(), Kinds{});
  EXPECT_EQ(tick(60), Kinds{Kind::kAsk});
  EXPECT_EQ(amount_, 4);
}

TEST_F(Machine, AnExponentialRateGrowsWithWhatWasAskedOrSucceeded) {
  Rate rate;
  rate.per_minute = 10;
  rate.factor = 2;
  rate.notified = 20;
  Census census;
  EXPECT_EQ(rate_now(rate, census), 10);
  census.queued = 40;
  EXPECT_EQ(rate_now(rate, census), 40);
  rate.notified = 0;
  rate.succeeded = 20;
  EXPECT_EQ(rate_now(rate, census), 10);
  census.succeeded = 20'000;
  EXPECT_EQ(rate_now(rate, census), Rate::kMost);
}

TEST_F(Machine, AVerdictTakesTheReleaseBackInEveryPhase) {
  for (Phase phase : {Phase::kAsking, Phase::kBaking, Phase::kApproval, Phase::kPaused}) {
    state_ = {};
    state_.phase = phase;
    state_.stage_is_open = true;
    find(Verdict::kWorse);
    facts_.waiting = 10;
    EXPECT_EQ(tick(), Kinds{Kind::kBeginRollback}) << name_of(phase);
    EXPECT_EQ(state_.phase, Phase::kRollingBack);
    EXPECT_NE(state_.reason.find("so it is"), std::string::npos);
  }
}

TEST_F(Machine, APlanMayPauseOrCancelInstead) {
  find(Verdict::kWorse);
  plan_.on_failure = OnFailure::kPause;
  tick();
  EXPECT_EQ(state_.phase, Phase::kPaused);
  EXPECT_EQ(tick(), Kinds{});
  state_ = {};
  plan_.on_failure = OnFailure::kCancel;
  EXPECT_EQ(tick(), Kinds{Kind::kCancel});
  EXPECT_EQ(state_.phase, Phase::kCanceled);
}

TEST_F(Machine, AnAbortCriterionWantsBothItsNumbers) {
  AbortCriterion criterion;
  criterion.failure = AbortCriterion::Failure::kFailed;
  criterion.percentage = 20;
  criterion.min_executed = 10;
  plan_.abort = {criterion};
  tick();
  facts_.waiting = 5;
  facts_.release.failed = 9;
  tick();
  EXPECT_EQ(state_.phase, Phase::kAsking);  // too few
  facts_.release.succeeded = 40;
  tick();
  EXPECT_EQ(state_.phase, Phase::kAsking);  // 18 %
  facts_.release.timed_out = 100;
  facts_.release.succeeded = 0;
  tick();
  EXPECT_EQ(state_.phase, Phase::kAsking);  // of another kind
  facts_.release.timed_out = 0;
  facts_.release.succeeded = 36;
  tick();
  EXPECT_EQ(state_.phase, Phase::kRollingBack);
}

TEST_F(Machine, WithoutEvidenceItHoldsThenPausesAndPeopleMayGoOn) {
  plan_.evidence_timeout_s = 100;
  fill_stage();
  find(Verdict::kNotEnoughData, Metric::kMeanConfidence);
  tick(60);
  EXPECT_EQ(state_.phase, Phase::kBaking);
  EXPECT_NE(state_.reason.find("not enough data"), std::string::npos);
  tick(50);
  EXPECT_EQ(state_.phase, Phase::kPaused);
  send(Approve{0});
  EXPECT_EQ(state_.stage, 1u);
  EXPECT_EQ(state_.phase, Phase::kAsking);
}

TEST_F(Machine, FailuresOfAStageThatHasEndedAreNotWaitedFor) {
  fill_stage();
  find(Verdict::kNotEnoughData, Metric::kDeploymentFailures);
  facts_.release.silent = 1;  // may answer
  tick(60);
  EXPECT_EQ(state_.phase, Phase::kBaking);
  facts_.release.silent = 0;
  tick();
  EXPECT_EQ(state_.phase, Phase::kPaused);
  EXPECT_NE(state_.reason.find("approve"), std::string::npos);
}

TEST_F(Machine, AnApprovalIsForTheStageThatWasLookedAt) {
  plan_.stages[0].needs_approval = true;
  fill_stage();
  tick(60);
  EXPECT_EQ(state_.phase, Phase::kApproval);
  EXPECT_EQ(tick(), Kinds{});
  send(Approve{1});
  EXPECT_NE(refused_.find("expired"), std::string::npos);
  send(Approve{0});
  EXPECT_EQ(state_.stage, 1u);
  send(Approve{0});  // a second one, late
  EXPECT_NE(refused_.find("expired"), std::string::npos);
}

TEST_F(Machine, APauseStopsAskingAndResumeGoesOnWhereItWas) {
  fill_stage();
  tick(30);
  send(Pause{});
  facts_.waiting = 10;
  EXPECT_EQ(tick(100), Kinds{});
  EXPECT_EQ(state_.baked_ms, 30'000);
  send(Pause{});
  EXPECT_NE(refused_, "");
  send(Resume{});
  EXPECT_EQ(state_.phase, Phase::kBaking);
  EXPECT_EQ(tick(), Kinds{Kind::kAsk});
}

TEST_F(Machine, CommandsThatMakeNoSenseAreRefused) {
  facts_.has_rollback = true;
  for (Phase phase : {Phase::kRollingBack, Phase::kCompleted, Phase::kCanceled, Phase::kRolledBack,
                      Phase::kSuperseded, Phase::kTargetGone}) {
    state_.phase = phase;
    const std::vector<Event> kSenseless = {Pause{}, Resume{}, Approve{}, Abort{}};
    for (const Event& event : kSenseless) {
      send(event);
      EXPECT_NE(refused_, "") << name_of(phase) << event.index();
    }
    EXPECT_EQ(tick(), Kinds{});
  }
}

TEST_F(Machine, ARollbackIsRolledBackByNoOne) {
  for (Phase phase :
       {Phase::kRollingBack, Phase::kRolledBack, Phase::kSuperseded, Phase::kTargetGone}) {
    state_.phase = phase;
    send(Rollback{});
    EXPECT_NE(refused_, "") << name_of(phase);
  }
  for (Phase phase :
       {Phase::kAsking, Phase::kApproval, Phase::kPaused, Phase::kCompleted, Phase::kCanceled}) {
    state_.phase = phase;
    EXPECT_EQ(send(Rollback{}), Kinds{Kind::kBeginRollback}) << name_of(phase);
  }
}

TEST_F(Machine, ARollbackAsksEveryoneWaitsForThemAndCountsThem) {
  send(Rollback{});
  EXPECT_EQ(tick(), Kinds{Kind::kBeginRollback});  // it could not be made: again
  facts_.has_rollback = true;
  facts_.rollback_waiting = 3;
  EXPECT_EQ(tick(), Kinds{Kind::kAskBack});
  facts_.rollback_waiting = 0;
  facts_.rollback.in_progress = 1;
  tick();
  EXPECT_EQ(state_.phase, Phase::kRollingBack);
  facts_.rollback = {};
  facts_.rollback.succeeded = 5;
  facts_.rollback.failed = 1;
  facts_.rollback.silent = 2;
  facts_.release.in_progress = 1;  // still at the bad one
  tick();
  EXPECT_EQ(state_.phase, Phase::kRollingBack);
  facts_.release.in_progress = 0;
  tick();
  EXPECT_EQ(state_.phase, Phase::kRolledBack);
  EXPECT_NE(state_.reason.find("5 of 8 devices are back, 1 could not go back, 2 get it when"),
            std::string::npos)
      << state_.reason;
}

TEST_F(Machine, ALaterDeploymentOrADeletedGroupEndsIt) {
  send(Superseded{});
  EXPECT_EQ(state_.phase, Phase::kSuperseded);
  state_.phase = Phase::kCompleted;
  send(Superseded{});
  EXPECT_EQ(state_.phase, Phase::kSuperseded);
  state_.phase = Phase::kRolledBack;
  send(Superseded{});
  EXPECT_EQ(state_.phase, Phase::kRolledBack);
  state_.phase = Phase::kRollingBack;
  send(TargetGone{});
  EXPECT_EQ(state_.phase, Phase::kTargetGone);
}

TEST_F(Machine, NobodyIsSilentWhileTheServerWasAway) {
  plan_.silence_timeout_s = 100;
  plan_.in_progress_timeout_s = 50;
  tick(99);
  EXPECT_FALSE(deadlines(plan_, state_).silence_ms);
  EXPECT_EQ(deadlines(plan_, state_).in_progress_ms, 50'000);
  tick(1);
  EXPECT_EQ(deadlines(plan_, state_).silence_ms, 100'000);
  facts_.is_continuous = false;
  tick(0);
  EXPECT_FALSE(deadlines(plan_, state_).silence_ms);
  EXPECT_FALSE(deadlines(plan_, state_).in_progress_ms);
}

TEST_F(Machine, OverdueExecutionsTimeOutAndRetriesAreAskedAgain) {
  facts_.overdue = 2;
  facts_.retries_due = 1;
  const Kinds did = tick();
  EXPECT_EQ(std::ranges::count(did, Kind::kTimeOut), 1);
  EXPECT_EQ(std::ranges::count(did, Kind::kRetry), 1);
}

TEST_F(Machine, AStateIsPrintedAndReadBack) {
  fill_stage();
  state_.reason = "because";
  EXPECT_EQ(parse_state(to_json(state_)), state_);
}

}  // namespace
}  // namespace skerry::fleet::rollout
