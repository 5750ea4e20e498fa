// The real engine, deployments and store against simulated devices, by seed: units of work that are
// lost before their commit, clocks that jump, servers that were away, devices that hang, vanish,
// answer twice, join and leave. Checked after every step by a model that shares no code with the
// engine. Then the engine is broken on purpose, and the model has to notice.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "base/sanitizers.h"
#include "fleet/rollout/cohort.h"
#include "fleet/rollout/engine.h"
#include "fleet/store_sql.h"
#include "fleet/test_fleet.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;

constexpr int kDevices = 16;
constexpr int kSeedsAtOnce = kIsSanitized ? 10 : 100;
constexpr int kSteps = 60, kCalmSteps = 400;
const char* const kPlan = R"({"silenceTimeoutSeconds": 200, "inProgressTimeoutSeconds": 200,
    "evidenceTimeoutSeconds": 100, "stages": [{"devices": 3, "bakeSeconds": 30},
    {"percent": 50, "bakeSeconds": 10}, {"percent": 100}]})";

enum class Mutant {
  kNone,
  kOpensTooMuch,        // a stage reaches everybody
  kForgetsOneBack,      // one device is not asked back
  kIgnoresTheVerdict,   // nothing is ever taken back
  kAsksTwice,           // an execution is queued again
  kNeverTimesOut,       // hung devices are waited for
  kLosesAnEffect,       // the state says asked, the executions do not
  kGoesOnAfterVerdict,  // the release is queued once more while it goes back
  kForgetsTheFormer,    // who has a release that was superseded unproven stays with it
};

class RolloutSim {
 public:
  RolloutSim(uint64_t seed, Mutant mutant)
      : random_(seed), mutant_(mutant), rollouts_(fleet_.deployments, seed % 2 == 0 ? 2 : kBatch) {
    std::vector<std::string> names;
    for (int i = 0; i < kDevices; ++i) names.push_back("d" + std::to_string(i));
    for (const std::string& name : names) fleet_.add_thing(name);
    fleet_.add_group("g", names);
    members_ = {names.begin(), names.end()};
    fleet_.deploy_to("thinggroup/g");
    is_bad_ = chance(0.5);
    for (int i = 0; i < kDevices; ++i) act_all();
    auto plan = parse_plan(json::parse(kPlan)).value();
    if (mutant_ == Mutant::kIgnoresTheVerdict) plan.on_failure = OnFailure::kPause;
    if (mutant_ == Mutant::kNeverTimesOut) plan.silence_timeout_s = plan.in_progress_timeout_s = 0;
    if (chance(0.3)) begin_unproven();
    release_ = deploy(plan);
  }

  // What went wrong, or "".
  std::string run() {
    for (int i = 0; i < kSteps && wrong_.empty(); ++i) disturbed_step();
    vanished_.clear();
    for (int i = 0; i < kCalmSteps && wrong_.empty() && !over(); ++i) {
      act_all();
      tick(10, true);
      steer();
    }
    for (int i = 0; i < 4; ++i) act_all();
    if (wrong_.empty()) check_end();
    return wrong_;
  }

 private:
  Deployment deploy(const Plan& plan) {
    const json request = {{"targetArn", "arn:aws:iot:eu-west-1:000000000000:thinggroup/g"},
                          {"components", json::object()}};
    return fleet_
        .write([&](Store& store) { return fleet_.deployments.create(store, request, plan); })
        .value();
  }
  // A release before, which is superseded when some devices have it and nobody knows of what worth
  // it is.
  void begin_unproven() {
    former_ = deploy(parse_plan(json::parse(kPlan)).value());
    const Moment moment{fleet_.clock.wall, 0, true};
    for (int i = 0; i < 3; ++i) {
      (void)fleet_.write(
          [&](Store& store) { return rollouts_.tick(store, former_.id, moment, true); });
    }
    for (const std::string& name : members_) {
      if (chance(0.7)) act(name);
    }
  }
  bool chance(double probability) { return std::bernoulli_distribution(probability)(random_); }
  const std::string& any_device() {
    auto it = members_.begin();
    std::advance(it, static_cast<long>(random_() % members_.size()));
    return *it;
  }
  Record record() { return find_rollout(*fleet_.store, release_.id).value(); }
  bool over() { return is_over(record().state.phase); }
  std::vector<JobExecution> executions(const JobId& job) {
    if (job.empty()) return {};
    return fleet_.store->list_executions_of_job(job, std::nullopt, {.limit = 1'000}).value().items;
  }

  void disturbed_step() {
    const uint64_t what = random_() % 12;
    if (what < 5) return tick(static_cast<int64_t>(1 + random_() % 20), true);
    if (what < 8) return act(any_device());
    if (what == 8) vanished_.insert(any_device());
    if (what == 9) {  // the clock jumps, or the server was away
      fleet_.clock.wall += chance(0.5) ? 3'600'000 : -1'800'000;
      return tick(0, false);
    }
    if (what == 10) join();
    if (what == 11 && members_.size() > 8 && chance(0.3)) leave(any_device());
  }

  void tick(int64_t seconds, bool is_continuous) {
    fleet_.clock.wall += seconds * 1000;
    const bool dies = chance(0.15);
    const Record before = record();
    bool more = true;
    for (int i = 0; i < 30 && more && wrong_.empty(); ++i) {
      const Moment moment{fleet_.clock.wall, i == 0 ? seconds * 1000 : 0, is_continuous};
      more = false;
      // Dies before the commit: nothing of it has happened.
      (void)fleet_.write([&](Store& store) -> Result<void> {
        SKERRY_ASSIGN(const auto outcome, rollouts_.tick(store, release_.id, moment, true));
        more = outcome.more;
        if (dies) return fail(Code::kUnavailable, "killed");
        return {};
      });
      if (dies) return;
      mutate();
      check();
      for (bool goes_on = more; goes_on && wrong_.empty();) goes_on = go_on();
    }
  }

  // As the engine's loop does between two looks; it may die there, too.
  bool go_on() {
    const bool dies = chance(0.05);
    bool more = false;
    (void)fleet_.write([&](Store& store) -> Result<void> {
      SKERRY_ASSIGN(more, rollouts_.go_on(store, release_.id, fleet_.clock.wall));
      if (dies) return fail(Code::kUnavailable, "killed");
      return {};
    });
    check();
    return more && chance(0.8);
  }

  void steer() {
    const Record now = record();
    if (now.state.phase != Phase::kPaused || !now.state.held_for_evidence) return;
    (void)fleet_.write([&](Store& store) {
      return rollouts_.command(store, release_.id, Approve{now.state.stage}, fleet_.clock.wall);
    });
  }

  // A device does the next thing that it has to do, and says so, perhaps twice.
  void act(const std::string& name) {
    if (vanished_.contains(name)) return;
    const auto next = fleet_.store->next_pending(ThingName(name)).value();
    if (!next) return;
    const bool is_release = next->job_id == release_.job_id;
    if (is_release && hangs(name)) return report(*next, ExecutionStatus::kInProgress);
    if (next->status == ExecutionStatus::kQueued && chance(0.4)) {
      return report(*next, ExecutionStatus::kInProgress);
    }
    const bool fails = is_release && is_bad_;
    for (int i = chance(0.2) ? 2 : 1; i > 0; --i) {
      report(*next, fails ? ExecutionStatus::kFailed : ExecutionStatus::kSucceeded);
    }
  }
  bool hangs(const std::string& name) const { return cohort_of(ThingName(name)) % 16 == 3; }
  void act_all() {
    for (const std::string& name : std::set<std::string>(members_)) act(name);
    for (const std::string& name : std::set<std::string>(left_)) act(name);
  }
  void report(const JobExecution& execution, ExecutionStatus status) {
    Store::ExecutionChange change;
    change.status = status;
    change.now_ms = fleet_.clock.wall;
    (void)fleet_.write([&](Store& store) {
      return fleet_.deployments.update_execution(store, execution.job_id, execution.thing, change);
    });
  }

  void join() {
    const std::string name = "new" + std::to_string(joined_++);
    fleet_.add_thing(name);
    members_.insert(name);
    (void)fleet_.write([&](Store& store) {
      return fleet_.deployments.add_to_group(store, ThingName(name), ThingGroupName("g"));
    });
  }
  void leave(const std::string& name) {
    const auto node = members_.extract(name);  // `name` may be the very text in it
    const std::string& gone = node.value();
    left_.insert(gone);
    (void)fleet_.write([&](Store& store) {
      return fleet_.deployments.remove_from_group(store, ThingName(gone), ThingGroupName("g"));
    });
  }

  // --- The model ---

  void complain(std::string what) {
    if (wrong_.empty()) wrong_ = std::move(what);
  }

  void check() {
    const Record now = record();
    std::set<std::string> asked;
    for (const JobExecution& each : executions(now.job_id)) {
      asked.insert(each.thing.str());
      if (each.execution_number > 1) complain(each.thing.str() + " was asked twice");
    }
    // How many of the group may have been asked at most: members come and leave, so the largest
    // group there was counts for shares.
    largest_ = std::max(largest_, members_.size() + left_.size());
    const size_t most = now.state.stage == 0   ? 3
                        : now.state.stage == 1 ? (largest_ + 1) / 2
                                               : largest_;
    // Those that joined early in the order come on top of a stage that was counted without them.
    // Those that left once they were asked are no part of the group that later stages count.
    const auto still_there = static_cast<size_t>(std::ranges::count_if(
        asked, [&](const std::string& name) { return members_.contains(name); }));
    if (still_there > most + static_cast<size_t>(joined_)) complain("devices outside the stage");
    for (const std::string& name : asked) {
      if (cohort_of(ThingName(name)) > now.state.boundary)
        complain(name + " is outside the boundary");
    }
    if (is_back_ && asked != asked_when_back_) complain("asked after the verdict");
    if (!now.rollback_id.empty() && !is_back_) {
      is_back_ = true;
      asked_when_back_ = asked;
    }
  }

  void check_end() {
    const Record now = record();
    if (!is_over(now.state.phase))
      return complain("stuck in " + std::string(name_of(now.state.phase)) + ": " +
                      now.state.reason);
    if (is_bad_ && now.state.phase == Phase::kCompleted) return complain("a bad release completed");
    std::map<std::string, ExecutionStatus> with, back;
    for (const auto& each : executions(now.job_id)) with[each.thing.str()] = each.status;
    for (const auto& each : executions(now.rollback_job_id)) back[each.thing.str()] = each.status;
    if (now.state.phase == Phase::kRolledBack) {
      for (const auto& [name, status] : with) {
        if (status == ExecutionStatus::kRemoved) continue;
        if (!back.contains(name)) return complain(name + " was not asked back");
        if (back[name] != ExecutionStatus::kSucceeded) {
          return complain(name + " is not back but " + std::string(to_string(back[name])));
        }
      }
      for (const JobExecution& each : executions(former_.job_id)) {
        const bool has_begun = each.started_ms > 0 && each.status != ExecutionStatus::kRemoved;
        if (has_begun && !back.contains(each.thing.str())) {
          return complain(each.thing.str() + " was left with a release that nobody proved");
        }
      }
      return;
    }
    if (now.state.phase != Phase::kCompleted)
      return complain("ended as " + std::string(name_of(now.state.phase)));
    for (const std::string& name : members_) {
      if (!with.contains(name)) return complain(name + " was never asked");
    }
  }

  // Breaks what the engine has just done.
  void mutate() {
    Record now = record();
    auto& store = *fleet_.store;
    const auto release = executions(now.job_id), back = executions(now.rollback_job_id);
    if (mutant_ == Mutant::kOpensTooMuch && now.state.stage_is_open && now.state.stage == 0) {
      now.state.boundary = INT64_MAX;
      ASSERT_TRUE(save_rollout(store, now));
    }
    if (mutant_ == Mutant::kForgetsTheFormer && !now.previous.unproven_jobs.empty()) {
      ASSERT_TRUE(store.database().execute("UPDATE rollouts SET previous = '{}' WHERE id = :id",
                                           now.id.str()));
    }
    if (mutated_) return;
    if (mutant_ == Mutant::kForgetsOneBack && !back.empty()) {
      mutated_ = true;
      ASSERT_TRUE(store.delete_execution(now.rollback_job_id, back.front().thing));
    }
    if (mutant_ == Mutant::kAsksTwice && !release.empty() && is_terminal(release.front().status)) {
      mutated_ = true;
      ASSERT_TRUE(store.queue_execution(now.job_id, release.front().thing, fleet_.clock.wall));
    }
    if (mutant_ == Mutant::kLosesAnEffect && release.size() > 4) {
      mutated_ = true;
      ASSERT_TRUE(store.delete_execution(now.job_id, release.back().thing));
    }
    if (mutant_ == Mutant::kGoesOnAfterVerdict && !now.rollback_id.empty() && is_back_) {
      for (const std::string& name : members_) {
        if (asked_when_back_.contains(name)) continue;
        mutated_ = true;
        ASSERT_TRUE(store.queue_execution(now.job_id, ThingName(name), fleet_.clock.wall));
        break;
      }
    }
  }

  std::mt19937_64 random_;
  const Mutant mutant_;
  TestFleet fleet_;
  Rollouts rollouts_;
  Deployment former_, release_;
  bool is_bad_ = false;
  std::set<std::string> members_, left_, vanished_, asked_when_back_;
  int joined_ = 0;
  size_t largest_ = 0;
  bool is_back_ = false;
  bool mutated_ = false;
  std::string wrong_;
};

// SKERRY_ROLLOUT_SEEDS: for hours when nobody waits.
int seeds() {
  const char* wanted = std::getenv("SKERRY_ROLLOUT_SEEDS");
  return wanted ? std::atoi(wanted) : kIsSanitized ? 20 : 400;
}

// In pieces that run beside each other.
class RolloutSeeds : public testing::TestWithParam<int> {};

TEST_P(RolloutSeeds, Hold) {
  const auto first = static_cast<uint64_t>(GetParam());
  for (uint64_t seed = first; seed < first + kSeedsAtOnce; ++seed) {
    const std::string wrong = RolloutSim(seed, Mutant::kNone).run();
    ASSERT_EQ(wrong, "") << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(All, RolloutSeeds, testing::Range(0, seeds(), kSeedsAtOnce));

class RolloutMutants : public testing::TestWithParam<Mutant> {};

TEST_P(RolloutMutants, IsCaught) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    if (!RolloutSim(seed, GetParam()).run().empty()) return;
  }
  FAIL() << "100 seeds saw nothing";
}

INSTANTIATE_TEST_SUITE_P(All, RolloutMutants,
                         testing::Values(Mutant::kOpensTooMuch, Mutant::kForgetsOneBack,
                                         Mutant::kIgnoresTheVerdict, Mutant::kAsksTwice,
                                         Mutant::kNeverTimesOut, Mutant::kLosesAnEffect,
                                         Mutant::kGoesOnAfterVerdict, Mutant::kForgetsTheFormer));

}  // namespace
}  // namespace skerry::fleet::rollout
