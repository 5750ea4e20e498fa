// Deployments in the thing's shadow. The test is the service that keeps the shadow, by the rules of
// formats/shadow.h, and the operator who writes into it.
#include "formats/shadow.h"
#include "formats/shadow_deployment.h"
#include "sim/nucleus_fixture.h"

namespace skerry::sim {
namespace {

class NucleusShadow : public NucleusJobs {
 protected:
  NucleusShadow() {
    const std::string topic = formats::shadow_topic(kThing.str(), formats::kDeploymentShadow);
    EXPECT_TRUE(service_->subscribe({.filter = topic + "/get", .qos = 1}));
    EXPECT_TRUE(service_->subscribe({.filter = topic + "/update", .qos = 1}));
    net::MqttClient::Events events;
    events.on_message = [this, topic](const net::MqttMessage& message) {
      if (is_down_) return;
      message.topic == topic + "/get" ? get(message.payload) : update(message.payload);
    };
    service_->start(std::move(events));
    run(10);
    boot();
  }

  void tell(const std::string& below, std::string payload) {
    broker_.publish(
        {.topic = formats::shadow_topic(kThing.str(), formats::kDeploymentShadow) + "/" + below,
         .payload = std::move(payload),
         .qos = 1});
  }
  void get(const std::string& payload) {
    const auto token = formats::shadow_client_token(payload);
    if (!shadow_.exists()) {
      return tell("get/rejected", formats::shadow_rejected(formats::no_shadow("x"), 1, token));
    }
    tell("get/accepted", formats::shadow_document(shadow_, 1, token));
  }
  void update(const std::string& payload) {
    const auto parsed = formats::parse_shadow_update(payload);
    ASSERT_TRUE(parsed) << payload;
    const bool has_causes = payload.find("failureCause\":\"") != std::string::npos;
    if (is_full_ && has_causes) refuses_ = formats::ShadowError{413, "too large"};
    auto after =
        refuses_ ? std::unexpected(*refuses_) : formats::apply_shadow_update(shadow_, *parsed, 1);
    if (is_full_) refuses_.reset();
    if (!after) {
      refusals_.push_back(after.error().code);
      return tell("update/rejected",
                  formats::shadow_rejected(after.error(), 1, parsed->client_token));
    }
    shadow_ = *after;
    tell("update/accepted", formats::shadow_accepted(shadow_, *parsed, 1));
  }
  void operator_says(const json& desired) {
    update(json{{"state", {{"desired", desired}}}}.dump());
  }
  static json wanted(const json& document, const char* status = "IN_PROGRESS") {
    return {{"fleetConfig", document.dump()}, {"desiredStatus", status}};
  }
  static json of_thing(int revision, const std::map<std::string, std::string>& components) {
    return document("thing/press-7", revision, versions(components));
  }
  static std::string arn(int revision) { return of_thing(revision, {})["configurationArn"]; }
  void offer_in_shadow(const json& document) {
    operator_says(wanted(document));
    run(20'000);
  }
  json reported() const { return shadow_.reported.state ? *shadow_.reported.state : json(); }
  std::string said() const {
    const json now = reported();
    if (now.is_null()) return "nothing";
    return now.value("status", "") + " " +
           now.value("statusDetails", json::object()).value("detailedStatus", "");
  }

  formats::Shadow shadow_;
  bool is_down_ = false, is_full_ = false;
  std::optional<formats::ShadowError> refuses_;
  std::vector<int> refusals_;
  std::unique_ptr<net::MqttClient> service_ = broker_.client(client("shadow-service"));
};

// DEP-19, DEP-20
TEST_F(NucleusShadow, ADeploymentInTheShadowRunsAndIsReportedThere) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  offer_in_shadow(of_thing(1, {{"b", "1.0.0"}}));
  EXPECT_EQ(running(), "a=1.0.0 b=1.0.0");
  EXPECT_EQ(said(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(reported()["fleetConfigurationArnForStatus"], arn(1));
  EXPECT_EQ(reported()["ggcVersion"], nucleus::kNucleusVersion);
  const auto status = fleet_statuses().back();
  EXPECT_EQ(status.trigger, "THING_DEPLOYMENT");
  EXPECT_EQ(status.deployment->configuration_arn, arn(1));
  // Only the job's is told as a job's end.
  for (const auto& update : updates()) EXPECT_EQ(update.job, "j1");
  // The same again is nothing new, nor is it after a restart.
  const size_t scripts = started_.size();
  offer_in_shadow(of_thing(1, {{"b", "1.0.0"}}));
  boot();
  run(20'000);
  EXPECT_EQ(started_.size(), scripts + 2);
  EXPECT_EQ(said(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(nucleus_->state().last_result()->job, JobId("j1"));
}

// DEP-20
TEST_F(NucleusShadow, WhatWasWishedWhileItWasAwayIsFoundAtTheConnection) {
  broker_.cut(kThing.str());
  operator_says(wanted(of_thing(1, {{"a", "1.0.0"}})));
  run(20'000);
  EXPECT_EQ(running(), "a=1.0.0");
  nucleus_.reset();
  operator_says(wanted(of_thing(2, {{"a", "2.0.0"}})));
  boot();
  run(20'000);
  EXPECT_EQ(running(), "a=2.0.0");
  EXPECT_EQ(said(), "SUCCEEDED SUCCESSFUL");
}

TEST_F(NucleusShadow, AFailureIsReportedWithItsCauseAndTheNextOneClearsIt) {
  offer_in_shadow(of_thing(1, {{"broken", "1.0.0"}}));
  EXPECT_EQ(said(), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_NE(reported()["statusDetails"]["failureCause"].get<std::string>().find("exit code 3"),
            std::string::npos);
  EXPECT_EQ(reported()["statusDetails"]["errorStack"][0], "DEPLOYMENT_FAILURE");
  boot();  // it is not tried again
  run(20'000);
  EXPECT_EQ(said(), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_EQ(std::ranges::count(started_, "exit 3"), 3);
  offer_in_shadow(of_thing(2, {{"a", "1.0.0"}}));
  EXPECT_EQ(reported()["statusDetails"], (json{{"detailedStatus", "SUCCESSFUL"}}));
}

TEST_F(NucleusShadow, OneThatIsForOthersOrCannotBeReadIsRejected) {
  offer_in_shadow(document("thing/other", 1, versions({{"a", "1.0.0"}})));
  EXPECT_EQ(said(), "REJECTED REJECTED");
  EXPECT_NE(reported()["statusDetails"]["failureCause"].get<std::string>().find("thing/other"),
            std::string::npos);
  offer_in_shadow(document("thing/press-7", 2, {{"a", {{"version", "one"}}}}));
  EXPECT_EQ(said(), "REJECTED REJECTED");
  EXPECT_EQ(reported()["fleetConfigurationArnForStatus"], arn(2));
  EXPECT_EQ(running(), "");
  offer_in_shadow(of_thing(3, {{"a", "1.0.0"}}));
  offer_in_shadow(of_thing(2, {{"a", "2.0.0"}}));  // older
  EXPECT_EQ(said(), "REJECTED REJECTED");
  EXPECT_EQ(running(), "a=1.0.0");
}

// DEP-21
TEST_F(NucleusShadow, CancelledBeforeTheSwitchChangesNothing) {
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  const json first = of_thing(1, {{"a", "1.0.0"}});
  offer_in_shadow(first);
  EXPECT_EQ(said(), "IN_PROGRESS ");
  operator_says({{"desiredStatus", "CANCELED"}});  // the document stays
  cloud_.unreachable.reset();
  run(120'000);
  EXPECT_EQ(said(), "CANCELED FAILED_NO_STATE_CHANGE");
  EXPECT_EQ(running(), "");
  boot();
  run(20'000);
  EXPECT_EQ(running(), "");
  // Whoever wants it after all gets it; jobs were not held up either.
  operator_says({{"desiredStatus", "IN_PROGRESS"}});
  run(20'000);
  EXPECT_EQ(running(), "a=1.0.0");
  deploy("j1", document("thinggroup/G1", 1, versions({{"b", "1.0.0"}})));
  EXPECT_EQ(running(), "a=1.0.0 b=1.0.0");
}

// DEP-21
TEST_F(NucleusShadow, CancelledBehindTheSwitchRollsBack) {
  offer_in_shadow(of_thing(1, {{"a", "1.0.0"}}));
  cloud_.publish(test_recipe("slow", "1.0.0", {}, {{"Install", "exit 0 after 60000"}}));
  offer_in_shadow(of_thing(2, {{"a", "2.0.0"}, {"slow", "1.0.0"}}));
  ASSERT_EQ(nucleus_->state().phase(), nucleus::Phase::kActivating);
  operator_says(wanted(of_thing(2, {{"a", "2.0.0"}, {"slow", "1.0.0"}}), "CANCELED"));
  run(20'000);
  EXPECT_EQ(said(), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_EQ(running(), "a=1.0.0");
}

// DEP-13
TEST_F(NucleusShadow, ALaterOneReplacesOneThatHasNotEnded) {
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  offer_in_shadow(of_thing(1, {{"a", "1.0.0"}}));
  operator_says(wanted(of_thing(2, {{"b", "1.0.0"}})));
  cloud_.unreachable.reset();
  run(120'000);
  EXPECT_EQ(running(), "b=1.0.0");
  EXPECT_EQ(said(), "SUCCEEDED SUCCESSFUL");
  cloud_.publish(test_recipe("slow", "1.0.0", {}, {{"Install", "exit 0 after 60000"}}));
  offer_in_shadow(of_thing(3, {{"slow", "1.0.0"}}));
  ASSERT_EQ(nucleus_->state().phase(), nucleus::Phase::kActivating);
  boot();  // also over a restart
  run(1'000);
  ASSERT_EQ(nucleus_->state().phase(), nucleus::Phase::kActivating);
  offer_in_shadow(of_thing(4, {{"b", "2.0.0"}}));
  EXPECT_EQ(running(), "b=2.0.0");
  EXPECT_EQ(said(), "SUCCEEDED SUCCESSFUL");
  EXPECT_TRUE(nucleus_->state().unreported().empty());
}

TEST_F(NucleusShadow, ARestartBehindTheSwitchGoesOnAndReports) {
  cloud_.publish(test_recipe("slow", "1.0.0", {}, {{"Install", "exit 0 after 10000"}}));
  operator_says(wanted(of_thing(1, {{"slow", "1.0.0"}})));
  run(5'000);
  ASSERT_EQ(nucleus_->state().phase(), nucleus::Phase::kActivating);
  boot();
  run(40'000);
  EXPECT_EQ(said(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(fleet_statuses().back().trigger, "THING_DEPLOYMENT");
  EXPECT_TRUE(nucleus_->state().unreported().empty());
  deploy("j1", document("thinggroup/G1", 1, versions({{"b", "1.0.0"}})));
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
}

// DEP-14, DEP-19
TEST_F(NucleusShadow, AReportIsSaidUntilItIsTakenWhateverIsAnswered) {
  offer_in_shadow(of_thing(1, {{"a", "1.0.0"}}));
  is_down_ = true;
  operator_says(wanted(of_thing(2, {{"a", "2.0.0"}})));
  run(20'000);
  ASSERT_EQ(nucleus_->state().unreported().size(), 1u);
  boot();  // it survives
  EXPECT_EQ(nucleus_->state().unreported().size(), 1u);
  is_down_ = false;
  refuses_ = formats::ShadowError{429, "slowly"};
  run(30'000);
  EXPECT_EQ(nucleus_->state().unreported().size(), 1u);
  refuses_.reset();
  run(30'000);
  EXPECT_EQ(said(), "SUCCEEDED SUCCESSFUL");
  EXPECT_TRUE(nucleus_->state().unreported().empty());
  EXPECT_EQ(running(), "a=2.0.0");
}

TEST_F(NucleusShadow, WhoeverChangesTheShadowInBetweenDoesNotStopAReport) {
  offer_in_shadow(of_thing(1, {{"broken", "1.0.0"}}));
  // A change that the device does not hear of: its next report is of an older version.
  shadow_.version += 5;
  const json document = of_thing(2, {{"a", "1.0.0"}});
  nucleus_.reset();
  operator_says(wanted(document));
  boot();
  run(1);
  shadow_.version += 1;
  run(30'000);
  EXPECT_GT(std::ranges::count(refusals_, 409), 0);
  EXPECT_EQ(said(), "SUCCEEDED SUCCESSFUL");
  // Where the shadow has no room for the causes, they are left out.
  refusals_.clear();
  is_full_ = true;
  offer_in_shadow(of_thing(3, {{"broken", "1.0.0"}}));
  EXPECT_EQ(refusals_, std::vector{413});
  EXPECT_EQ(said(), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_FALSE(reported()["statusDetails"].contains("failureCause"));
  EXPECT_TRUE(nucleus_->state().unreported().empty());
}

TEST_F(NucleusShadow, AnAnswerThatWasOvertakenBringsNothingOldBack) {
  offer_in_shadow(of_thing(1, {{"a", "1.0.0"}}));
  const formats::Shadow old = shadow_;
  is_down_ = true;
  reconnect();
  is_down_ = false;
  formats::ClientToken token;  // of its last question
  for (const auto& message : broker_.published) {
    if (message.topic.ends_with("/get") && formats::parse_shadow_topic(message.topic))
      token = formats::shadow_client_token(message.payload);
  }
  offer_in_shadow(of_thing(2, {{"a", "2.0.0"}}));
  tell("get/accepted", formats::shadow_document(old, 1, token));
  run(20'000);
  EXPECT_EQ(running(), "a=2.0.0");
  EXPECT_EQ(nucleus_->state().targets().at("thing/press-7").revision, 2);
}

TEST_F(NucleusShadow, JobsAndLocalDeploymentsWaitForItAndItForThem) {
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  offer("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  operator_says(wanted(of_thing(1, {{"b", "1.0.0"}})));  // puts the job off, which has not switched
  run(1'000);
  EXPECT_EQ(said(), "IN_PROGRESS ");
  cloud_.unreachable.reset();
  run(60'000);
  EXPECT_EQ(running(), "b=1.0.0");
  offer("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  run(20'000);
  EXPECT_EQ(running(), "a=1.0.0 b=1.0.0");
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  cloud_.publish(test_recipe("slow", "1.0.0", {}, {{"Install", "exit 0 after 10000"}}));
  offer("j2", document("thinggroup/G1", 2, versions({{"slow", "1.0.0"}})));
  run(2'000);
  ASSERT_EQ(nucleus_->state().phase(), nucleus::Phase::kActivating);
  operator_says(wanted(of_thing(2, {{"b", "2.0.0"}})));  // has to wait
  run(60'000);
  EXPECT_EQ(running(), "b=2.0.0 slow=1.0.0(FINISHED)");
  EXPECT_EQ(said(), "SUCCEEDED SUCCESSFUL");
}

}  // namespace
}  // namespace skerry::sim
