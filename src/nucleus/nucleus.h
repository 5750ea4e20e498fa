// The device runtime put together from its parts, without the process around it: main
// (apps/skerryd.cc) gives it the real world, the simulator a simulated one.
#pragma once

#include <memory>
#include <optional>

#include "io/env.h"
#include "net/mqtt.h"
#include "nucleus/cloud.h"
#include "nucleus/deployment_engine.h"
#include "nucleus/device_state.h"
#include "nucleus/fleet_status_reporter.h"
#include "nucleus/health.h"
#include "nucleus/intake/intake.h"
#include "nucleus/ipc/server.h"
#include "nucleus/jobs_client.h"
#include "nucleus/local_deployments.h"
#include "nucleus/metrics.h"
#include "nucleus/mqtt_router.h"
#include "nucleus/nucleus_info.h"
#include "nucleus/package_store.h"
#include "nucleus/secrets.h"
#include "nucleus/shadow_deployments.h"
#include "nucleus/spool.h"
#include "nucleus/supervisor.h"
#include "nucleus/update_consent.h"

namespace skerry::nucleus {

class Nucleus : public IpcHost {
 public:
  struct Hooks {
    std::function<void()> on_first_connected;
    std::function<void(int64_t fleet_ms)> on_fleet_time;  // what the fleet says that it is now
    std::function<void(const Error&)> on_fatal;           // the program must end and start again
    std::function<void()> on_restart;  // the same, in order: a component's Bootstrap wants it
    std::string reboot_command;        // of a shell; may return before the device goes down
  };
  // Replays the device state; nothing runs yet. All arguments must outlive it.
  static Result<std::unique_ptr<Nucleus>> open(io::Env& env, const NucleusInfo& info, Cloud& cloud,
                                               net::MqttClient& mqtt, Hooks hooks);
  // Starts the installed components, connects, takes jobs.
  void start();
  // Stops every component in order; then the program may end.
  io::Task<void> shut_down();

  const ThingName& thing() const override { return info_.thing; }
  std::optional<ComponentName> component_of_token(std::string_view svcuid) const override;
  std::vector<ComponentStatus> components() const override;
  Result<void> control(const ComponentName& component, ComponentControl what) override;
  Result<void> report_state(const ComponentName& component, ComponentState reported) override;
  ShadowFiles& shadows() override { return shadows_; }
  Metrics& metrics() override { return metrics_; }
  SecretStore& secrets() override { return secrets_; }
  std::string client_devices_directory() const override { return info_.root + "/client-devices"; }
  io::Env& env() override { return env_; }
  MqttRouter* mqtt() override { return info_.has_fleet ? &mqtt_ : nullptr; }
  Spool& spool() override { return spool_; }
  UpdateConsent& consent() override { return consent_; }
  LocalDeployments* local_deployments() override { return local_.get(); }

  // By which programs of the device's operator, as `aws.greengrass.Cli`, prove who they are.
  const std::string& operator_token() const { return operator_token_; }
  DeviceState& state() { return *state_; }
  Supervisor& supervisor() { return *supervisor_; }

 private:
  Nucleus(io::Env& env, const NucleusInfo& info, Cloud& cloud, net::MqttClient& mqtt, Hooks hooks,
          std::unique_ptr<DeviceState> state);
  void want_restart(const ComponentName& name, const std::string& package, bool of_device);
  void restart_when_quiet();
  io::Task<void> reboot();
  // The control plane is to know where we stand.
  void greet();
  void start_metrics();
  // Nothing is deployed: those that jobs go before have their turn.
  void turn_over();

  io::Env& env_;
  const NucleusInfo& info_;
  MqttRouter mqtt_;
  Spool spool_;
  Metrics metrics_;
  std::unique_ptr<MetricIntake> intake_;  // null: nobody wants it
  Health health_;
  ShadowFiles shadows_;
  SecretStore secrets_;
  const std::string operator_token_;
  Hooks hooks_;
  bool was_connected_ = false;
  UpdateConsent consent_;
  std::unique_ptr<DeviceState> state_;
  PackageStore packages_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<DeploymentEngine> engine_;
  std::unique_ptr<FleetStatusReporter> reporter_;
  std::unique_ptr<JobsClient> jobs_;                                 // null once it shuts down
  std::unique_ptr<LocalDeployments> local_;                          // likewise
  std::unique_ptr<ShadowDeployments> in_shadow_;                     // likewise
  std::vector<std::pair<ComponentName, std::string>> want_restart_;  // with their packages
  bool wants_reboot_ = false, restarting_ = false;
  io::Timer restart_;
  io::TaskScope reboots_;
};

}  // namespace skerry::nucleus
