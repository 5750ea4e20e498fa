// Takes deployment jobs from the control plane over MQTT, runs them one at a time, and reports how
// each ended until the control plane has taken the report.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/jobs.h"
#include "io/env.h"
#include "io/task.h"
#include "nucleus/deployment_engine.h"
#include "nucleus/device_state.h"
#include "nucleus/mqtt_router.h"
#include "nucleus/nucleus_info.h"

namespace skerry::nucleus {

class JobsClient {
 public:
  struct Hooks {
    // A job has ended and its result is in the state's unreported results.
    std::function<void(const JobResult&)> on_finished;
    std::function<void()> on_repaired;
    // The control plane says what time it is, in answer to a question asked moments ago.
    std::function<void(int64_t fleet_ms)> on_time;
    // Nothing is deployed, and nothing that was interrupted is to be ended.
    std::function<void()> on_idle;
    // The state could not be written: the program must end and start again.
    std::function<void(const Error&)> on_fatal;
  };
  JobsClient(io::Env& env, const NucleusInfo& info, DeviceState& state, DeploymentEngine& engine,
             MqttRouter& mqtt, Hooks hooks);

  // Runs what a crash interrupted, then is ready for jobs.
  void start();
  // After each CONNACK. With or without a session: replies may have been lost.
  void on_connected();

  // No job begins until resume_jobs(); one that has not switched is put off until then. False where
  // that cannot be: on_idle follows.
  bool pause_jobs();
  void resume_jobs();

 private:
  void listen(formats::JobTopicKind kind, std::string job);
  void on_message(const net::MqttMessage& message);
  void take_time(const formats::NextJob& answer);
  // False where the message was not accepted, which is logged.
  bool publish(formats::JobTopicKind kind, std::string job, std::string payload);
  io::Task<void> resume();
  io::Task<void> run(JobId job, formats::Deployment document);
  // The token of the question; empty where it could not be asked.
  std::string ask_for_next();
  void on_next(const formats::NextJob& next);
  void doubt(const formats::NextJob& next);
  void on_repair_answer(const formats::NextJob& next);
  void repair_ended();
  void note_repaired();
  void begin(const formats::JobExecution& execution);
  io::Task<void> reject(JobId job, Error error);
  void finished();
  void report_results();
  void report(const JobResult& result);
  void update(const JobId& job, formats::JobStatus status, formats::StatusDetails details,
              std::string_view purpose);
  void on_update_answer(const formats::JobTopic& topic, const net::MqttMessage& message);
  std::string topic(formats::JobTopicKind kind, std::string job) const;

  io::Env& env_;
  const NucleusInfo& info_;
  DeviceState& state_;
  DeploymentEngine& engine_;
  MqttRouter& mqtt_;
  Hooks hooks_;
  bool ready_ = false;            // resume() is done
  bool repair_answered_ = false;  // what is deployed again for it is on its way
  bool repair_failed_ = false;    // a deployment since then
  std::optional<JobId> running_;
  std::string doubt_token_;  // of the question whether `running_` is still wanted
  std::string asked_token_;  // of the last question for the next job
  int64_t asked_ms_ = 0;
  io::TaskScope work_;
  io::Timer report_again_, ask_again_;
  std::vector<MqttRouter::Subscription> subscriptions_;
};

}  // namespace skerry::nucleus
