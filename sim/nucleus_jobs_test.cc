// A whole nucleus in virtual time, with the test as its broker and control plane: deployments,
// their jobs and the fleet status, message by message.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/arn.h"
#include "formats/fleet_status.h"
#include "formats/jobs.h"
#include "io/fault_files.h"
#include "nucleus/nucleus.h"
#include "nucleus/test_cloud.h"
#include "sim/sim_clock.h"
#include "sim/sim_loop.h"
#include "sim/sim_processes.h"

namespace skerry::sim {
namespace {

using formats::JobTopicKind;
using nlohmann::json;
using nucleus::test_recipe;

const ThingName kThing("press-7");

class TestMqtt : public net::MqttClient {
 public:
  void start(Events events) override { events_ = std::move(events); }
  bool connected() const override { return connected_; }
  void publish(net::MqttMessage message, Done) override { sent.push_back(std::move(message)); }
  void subscribe(std::string, uint8_t, Done) override {}
  void unsubscribe(std::string) override {}

  void connect() {
    connected_ = true;
    events_.on_connected(false);
  }
  void deliver(const formats::JobTopic& topic, std::string payload) {
    events_.on_message({topic.str(), std::move(payload), 1});
  }
  std::vector<net::MqttMessage> sent;

 private:
  Events events_;
  bool connected_ = false;
};

struct Update {
  std::string job;
  formats::JobUpdateRequest request;
};

class NucleusJobs : public ::testing::Test {
 protected:
  NucleusJobs() {
    info_.root = "/device";
    info_.thing = kThing;
    info_.platform.architecture = "amd64";
    for (const char* version : {"1.0.0", "2.0.0"}) {
      for (const char* name : {"a", "b"}) cloud_.publish(test_recipe(name, version));
    }
    cloud_.publish(test_recipe("broken", "1.0.0", {}, {{"Run", "exit 3"}}));
    cloud_.groups = std::vector<std::string>{"thinggroup/G1", "thinggroup/G2"};
    boot();
  }

  void boot(const std::function<void()>& before_start = {}) {
    nucleus_.reset();
    mqtt_ = std::make_unique<TestMqtt>();
    nucleus::Nucleus::Hooks hooks;
    hooks.on_fatal = [this](const Error& error) { fatal_ = error.message(); };
    auto opened = nucleus::Nucleus::open(env_, info_, cloud_, *mqtt_, std::move(hooks));
    ASSERT_TRUE(opened) << opened.error().message();
    nucleus_ = std::move(*opened);
    if (before_start) before_start();
    nucleus_->start();
    mqtt_->connect();
    run(10);
  }
  void run(int64_t for_ms) {
    const int64_t end_ms = loop_.now_ms() + for_ms;
    while (loop_.step(end_ms)) {
    }
  }

  static json document(const std::string& target, int revision, const json& components) {
    const auto slash = target.find('/');
    const auto kind = target.starts_with("thing/") ? formats::Target::Kind::kThing
                                                   : formats::Target::Kind::kThingGroup;
    return {{"deploymentId", "d" + std::to_string(revision)},
            {"configurationArn",
             formats::configuration_arn({}, {{kind, target.substr(slash + 1)}, revision})},
            {"creationTimestamp", 1'767'225'600'000},
            {"components", components}};
  }
  // {"a": "1.0.0"} as a document has it.
  static json versions(const std::map<std::string, std::string>& components) {
    json listed = json::object();
    for (const auto& [name, version] : components) listed[name] = {{"version", version}};
    return listed;
  }
  void offer(const std::string& job, json job_document) {
    formats::NextJob next;
    next.execution.emplace();
    next.execution->job_id = JobId(job);
    next.execution->job_document = formats::share(std::move(job_document));
    mqtt_->deliver({JobTopicKind::kNotifyNext, kThing}, formats::to_text(next));
  }
  void offer_nothing() {
    mqtt_->deliver({JobTopicKind::kGetAccepted, kThing}, formats::to_text(formats::NextJob{}));
  }
  void deploy(const std::string& job, const json& job_document) {
    offer(job, job_document);
    run(20'000);
  }

  std::vector<Update> updates() {
    std::vector<Update> found;
    for (const auto& message : mqtt_->sent) {
      auto topic = formats::parse_job_topic(message.topic);
      if (topic && topic->kind == JobTopicKind::kUpdate)
        found.push_back({topic->job, formats::parse_job_update_request(message.payload).value()});
    }
    return found;
  }
  // "FAILED FAILED_ROLLBACK_COMPLETE" of the last word on the last job.
  std::string outcome() {
    auto all = updates();
    if (all.empty()) return "";
    auto details = all.back().request.status_details;
    return std::string(formats::name_of(all.back().request.status)) + " " +
           details["detailed-deployment-status"];
  }
  std::string cause() {
    return updates().back().request.status_details["deployment-failure-cause"];
  }
  size_t questions() {
    return static_cast<size_t>(
        std::count_if(mqtt_->sent.begin(), mqtt_->sent.end(), [](const net::MqttMessage& message) {
          auto topic = formats::parse_job_topic(message.topic);
          return topic && topic->kind == JobTopicKind::kGet;
        }));
  }
  void accept(const Update& update) {
    formats::JobUpdateAccepted accepted;
    accepted.client_token = update.request.client_token;
    mqtt_->deliver({JobTopicKind::kUpdateAccepted, kThing, update.job}, formats::to_text(accepted));
  }
  void refuse(const Update& update, const std::string& code) {
    mqtt_->deliver(
        {JobTopicKind::kUpdateRejected, kThing, update.job},
        formats::to_text(formats::JobRejected{0, code, "no", update.request.client_token}));
  }
  std::vector<formats::FleetStatus> fleet_statuses() {
    std::vector<formats::FleetStatus> found;
    for (const auto& message : mqtt_->sent) {
      if (formats::parse_fleet_status_topic(message.topic))
        found.push_back(formats::parse_fleet_status(message.payload).value());
    }
    return found;
  }
  // "a=1.0.0 RUNNING …" of the components that the supervisor has.
  std::string running() {
    std::string text;
    for (const auto& status : nucleus_->supervisor().statuses()) {
      text += (text.empty() ? "" : " ") + status.name.str() + "=" + status.version;
      if (status.state != nucleus::ComponentState::kRunning)
        text += "(" + std::string(nucleus::name_of(status.state)) + ")";
    }
    return text;
  }
  std::string package_of(const std::string& component) {
    const ComponentName name(component);
    return info_.packages() + "/" + component + "/" +
           nucleus_->state().components().at(name).package();
  }
  // `name` `version` with one artifact "data".
  void publish_with_data(const std::string& name, const std::string& version,
                         const std::string& bytes, const json& lifecycle = {{"Run", "run"}}) {
    auto recipe = test_recipe(name, version, {}, lifecycle);
    recipe["Manifests"][0]["Artifacts"] = json::array({nucleus::test_artifact("data", bytes)});
    cloud_.publish(recipe, {{"data", bytes}});
  }
  std::string contents(const std::string& path) {
    return io::read_file(files_, path).value_or("(absent)");
  }
  // The answer to the last question for the next job: none.
  void answer_that_nothing_is_to_do() {
    std::string token;
    for (const auto& message : mqtt_->sent) {
      auto topic = formats::parse_job_topic(message.topic);
      if (topic && topic->kind == JobTopicKind::kGet)
        token = json::parse(message.payload)["clientToken"];
    }
    formats::NextJob none;
    none.client_token = token;
    mqtt_->deliver({JobTopicKind::kGetAccepted, kThing}, formats::to_text(none));
  }
  json config(const std::string& component) {
    return nucleus_->state().config().tree().get(ComponentName(component), {}).value_or(json());
  }

  SimLoop loop_{1};
  SimClock clock_{loop_};
  io::FaultFiles files_;
  std::vector<std::string> started_;  // scripts
  SimProcesses processes_{
      loop_, [this](const io::ProcessSpec& spec) -> ScriptedProcess {
        started_.push_back(spec.argv.back());
        int code = 0, after_ms = 1;
        if (std::sscanf(spec.argv.back().c_str(), "exit %d after %d", &code, &after_ms) < 1)
          return {};
        return {after_ms, io::ExitStatus{code, 0}};
      }};
  io::SeededRandom random_{1};
  io::InlinePool pool_;
  io::Env env_{loop_, clock_, files_, processes_, random_, pool_};
  nucleus::NucleusInfo info_;
  nucleus::TestCloud cloud_;
  std::unique_ptr<TestMqtt> mqtt_;
  std::unique_ptr<nucleus::Nucleus> nucleus_;
  std::string fatal_;
};

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

TEST_F(NucleusJobs, AnOlderRevisionIsRejected) {
  deploy("j1", document("thinggroup/G1", 5, versions({{"a", "2.0.0"}})));
  deploy("j2", document("thinggroup/G1", 4, versions({{"a", "1.0.0"}})));
  EXPECT_EQ(outcome(), "REJECTED REJECTED");
  EXPECT_EQ(cause(), "revision 5 of thinggroup/G1 is deployed already");
  EXPECT_EQ(running(), "a=2.0.0");
}

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

TEST_F(NucleusJobs, WhatAComponentConfiguresDuringTheDownloadIsNotLost) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  auto large = test_recipe("large", "1.0.0");
  large["Manifests"][0]["Artifacts"] = json::array({nucleus::test_artifact("data", "bytes")});
  cloud_.publish(large, {{"data", "bytes"}});
  cloud_.on_download = [&] {
    ASSERT_TRUE(
        nucleus_->state().config().update(ComponentName("a"), {"count"}, 7, clock_.wall_ms()));
  };
  deploy("j2", document("thinggroup/G1", 2, versions({{"a", "1.0.0"}, {"large", "1.0.0"}})));
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(config("a"), (json{{"count", 7}}));
}

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

TEST_F(NucleusJobs, AVersionPublishedAgainIsInstalledAgain) {
  publish_with_data("c", "1.0.0", "first", {{"Install", "exit 0"}, {"Run", "run"}});
  deploy("j1", document("thinggroup/G1", 1, versions({{"c", "1.0.0"}})));
  const std::string first = package_of("c");
  publish_with_data("c", "1.0.0", "second", {{"Install", "exit 0"}, {"Run", "run"}});
  started_.clear();
  deploy("j2", document("thinggroup/G1", 2, versions({{"c", "1.0.0"}})));
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(started_, (std::vector<std::string>{"exit 0", "run"}));
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "second");
  EXPECT_FALSE(io::exists(files_, first));
  // The same again is no change.
  started_.clear();
  deploy("j3", document("thinggroup/G1", 3, versions({{"c", "1.0.0"}})));
  EXPECT_TRUE(started_.empty());
}

TEST_F(NucleusJobs, ARollBackReturnsToTheFilesThatRanNotToThoseOfTheSameVersion) {
  publish_with_data("c", "1.0.0", "first");
  deploy("j1", document("thinggroup/G1", 1, versions({{"c", "1.0.0"}})));
  publish_with_data("c", "1.0.0", "second", {{"Run", "exit 3"}});
  deploy("j2", document("thinggroup/G1", 2, versions({{"c", "1.0.0"}})));
  EXPECT_EQ(outcome(), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_EQ(running(), "c=1.0.0");
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "first");
}

TEST_F(NucleusJobs, ADamagedArtifactIsDownloadedAgainOnceTheFleetCanBeReached) {
  publish_with_data("c", "1.0.0", "bytes");
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}, {"c", "1.0.0"}})));
  ASSERT_TRUE(io::write_file_atomic(files_, package_of("c") + "/artifacts/data", "bytez"));
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  boot();
  run(1'000);
  EXPECT_EQ(running(), "a=1.0.0");  // nothing unverified is run
  cloud_.unreachable.reset();
  run(120'000);
  EXPECT_EQ(running(), "a=1.0.0 c=1.0.0");
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "bytes");
}

TEST_F(NucleusJobs, AMissingArtifactIsDownloadedAgainByTheNextDeployment) {
  publish_with_data("c", "1.0.0", "bytes");
  deploy("j1", document("thinggroup/G1", 1, versions({{"c", "1.0.0"}})));
  ASSERT_TRUE(files_.remove(package_of("c") + "/artifacts/data"));
  deploy("j2", document("thinggroup/G2", 1, versions({{"a", "1.0.0"}})));
  EXPECT_EQ(running(), "a=1.0.0 c=1.0.0");
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "bytes");
}

// What the release before packages had digests leaves on a device.
class OldLayout : public NucleusJobs {
 protected:
  OldLayout() {
    publish_with_data("c", "1.0.0", "bytes", {{"Install", "exit 0"}, {"Run", "run"}});
    deploy("j1", document("thinggroup/G1", 1, versions({{"c", "1.0.0"}})));
    const std::string root = info_.packages();
    EXPECT_TRUE(io::make_directories(files_, root + "/recipes/c"));
    EXPECT_TRUE(io::make_directories(files_, root + "/artifacts/c"));
    EXPECT_TRUE(files_.rename(package_of("c") + "/recipe", root + "/recipes/c/1.0.0"));
    EXPECT_TRUE(files_.rename(package_of("c") + "/artifacts", root + "/artifacts/c/1.0.0"));
    EXPECT_TRUE(io::remove_all(files_, root + "/c"));
    nucleus_.reset();
    // The journal, with the digests taken out.
    std::vector<std::string> records;
    auto read = [&](std::string_view record) -> Result<void> {
      json parsed = json::parse(record);
      if (parsed["t"] == "switch") parsed["next"]["components"]["c"].erase("digest");
      if (parsed["t"] == "installed") {
        parsed.erase("package");
        parsed["version"] = "1.0.0";
      }
      records.push_back(parsed.dump());
      return {};
    };
    EXPECT_TRUE(io::Journal::open(files_, info_.state_directory(), read));
    EXPECT_TRUE(io::remove_all(files_, info_.state_directory()));
    auto journal = io::Journal::open(files_, info_.state_directory(),
                                     [](std::string_view) -> Result<void> { return {}; });
    for (const std::string& record : records) EXPECT_TRUE(journal->append(record));
    started_.clear();
    cloud_.offsets.clear();
  }
};

TEST_F(OldLayout, IsBroughtForwardWithoutTheFleet) {
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  boot();
  run(1'000);
  EXPECT_EQ(running(), "c=1.0.0");
  EXPECT_EQ(started_, std::vector<std::string>{"run"});  // its Install counts
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "bytes");
  offer_nothing();
  run(1'000);
  EXPECT_EQ(files_.list(info_.packages()).value(), std::vector<std::string>{"c"});
  boot();
  run(1'000);
  EXPECT_EQ(running(), "c=1.0.0");
}

TEST_F(OldLayout, IsFetchedAgainWhereItIsDamaged) {
  ASSERT_TRUE(io::write_file_atomic(files_, info_.packages() + "/artifacts/c/1.0.0/data", "bytez"));
  boot();
  run(120'000);
  EXPECT_EQ(running(), "c=1.0.0");
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "bytes");
  EXPECT_FALSE(cloud_.offsets.empty());
}

TEST_F(OldLayout, SurvivesAPowerCutAtEveryOperation) {
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  files_.crash_now();
  files_.reboot(io::CrashPolicy::kKeepAll);
  size_t crashes = 0;
  for (size_t at = 0; at < 60; ++at) {
    // The same device goes on from where the last cut left it, one operation further each time.
    boot([&] { files_.crash_at(files_.operations().size() + at); });
    run(1'000);
    if (!files_.crashed()) break;
    ++crashes;
    nucleus_.reset();
    files_.reboot(io::CrashPolicy::kSeeded, at);
  }
  EXPECT_GT(crashes, 5u);
  EXPECT_EQ(running(), "c=1.0.0");
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "bytes");
}

TEST_F(NucleusJobs, ALongInstallHasTheTimeThatItsRecipeGivesIt) {
  cloud_.publish(test_recipe(
      "slow", "1.0.0", {},
      {{"Install", {{"Script", "exit 0 after 1500000"}, {"Timeout", 1800}}}, {"Run", "run"}}));
  offer("j1", document("thinggroup/G1", 1, versions({{"slow", "1.0.0"}})));
  run(1'600'000);
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(running(), "slow=1.0.0");
}

// A component that hangs in one of its steps, in a deployment over a running "a".
class Hanging : public NucleusJobs {
 protected:
  void hang_in(const std::string& step) {
    deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
    accept(updates().back());
    const json hangs = {{"Script", "hangs for ever"}, {"Timeout", 100'000}};
    json lifecycle = {{step, hangs}};
    if (step == "Install" || step == "Bootstrap") lifecycle["Run"] = "run";
    cloud_.publish(test_recipe("hangs", "1.0.0", {}, lifecycle));
    offer("j2", document("thinggroup/G1", 2, versions({{"a", "2.0.0"}, {"hangs", "1.0.0"}})));
    run(100'000);
    ASSERT_EQ(outcome(), "IN_PROGRESS ");
    ASSERT_EQ(nucleus_->state().phase(), nucleus::Phase::kActivating);
  }
};

TEST_F(Hanging, ACancelEndsItInWhateverStepItIs) {
  int revision = 10;
  for (const char* step : {"Bootstrap", "Install", "Startup"}) {
    SCOPED_TRACE(step);
    hang_in(step);
    offer_nothing();  // it may be an old message: the device asks
    ASSERT_EQ(nucleus_->state().phase(), nucleus::Phase::kActivating);
    answer_that_nothing_is_to_do();
    run(3'000);
    EXPECT_EQ(outcome(), "FAILED FAILED_ROLLBACK_COMPLETE");
    EXPECT_NE(cause().find("cancelled"), std::string::npos) << cause();
    EXPECT_EQ(running(), "a=1.0.0");
    for (const auto& update : updates()) accept(update);
    deploy("again" + std::to_string(revision),
           document("thinggroup/G2", revision, versions({{"b", "1.0.0"}})));
    EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
    for (const auto& update : updates()) accept(update);
    files_ = io::FaultFiles();
    boot();
    ++revision;
  }
}

TEST_F(Hanging, ANewerDeploymentReplacesIt) {
  hang_in("Install");
  offer("j3", document("thinggroup/G1", 3, versions({{"b", "1.0.0"}})));
  formats::NextJob next;
  next.execution.emplace();
  next.execution->job_id = JobId("j3");
  next.execution->job_document =
      formats::share(document("thinggroup/G1", 3, versions({{"b", "1.0.0"}})));
  for (const auto& message : mqtt_->sent) {
    auto topic = formats::parse_job_topic(message.topic);
    if (topic && topic->kind == JobTopicKind::kGet)
      next.client_token = json::parse(message.payload)["clientToken"];
  }
  mqtt_->deliver({JobTopicKind::kGetAccepted, kThing}, formats::to_text(next));
  run(3'000);
  EXPECT_NE(cause().find("replaced by j3"), std::string::npos) << cause();
  offer("j3", document("thinggroup/G1", 3, versions({{"b", "1.0.0"}})));
  run(20'000);
  EXPECT_EQ(updates().back().job, "j3");
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(running(), "b=1.0.0");
}

TEST_F(Hanging, ItCanBeCancelledAfterARestartToo) {
  hang_in("Install");
  boot();  // and asks for the next job as soon as it is connected
  answer_that_nothing_is_to_do();
  run(3'000);
  EXPECT_EQ(outcome(), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_EQ(running(), "a=1.0.0");
}

TEST_F(Hanging, ACancelRollsBackEvenWhereAFailureWouldNot) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  accept(updates().back());
  cloud_.publish(test_recipe("hangs", "1.0.0", {}, {{"Startup", "hangs for ever"}}));
  auto wanted = document("thinggroup/G1", 2, versions({{"hangs", "1.0.0"}}));
  wanted["failureHandlingPolicy"] = "DO_NOTHING";
  offer("j2", wanted);
  run(1'000);
  offer_nothing();
  answer_that_nothing_is_to_do();
  run(3'000);
  EXPECT_EQ(running(), "a=1.0.0");
}

TEST_F(NucleusJobs, WorkFoldersOfRemovedComponentsGoAndTheirLogsAreCapped) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}, {"b", "1.0.0"}})));
  ASSERT_TRUE(io::write_file_atomic(files_, info_.root + "/work/a/data", "kept"));
  ASSERT_TRUE(io::write_file_atomic(files_, info_.root + "/work/b/data", "lost"));
  for (const char* name : {"a", "b"}) {
    ASSERT_TRUE(io::write_file_atomic(files_, info_.root + "/logs/" + name + ".log", "x"));
  }
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(io::write_file_atomic(
        files_, info_.root + "/logs/gone" + std::to_string(i) + ".log.1", "x"));
  }
  deploy("j2", document("thinggroup/G1", 2, versions({{"a", "1.0.0"}})));
  EXPECT_EQ(contents(info_.root + "/work/a/data"), "kept");
  EXPECT_FALSE(io::exists(files_, info_.root + "/work/b"));
  EXPECT_EQ(files_.list(info_.root + "/logs").value().size(), 1 + nucleus::kKeptLogs);
  EXPECT_EQ(contents(info_.root + "/logs/a.log"), "x");
  EXPECT_FALSE(io::exists(files_, info_.root + "/logs/gone0.log.1"));  // the oldest
  EXPECT_TRUE(io::exists(files_, info_.root + "/logs/gone29.log.1"));
}

TEST_F(NucleusJobs, MessagesDuringTheShutDownAreIgnored) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  io::TaskScope scope;
  scope.spawn(nucleus_->shut_down());
  offer("j2", document("thinggroup/G1", 2, versions({{"b", "1.0.0"}})));
  mqtt_->connect();
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
  mqtt_->connect();
  EXPECT_EQ(fleet_statuses().back().trigger, "RECONNECT");
}

TEST_F(NucleusJobs, ChangesThatDoNotEndAreToldAllTheSame) {
  nucleus::FleetStatusReporter reporter(env_, info_, nucleus_->state(), nucleus_->supervisor(),
                                        *mqtt_);
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
