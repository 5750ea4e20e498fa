// The engine with the real store and the real deployments: who is asked when, and who goes back.
#include "fleet/rollout/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fleet/alerts/alert_store.h"
#include "fleet/endings.h"
#include "fleet/rollout/cohort.h"
#include "fleet/rollout/rollout_fixture.h"
#include "fleet/rollout/rollouts.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;
using Engine = RolloutTest;

const std::string kStages = R"({"stages": [{"percent": 10, "bakeSeconds": 60}, {"percent": 50},
                                           {"percent": 100}]})";

TEST_F(Engine, AsksStageByStageInTheOrderOfCohorts) {
  const auto release = start(kStages);
  EXPECT_TRUE(with(release.job_id).empty());
  tick(release);
  EXPECT_EQ(with(release.job_id), first(4));
  tick(release, 3'000);
  EXPECT_EQ(with(release.job_id), first(4));
  answer_all(release.job_id, ExecutionStatus::kSucceeded);
  tick(release);
  tick(release, 59);
  EXPECT_EQ(with(release.job_id), first(4));
  tick(release, 1);
  EXPECT_EQ(with(release.job_id), first(20));
  answer_all(release.job_id, ExecutionStatus::kSucceeded);
  tick(release);
  EXPECT_EQ(with(release.job_id), first(40));
  answer_all(release.job_id, ExecutionStatus::kSucceeded);
  tick(release);
  EXPECT_EQ(record(release).state.phase, Phase::kCompleted);
  EXPECT_EQ(fleet_.store->find_deployment(release.id)->status, DeploymentStatus::kActive);
}

TEST_F(Engine, APlainDeploymentToMoreDevicesThanAUnitOfWorkMayConcernIsAskedInPieces) {
  constexpr int64_t kMany = kBatch + 5;
  ASSERT_TRUE(fleet_.store->transaction([&]() -> Result<void> {
    fleet_.add_group("many", {});
    for (int64_t i = 0; i < kMany; ++i) {
      const ThingName name("many-" + std::to_string(i));
      SKERRY_TRY(fleet_.store->create_thing({.name = name, .id = name.str()}));
      SKERRY_TRY(fleet_.store->add_to_group(name, ThingGroupName("many")));
    }
    return {};
  }));
  const auto release = fleet_.deploy_to("thinggroup/many");
  EXPECT_TRUE(with(release.job_id).empty());
  const auto count = [&] {
    return census(*fleet_.store, release.job_id, {.now_ms = fleet_.clock.wall}).value().asked();
  };
  const Moment moment{fleet_.clock.wall, 0, true};
  for (bool more = true; more;) {
    const int64_t before = count();
    auto outcome = fleet_.write(
        [&](Store& store) { return rollouts_->tick(store, release.id, moment, true); });
    ASSERT_TRUE(outcome) << outcome.error().message();
    more = outcome->more;
    EXPECT_LE(count() - before, kBatch);
  }
  EXPECT_EQ(count(), kMany);
  // The next one takes what nobody has begun, as it does in a small group, and writes it in pieces.
  const auto next = fleet_.deploy_to("thinggroup/many");
  const auto canceled = [&] {
    return census(*fleet_.store, release.job_id, {.now_ms = fleet_.clock.wall}).value().canceled;
  };
  EXPECT_EQ(canceled(), kEndedAtOnce);
  for (int64_t i = 0; i < kMany; ++i) {
    ASSERT_FALSE(fleet_.store->next_pending(ThingName("many-" + std::to_string(i)))->has_value());
  }
  ASSERT_TRUE(fleet_.write([&](Store& store) { return end_more(store, fleet_.clock.wall); }));
  EXPECT_EQ(canceled(), kMany);
  EXPECT_FALSE(*has_endings(*fleet_.store));
  tick(next);
  EXPECT_EQ(record(next).state.phase, Phase::kAsking);
}

TEST_F(Engine, AnAbortHoldsAtOnceAndIsWrittenInPieces) {
  constexpr int64_t kPiece = 4;
  rollouts_.emplace(fleet_.deployments, kPiece);
  const auto release = start(R"({"stages": [{"percent": 100}]})");
  tick(release);
  ASSERT_EQ(with(release.job_id), first(kDevices));
  report(release.job_id, in_order_[0], ExecutionStatus::kInProgress);
  EXPECT_EQ(refused(release, Abort{}), "");
  EXPECT_EQ(record(release).state.phase, Phase::kCanceled);
  const auto canceled = [&] { return with(release.job_id, ExecutionStatus::kCanceled).size(); };
  EXPECT_EQ(canceled(), size_t{kPiece});
  // Nobody else gets it, and nobody begins what it has heard of before.
  for (size_t i = 1; i < in_order_.size(); ++i) {
    EXPECT_FALSE(fleet_.store->next_pending(ThingName(in_order_[i]))->has_value()) << in_order_[i];
  }
  Store::ExecutionChange begin;
  begin.status = ExecutionStatus::kInProgress;
  const auto late = fleet_.write([&](Store& store) {
    return fleet_.deployments.update_execution(store, release.job_id, ThingName(in_order_.back()),
                                               begin);
  });
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().message().find("has ended as CANCELED"), std::string::npos);
  // Who has begun goes on.
  report(release.job_id, in_order_[0], ExecutionStatus::kSucceeded);
  size_t before = canceled();
  while (*has_endings(*fleet_.store)) {
    ASSERT_TRUE(
        fleet_.write([&](Store& store) { return end_more(store, fleet_.clock.wall, kPiece); }));
    EXPECT_LE(canceled() - before, size_t{kPiece});
    before = canceled();
  }
  EXPECT_EQ(canceled(), size_t{kDevices - 1});
}

TEST_F(Engine, WhatIsCancelledEndsWhateverItsDeploymentWas) {
  const auto plain = fleet_.deploy_to("thinggroup/g");
  ASSERT_TRUE(fleet_.write([&](Store& store) {
    return end_executions(store, plain.job_id, Ends::kQueued, ExecutionStatus::kCanceled,
                          fleet_.clock.wall, 3);
  }));
  ASSERT_TRUE(*has_endings(*fleet_.store));
  const RolloutEngine engine(fleet_.env, fleet_.stores, *rollouts_, [] { return true; });
  for (int i = 0; i < 50 && *has_endings(*fleet_.store); ++i) fleet_.loop.run_for(100);
  EXPECT_EQ(with(plain.job_id, ExecutionStatus::kCanceled).size(), size_t{kDevices});
}

TEST_F(Engine, AFailedStageTakesBackWhoeverWasAskedAndNobodyElse) {
  const auto release = start(kStages);
  tick(release);
  std::vector<std::string> asked(in_order_.begin(), in_order_.begin() + 4);
  for (int i = 0; i < 3; ++i)
    report(release.job_id, asked[static_cast<size_t>(i)], ExecutionStatus::kFailed);
  tick(release);
  const Record back = record(release);
  EXPECT_EQ(back.state.phase, Phase::kRollingBack);
  EXPECT_EQ(with(back.rollback_job_id), first(4));
  EXPECT_EQ(with(release.job_id, ExecutionStatus::kCanceled), Names{asked[3]});
  EXPECT_EQ(with(release.job_id), first(4));
  const auto deployment = fleet_.store->find_deployment(back.rollback_id);
  EXPECT_TRUE(deployment->is_latest);
  EXPECT_EQ(json::parse(deployment->request_json)["rolledBackFrom"], release.id.str());
  EXPECT_EQ(fleet_.store->find_deployment(release.id)->status, DeploymentStatus::kCanceled);
  answer_all(back.rollback_job_id, ExecutionStatus::kSucceeded);
  tick(release);
  EXPECT_EQ(record(release).state.phase, Phase::kRolledBack);
  EXPECT_NE(record(release).state.reason.find("4 of 4 devices are back"), std::string::npos);
  tick(release, 100'000);
  EXPECT_EQ(with(release.job_id), first(4));
}

TEST_F(Engine, SilentAndHungDevicesCountAsFailed) {
  const auto release = start(R"({"silenceTimeoutSeconds": 100, "inProgressTimeoutSeconds": 100,
      "stages": [{"percent": 10}, {"percent": 100}]})");
  tick(release);
  report(release.job_id, in_order_[0], ExecutionStatus::kInProgress);
  tick(release, 98);
  EXPECT_EQ(record(release).state.phase, Phase::kAsking);
  tick(release, 10);  // one hangs, three are silent
  tick(release);
  EXPECT_EQ(record(release).state.phase, Phase::kRollingBack);
  EXPECT_EQ(with(release.job_id, ExecutionStatus::kTimedOut), Names{in_order_[0]});
  // They are back when they return; the rollout does not wait for them for ever.
  tick(release, 99);
  EXPECT_EQ(record(release).state.phase, Phase::kRollingBack);
  tick(release, 2);
  EXPECT_EQ(record(release).state.phase, Phase::kRolledBack);
  const Record over = record(release);
  const auto next = fleet_.store->next_pending(ThingName(in_order_[1]));
  ASSERT_TRUE(next && *next);
  EXPECT_EQ((*next)->job_id, over.rollback_job_id);
}

// What the fleet's alert rules call wrong takes a release back.
TEST_F(Engine, AlertsOfDevicesWithTheReleaseAreEvidence) {
  const auto alert = [&](size_t device, bool is_firing) {
    monitor::AlertBook::Changes changes;
    changes.changed.push_back({.key = {"Hot", in_order_[device]}, .is_firing = is_firing});
    ASSERT_TRUE(change_alerts(*fleet_.store, changes, {}));
  };
  for (const std::string& name : in_order_) {
    ASSERT_TRUE(fleet_.store->upsert_core_device({.thing = ThingName(name), .healthy = true}));
  }
  alert(39, true);  // not of the release
  const auto release = start(R"({"stages": [{"percent": 50, "bakeSeconds": 60,
      "gates": [{"metric": "firingAlerts", "tolerance": 0.01}]}, {"percent": 100}]})");
  tick(release);
  answer_all(release.job_id, ExecutionStatus::kSucceeded);
  for (size_t device = 0; device < 20; ++device) alert(device, false);  // pending
  tick(release, 10);
  EXPECT_EQ(record(release).state.phase, Phase::kBaking);
  for (size_t device = 0; device < 20; ++device) alert(device, true);
  tick(release, 10);
  EXPECT_EQ(record(release).state.phase, Phase::kRollingBack);
}

TEST_F(Engine, AJumpOfTheClockMakesNobodyLate) {
  const auto release = start(R"({"silenceTimeoutSeconds": 100, "inProgressTimeoutSeconds": 100,
      "stages": [{"devices": 4, "bakeSeconds": 1000}, {"percent": 100}]})");
  tick(release);
  tick(release, 99);  // watched for long enough to call somebody late
  fleet_.clock.wall += 3'600'000;
  const Moment jump{fleet_.clock.wall, 1'000, false};
  auto facts = rollouts_->look(*fleet_.store, record(release), jump);
  ASSERT_TRUE(facts) << facts.error().message();
  EXPECT_EQ(facts->release.silent, 0);
  EXPECT_EQ(facts->release.queued, 4);
}

TEST_F(Engine, ADeviceThatHangsOnItsWayBackIsAskedAgain) {
  const auto release = start(R"({"inProgressTimeoutSeconds": 100, "silenceTimeoutSeconds": 300,
                                 "stages": [{"devices": 1}, {"percent": 100}]})");
  tick(release);
  EXPECT_EQ(refused(release, Rollback{}), "");
  tick(release);
  const JobId back = record(release).rollback_job_id;
  report(back, in_order_[0], ExecutionStatus::kInProgress);
  tick(release, 100);
  tick(release);
  EXPECT_EQ(with(back, ExecutionStatus::kQueued), first(1));
  report(back, in_order_[0], ExecutionStatus::kSucceeded);
  tick(release);
  EXPECT_EQ(record(release).state.phase, Phase::kRolledBack);
}

TEST_F(Engine, ACanaryGroupIsFirst) {
  fleet_.add_thing("stranger");
  fleet_.add_group("brave", {in_order_[30], in_order_[39], "stranger"});
  const auto release =
      start(R"({"canaryGroup": "brave", "stages": [{"percent": 10}, {"percent": 100}]})");
  tick(release);
  EXPECT_EQ(with(release.job_id), (Names{in_order_[30], in_order_[39]}));
  answer_all(release.job_id, ExecutionStatus::kSucceeded);
  tick(release);
  Names next = first(4);
  next.insert({in_order_[30], in_order_[39]});
  EXPECT_EQ(with(release.job_id), next);
}

TEST_F(Engine, WhoJoinsGetsWhatItsPlaceInTheOrderGets) {
  const auto release = start(kStages);
  tick(release);
  std::string early, late;
  for (int i = 0; early.empty() || late.empty(); ++i) {
    const std::string name = "new" + std::to_string(i);
    const int64_t cohort = cohort_of(ThingName(name));
    if (cohort < cohort_of(ThingName(in_order_[3]))) early = name;
    if (cohort > cohort_of(ThingName(in_order_[20]))) late = name;
  }
  for (const std::string& name : {early, late}) {
    fleet_.add_thing(name);
    ASSERT_TRUE(join(name));
    // The good revision until then.
    EXPECT_EQ(fleet_.store->next_pending(ThingName(name))->value().job_id, good_.job_id);
  }
  tick(release);
  EXPECT_TRUE(with(release.job_id).contains(early));
  EXPECT_FALSE(with(release.job_id).contains(late));
  EXPECT_EQ(fleet_.store->next_pending(ThingName(early))->value().job_id, release.job_id);
  EXPECT_EQ(refused(release, Rollback{}), "");
  const Record back = record(release);
  EXPECT_TRUE(with(back.rollback_job_id).contains(early));
  EXPECT_FALSE(with(back.rollback_job_id).contains(late));
}

TEST_F(Engine, WhoLeftWithTheReleaseGoesBackAndWhoNeverBeganDoesNot) {
  const auto release = start(kStages);
  tick(release);
  report(release.job_id, in_order_[0], ExecutionStatus::kSucceeded);
  for (int i : {0, 1}) {
    ASSERT_TRUE(fleet_.write([&](Store& store) {
      return fleet_.deployments.remove_from_group(
          store, ThingName(in_order_[static_cast<size_t>(i)]), ThingGroupName("g"));
    }));
  }
  EXPECT_EQ(refused(release, Rollback{}), "");
  const Names back = with(record(release).rollback_job_id);
  EXPECT_TRUE(back.contains(in_order_[0]));
  EXPECT_FALSE(back.contains(in_order_[1]));
}

TEST_F(Engine, WhoLeavesOnTheWayBackGoesBackAllTheSame) {
  const auto release = start(kStages);
  tick(release);
  EXPECT_EQ(refused(release, Rollback{}), "");
  ASSERT_TRUE(fleet_.write([&](Store& store) {
    return fleet_.deployments.remove_from_group(store, ThingName(in_order_[0]),
                                                ThingGroupName("g"));
  }));
  EXPECT_EQ(with(record(release).rollback_job_id, ExecutionStatus::kQueued), first(4));
}

TEST_F(Engine, AnotherGroupsDeploymentIsNotTouched) {
  fleet_.add_group("other", {in_order_[0], in_order_[1]});
  const auto other = fleet_.deploy_to("thinggroup/other");
  const auto release = start(kStages);
  tick(release);
  EXPECT_EQ(refused(release, Rollback{}), "");
  EXPECT_EQ(with(other.job_id, ExecutionStatus::kQueued), (Names{in_order_[0], in_order_[1]}));
  EXPECT_EQ(fleet_.store->find_deployment(other.id)->status, DeploymentStatus::kActive);
}

TEST_F(Engine, ALaterReleaseTakesItsPlaceAndReturnsToWhatWasProven) {
  const auto release = start(kStages);
  tick(release);
  const auto second = start(kStages);
  EXPECT_EQ(record(release).state.phase, Phase::kSuperseded);
  EXPECT_EQ(with(release.job_id, ExecutionStatus::kCanceled), first(4));
  EXPECT_EQ(record(second).previous.id, good_.id);
  tick(second);
  EXPECT_EQ(with(second.job_id), first(4));
  EXPECT_NE(refused(release, Rollback{}).find("superseded"), std::string::npos);
  EXPECT_EQ(refused(second, Rollback{}), "");
  EXPECT_EQ(json::parse(fleet_.store->find_deployment(record(second).rollback_id)
                            ->request_json)["rolledBackFrom"],
            second.id.str());
}

TEST_F(Engine, WhoHasAReleaseThatWasSupersededUnprovenGoesBackWithTheNext) {
  const auto one = start(R"({"stages": [{"devices": 6}, {"percent": 100}]})");
  tick(one);
  for (size_t i = 0; i < 5; ++i) report(one.job_id, in_order_[i], ExecutionStatus::kSucceeded);
  const auto two = start(R"({"stages": [{"devices": 3}, {"percent": 100}]})");
  tick(two);
  const auto three = start(R"({"stages": [{"devices": 1}, {"percent": 100}]})");
  tick(three);
  ASSERT_EQ(with(three.job_id), first(1));
  EXPECT_EQ(refused(three, Rollback{}), "");
  tick(three);
  // The sixth had not begun the first one, so it never left the revision to which all return.
  const JobId back = record(three).rollback_job_id;
  EXPECT_EQ(with(back), first(5));
  answer_all(back, ExecutionStatus::kSucceeded);
  tick(three);
  EXPECT_NE(record(three).state.reason.find("5 of 5 devices are back"), std::string::npos);
  // From now on there is nothing unproven.
  const auto four = start(R"({"stages": [{"devices": 1}, {"percent": 100}]})");
  EXPECT_TRUE(record(four).previous.unproven_jobs.empty());
  EXPECT_EQ(record(four).previous.id, record(three).rollback_id);
}

TEST_F(Engine, WhatReplacesASupersededReleaseEverywhereEndsItsTrace) {
  const auto one = start(kStages);
  tick(one);
  answer_all(one.job_id, ExecutionStatus::kSucceeded);
  fleet_.deploy_to("thinggroup/g");  // to everybody
  const auto two = start(kStages);
  EXPECT_TRUE(record(two).previous.unproven_jobs.empty());
}

TEST_F(Engine, TheReleaseAfterARollbackGoesBackToWhatTheRollbackBrought) {
  const auto bad = start(kStages);
  tick(bad);
  EXPECT_EQ(refused(bad, Rollback{}), "");
  const DeploymentId back = record(bad).rollback_id;
  answer_all(record(bad).rollback_job_id, ExecutionStatus::kSucceeded);
  tick(bad);
  ASSERT_EQ(record(bad).state.phase, Phase::kRolledBack);
  const auto next = start(kStages);
  EXPECT_EQ(record(next).previous.id, back);
  tick(next);
  EXPECT_EQ(refused(next, Rollback{}), "");
  const Record again = record(next);
  EXPECT_EQ(with(again.rollback_job_id), first(4));
  const auto deployment = fleet_.store->find_deployment(again.rollback_id);
  EXPECT_EQ(json::parse(deployment->request_json)["rolledBackFrom"], next.id.str());
  // The one before is over, and stays so.
  EXPECT_NE(refused(bad, Rollback{}).find("was rolled back"), std::string::npos);
}

TEST_F(Engine, DuringARollbackANewRolloutWaitsAndAPlainDeploymentDoesNot) {
  const auto release = start(kStages);
  tick(release);
  EXPECT_EQ(refused(release, Rollback{}), "");
  const json request = {{"targetArn", release.target_arn}, {"components", json::object()}};
  auto staged = fleet_.write([&](Store& store) {
    return fleet_.deployments.create(store, request, parse_plan(json::parse(kStages)).value());
  });
  EXPECT_EQ(staged.error().code(), Code::kFailedPrecondition);
  const auto plain = fleet_.deploy_to("thinggroup/g");
  EXPECT_EQ(record(release).state.phase, Phase::kSuperseded);
  EXPECT_EQ(with(plain.job_id).size(), static_cast<size_t>(kDevices));
  EXPECT_TRUE(with(record(release).rollback_job_id, ExecutionStatus::kQueued).empty());
}

TEST_F(Engine, ADeletedGroupEndsIt) {
  const auto release = start(kStages);
  tick(release);
  ASSERT_TRUE(fleet_.write(
      [&](Store& store) { return fleet_.deployments.delete_group(store, ThingGroupName("g")); }));
  EXPECT_EQ(record(release).state.phase, Phase::kTargetGone);
  EXPECT_TRUE(with(release.job_id, ExecutionStatus::kQueued).empty());
  EXPECT_NE(refused(release, Rollback{}).find("deleted"), std::string::npos);
}

TEST_F(Engine, CancelDeploymentAbortsItAndADeploymentUnderWayIsNotDeleted) {
  const auto release = start(kStages);
  tick(release);
  ASSERT_TRUE(
      fleet_.write([&](Store& store) { return fleet_.deployments.cancel(store, release.id); }));
  EXPECT_EQ(record(release).state.phase, Phase::kCanceled);
  tick(release, 10'000);
  EXPECT_EQ(with(release.job_id), first(4));
  EXPECT_EQ(refused(release, Rollback{}), "");
  auto removed =
      fleet_.write([&](Store& store) { return fleet_.deployments.remove(store, release); });
  EXPECT_EQ(removed.error().code(), Code::kFailedPrecondition);
}

TEST_F(Engine, FailuresAreAskedAgainAsOftenAsThePlanSays) {
  const auto release = start(R"({"retry": {"attempts": 1, "delaySeconds": 10},
                                 "stages": [{"devices": 1}, {"percent": 100}]})");
  tick(release);
  report(release.job_id, in_order_[0], ExecutionStatus::kFailed);
  tick(release, 9);
  EXPECT_TRUE(with(release.job_id, ExecutionStatus::kQueued).empty());
  tick(release, 2);
  EXPECT_EQ(with(release.job_id, ExecutionStatus::kQueued), first(1));
  report(release.job_id, in_order_[0], ExecutionStatus::kFailed);
  tick(release, 60);
  EXPECT_TRUE(with(release.job_id, ExecutionStatus::kQueued).empty());
  // 1 of 1 cannot be told from chance against the history: people have to look.
  tick(release);
  EXPECT_EQ(record(release).state.phase, Phase::kPaused);
  EXPECT_NE(record(release).state.reason.find("not enough data"), std::string::npos);
}

TEST_F(Engine, ASiteIsAskedNoMoreThanItsCap) {
  for (size_t i = 0; i < in_order_.size(); ++i) {
    ASSERT_TRUE(fleet_.store->update_thing(ThingName(in_order_[i]),
                                           i % 2 == 0 ? R"({"plant": "a"})" : R"({"plant": "b"})"));
  }
  const auto release = start(
      R"({"site": {"attribute": "plant", "maxConcurrent": 2}, "stages": [{"percent": 100}]})");
  tick(release);
  EXPECT_EQ(with(release.job_id), first(4));
  report(release.job_id, in_order_[0], ExecutionStatus::kSucceeded);
  tick(release);
  EXPECT_EQ(with(release.job_id).size(), 5u);
  EXPECT_TRUE(with(release.job_id).contains(in_order_[4]));
}

TEST_F(Engine, JobConfigurationLimitsTheRateAndAborts) {
  const json request = {
      {"targetArn", good_.target_arn},
      {"components", json::object()},
      {"iotJobConfiguration", json::parse(R"({"jobExecutionsRolloutConfig": {"maximumPerMinute": 3},
          "abortConfig": {"criteriaList": [{"failureType": "FAILED", "action": "CANCEL",
          "thresholdPercentage": 50, "minNumberOfExecutedThings": 2}]}})")}};
  auto release =
      fleet_.write([&](Store& store) { return fleet_.deployments.create(store, request); });
  ASSERT_TRUE(release) << release.error().message();
  tick(*release);
  EXPECT_EQ(with(release->job_id), first(3));
  tick(*release, 30);
  EXPECT_EQ(with(release->job_id), first(3));
  tick(*release, 30);
  EXPECT_EQ(with(release->job_id), first(6));
  report(release->job_id, in_order_[0], ExecutionStatus::kFailed);
  tick(*release);
  EXPECT_EQ(record(*release).state.phase, Phase::kAsking);
  report(release->job_id, in_order_[1], ExecutionStatus::kFailed);
  tick(*release);
  EXPECT_EQ(record(*release).state.phase, Phase::kCanceled);
  EXPECT_EQ(fleet_.store->find_deployment(release->id)->status, DeploymentStatus::kCanceled);
  EXPECT_TRUE(with(release->job_id, ExecutionStatus::kQueued).empty());
}

TEST_F(Engine, TheFirstReleaseOfAllGoesBackToNothing) {
  fleet_.add_group("fresh", {in_order_[0]});
  const auto release = start(R"({"stages": [{"percent": 100}]})", "thinggroup/fresh");
  tick(release);
  EXPECT_EQ(refused(release, Rollback{}), "");
  EXPECT_EQ(with(record(release).rollback_job_id), first(1));
}

TEST_F(Engine, WhatFailsLeavesNothingBehind) {
  const auto release = start(kStages);
  auto failed = fleet_.write([&](Store& store) -> Result<void> {
    SKERRY_TRY(rollouts_->tick(store, release.id, {fleet_.clock.wall, 1000, true}, true));
    return fail(Code::kUnavailable, "the disk is full");
  });
  EXPECT_FALSE(failed);
  EXPECT_TRUE(with(release.job_id).empty());
  EXPECT_FALSE(record(release).state.stage_is_open);
  tick(release);
  EXPECT_EQ(with(release.job_id), first(4));
}

// A broker that is away: nobody can answer, and that is nobody's fault.
TEST_F(Engine, WhileNobodyCanBeHeardNoTimePasses) {
  bool hears = true;
  int64_t looks = 0;
  const auto release = start(R"({"silenceTimeoutSeconds": 600, "inProgressTimeoutSeconds": 600,
                                 "stages": [{"devices": 3, "bakeSeconds": 1800},
                                            {"percent": 100}]})");
  const RolloutEngine engine(fleet_.env, fleet_.stores, *rollouts_, [&] {
    ++looks;
    return hears;
  });
  const auto pass = [&](int64_t seconds) {
    fleet_.clock.wall += seconds * 1000;
    fleet_.clock.monotonic += seconds * 1000;
    const int64_t goal = looks + 2;
    while (looks < goal) fleet_.loop.run_for(100);
  };
  for (int i = 0; i < 4; ++i) pass(1);
  ASSERT_EQ(with(release.job_id), first(3));
  report(release.job_id, in_order_[0], ExecutionStatus::kInProgress);
  hears = false;
  for (int i = 0; i < 4; ++i) pass(900);
  EXPECT_EQ(record(release).state.phase, Phase::kAsking);
  EXPECT_EQ(with(release.job_id, ExecutionStatus::kQueued).size(), 2u);  // as they were
  hears = true;
  pass(1);
  EXPECT_EQ(record(release).state.phase, Phase::kAsking) << record(release).state.reason;
  for (int i = 0; i < 3; ++i) {
    report(release.job_id, in_order_[static_cast<size_t>(i)], ExecutionStatus::kSucceeded);
  }
  for (int i = 0; i < 2; ++i) pass(1);
  ASSERT_EQ(record(release).state.phase, Phase::kBaking);
  hears = false;
  pass(3'600);
  EXPECT_EQ(with(release.job_id), first(3));  // nothing has baked
  hears = true;
  // Those of the last stage would be silent after one more.
  for (int i = 0; i < 4 && with(release.job_id).size() < size_t{kDevices}; ++i) pass(900);
  EXPECT_EQ(with(release.job_id), first(kDevices));
  for (const std::string& name : first(3)) {
    EXPECT_EQ(fleet_.store->find_execution(release.job_id, ThingName(name))->execution_number, 1);
  }
}

TEST_F(Engine, OnAFullDiskNobodyElseIsAskedAndABadReleaseGoesBack) {
  const auto release = start(R"({"stages": [{"devices": 3}, {"percent": 100}]})");
  tick(release);
  ASSERT_EQ(with(release.job_id), first(3));
  const auto tick_full = [&] {
    fleet_.clock.wall += 1000;
    return fleet_
        .write([&](Store& store) {
          return rollouts_->tick(store, release.id, {fleet_.clock.wall, 1000, true, false}, true);
        })
        .has_value();
  };
  report(release.job_id, in_order_[0], ExecutionStatus::kSucceeded);
  report(release.job_id, in_order_[1], ExecutionStatus::kSucceeded);
  report(release.job_id, in_order_[2], ExecutionStatus::kSucceeded);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(tick_full());
  EXPECT_EQ(record(release).state.stage, 1u);
  EXPECT_EQ(with(release.job_id), first(3));
  tick(release);  // there is room again
  ASSERT_EQ(with(release.job_id), first(kDevices));
  for (size_t i = 3; i < in_order_.size(); ++i) {
    report(release.job_id, in_order_[i], ExecutionStatus::kFailed);
  }
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(tick_full());
  EXPECT_EQ(record(release).state.phase, Phase::kRollingBack);
  EXPECT_EQ(with(record(release).rollback_job_id), first(kDevices));
}

}  // namespace
}  // namespace skerry::fleet::rollout
