// Deployments, their jobs and the fleet status, message by message.
#include "sim/nucleus_fixture.h"

namespace skerry::sim {
namespace {

// DEP-1, DEP-2
TEST_F(NucleusJobs, ADeviceRunsWhatAllItsGroupsAndItselfWant) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  deploy("j2", document("thinggroup/G2", 1, versions({{"b", "1.0.0"}})));
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(running(), "a=1.0.0 b=1.0.0");
  // Two targets that exclude each other: nothing changes, and the message says who wants what.
  deploy("j3", document("thing/press-7", 1, versions({{"b", "2.0.0"}})));
  EXPECT_EQ(outcome(), "FAILED FAILED_NO_STATE_CHANGE");
  EXPECT_NE(cause().find("thing/press-7 wants =2.0.0, thinggroup/G2 wants =1.0.0"),
            std::string::npos)
      << cause();
  EXPECT_EQ(running(), "a=1.0.0 b=1.0.0");
}

// DEP-3
TEST_F(NucleusJobs, AGroupThatItLeftNoLongerCounts) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  cloud_.groups = std::vector<std::string>{"thinggroup/G2"};
  deploy("j2", document("thinggroup/G2", 1, versions({{"b", "1.0.0"}})));
  EXPECT_EQ(running(), "b=1.0.0");
  const auto last = fleet_statuses().back();
  ASSERT_TRUE(last.deployment);
  ASSERT_EQ(last.components.size(), 2u);
  EXPECT_EQ(last.components[1].name, ComponentName("a"));
  EXPECT_EQ(last.components[1].status, "UNINSTALLED");
}

TEST_F(NucleusJobs, GroupsThatItMayNotKnowAreKept) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  cloud_.groups = fail(Code::kPermissionDenied, "HTTP 403");
  deploy("j2", document("thinggroup/G2", 1, versions({{"b", "1.0.0"}})));
  EXPECT_EQ(running(), "a=1.0.0 b=1.0.0");
  cloud_.groups = fail(Code::kNotFound, "thingGroups: HTTP 404");
  deploy("j3", document("thinggroup/G2", 2, versions({{"b", "2.0.0"}})));
  EXPECT_EQ(outcome(), "FAILED FAILED_NO_STATE_CHANGE");
  EXPECT_EQ(cause(), "thingGroups: HTTP 404");
  EXPECT_EQ(running(), "a=1.0.0 b=1.0.0");
}

// DEP-4
TEST_F(NucleusJobs, AnOlderRevisionIsRejected) {
  deploy("j1", document("thinggroup/G1", 5, versions({{"a", "2.0.0"}})));
  deploy("j2", document("thinggroup/G1", 4, versions({{"a", "1.0.0"}})));
  EXPECT_EQ(outcome(), "REJECTED REJECTED");
  EXPECT_EQ(cause(), "revision 5 of thinggroup/G1 is deployed already");
  EXPECT_EQ(running(), "a=2.0.0");
}

// DEP-7
TEST_F(NucleusJobs, DoNothingKeepsTheBrokenVersion) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  auto failing = document("thinggroup/G1", 2, versions({{"a", "2.0.0"}, {"broken", "1.0.0"}}));
  failing["failureHandlingPolicy"] = "DO_NOTHING";
  deploy("j2", failing);
  EXPECT_EQ(outcome(), "FAILED FAILED_ROLLBACK_NOT_REQUESTED");
  EXPECT_EQ(running(), "a=2.0.0 broken=1.0.0(BROKEN)");
  EXPECT_EQ(files_.list("/device/packages/a").value().size(), 1u);  // 1.0.0 is not needed any more
  // With the default policy the same returns.
  deploy("j3", document("thinggroup/G1", 3, versions({{"a", "1.0.0"}})));
  deploy("j4", document("thinggroup/G1", 4, versions({{"a", "2.0.0"}, {"broken", "1.0.0"}})));
  EXPECT_EQ(outcome(), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_NE(cause().find("component broken 1.0.0 is broken: Run failed: exit code 3"),
            std::string::npos);
  EXPECT_EQ(running(), "a=1.0.0");
}

// DEP-5
TEST_F(NucleusJobs, ConfigurationIsResetThenDefaultsThenMerged) {
  auto recipe = test_recipe("c", "1.0.0");
  recipe["ComponentConfiguration"]["DefaultConfiguration"] = {{"x", "default"}, {"y", "default"}};
  cloud_.publish(recipe);
  auto first = versions({{"c", "1.0.0"}});
  first["c"]["configurationUpdate"]["merge"] = {{"x", "merged"}, {"z", "merged"}};
  deploy("j1", document("thinggroup/G1", 1, first));
  EXPECT_EQ(config("c"), (json{{"x", "merged"}, {"y", "default"}, {"z", "merged"}}));
  auto second = versions({{"c", "1.0.0"}});
  second["c"]["configurationUpdate"] = {{"reset", {"/x", "/z"}}, {"merge", {{"y", "late"}}}};
  deploy("j2", document("thinggroup/G1", 2, second));
  EXPECT_EQ(config("c"), (json{{"x", "default"}, {"y", "late"}}));
}

// DEP-18
TEST_F(NucleusJobs, WhatAComponentConfiguresDuringTheDownloadIsNotLost) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  auto large = test_recipe("large", "1.0.0");
  large["Manifests"][0]["Artifacts"] = json::array({nucleus::test_artifact("data", "bytes")});
  cloud_.publish(large, {{"data", "bytes"}});
  cloud_.on_download = [&] {
    nucleus_->state().config().update(ComponentName("a"), {"count"}, 7, clock_.wall_ms(),
                                      [](const auto& changed) { ASSERT_TRUE(changed); });
  };
  deploy("j2", document("thinggroup/G1", 2, versions({{"a", "1.0.0"}, {"large", "1.0.0"}})));
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(config("a"), (json{{"count", 7}}));
}

// DEP-12
TEST_F(NucleusJobs, CancelledBeforeTheSwitchChangesNothing) {
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  EXPECT_EQ(outcome(), "IN_PROGRESS ");
  offer_nothing();
  cloud_.unreachable.reset();
  offer_nothing();
  run(120'000);
  EXPECT_EQ(running(), "");
  EXPECT_EQ(updates().size(), 1u);
  // Replaced by another one.
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  deploy("j2", document("thinggroup/G1", 2, versions({{"a", "1.0.0"}})));
  offer("j3", document("thinggroup/G1", 3, versions({{"b", "1.0.0"}})));
  cloud_.unreachable.reset();
  run(120'000);
  EXPECT_EQ(running(), "b=1.0.0");
  EXPECT_EQ(updates().back().job, "j3");
}

TEST_F(NucleusJobs, AnOldWordThatNothingIsToDoOnlyInterrupts) {
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  const auto wanted = document("thinggroup/G1", 1, versions({{"a", "1.0.0"}}));
  deploy("j1", wanted);
  const size_t before = questions();
  offer_nothing();
  ASSERT_EQ(questions(), before + 1);  // it asks, and hears that the job is still there
  cloud_.unreachable.reset();
  deploy("j1", wanted);
  EXPECT_EQ(running(), "a=1.0.0");
}

TEST_F(NucleusJobs, ABadDocumentIsRejectedWithItsPlace) {
  deploy("j1", {{"deploymentId", "d"}, {"components", {{"a", {{"version", "one"}}}}}});
  EXPECT_EQ(outcome(), "REJECTED REJECTED");
  EXPECT_NE(cause().find("components.a.version"), std::string::npos) << cause();
  EXPECT_EQ(questions(), 2u);  // after the connection, and for the one behind it
}

// DEP-14
TEST_F(NucleusJobs, AResultIsReportedUntilItIsTaken) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  const auto first = updates();
  ASSERT_GE(first.size(), 2u);
  EXPECT_EQ(first[0].request.status, formats::JobStatus::kInProgress);
  run(30'000);
  const size_t again = updates().size();
  EXPECT_GE(again, first.size() + 2);
  accept(first[0]);  // the answer to IN_PROGRESS says nothing about the result
  ASSERT_EQ(nucleus_->state().unreported().size(), 1u);
  refuse(updates().back(), "RequestThrottled");
  EXPECT_EQ(nucleus_->state().unreported().size(), 1u);
  boot();  // it survives
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  accept(updates().back());
  EXPECT_TRUE(nucleus_->state().unreported().empty());
  const size_t taken = updates().size();
  run(60'000);
  EXPECT_EQ(updates().size(), taken);
  // The job comes once more (its end overtook it): told again, not run again.
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  EXPECT_EQ(updates().size(), taken + 1);
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
}

TEST_F(NucleusJobs, ARefusedResultIsForgotten) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  refuse(updates().back(), "TerminalStateReached");
  EXPECT_TRUE(nucleus_->state().unreported().empty());
}

TEST_F(NucleusJobs, AFullDiskDoesNotEndTheProgram) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  files_.set_capacity(0);
  accept(updates().back());
  EXPECT_EQ(nucleus_->state().unreported().size(), 1u);
  offer("j2", json::array());
  run(60'000);
  EXPECT_EQ(fatal_, "");
  files_.set_capacity(UINT64_MAX);
  run(20'000);
  EXPECT_EQ(updates().back().job, "j2");
  EXPECT_EQ(outcome(), "REJECTED REJECTED");
  EXPECT_EQ(running(), "a=1.0.0");
}

// DEP-17
TEST_F(NucleusJobs, ADownloadContinuesAfterARestart) {
  const std::string bytes(100, 'x');
  auto large = test_recipe("large", "1.0.0");
  large["Manifests"][0]["Artifacts"] = json::array({nucleus::test_artifact("data", bytes)});
  cloud_.publish(large, {{"data", bytes}});
  cloud_.cut_after_bytes = 60;
  offer("j1", document("thinggroup/G1", 1, versions({{"large", "1.0.0"}})));
  run(100);
  EXPECT_EQ(cloud_.offsets, (std::vector<uint64_t>{0}));
  boot();
  deploy("j1", document("thinggroup/G1", 1, versions({{"large", "1.0.0"}})));
  EXPECT_EQ(cloud_.offsets, (std::vector<uint64_t>{0, 60}));
  EXPECT_EQ(running(), "large=1.0.0");
}

TEST_F(NucleusJobs, WhatACancelledJobDownloadedIsRemovedWhenNothingIsToCome) {
  auto large = test_recipe("large", "1.0.0");
  large["Manifests"][0]["Artifacts"] = json::array({nucleus::test_artifact("data", "bytes")});
  cloud_.publish(large, {{"data", "bytes"}});
  cloud_.cut_after_bytes = 0;
  offer("j1", document("thinggroup/G1", 1, versions({{"large", "1.0.0"}})));
  run(100);
  offer_nothing();
  EXPECT_TRUE(io::exists(files_, info_.staging()));
  offer_nothing();
  EXPECT_FALSE(io::exists(files_, info_.staging()));
}

TEST_F(NucleusJobs, AComponentThatCannotBePreparedDoesNotHoldBackTheOthers) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}, {"b", "1.0.0"}})));
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  ASSERT_TRUE(io::write_file_atomic(files_, package_of("a") + "/recipe", "damaged"));
  boot();
  run(1'000);
  EXPECT_EQ(running(), "b=1.0.0");
  cloud_.unreachable.reset();
  deploy("j2", document("thinggroup/G1", 2, versions({{"a", "1.0.0"}, {"b", "1.0.0"}})));
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(running(), "a=1.0.0 b=1.0.0");
}

class LostRecords : public NucleusJobs {
 protected:
  LostRecords() {
    deploy("j1", document("thing/press-7", 1, versions({{"a", "1.0.0"}})));
    nucleus_.reset();
    const std::string state = info_.state_directory();
    for (const std::string& directory : {state, state + ".copy"})
      EXPECT_TRUE(files_.remove_tree(directory));
    boot();
    EXPECT_FALSE(nucleus_->state().needs_repair().empty());
  }
  // The device's last question, where it says that records are lost.
  std::string question() {
    std::string token;
    for (const auto& message : broker_.published) {
      auto topic = formats::parse_job_topic(message.topic);
      if (topic && topic->kind == JobTopicKind::kGet)
        token = json::parse(message.payload)["clientToken"];
    }
    return token.starts_with(formats::kRepairToken) ? token : "";
  }
  void answer(int64_t redeployed, std::optional<std::pair<std::string, json>> job = {}) {
    formats::NextJob next;
    next.client_token = question();
    next.redeployed = redeployed;
    if (job) {
      next.execution.emplace();
      next.execution->job_id = JobId(job->first);
      next.execution->job_document = formats::share(std::move(job->second));
    }
    deliver({JobTopicKind::kGetAccepted, kThing}, formats::to_text(next));
    run(20'000);
  }
  bool is_repaired() { return nucleus_->state().needs_repair().empty(); }
};

TEST_F(LostRecords, WhatIsRefusedAsOlderThanWhatRunsDoesNotKeepItFromBeingRepaired) {
  answer(2, std::pair("j2", document("thing/press-7", 2, versions({{"a", "2.0.0"}}))));
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  deploy("j1", document("thing/press-7", 1, versions({{"a", "1.0.0"}})));
  EXPECT_EQ(outcome(), "REJECTED REJECTED");
  EXPECT_FALSE(is_repaired());
  answer_that_nothing_is_to_do();
  EXPECT_TRUE(is_repaired());
}

TEST_F(LostRecords, AfterAFailureTheControlPlaneIsAskedAgain) {
  answer(1, std::pair("j2", document("thing/press-7", 2, versions({{"broken", "1.0.0"}}))));
  EXPECT_NE(outcome().find("FAILED"), std::string::npos);
  answer_that_nothing_is_to_do();
  answer_that_nothing_is_to_do();  // to another question of before
  EXPECT_FALSE(is_repaired());
  broker_.published.clear();
  run(61'000);
  ASSERT_NE(question(), "");
  answer(1, std::pair("j1", document("thing/press-7", 1, versions({{"a", "1.0.0"}}))));
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  answer_that_nothing_is_to_do();
  EXPECT_TRUE(is_repaired());
  EXPECT_EQ(running(), "a=1.0.0");
}

// After a restart it is sent again what has ended already: that is reported, not run, and it is
// all.
TEST_F(LostRecords, WhatWasDeployedAgainBeforeARestartCounts) {
  const json again = document("thing/press-7", 1, versions({{"a", "1.0.0"}}));
  answer(1, std::pair("j1", again));
  boot();
  answer(1, std::pair("j1", again));
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  broker_.published.clear();
  deliver({JobTopicKind::kNotifyNext, kThing}, formats::to_text(formats::NextJob{}));
  EXPECT_EQ(questions(), 1u);
  answer_that_nothing_is_to_do();
  EXPECT_TRUE(is_repaired());
}

TEST_F(LostRecords, WhereNothingIsLeftToDeployItIsRepaired) {
  answer(0);
  EXPECT_TRUE(is_repaired());
}

TEST_F(NucleusJobs, MessagesDuringTheShutDownAreIgnored) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  io::TaskScope scope;
  scope.spawn(nucleus_->shut_down());
  offer("j2", document("thinggroup/G1", 2, versions({{"b", "1.0.0"}})));
  reconnect();
  run(20'000);
  EXPECT_EQ(running(), "");
  EXPECT_EQ(scope.size(), 0u);
  EXPECT_EQ(processes_.running(), 0u);
}

TEST_F(NucleusJobs, FleetStatusTellsAllAtStartAndGathersChanges) {
  ASSERT_EQ(fleet_statuses().size(), 1u);
  EXPECT_EQ(fleet_statuses()[0].trigger, "NUCLEUS_LAUNCH");
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}, {"b", "1.0.0"}})));
  auto all = fleet_statuses();
  // Six changes of state and more within a moment are one message; then the deployment's.
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[1].trigger, "COMPONENT_STATUS_CHANGE");
  EXPECT_EQ(all[2].trigger, "THING_GROUP_DEPLOYMENT");
  EXPECT_EQ(all[2].deployment->status, "SUCCEEDED");
  EXPECT_EQ(all[2].deployment->deployment_id, DeploymentId("d1"));
  ASSERT_EQ(all[2].components.size(), 2u);
  EXPECT_EQ(all[2].components[0].status, "RUNNING");
  EXPECT_TRUE(all[2].components[0].is_root);
  EXPECT_TRUE(all[2].healthy);
  EXPECT_LT(all[1].sequence_number, all[2].sequence_number);

  auto failing = document("thing/press-7", 1, versions({{"broken", "1.0.0"}}));
  failing["failureHandlingPolicy"] = "DO_NOTHING";
  deploy("j2", failing);
  all = fleet_statuses();
  EXPECT_EQ(all.back().trigger, "THING_DEPLOYMENT");
  EXPECT_FALSE(all.back().healthy);
  EXPECT_EQ(all.back().components[2].status, "BROKEN");
  EXPECT_NE(all.back().components[2].details->status_reason.find("exit code 3"), std::string::npos);
  reconnect();
  EXPECT_EQ(fleet_statuses().back().trigger, "RECONNECT");
}

TEST_F(NucleusJobs, ChangesThatDoNotEndAreToldAllTheSame) {
  nucleus::FleetStatusReporter reporter(env_, info_, nucleus_->state(), nucleus_->supervisor(),
                                        *nucleus_->mqtt());
  reporter.on_connected();
  const size_t before = fleet_statuses().size();
  for (int i = 0; i < 10; ++i) {
    reporter.on_component_change();
    run(200);
  }
  EXPECT_GE(fleet_statuses().size(), before + 4);
}

}  // namespace
}  // namespace skerry::sim
