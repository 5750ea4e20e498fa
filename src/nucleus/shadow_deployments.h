// Deployments to this thing alone that stand in its shadow (formats/shadow_deployment.h), as AWS
// offers them: taken as the Java nucleus takes them, run one at a time between jobs and local
// deployments, reported in the shadow until the service has taken the report. A later one replaces
// one that has not ended.
//
// Nothing more is kept on the disk than of a job: a result waits there until it is reported, and
// what the shadow says of it keeps it from being run again.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/shadow_deployment.h"
#include "io/env.h"
#include "io/task.h"
#include "nucleus/deployment_engine.h"
#include "nucleus/device_state.h"
#include "nucleus/mqtt_router.h"
#include "nucleus/nucleus_info.h"

namespace skerry::nucleus {

class ShadowDeployments {
 public:
  struct Hooks {
    // As of LocalDeployments.
    std::function<bool()> take_turn;
    std::function<void()> give_back;
    std::function<void(const JobResult&)> on_finished;
    std::function<void(const Error&)> on_fatal;  // the state could not be written
  };
  ShadowDeployments(io::Env& env, const NucleusInfo& info, DeviceState& state,
                    DeploymentEngine& engine, MqttRouter& mqtt, Hooks hooks)
      : env_(env),
        info_(info),
        state_(state),
        engine_(engine),
        mqtt_(mqtt),
        hooks_(std::move(hooks)) {}

  // Listens. Before anything is deployed.
  void start();
  // After each CONNACK.
  void on_connected();
  // Runs what waits, where nothing else is deployed; sees to what a restart has continued.
  void run_next();

 private:
  using Wanted = formats::WantedByShadow;

  void listen(const std::string& below);
  void receive(const net::MqttMessage& message);
  void ask();
  void take(formats::ShadowWord word);
  bool is_done(const formats::ShadowWord& word) const;
  void want(Wanted wanted);
  void cancel(const std::string& arn);
  bool is_past_switch(const std::string& arn) const;
  // Ends what runs and has not switched; the turn is still ours.
  void drop_running();
  io::Task<void> run(Wanted wanted);
  io::Task<Result<void>> deploy(const Wanted* wanted);
  std::string own_target() const { return "thing/" + info_.thing.str(); }
  Result<void> check_target(const formats::Deployment& document) const;
  void ended();
  void report_results();
  void report(const JobResult& result);
  void on_answer(const net::MqttMessage& message, bool is_accepted);
  const JobResult* next_report() const;
  void say(formats::ShadowReport report, std::string token);

  io::Env& env_;
  const NucleusInfo& info_;
  DeviceState& state_;
  DeploymentEngine& engine_;
  MqttRouter& mqtt_;
  Hooks hooks_;
  int64_t version_ = 0;        // of the shadow; 0: not known
  std::string seen_;           // the configuration that was asked for last
  bool knows_shadow_ = false;  // since this start
  std::optional<Wanted> waiting_;
  std::optional<std::string> running_;  // its configuration
  bool is_resumed_ = false;             // it is the engine's, behind a restart
  uint64_t asked_ = 0;                  // questions and reports, for their tokens
  int64_t version_when_asked_ = 0;
  std::string asked_token_, reported_token_;
  std::optional<JobId> reported_;  // what the report is of
  bool is_terse_ = false;          // the shadow has no room for causes
  io::TaskScope work_;
  io::Timer report_again_;
  std::vector<MqttRouter::Subscription> subscriptions_;
};

}  // namespace skerry::nucleus
