// For tests of rollouts: a group of devices in the order in which rollouts ask them, all of them
// with one good revision, and the real engine, deployments and store.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fleet/rollout/cohort.h"
#include "fleet/rollout/engine.h"
#include "fleet/test_fleet.h"

namespace skerry::fleet::rollout {

using Names = std::set<std::string>;

inline constexpr int kDevices = 40;

class RolloutTest : public testing::Test {
 protected:
  RolloutTest() : rollouts_(std::in_place, fleet_.deployments) {
    std::vector<std::string> names;
    for (int i = 0; i < kDevices; ++i) names.push_back("d" + std::to_string(i));
    std::ranges::sort(names, {}, [](const auto& name) { return cohort_of(ThingName(name)); });
    for (const std::string& name : names) fleet_.add_thing(name);
    fleet_.add_group("g", names);
    in_order_ = names;
    good_ = fleet_.deploy_to("thinggroup/g");
    answer_all(good_.job_id, ExecutionStatus::kSucceeded);
  }

  Deployment start(const std::string& plan, const std::string& target = "thinggroup/g",
                   const nlohmann::json& components = nlohmann::json::object()) {
    const nlohmann::json request = {{"targetArn", "arn:aws:iot:eu-west-1:000000000000:" + target},
                                    {"components", components}};
    auto parsed = parse_plan(nlohmann::json::parse(plan));
    EXPECT_TRUE(parsed) << parsed.error().message();
    auto made = fleet_.write(
        [&](Store& store) { return fleet_.deployments.create(store, request, *parsed); });
    EXPECT_TRUE(made) << made.error().message();
    return made.value_or(Deployment{});
  }
  // Looks until nothing follows at once; `seconds` have passed before the first look.
  void tick(const Deployment& release, int64_t seconds = 1) {
    fleet_.clock.wall += seconds * 1000;
    Moment moment{fleet_.clock.wall, seconds * 1000, true};
    for (int i = 0; i < 100; ++i) {
      auto outcome = fleet_.write(
          [&](Store& store) { return rollouts_->tick(store, release.id, moment, true); });
      ASSERT_TRUE(outcome) << outcome.error().message();
      if (!outcome->more) return;
      moment.elapsed_ms = 0;
    }
    FAIL() << "it never comes to rest";
  }
  void report(const JobId& job, const std::string& thing, ExecutionStatus status) {
    Store::ExecutionChange change;
    change.status = status;
    change.now_ms = fleet_.clock.wall;
    auto updated = fleet_.write([&](Store& store) {
      return fleet_.deployments.update_execution(store, job, ThingName(thing), change);
    });
    EXPECT_TRUE(updated) << updated.error().message();
  }
  void answer_all(const JobId& job, ExecutionStatus status) {
    for (const std::string& thing : with(job, ExecutionStatus::kQueued)) report(job, thing, status);
  }
  Names with(const JobId& job, std::optional<ExecutionStatus> status = std::nullopt) {
    Names names;
    auto executions = fleet_.store->list_executions_of_job(job, status, {.limit = 10'000});
    EXPECT_TRUE(executions);
    for (const auto& each : executions->items) names.insert(each.thing.str());
    return names;
  }
  Record record(const Deployment& release) {
    auto found = find_rollout(*fleet_.store, release.id);
    EXPECT_TRUE(found) << found.error().message();
    return found.value_or(Record{});
  }
  std::string refused(const Deployment& release, const Event& event) {
    auto did = fleet_.write([&](Store& store) {
      return rollouts_->command(store, release.id, event, fleet_.clock.wall);
    });
    return did ? "" : did.error().message();
  }
  // The first `count` in the order of all rollouts.
  Names first(int count) const { return {in_order_.begin(), in_order_.begin() + count}; }
  Result<void> join(const std::string& thing) {
    return fleet_.write([&](Store& store) {
      return fleet_.deployments.add_to_group(store, ThingName(thing), ThingGroupName("g"));
    });
  }

  TestFleet fleet_;
  std::optional<Rollouts> rollouts_;
  std::vector<std::string> in_order_;
  Deployment good_;
};

}  // namespace skerry::fleet::rollout
