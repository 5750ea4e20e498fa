// Wires the parts of the device runtime to each other.
#include "nucleus/nucleus.h"

#include "base/log.h"

namespace skerry::nucleus {
namespace {

// From the reboot command to the device's going down.
constexpr int64_t kRebootMs = 600'000;

// Where the spool is in memory, it is what waits for the broker.
MqttRouter::Limits router_limits(const NucleusInfo& info) {
  MqttRouter::Limits limits;
  if (!info.spool.on_disk) limits.component_bytes = info.spool.max_bytes;
  return limits;
}

}  // namespace

Result<std::unique_ptr<Nucleus>> Nucleus::open(io::Env& env, const NucleusInfo& info, Cloud& cloud,
                                               net::MqttClient& mqtt, Hooks hooks) {
  SKERRY_ASSIGN(auto state, DeviceState::open(env, info.state_directory(), info.packages()));
  return std::unique_ptr<Nucleus>(
      new Nucleus(env, info, cloud, mqtt, std::move(hooks), std::move(state)));
}

Nucleus::Nucleus(io::Env& env, const NucleusInfo& info, Cloud& cloud, net::MqttClient& mqtt,
                 Hooks hooks, std::unique_ptr<DeviceState> state)
    : env_(env),
      info_(info),
      mqtt_(env.loop, mqtt, router_limits(info)),
      spool_(env, mqtt_, info.spool_directory(), info.spool),
      metrics_(env, mqtt_, info.thing, info.metrics(),
               MetricsLimits{.interval_ms = info.metrics_interval_ms}),
      health_(env, mqtt_, info),
      shadows_(env.files, info.state_directory() + "/shadows"),
      secrets_(env.files, env.random,
               {info.state_directory() + "/secrets", info.key_file,
                "arn:aws:secretsmanager:" + info.region + ":000000000000:secret:"}),
      operator_token_(env.random.token(32)),
      hooks_(std::move(hooks)),
      consent_(env.loop, env.clock),
      state_(std::move(state)),
      packages_(env, info) {
  Supervisor::Hooks supervising;
  supervising.on_state = [this](const ComponentStatus& status) {
    log::info("component", std::string(name_of(status.state)),
              {{"component", status.name.str()}, {"version", status.version}});
    reporter_->on_component_change();
    restart_when_quiet();
  };
  supervising.mark_installed = [this](const ComponentName& name, const std::string& package) {
    auto marked = state_->mark_installed(name, package);
    if (marked) return;
    log::warn("component", "its Install will run again after a restart",
              {{"component", name.str()}, {"reason", marked.error().message()}});
  };
  supervising.is_installed = [this](const ComponentName& name, const std::string& package) {
    return state_->is_installed(name, package);
  };
  supervising.is_bootstrapped = [this](const ComponentName& name, const std::string& package) {
    return state_->is_bootstrapped(name, package);
  };
  supervising.awaits_reboot = [this](const ComponentName& name, const std::string& package) {
    return state_->awaits_reboot(name, package, info_.boot_id);
  };
  supervising.restart = [this](const ComponentName& name, const std::string& package,
                               bool of_device) { want_restart(name, package, of_device); };
  supervisor_ = std::make_unique<Supervisor>(env, std::move(supervising));
  engine_ = std::make_unique<DeploymentEngine>(env, info, *state_, packages_, cloud, *supervisor_,
                                               consent_);
  reporter_ = std::make_unique<FleetStatusReporter>(env, info, *state_, *supervisor_, mqtt_);
  JobsClient::Hooks jobs;
  jobs.on_finished = [this](const JobResult& result) { reporter_->on_deployment_finished(result); };
  jobs.on_repaired = [this] { reporter_->on_component_change(); };
  jobs.on_time = [this](int64_t fleet_ms) {
    if (hooks_.on_fleet_time) hooks_.on_fleet_time(fleet_ms);
  };
  jobs.on_idle = [this] { turn_over(); };
  jobs.on_fatal = [this](const Error& error) { hooks_.on_fatal(error); };
  jobs_ = std::make_unique<JobsClient>(env, info, *state_, *engine_, mqtt_, std::move(jobs));
  LocalDeployments::Hooks local;
  local.take_turn = [this] { return jobs_->pause_jobs(); };
  local.give_back = [this] {
    jobs_->resume_jobs();
    in_shadow_->run_next();
  };
  local.on_finished = [this] { reporter_->on_local_deployment_finished(); };
  local.on_fatal = [this](const Error& error) { hooks_.on_fatal(error); };
  local_ = std::make_unique<LocalDeployments>(env, info, *state_, *engine_, std::move(local));
  ShadowDeployments::Hooks in_shadow;
  in_shadow.take_turn = [this] { return jobs_->pause_jobs(); };
  in_shadow.give_back = [this] {
    jobs_->resume_jobs();
    local_->run_next();
  };
  in_shadow.on_finished = [this](const JobResult& result) {
    reporter_->on_deployment_finished(result);
  };
  in_shadow.on_fatal = [this](const Error& error) { hooks_.on_fatal(error); };
  in_shadow_ = std::make_unique<ShadowDeployments>(env, info, *state_, *engine_, mqtt_,
                                                   std::move(in_shadow));
}

void Nucleus::turn_over() {
  if (local_) local_->run_next();
  if (in_shadow_) in_shadow_->run_next();
}

void Nucleus::start() {
  net::MqttClient::Events events;
  events.on_connected = [this](bool session_present) {
    log::info("mqtt", "connected", {{"session", session_present ? "kept" : "new"}});
    if (!std::exchange(was_connected_, true) && hooks_.on_first_connected)
      hooks_.on_first_connected();
    greet();
  };
  events.on_disconnected = [](const Error& reason) {
    log::warn("mqtt", "disconnected", {{"reason", reason.message()}});
  };
  // First: it connects while the components come up.
  mqtt_.start(std::move(events), [this] { greet(); });
  if (info_.has_fleet) spool_.start();
  local_->start();
  in_shadow_->start();
  jobs_->start();
  if (info_.metrics_interval_ms > 0) start_metrics();
}

// Who cannot listen does without: a port that is taken is no reason for a device to stand still.
void Nucleus::start_metrics() {
  metrics_.start([this](Metrics& metrics) { health_.sample(metrics, components()); });
  if (!info_.statsd_port && !info_.metrics_port) return;
  intake_ = std::make_unique<MetricIntake>(env_, metrics_);
  const auto say = [](const char* what, const Result<uint16_t>& port) {
    if (port) {
      log::info("metrics", what, {{"port", std::to_string(*port)}});
    } else {
      log::error("metrics", "local metrics do not come in", {{"reason", port.error().message()}});
    }
  };
  if (info_.statsd_port) say("StatsD is heard", intake_->listen_statsd(*info_.statsd_port));
  if (info_.metrics_port) say("OTLP is heard", intake_->listen_http(*info_.metrics_port));
}

void Nucleus::greet() {
  if (jobs_) jobs_->on_connected();
  if (in_shadow_) in_shadow_->on_connected();
  reporter_->on_connected();
  metrics_.on_connected();
}

// --- Restarts that Bootstrap scripts want -------------------------------------------------------

// Remembered first: after the restart the deployment goes on behind that script.
void Nucleus::want_restart(const ComponentName& name, const std::string& package, bool of_device) {
  log::info("nucleus", "a component's Bootstrap wants a restart",
            {{"component", name.str()}, {"of", of_device ? "the device" : "skerryd"}});
  // Not again where skerryd ended before the reboot: its starts are counted.
  const bool is_known = of_device && state_->awaits_reboot(name, package, info_.boot_id);
  auto marked = is_known ? Result<void>()
                         : state_->mark_bootstrapped(name, package, of_device ? info_.boot_id : "");
  if (!marked) {
    restart_ =
        env_.loop.after(0, [this, error = marked.error()] { supervisor_->restart_failed(error); });
    return;
  }
  want_restart_.emplace_back(name, package);
  wants_reboot_ = wants_reboot_ || of_device;
  restart_when_quiet();
}

// One for all that want it, and when no script is cut short by it.
void Nucleus::restart_when_quiet() {
  if (want_restart_.empty() || restarting_ || supervisor_->is_installing()) return;
  restarting_ = true;
  restart_ = env_.loop.after(0, [this] {
    if (wants_reboot_) return reboots_.spawn(reboot());
    hooks_.on_restart();
  });
}

io::Task<void> Nucleus::reboot() {
  log::info("nucleus", "the device is rebooted", {{"command", hooks_.reboot_command}});
  io::Completion<std::string> failed(env_.loop);
  io::ProcessSpec command;
  command.argv = {"/bin/sh", "-c", hooks_.reboot_command};
  command.environment = {{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}};
  command.working_directory = "/";
  command.unit = "reboot";
  io::ProcessEvents events;
  events.on_exit = [failed](const io::ExitStatus& status) mutable {
    if (!status.ok()) failed.complete("the command ended with " + status.text());
  };
  const auto process = env_.processes.start(command, std::move(events));
  if (!process) failed.complete(process.error().message());
  const io::Timer deadline = env_.loop.after(
      kRebootMs, [failed]() mutable { failed.complete("nothing happened within 10 min"); });
  const Error error(Code::kFailedPrecondition, "the device was not rebooted: " + co_await failed);
  log::error("nucleus", error.message());
  wants_reboot_ = restarting_ = false;
  // Otherwise the next start would take them for done.
  for (const auto& [name, package] : std::exchange(want_restart_, {})) {
    if (auto forgotten = state_->forget_bootstrapped(name, package); !forgotten)
      log::error("nucleus", forgotten.error().message(), {{"component", name.str()}});
  }
  supervisor_->restart_failed(error);
}

io::Task<void> Nucleus::shut_down() {
  local_.reset();
  in_shadow_.reset();
  jobs_.reset();  // a deployment before its switch is dropped, one after it goes on at the next
                  // start
  engine_->stop_tending();  // mending would start what is stopped here
  co_await supervisor_->apply({});
  if (info_.has_fleet) co_await spool_.flush();
  if (info_.metrics_interval_ms > 0) co_await metrics_.flush();
}

std::optional<ComponentName> Nucleus::component_of_token(std::string_view svcuid) const {
  if (svcuid == operator_token_) return ComponentName(std::string(kOperator));
  return supervisor_->component_of_token(svcuid);
}

std::vector<ComponentStatus> Nucleus::components() const {
  std::vector<ComponentStatus> all = supervisor_->statuses();
  ComponentStatus own;
  own.name = ComponentName("aws.greengrass.Nucleus");
  own.version = kNucleusVersion;
  own.state = ComponentState::kRunning;
  all.insert(all.begin(), std::move(own));
  return all;
}

Result<void> Nucleus::control(const ComponentName& component, ComponentControl what) {
  switch (what) {
    case ComponentControl::kRestart:
      return supervisor_->restart(component);
    case ComponentControl::kStop:
      return supervisor_->stop(component);
    case ComponentControl::kPause:
      return supervisor_->pause(component);
    case ComponentControl::kResume:
      return supervisor_->resume(component);
  }
  return {};
}

Result<void> Nucleus::report_state(const ComponentName& component, ComponentState reported) {
  return supervisor_->report(component, reported);
}

}  // namespace skerry::nucleus
