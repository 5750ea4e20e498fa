// What deployments do to executions, and who hears of it.
#include "fleet/deployments.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

class RecordingNotifier : public JobNotifier {
 public:
  explicit RecordingNotifier(Store& store) : store_(store) {}
  void job_changed(const ThingName& thing) override {
    heard.push_back(thing.str());
    // What a device asks for when it hears of it has to be stored.
    EXPECT_TRUE(store_.next_pending(thing));
  }
  std::vector<std::string> take() { return std::exchange(heard, {}); }
  std::vector<std::string> heard;

 private:
  Store& store_;
};

using Names = std::vector<std::string>;

class DeploymentsTest : public testing::Test {
 protected:
  DeploymentsTest() : notifier_(*fleet_.store) {
    fleet_.add_thing("a");
    fleet_.add_thing("b");
    fleet_.add_group("g", {"a", "b"});
    fleet_.deployments.set_notifier(&notifier_);
  }
  void TearDown() override { fleet_.deployments.set_notifier(nullptr); }

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
    auto updated = fleet_.deployments.update_execution(deployment.job_id, ThingName(thing), change);
    EXPECT_TRUE(updated) << updated.error().message();
  }

  TestFleet fleet_;
  RecordingNotifier notifier_;
};

TEST_F(DeploymentsTest, EveryThingOfTheGroupHearsOnce) {
  auto first = fleet_.deploy_to("thinggroup/g");
  EXPECT_EQ(notifier_.take(), (Names{"a", "b"}));
  fleet_.deploy_to("thinggroup/g");  // ends the first's executions and queues new ones
  EXPECT_EQ(notifier_.take(), (Names{"a", "b"}));
  EXPECT_EQ(status(first), DeploymentStatus::kInactive);
}

TEST_F(DeploymentsTest, ADeviceFinishesWhatItHasBegun) {
  auto first = fleet_.deploy_to("thinggroup/g");
  report(first, "a", ExecutionStatus::kInProgress);
  fleet_.deploy_to("thinggroup/g");
  EXPECT_EQ(status(first, "a"), ExecutionStatus::kInProgress);
  EXPECT_EQ(status(first, "b"), ExecutionStatus::kCanceled);
  EXPECT_EQ(fleet_.store->next_pending(ThingName("a"))->value().job_id, first.job_id);
  notifier_.take();
  report(first, "a", ExecutionStatus::kSucceeded);
  EXPECT_EQ(notifier_.take(), (Names{"a"}));
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
  notifier_.take();
  ASSERT_TRUE(fleet_.deployments.add_to_group(ThingName("a"), ThingGroupName("g")));
  EXPECT_EQ(status(deployment, "a"), ExecutionStatus::kSucceeded);
  EXPECT_TRUE(notifier_.take().empty());

  ASSERT_TRUE(fleet_.deployments.remove_from_group(ThingName("a"), ThingGroupName("g")));
  ASSERT_TRUE(fleet_.deployments.add_to_group(ThingName("a"), ThingGroupName("g")));
  EXPECT_EQ(status(deployment, "a"), ExecutionStatus::kQueued);
  EXPECT_EQ(notifier_.take(), (Names{"a"}));
}

TEST_F(DeploymentsTest, JoiningACancelledDeploymentsGroupQueuesNothing) {
  auto deployment = fleet_.deploy_to("thinggroup/g");
  ASSERT_TRUE(fleet_.deployments.cancel(deployment.id));
  fleet_.add_thing("late");
  notifier_.take();
  ASSERT_TRUE(fleet_.deployments.add_to_group(ThingName("late"), ThingGroupName("g")));
  EXPECT_TRUE(notifier_.take().empty());
  EXPECT_EQ(fleet_.store->find_execution(deployment.job_id, ThingName("late")).error().code(),
            Code::kNotFound);
}

TEST_F(DeploymentsTest, WhatFailsLeavesNothingBehindAndNobodyHears) {
  auto deployment = fleet_.deploy_to("thinggroup/g");
  notifier_.take();
  const nlohmann::json request = {{"targetArn", deployment.target_arn},
                                  {"components", nlohmann::json::object()}};
  auto failed = fleet_.deployments.create(request, [](const Deployment&) -> Result<void> {
    return fail(Code::kUnavailable, "the last step failed");
  });
  EXPECT_EQ(failed.error().code(), Code::kUnavailable);
  EXPECT_TRUE(notifier_.take().empty());
  EXPECT_EQ(fleet_.store->latest_deployment(deployment.target_arn)->id, deployment.id);
  EXPECT_EQ(status(deployment, "a"), ExecutionStatus::kQueued);
  EXPECT_EQ(status(deployment), DeploymentStatus::kActive);
}

}  // namespace
}  // namespace skerry::fleet
