// What a deployment's policies promise: components are asked before they are touched, and heard.
#include "nucleus/update_consent.h"
#include "sim/nucleus_fixture.h"

namespace skerry::sim {
namespace {

using Topic = nucleus::UpdateConsent::Topic;

class Policies : public NucleusJobs {
 protected:
  // Follows what it is told on a topic in `heard_`.
  void listen(const std::string& component, Topic topic) {
    subscriptions_.push_back(nucleus_->consent().subscribe(
        topic, ComponentName(component), [this, component](const std::string& event) {
          heard_.push_back(component + " " + event);
          if (on_event_) on_event_();
        }));
  }
  void restart() {
    subscriptions_.clear();
    boot();
  }
  // Of a deployment of a 1.0.0 with this configuration.
  static json configured(int revision, const json& merge) {
    auto components = versions({{"a", "1.0.0"}});
    components["a"]["configurationUpdate"]["merge"] = merge;
    return document("thinggroup/G1", revision, components);
  }
  // Of this job: an older one's result may be repeated meanwhile.
  std::string outcome_of(const std::string& job) {
    auto all = updates();
    std::erase_if(all, [&](const Update& each) { return each.job != job; });
    return outcome(all);
  }
  static std::string pre_update(int revision) {
    return R"(a {"preUpdateEvent":{"deploymentId":"d)" + std::to_string(revision) +
           R"(","isGgcRestarting":false}})";
  }
  static std::string post_update(int revision) {
    return R"(a {"postUpdateEvent":{"deploymentId":"d)" + std::to_string(revision) + R"("}})";
  }
  Result<void> defer(int revision, int64_t recheck_ms) {
    return nucleus_->consent().defer(ComponentName("a"), "d" + std::to_string(revision), recheck_ms,
                                     "busy");
  }
  Result<void> report(int revision, std::optional<std::string> rejection) {
    return nucleus_->consent().report(ComponentName("a"), "d" + std::to_string(revision),
                                      std::move(rejection));
  }

  std::vector<std::string> heard_;
  std::function<void()> on_event_;
  std::vector<nucleus::UpdateConsent::Subscription> subscriptions_;
};

// DEP-9
TEST_F(Policies, AComponentDefersAnUpdateAndIsAskedAgain) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  listen("a", Topic::kUpdates);
  offer("j2", document("thinggroup/G1", 2, versions({{"a", "2.0.0"}})));
  run(1'000);
  EXPECT_EQ(heard_, std::vector{pre_update(2)});
  ASSERT_TRUE(defer(2, 300'000));
  run(299'000);
  EXPECT_EQ(running(), "a=1.0.0");
  EXPECT_EQ(heard_.size(), 1u);
  run(2'000);
  EXPECT_EQ(heard_.size(), 2u);  // asked again
  EXPECT_EQ(running(), "a=1.0.0");
  ASSERT_TRUE(defer(2, 0));
  run(20'000);
  EXPECT_EQ(running(), "a=2.0.0");
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(heard_.back(), post_update(2));
}

TEST_F(Policies, WhatIsConfiguredWhileTheUpdateIsDeferredIsKept) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  listen("a", Topic::kUpdates);
  offer("j2", document("thinggroup/G1", 2, versions({{"a", "2.0.0"}})));
  run(1'000);
  ASSERT_TRUE(defer(2, 10'000));
  nucleus_->state().config().update(ComponentName("a"), {"count"}, 7, clock_.wall_ms(),
                                    [](const auto& done) { EXPECT_TRUE(done); });
  run(11'000);
  ASSERT_TRUE(defer(2, 0));
  run(20'000);
  EXPECT_EQ(running(), "a=2.0.0");
  EXPECT_EQ(config("a").value("count", 0), 7);
}

// DEP-9
TEST_F(Policies, WhoDoesNotAnswerInTimeOrHasGoneDoesNotHoldTheUpdateUp) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  listen("a", Topic::kUpdates);
  auto update = document("thinggroup/G1", 2, versions({{"a", "2.0.0"}}));
  update["componentUpdatePolicy"] = {{"timeout", 30}, {"action", "NOTIFY_COMPONENTS"}};
  offer("j2", update);
  run(29'000);
  EXPECT_EQ(running(), "a=1.0.0");
  run(2'000);
  EXPECT_EQ(running(), "a=2.0.0");
  EXPECT_FALSE(defer(2, 1'000));  // too late
  run(20'000);
  // One that stops listening.
  offer("j3", document("thinggroup/G1", 3, versions({{"a", "1.0.0"}})));
  run(1'000);
  subscriptions_.clear();
  run(1'000);
  EXPECT_EQ(running(), "a=1.0.0");
}

// DEP-9
TEST_F(Policies, NobodyIsAskedWhereTheDeploymentSaysSo) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  listen("a", Topic::kUpdates);
  auto update = document("thinggroup/G1", 2, versions({{"a", "2.0.0"}}));
  update["componentUpdatePolicy"] = {{"timeout", 30}, {"action", "SKIP_NOTIFY_COMPONENTS"}};
  deploy("j2", update);
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_TRUE(heard_.empty());
}

TEST_F(Policies, ADeferredUpdateCanBeCancelledAndReplaced) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  listen("a", Topic::kUpdates);
  on_event_ = [&] { (void)defer(2, 1'000'000'000); };
  offer("j2", document("thinggroup/G1", 2, versions({{"a", "2.0.0"}})));
  run(100'000);
  auto forced = document("thinggroup/G1", 3, versions({{"b", "1.0.0"}}));
  forced["componentUpdatePolicy"] = {{"action", "SKIP_NOTIFY_COMPONENTS"}};
  deploy("j3", forced);
  EXPECT_EQ(running(), "b=1.0.0");
  EXPECT_EQ(updates().back().job, "j3");
}

TEST_F(Policies, PostUpdateIsToldAfterARollBackToo) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  listen("a", Topic::kUpdates);
  on_event_ = [&] { (void)defer(2, 0); };
  deploy("j2", document("thinggroup/G1", 2, versions({{"a", "1.0.0"}, {"broken", "1.0.0"}})));
  EXPECT_EQ(outcome(), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_EQ(heard_, (std::vector{pre_update(2), post_update(2)}));
}

// DEP-10
TEST_F(Policies, AComponentRejectsItsNewConfigurationBeforeTheSwitch) {
  deploy("j1", configured(1, {{"rate", 1}}));
  listen("a", Topic::kValidation);
  offer("j2", configured(2, {{"rate", -1}}));
  run(1'000);
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0], R"(a {"validateConfigurationUpdateEvent":{"configuration":{"rate":-1},)"
                       R"("deploymentId":"d2"}})");
  EXPECT_EQ(config("a"), (json{{"rate", 1}}));
  EXPECT_FALSE(report(1, std::nullopt));  // of another deployment
  ASSERT_TRUE(report(2, "rate must be positive"));
  run(1'000);
  EXPECT_EQ(outcome(), "FAILED FAILED_NO_STATE_CHANGE");
  EXPECT_EQ(cause(), "component a rejects its new configuration: rate must be positive");
  EXPECT_EQ(config("a"), (json{{"rate", 1}}));
  EXPECT_FALSE(report(2, std::nullopt));  // over
  // One that it accepts.
  on_event_ = [&] { EXPECT_TRUE(report(3, std::nullopt)); };
  deploy("j3", configured(3, {{"rate", 2}}));
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(config("a"), (json{{"rate", 2}}));
}

// DEP-10
TEST_F(Policies, AComponentThatDoesNotValidateInTimeFailsTheDeployment) {
  deploy("j1", configured(1, {{"rate", 1}}));
  listen("a", Topic::kValidation);
  auto update = configured(2, {{"rate", 2}});
  update["configurationValidationPolicy"] = {{"timeout", 20}};
  offer("j2", update);
  run(19'000);
  EXPECT_EQ(outcome_of("j2"), "IN_PROGRESS ");
  run(2'000);
  EXPECT_EQ(outcome_of("j2"), "FAILED FAILED_NO_STATE_CHANGE");
  EXPECT_EQ(cause(), "a did not say within 20 s whether the new configuration is valid");
  EXPECT_EQ(config("a"), (json{{"rate", 1}}));
}

TEST_F(Policies, OnlyWhatIsConfiguredAnewAndStaysIsValidated) {
  deploy("j1", configured(1, {{"rate", 1}}));
  listen("a", Topic::kValidation);
  deploy("j2", document("thinggroup/G1", 2, versions({{"a", "1.0.0"}, {"b", "1.0.0"}})));
  auto components = versions({{"a", "2.0.0"}});
  components["a"]["configurationUpdate"]["merge"] = {{"rate", 2}};
  deploy("j3", document("thinggroup/G1", 3, components));
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_TRUE(heard_.empty());
}

TEST_F(Policies, WhatTheNucleusCannotIsRefusedWhenItIsPlanned) {
  auto wanted = document("thinggroup/G1", 1, versions({{"a", "1.0.0"}}));
  wanted["requiredCapabilities"] = {"LARGE_CONFIGURATION", "LINUX_RESOURCE_LIMITS"};
  deploy("j1", wanted);
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  wanted = document("thinggroup/G1", 2, versions({{"a", "2.0.0"}}));
  wanted["requiredCapabilities"] = {"SUB_DEPLOYMENTS"};
  deploy("j2", wanted);
  EXPECT_EQ(outcome(), "FAILED FAILED_NO_STATE_CHANGE");
  EXPECT_NE(cause().find("SUB_DEPLOYMENTS"), std::string::npos);
  EXPECT_EQ(running(), "a=1.0.0");
}

// --- Uninstall
// -------------------------------------------------------------------------------------

class Uninstalls : public Policies {
 protected:
  Uninstalls() {
    cloud_.publish(
        test_recipe("leaver", "1.0.0", {}, {{"Run", "exit 3"}, {"Uninstall", "uninstall leaver"}}));
    auto good =
        test_recipe("guest", "1.0.0", {}, {{"Run", "run"}, {"Uninstall", "uninstall guest"}});
    good["ComponentConfiguration"]["DefaultConfiguration"] = {{"farewell", "bye"}};
    cloud_.publish(good);
  }
  std::string last_token() const {
    for (const auto& [name, value] : last_started_.environment) {
      if (name == "SVCUID") return value;
    }
    return "";
  }
  std::ptrdiff_t uninstalls(const std::string& name) const {
    return std::count(started_.begin(), started_.end(), "uninstall " + name);
  }
};

TEST_F(Uninstalls, TheFailedVersionsRunsAlsoWhereTheNucleusDiesInTheRollBack) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  offer("j2", document("thinggroup/G1", 2, versions({{"a", "1.0.0"}, {"leaver", "1.0.0"}})));
  for (int i = 0; i < 100'000 && nucleus_->state().phase() != nucleus::Phase::kRollingBack; ++i)
    run(1);
  ASSERT_EQ(nucleus_->state().phase(), nucleus::Phase::kRollingBack);
  ASSERT_EQ(uninstalls("leaver"), 0);
  restart();
  run(300'000);  // its Uninstall hangs, until its time is over
  EXPECT_EQ(outcome_of("j2"), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_EQ(uninstalls("leaver"), 1);
}

TEST_F(Uninstalls, ItRunsWithoutARollBackToo) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"guest", "1.0.0"}})));
  auto failing = document("thinggroup/G1", 2, versions({{"broken", "1.0.0"}}));
  failing["failureHandlingPolicy"] = "DO_NOTHING";
  deploy("j2", failing);
  run(300'000);  // its Uninstall hangs, until its time is over
  EXPECT_EQ(outcome_of("j2"), "FAILED FAILED_ROLLBACK_NOT_REQUESTED");
  EXPECT_EQ(running(), "broken=1.0.0(BROKEN)");
  EXPECT_EQ(uninstalls("guest"), 1);
}

// REC-17
TEST_F(Uninstalls, ItHasAnIdentityAndItsConfigurationUntilItHasRun) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"guest", "1.0.0"}})));
  offer("j2", document("thinggroup/G1", 2, versions({{"a", "1.0.0"}})));
  for (int i = 0; i < 100'000 && uninstalls("guest") == 0; ++i) run(1);
  ASSERT_EQ(uninstalls("guest"), 1);
  const std::string token = last_token();
  EXPECT_EQ(nucleus_->component_of_token(token), ComponentName("guest"));
  EXPECT_EQ(config("guest"), (json{{"farewell", "bye"}}));
  run(300'000);
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_FALSE(nucleus_->component_of_token(token));
  EXPECT_EQ(config("guest"), json());
  restart();
  EXPECT_EQ(config("guest"), json());
}

}  // namespace
}  // namespace skerry::sim
