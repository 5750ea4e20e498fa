// What deployments do to executions, and who hears of it.
#include "fleet/deployments.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

class RecordingListener : public EffectListener {
 public:
  explicit RecordingListener(Store& store) : store_(store) {}
  void committed(const Effects& effects) override {
    for (const ThingName& thing : effects.jobs) {
      heard.insert(thing.str());
      // What a device asks for when it hears of it has to be stored.
      EXPECT_TRUE(store_.next_pending(thing));
    }
  }
  std::set<std::string> take() { return std::exchange(heard, {}); }
  std::set<std::string> heard;

 private:
  Store& store_;
};

using Names = std::set<std::string>;

class DeploymentsTest : public testing::Test {
 protected:
  DeploymentsTest() : listener_(*fleet_.store) {
    fleet_.add_thing("a");
    fleet_.add_thing("b");
    fleet_.add_group("g", {"a", "b"});
    fleet_.stores.add_listener(listener_);
  }

  ExecutionStatus status(const Deployment& deployment, const std::string& thing) {
    auto execution = fleet_.store->find_execution(deployment.job_id, ThingName(thing));
    EXPECT_TRUE(execution);
    return execution ? execution->status : ExecutionStatus::kRemoved;
  }
  DeploymentStatus status(const Deployment& deployment) {
    return fleet_.store->find_deployment(deployment.id)->status;
  }
  void report(const Deployment& deployment, const std::string& thing, ExecutionStatus status) {
    Store::ExecutionChange change;
    change.status = status;
    auto updated = fleet_.write([&](Store& store) {
      return fleet_.deployments.update_execution(store, deployment.job_id, ThingName(thing),
                                                 change);
    });
    EXPECT_TRUE(updated) << updated.error().message();
  }
  Result<void> join(const std::string& thing) {
    return fleet_.write([&](Store& store) {
      return fleet_.deployments.add_to_group(store, ThingName(thing), ThingGroupName("g"));
    });
  }
  Result<void> leave(const std::string& thing) {
    return fleet_.write([&](Store& store) {
      return fleet_.deployments.remove_from_group(store, ThingName(thing), ThingGroupName("g"));
    });
  }

  TestFleet fleet_;
  RecordingListener listener_;
};

TEST_F(DeploymentsTest, AThingThatLostItsRecordsGetsWhatLastWorkedForEachOfItsTargets) {
  auto redeploy = [&] {
    listener_.take();
    return fleet_
        .write([&](Store& store) { return fleet_.deployments.redeploy(store, ThingName("a")); })
        .value();
  };
  EXPECT_EQ(redeploy(), 0);
  EXPECT_EQ(listener_.take(), Names{});
  auto worked = fleet_.deploy_to("thinggroup/g");
  report(worked, "a", ExecutionStatus::kSucceeded);
  report(worked, "b", ExecutionStatus::kSucceeded);
  auto failed = fleet_.deploy_to("thinggroup/g");
  report(failed, "a", ExecutionStatus::kFailed);
  auto own = fleet_.deploy_to("thing/a");
  report(own, "a", ExecutionStatus::kSucceeded);
  EXPECT_EQ(redeploy(), 2);
  EXPECT_EQ(listener_.take(), Names{"a"});
  EXPECT_EQ(status(worked, "a"), ExecutionStatus::kQueued);
  EXPECT_EQ(status(worked, "b"), ExecutionStatus::kSucceeded);
  EXPECT_EQ(status(failed, "a"), ExecutionStatus::kFailed);
  EXPECT_EQ(status(own, "a"), ExecutionStatus::kQueued);
  EXPECT_EQ(fleet_.store->next_pending(ThingName("a")).value()->job_id, worked.job_id);
  EXPECT_EQ(redeploy(), 2);  // they are on their way
  report(worked, "a", ExecutionStatus::kSucceeded);
  report(own, "a", ExecutionStatus::kSucceeded);
  ASSERT_TRUE(leave("a"));
  EXPECT_EQ(redeploy(), 1);  // no longer a member
}

// A device asks again when it did not get the answer: what worked before the last is not wanted.
TEST_F(DeploymentsTest, RedeployingTwiceQueuesNothingOlder) {
  const auto redeploy = [&] {
    return fleet_
        .write([&](Store& store) { return fleet_.deployments.redeploy(store, ThingName("a")); })
        .value();
  };
  auto older = fleet_.deploy_to("thing/a");
  report(older, "a", ExecutionStatus::kSucceeded);
  auto newer = fleet_.deploy_to("thing/a");
  report(newer, "a", ExecutionStatus::kSucceeded);
  EXPECT_EQ(redeploy(), 1);
  EXPECT_EQ(redeploy(), 1);  // the same: "0" would say that there is nothing to repair
  report(newer, "a", ExecutionStatus::kInProgress);
  EXPECT_EQ(redeploy(), 1);
  EXPECT_EQ(status(older, "a"), ExecutionStatus::kSucceeded);
  report(newer, "a", ExecutionStatus::kFailed);
  EXPECT_EQ(redeploy(), 1);  // better than nothing
  EXPECT_EQ(status(older, "a"), ExecutionStatus::kQueued);
}

TEST_F(DeploymentsTest, EveryThingOfTheGroupHearsOnce) {
  auto first = fleet_.deploy_to("thinggroup/g");
  EXPECT_EQ(listener_.take(), (Names{"a", "b"}));
  fleet_.deploy_to("thinggroup/g");  // ends the first's executions and queues new ones
  EXPECT_EQ(listener_.take(), (Names{"a", "b"}));
  EXPECT_EQ(status(first), DeploymentStatus::kInactive);
}

TEST_F(DeploymentsTest, ADeviceFinishesWhatItHasBegun) {
  auto first = fleet_.deploy_to("thinggroup/g");
  report(first, "a", ExecutionStatus::kInProgress);
  fleet_.deploy_to("thinggroup/g");
  EXPECT_EQ(status(first, "a"), ExecutionStatus::kInProgress);
  EXPECT_EQ(status(first, "b"), ExecutionStatus::kCanceled);
  EXPECT_EQ(fleet_.store->next_pending(ThingName("a"))->value().job_id, first.job_id);
  listener_.take();
  report(first, "a", ExecutionStatus::kSucceeded);
  EXPECT_EQ(listener_.take(), (Names{"a"}));
  EXPECT_NE(fleet_.store->next_pending(ThingName("a"))->value().job_id, first.job_id);
  EXPECT_EQ(status(first), DeploymentStatus::kInactive);
}

TEST_F(DeploymentsTest, ASingleThingsDeploymentEndsWithItsExecution) {
  auto good = fleet_.deploy_to("thing/a");
  report(good, "a", ExecutionStatus::kSucceeded);
  EXPECT_EQ(status(good), DeploymentStatus::kCompleted);
  auto bad = fleet_.deploy_to("thing/b");
  report(bad, "b", ExecutionStatus::kFailed);
  EXPECT_EQ(status(bad), DeploymentStatus::kFailed);
  auto of_group = fleet_.deploy_to("thinggroup/g");
  report(of_group, "a", ExecutionStatus::kSucceeded);
  report(of_group, "b", ExecutionStatus::kSucceeded);
  EXPECT_EQ(status(of_group), DeploymentStatus::kActive);
}

TEST_F(DeploymentsTest, AnotherTargetsDeploymentStays) {
  auto of_group = fleet_.deploy_to("thinggroup/g");
  fleet_.deploy_to("thing/a");
  EXPECT_EQ(status(of_group), DeploymentStatus::kActive);
  EXPECT_EQ(status(of_group, "a"), ExecutionStatus::kQueued);
}

TEST_F(DeploymentsTest, AThingThatComesBackGetsTheDeploymentAgain) {
  auto deployment = fleet_.deploy_to("thinggroup/g");
  report(deployment, "a", ExecutionStatus::kSucceeded);
  listener_.take();
  ASSERT_TRUE(join("a"));
  EXPECT_EQ(status(deployment, "a"), ExecutionStatus::kSucceeded);
  EXPECT_TRUE(listener_.take().empty());

  ASSERT_TRUE(leave("a"));
  ASSERT_TRUE(join("a"));
  EXPECT_EQ(status(deployment, "a"), ExecutionStatus::kQueued);
  EXPECT_EQ(listener_.take(), (Names{"a"}));
}

TEST_F(DeploymentsTest, JoiningACancelledDeploymentsGroupQueuesNothing) {
  auto deployment = fleet_.deploy_to("thinggroup/g");
  ASSERT_TRUE(
      fleet_.write([&](Store& store) { return fleet_.deployments.cancel(store, deployment.id); }));
  fleet_.add_thing("late");
  listener_.take();
  ASSERT_TRUE(join("late"));
  EXPECT_TRUE(listener_.take().empty());
  EXPECT_EQ(fleet_.store->find_execution(deployment.job_id, ThingName("late")).error().code(),
            Code::kNotFound);
}

TEST_F(DeploymentsTest, WhatFailsLeavesNothingBehindAndNobodyHears) {
  auto deployment = fleet_.deploy_to("thinggroup/g");
  listener_.take();
  const nlohmann::json request = {{"targetArn", deployment.target_arn},
                                  {"components", nlohmann::json::object()}};
  auto failed = fleet_.write([&](Store& store) -> Result<void> {
    SKERRY_TRY(fleet_.deployments.create(store, request));
    return fail(Code::kUnavailable, "the last step failed");
  });
  EXPECT_EQ(failed.error().code(), Code::kUnavailable);
  EXPECT_TRUE(listener_.take().empty());
  EXPECT_EQ(fleet_.store->latest_deployment(deployment.target_arn)->id, deployment.id);
  EXPECT_EQ(status(deployment, "a"), ExecutionStatus::kQueued);
  EXPECT_EQ(status(deployment), DeploymentStatus::kActive);
}

}  // namespace
}  // namespace skerry::fleet
