// The jobs service against a client that only records: what a device asks and what it is told.
#include "fleet/jobs.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "fleet/fleet_status.h"
#include "fleet/store_sql.h"
#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

using nlohmann::json;

constexpr char kNext[] = "$aws/things/T/jobs/$next/namespace-aws-gg-deployment/get";
constexpr char kNotify[] = "$aws/things/T/jobs/notify-namespace-aws-gg-deployment";
constexpr char kNotifyNext[] = "$aws/things/T/jobs/notify-next-namespace-aws-gg-deployment";

std::string update_topic(const JobId& job) {
  return "$aws/things/T/jobs/" + job.str() + "/namespace-aws-gg-deployment/update";
}

class JobsTest : public testing::Test {
 protected:
  JobsTest() : jobs(fleet.env, fleet.stores, fleet.deployments, fleet.link) {
    fleet.add_thing("T");
    fleet.link.start();
    fleet.mqtt.connect();
    fleet.settle();
    fleet.mqtt.take_sent();
  }

  // The one answer to `payload` on `topic`; its topic must end with `suffix`.
  json ask(const std::string& topic, const json& payload, const std::string& suffix) {
    fleet.mqtt.receive(topic, payload.dump());
    const auto sent = fleet.mqtt.take_sent(topic + "/");
    EXPECT_EQ(sent.size(), 1u);
    if (sent.empty()) return {};
    EXPECT_EQ(sent.front().topic, topic + suffix);
    EXPECT_EQ(sent.front().qos, 1);
    return json::parse(sent.front().payload);
  }

  // The last message on each topic since the last call.
  std::map<std::string, json> told() {
    fleet.settle();
    std::map<std::string, json> messages;
    for (const auto& message : fleet.mqtt.take_sent()) {
      messages[message.topic] = json::parse(message.payload);
    }
    return messages;
  }

  TestFleet fleet;
  JobsService jobs;
};

TEST_F(JobsTest, NothingToDoIsAnAnswerWithoutExecution) {
  const json answer =
      ask(kNext, {{"jobId", "$next"}, {"thingName", "T"}, {"clientToken", "c1"}}, "/accepted");
  EXPECT_FALSE(answer.contains("execution"));
  EXPECT_EQ(answer["clientToken"], "c1");
  EXPECT_EQ(answer["timestamp"], fleet.clock.wall / 1000);
}

TEST_F(JobsTest, TheClientTokenIsEchoedOnlyIfGiven) {
  EXPECT_FALSE(ask(kNext, json::object(), "/accepted").contains("clientToken"));
}

TEST_F(JobsTest, ADeploymentIsNotifiedOnBothTopicsAndServedWithItsDocument) {
  const Deployment deployment = fleet.deploy_to("thing/T");
  auto messages = told();
  const json next = messages[kNotifyNext];
  EXPECT_EQ(next["execution"]["jobId"], deployment.job_id.str());
  EXPECT_EQ(next["execution"]["status"], "QUEUED");
  EXPECT_TRUE(next["execution"]["queuedAt"].is_number_integer());
  EXPECT_EQ(next["execution"]["jobDocument"]["deploymentId"], deployment.id.str());
  const json queued = messages[kNotify]["jobs"]["QUEUED"];
  ASSERT_EQ(queued.size(), 1u);
  EXPECT_EQ(queued[0]["jobId"], deployment.job_id.str());
  EXPECT_FALSE(queued[0].contains("jobDocument"));

  const json answer = ask(kNext, {{"includeJobDocument", true}}, "/accepted");
  EXPECT_EQ(answer["execution"], next["execution"]);
  EXPECT_FALSE(ask(kNext, {{"includeJobDocument", false}}, "/accepted")["execution"].contains(
      "jobDocument"));
}

TEST_F(JobsTest, AnExecutionGoesItsWayAndItsEndIsNotified) {
  const Deployment deployment = fleet.deploy_to("thing/T");
  told();
  const std::string topic = update_topic(deployment.job_id);
  ask(topic, {{"status", "IN_PROGRESS"}, {"statusDetails", json::object()}}, "/accepted");
  EXPECT_TRUE(told().empty()) << "the list of open jobs has not changed";

  const json answer = ask(topic,
                          {{"status", "FAILED"},
                           {"statusDetails", {{"deployment-failure-cause", "no such model"}}},
                           {"includeJobExecutionState", true},
                           {"expectedVersion", 2}},
                          "/accepted");
  EXPECT_EQ(answer["executionState"]["status"], "FAILED");
  EXPECT_EQ(answer["executionState"]["versionNumber"], 3);
  const auto messages = told();
  EXPECT_FALSE(messages.at(kNotifyNext).contains("execution"));
  EXPECT_EQ(messages.at(kNotify)["jobs"], json::object());

  const auto stored = fleet.store->find_execution(deployment.job_id, ThingName("T"));
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->status, ExecutionStatus::kFailed);
  EXPECT_EQ(json::parse(stored->status_details_json)["deployment-failure-cause"], "no such model");
  EXPECT_EQ(fleet.store->find_deployment(deployment.id)->status, DeploymentStatus::kFailed);
}

TEST_F(JobsTest, ARepeatedFinalReportIsAcceptedAndAContradictionIsNot) {
  const std::string topic = update_topic(fleet.deploy_to("thing/T").job_id);
  told();
  ask(topic, {{"status", "SUCCEEDED"}}, "/accepted");
  told();
  ask(topic, {{"status", "SUCCEEDED"}}, "/accepted");
  EXPECT_TRUE(told().empty());
  EXPECT_EQ(ask(topic, {{"status", "FAILED"}}, "/rejected")["code"], "InvalidStateTransition");
}

TEST_F(JobsTest, WrongRequestsAreRejectedWithAReason) {
  const JobId job = fleet.deploy_to("thing/T").job_id;
  told();
  EXPECT_EQ(ask(update_topic(job), {{"status", "CANCELED"}}, "/rejected")["code"],
            "InvalidRequest");
  EXPECT_EQ(ask(update_topic(job), {{"status", "LOST"}}, "/rejected")["code"], "InvalidJson");
  const json mismatch =
      ask(update_topic(job), {{"status", "FAILED"}, {"expectedVersion", 7}, {"clientToken", "c2"}},
          "/rejected");
  EXPECT_EQ(mismatch["code"], "VersionMismatch");
  EXPECT_EQ(mismatch["clientToken"], "c2");
  EXPECT_EQ(ask(update_topic(JobId("other")), {{"status", "FAILED"}}, "/rejected")["code"],
            "ResourceNotFound");
  EXPECT_EQ(ask("$aws/things/T/jobs/other/namespace-aws-gg-deployment/get", json::object(),
                "/rejected")["code"],
            "ResourceNotFound");
  fleet.mqtt.receive(kNext, "{");
  EXPECT_EQ(json::parse(fleet.mqtt.take_sent().at(0).payload)["code"], "InvalidJson");
  EXPECT_EQ(fleet.store->find_execution(job, ThingName("T"))->status, ExecutionStatus::kQueued);
}

TEST_F(JobsTest, AThingDoesNotSeeTheJobOfAnother) {
  fleet.add_thing("X");
  const JobId job = fleet.deploy_to("thing/X").job_id;
  told();
  EXPECT_EQ(ask(update_topic(job), {{"status", "SUCCEEDED"}}, "/rejected")["code"],
            "ResourceNotFound");
}

TEST_F(JobsTest, TheTimeOfQueueingNeverGoesBackWhenTheClockDoes) {
  fleet.add_group("G", {"T"});
  fleet.deploy_to("thinggroup/G");
  const json before = told()[kNotify]["jobs"]["QUEUED"][0];
  fleet.clock.wall -= 3'600'000;
  fleet.deploy_to("thing/T");
  const json after = told()[kNotify]["jobs"]["QUEUED"];
  ASSERT_EQ(after.size(), 2u);
  for (const json& job : after) EXPECT_GE(job["queuedAt"], before["queuedAt"]);
}

TEST_F(JobsTest, WhatIsBegunStaysTheNextJob) {
  fleet.add_group("G", {"T"});
  const JobId first = fleet.deploy_to("thinggroup/G").job_id;
  told();
  ask(update_topic(first), {{"status", "IN_PROGRESS"}}, "/accepted");
  fleet.deploy_to("thing/T");
  auto messages = told();
  EXPECT_EQ(messages[kNotifyNext]["execution"]["jobId"], first.str());
  EXPECT_EQ(messages[kNotify]["jobs"]["IN_PROGRESS"].size(), 1u);
  EXPECT_EQ(messages[kNotify]["jobs"]["QUEUED"].size(), 1u);
}

TEST_F(JobsTest, ASubscriptionRepeatsWhatIsPending) {
  fleet.mqtt.receive("$skerry/subscribed/T", kNotify);
  EXPECT_TRUE(told().empty()) << "nothing is pending";
  fleet.deploy_to("thing/T");
  told();
  fleet.mqtt.receive("$skerry/subscribed/T", kNotify);
  EXPECT_EQ(told().count(kNotify), 1u);
}

TEST_F(JobsTest, WhatHappensWithoutABrokerIsNotifiedAfterIt) {
  fleet.mqtt.disconnect();
  fleet.deploy_to("thing/T");
  EXPECT_TRUE(told().empty());
  fleet.mqtt.connect();
  EXPECT_EQ(told().count(kNotifyNext), 1u);
}

TEST_F(JobsTest, ManyDevicesAreNotifiedNoFasterThanTheBrokerAcknowledges) {
  std::vector<std::string> things;
  things.reserve(400);
  for (int i = 0; i < 400; ++i) things.push_back("T" + std::to_string(i));
  const auto created = fleet.store->transaction([&]() -> Result<void> {
    for (const auto& thing : things) fleet.add_thing(thing);
    fleet.add_group("G", things);
    return {};
  });
  ASSERT_TRUE(created);
  fleet.mqtt.hold(true);
  fleet.deploy_to("thinggroup/G");
  fleet.settle();
  EXPECT_LE(fleet.mqtt.unanswered(), 501u);
  EXPECT_GT(fleet.mqtt.unanswered(), 400u);
  fleet.mqtt.hold(false);
  size_t notified = 0;
  while (notified < 2 * things.size()) {
    ASSERT_TRUE(fleet.loop.run_for(5000));
    notified += fleet.mqtt.take_sent().size();
  }
  EXPECT_EQ(notified, 2 * things.size());
}

TEST_F(JobsTest, TooManyToRememberByNameAreAllTold) {
  constexpr int kMany = 25'000;
  const std::array<std::string, 2> groups = {"many", "more"};  // neither of them too large to ask
  ASSERT_TRUE(fleet.store->transaction([&]() -> Result<void> {
    for (const std::string& name : groups) {
      ThingGroup group;
      group.name = ThingGroupName(name);
      group.id = name;
      SKERRY_TRY(fleet.store->create_group(group));
    }
    for (int i = 0; i < kMany; ++i) {
      const ThingName name("t" + std::to_string(i));
      SKERRY_TRY(fleet.store->create_thing({.name = name, .id = name.str()}));
      SKERRY_TRY(
          fleet.store->add_to_group(name, ThingGroupName(groups.at(static_cast<size_t>(i) % 2))));
    }
    return {};
  }));
  // The broker acknowledges as it likes.
  const auto told_so_many = [&](size_t topics) {
    std::map<std::string, json> messages = told();
    while (messages.size() < topics && fleet.loop.run_for(5000)) {
      for (auto& [topic, message] : told()) messages[topic] = std::move(message);
    }
    return messages;
  };
  std::vector<DeploymentId> deployments;
  ASSERT_TRUE(fleet.write([&](Store& store) -> Result<void> {
    for (const std::string& name : groups) {
      const json request = {{"targetArn", "arn:aws:iot:eu-west-1:000000000000:thinggroup/" + name},
                            {"components", json::object()}};
      SKERRY_ASSIGN(const auto made, fleet.deployments.create(store, request));
      deployments.push_back(made.id);
    }
    return {};
  }));
  EXPECT_EQ(told_so_many(2u * kMany).size(), 2u * kMany);
  // Also those that have nothing to do any more, and the broker was away meanwhile.
  fleet.mqtt.disconnect();
  ASSERT_TRUE(fleet.write([&](Store& store) -> Result<void> {
    for (const DeploymentId& id : deployments) SKERRY_TRY(fleet.deployments.cancel(store, id));
    return {};
  }));
  fleet.mqtt.connect();
  const auto messages = told_so_many(2u * kMany);
  EXPECT_EQ(messages.size(), 2u * kMany);
  for (const auto& [topic, message] : messages) {
    if (topic.find("notify-next") != std::string::npos) EXPECT_FALSE(message.contains("execution"));
  }
}

TEST_F(JobsTest, WhatNoPacketCarriesEndsFailedAndDoesNotBlockWhatFollows) {
  Deployment old;
  old.id = DeploymentId("old");
  old.job_id = JobId("old-job");
  old.target_arn = "arn:aws:iot:eu-west-1:000000000000:thing/T";
  old.document_json = json{{"data", std::string(300'000, 'x')}}.dump();
  ASSERT_TRUE(fleet.store->create_deployment(old));
  ASSERT_TRUE(fleet.store->queue_execution(old.job_id, ThingName("T"), fleet.clock.wall - 1));
  fleet.add_group("G", {"T"});
  const JobId job = fleet.deploy_to("thinggroup/G").job_id;
  EXPECT_EQ(told()[kNotifyNext]["execution"]["jobId"], job.str());
  EXPECT_EQ(fleet.store->find_execution(old.job_id, ThingName("T"))->status,
            ExecutionStatus::kFailed);
}

TEST_F(JobsTest, StatusDetailsHaveALimit) {
  const std::string topic = update_topic(fleet.deploy_to("thing/T").job_id);
  told();
  json details = json::object();
  for (int i = 0; i < 40; ++i) details["k" + std::to_string(i)] = std::string(1000, 'x');
  EXPECT_EQ(
      ask(topic, {{"status", "IN_PROGRESS"}, {"statusDetails", details}}, "/rejected")["code"],
      "InvalidRequest");
}

class FleetStatusTest : public testing::Test {
 protected:
  FleetStatusTest() : service(fleet.env, fleet.stores, fleet.link) {
    fleet.add_thing("T");
    fleet.link.start();
    fleet.mqtt.connect();
  }

  void report(const json& changes, const std::string& thing = "T") {
    json message = {{"ggcVersion", "2.6.0"},
                    {"platform", "linux"},
                    {"architecture", "amd64"},
                    {"thing", "T"},
                    {"sequenceNumber", 1},
                    {"timestamp", 1},
                    {"messageType", "COMPLETE"},
                    {"trigger", "NUCLEUS_LAUNCH"},
                    {"overallDeviceStatus", "HEALTHY"},
                    {"components", json::array()}};
    message.update(changes);
    fleet.mqtt.receive("$aws/things/" + thing + "/greengrassv2/health/json", message.dump());
  }

  // "name version state …" of what is installed, in order of names.
  std::string installed() {
    const auto list = fleet.store->list_installed_components(ThingName("T"), false, {});
    if (!list) return list.error().message();
    std::string text;
    for (const auto& one : list->items)
      text += one.name.str() + " " + one.version + " " + one.state + "; ";
    return text;
  }

  static json component(std::string name, json version, std::string status) {
    return {{"componentName", std::move(name)},
            {"version", std::move(version)},
            {"status", std::move(status)}};
  }

  TestFleet fleet;
  FleetStatusService service;
};

TEST_F(FleetStatusTest, CompleteReplacesAndPartialAdds) {
  report({{"components",
           {component("a", "1.0.0", "RUNNING"), component("main", nullptr, "RUNNING")}}});
  EXPECT_EQ(installed(), "a 1.0.0 RUNNING; main  RUNNING; ");
  report(
      {{"messageType", "PARTIAL"},
       {"overallDeviceStatus", "UNHEALTHY"},
       {"components", {component("a", "1.1.0", "BROKEN"), component("b", "2.0.0", "FINISHED")}}});
  EXPECT_EQ(installed(), "a 1.1.0 BROKEN; b 2.0.0 FINISHED; main  RUNNING; ");
  EXPECT_FALSE(fleet.store->find_core_device(ThingName("T"))->healthy);
  report({{"components", {component("b", "2.0.0", "FINISHED")}}});
  EXPECT_EQ(installed(), "b 2.0.0 FINISHED; ");
  EXPECT_TRUE(fleet.store->find_core_device(ThingName("T"))->healthy);
}

TEST_F(FleetStatusTest, UninstalledComponentsGo) {
  report(
      {{"components", {component("a", "1.0.0", "RUNNING"), component("b", "1.0.0", "RUNNING")}}});
  report({{"messageType", "PARTIAL"}, {"components", {component("a", "1.0.0", "UNINSTALLED")}}});
  EXPECT_EQ(installed(), "b 1.0.0 RUNNING; ");
}

TEST_F(FleetStatusTest, ACompleteStatusInPiecesReplacesOnce) {
  report({{"components", {component("old", "1.0.0", "RUNNING")}}});
  report({{"components", {component("a", "1.0.0", "RUNNING")}},
          {"chunkInfo", {{"chunkId", 1}, {"totalChunks", 2}}}});
  report({{"components", {component("b", "1.0.0", "RUNNING")}},
          {"chunkInfo", {{"chunkId", 2}, {"totalChunks", 2}}}});
  EXPECT_EQ(installed(), "a 1.0.0 RUNNING; b 1.0.0 RUNNING; ");
}

TEST_F(FleetStatusTest, OfAFloodTheLastIsStoredWhenTheThingHasSlowedDown) {
  for (int i = 1; i <= 100; ++i) {
    report({{"components", {component("a", "1.0." + std::to_string(i), "RUNNING")}}});
  }
  EXPECT_EQ(installed(), "a 1.0.60 RUNNING; ");
  fleet.clock.monotonic += 10'000;
  for (int i = 0; i < 100 && installed() != "a 1.0.100 RUNNING; "; ++i) fleet.loop.run_for(100);
  EXPECT_EQ(installed(), "a 1.0.100 RUNNING; ");
  report({{"components", {component("a", "2.0.0", "RUNNING")}}});
  EXPECT_EQ(installed(), "a 2.0.0 RUNNING; ") << "nothing is held back any more";
}

// A device was told that it was heard: it does not say it again.
TEST_F(FleetStatusTest, WhatIsSaidWhileTheDiskIsFullIsStoredWhenThereIsRoom) {
  report({{"components", {component("a", "1.0.0", "RUNNING")}}});
  fleet.limit_database(1);  // as large as it is
  const std::string reason(100'000, 'x');
  const auto told = [&](const char* version) {
    json one = component("a", version, "BROKEN");
    one["componentStatusDetails"] = {{"statusCodes", {"RUN_ERROR"}}, {"statusReason", reason}};
    report({{"components", {one}}});
  };
  told("1.1.0");
  told("1.2.0");
  report({{"messageType", "PARTIAL"}, {"components", {component("b", "1.0.0", "RUNNING")}}});
  EXPECT_EQ(installed(), "a 1.0.0 RUNNING; ");
  for (int i = 0; i < 15; ++i) fleet.loop.run_for(100);
  EXPECT_EQ(installed(), "a 1.0.0 RUNNING; ");
  fleet.limit_database(1'000'000);
  const std::string all = "a 1.2.0 BROKEN; b 1.0.0 RUNNING; ";  // in their order
  for (int i = 0; i < 200 && installed() != all; ++i) fleet.loop.run_for(100);
  EXPECT_EQ(installed(), all);
  report({{"components", {component("a", "2.0.0", "RUNNING")}}});
  EXPECT_EQ(installed(), "a 2.0.0 RUNNING; ") << "nothing is held back any more";
}

// Its refusal is one that could be tried again, as that of a full store is.
TEST_F(FleetStatusTest, WhatNobodyCanReadHoldsUpNobody) {
  fleet.add_thing("A");
  json deep = json::array();
  for (int i = 0; i < 200; ++i) deep = json::array({deep});
  ASSERT_TRUE(formats::parse_fleet_status(deep.dump()).error().retryable());
  report({{"components", {deep}}}, "A");
  report({{"components", {component("a", "1.0.0", "RUNNING")}}});
  EXPECT_EQ(installed(), "a 1.0.0 RUNNING; ");
}

TEST_F(FleetStatusTest, ADeviceSpeaksForItselfOnly) {
  fleet.add_thing("X");
  report({{"components", {component("a", "1.0.0", "RUNNING")}}}, "X");
  EXPECT_FALSE(fleet.store->find_core_device(ThingName("T")));
  EXPECT_FALSE(fleet.store->find_core_device(ThingName("X")));
}

}  // namespace
}  // namespace skerry::fleet
