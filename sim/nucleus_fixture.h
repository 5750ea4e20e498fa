// A whole nucleus in virtual time, at the broker in memory; the test is its control plane.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/arn.h"
#include "formats/fleet_status.h"
#include "formats/jobs.h"
#include "io/fault_files.h"
#include "net/test_mqtt.h"
#include "nucleus/nucleus.h"
#include "nucleus/test_cloud.h"
#include "sim/sim_clock.h"
#include "sim/sim_loop.h"
#include "sim/sim_processes.h"

namespace skerry::sim {

using formats::JobTopicKind;
using nlohmann::json;
using nucleus::test_recipe;

inline const ThingName kThing("press-7");

// A progress or result that the device has reported.
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
    broker_.start();
    EXPECT_TRUE(control_plane_->subscribe({.filter = "$aws/#"}));
    control_plane_->start({});
    run(10);
    boot();
  }

  static net::MqttOptions client(std::string id) {
    net::MqttOptions options;
    options.client_id = std::move(id);
    options.clean_start = true;
    options.reconnect_min_ms = 10;
    return options;
  }
  void boot(const std::function<void()>& before_start = {});
  void run(int64_t for_ms) {
    const int64_t end_ms = loop_.now_ms() + for_ms;
    while (loop_.step(end_ms)) {
    }
  }

  void reconnect() {
    broker_.cut(kThing.str());
    run(100);
  }
  void deliver(const formats::JobTopic& topic, std::string payload) {
    broker_.publish({.topic = topic.str(), .payload = std::move(payload), .qos = 1});
    run(0);
  }

  static json document(const std::string& target, int revision, const json& components);
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
    deliver({JobTopicKind::kNotifyNext, kThing}, formats::to_text(next));
  }
  void offer_nothing() {
    deliver({JobTopicKind::kGetAccepted, kThing}, formats::to_text(formats::NextJob{}));
  }
  void deploy(const std::string& job, const json& job_document) {
    offer(job, job_document);
    run(20'000);
  }

  std::vector<Update> updates();
  // "FAILED FAILED_ROLLBACK_COMPLETE" of the last word on the last job.
  std::string outcome() { return outcome(updates()); }
  static std::string outcome(const std::vector<Update>& all);
  std::string cause() {
    return updates().back().request.status_details["deployment-failure-cause"];
  }
  size_t questions();
  void accept(const Update& update) {
    formats::JobUpdateAccepted accepted;
    accepted.client_token = update.request.client_token;
    deliver({JobTopicKind::kUpdateAccepted, kThing, update.job}, formats::to_text(accepted));
  }
  void refuse(const Update& update, const std::string& code) {
    deliver({JobTopicKind::kUpdateRejected, kThing, update.job},
            formats::to_text(formats::JobRejected{0, code, "no", update.request.client_token}));
  }
  std::vector<formats::FleetStatus> fleet_statuses();
  // "a=1.0.0 RUNNING …" of the components that the supervisor has.
  std::string running();
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
  void answer_that_nothing_is_to_do();
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
  net::FakeBroker broker_{loop_};
  std::unique_ptr<net::MqttClient> control_plane_ = broker_.client(client("control-plane"));
  std::unique_ptr<net::MqttClient> mqtt_;
  std::unique_ptr<nucleus::Nucleus> nucleus_;
  std::string fatal_;
  int restarts_ = 0;  // that were asked of the program
  std::string reboot_command_ = "run";
};

}  // namespace skerry::sim
