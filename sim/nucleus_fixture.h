// A whole nucleus in virtual time; the test is its broker and control plane.
#pragma once

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
#include "sim/test_mqtt.h"

namespace skerry::sim {

using formats::JobTopicKind;
using nlohmann::json;
using nucleus::test_recipe;

inline const ThingName kThing("press-7");

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
  std::string outcome() { return outcome(updates()); }
  static std::string outcome(const std::vector<Update>& all) {
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
  io::ProcessSpec last_started_;
  SimProcesses processes_{
      loop_, [this](const io::ProcessSpec& spec) -> ScriptedProcess {
        started_.push_back((last_started_ = spec).argv.back());
        int code = 0, after_ms = 1;
        if (std::sscanf(spec.argv.back().c_str(), "exit %d after %d", &code, &after_ms) < 1)
          return {};
        return {after_ms, io::ExitStatus{code, 0}};
      }};
  io::SeededRandom random_{1};
  io::InlinePool pool_;
  io::Env env_{loop_, clock_, files_, processes_, random_, pool_, pool_};
  nucleus::NucleusInfo info_;
  nucleus::TestCloud cloud_;
  std::unique_ptr<TestMqtt> mqtt_;
  std::unique_ptr<nucleus::Nucleus> nucleus_;
  std::string fatal_;
};

}  // namespace skerry::sim
