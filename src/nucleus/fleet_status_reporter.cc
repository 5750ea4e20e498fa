// Builds fleet status messages. Each one is COMPLETE: it is small, and a lost one is repaired by
// the next.
#include "nucleus/fleet_status_reporter.h"

#include "base/log.h"
#include "formats/public_components.h"

namespace skerry::nucleus {
namespace {

constexpr int64_t kGatherMs = 300;
constexpr int64_t kCadenceMs = 86'400'000;
constexpr std::string_view kNucleusComponent = "aws.greengrass.Nucleus";

}  // namespace

FleetStatusReporter::FleetStatusReporter(io::Env& env, const NucleusInfo& info,
                                         const DeviceState& state, const Supervisor& supervisor,
                                         MqttRouter& mqtt)
    : env_(env), info_(info), state_(state), supervisor_(supervisor), mqtt_(mqtt) {}

void FleetStatusReporter::on_connected() {
  send(launched_ ? "RECONNECT" : "NUCLEUS_LAUNCH", nullptr);
  launched_ = true;
}

void FleetStatusReporter::on_component_change() {
  if (!launched_ || std::exchange(gathering_, true)) return;
  change_timer_ = env_.loop.after(kGatherMs, [this] {
    gathering_ = false;
    send("COMPONENT_STATUS_CHANGE", nullptr);
  });
}

void FleetStatusReporter::on_deployment_finished(const JobResult& result) {
  send(result.target.starts_with("thing/") ? "THING_DEPLOYMENT" : "THING_GROUP_DEPLOYMENT",
       &result);
}

void FleetStatusReporter::send(std::string trigger, const JobResult* deployment) {
  if (!mqtt_.connected()) return;  // the next connection tells everything
  change_timer_.cancel();
  gathering_ = false;
  formats::FleetStatus status;
  status.nucleus_version = kNucleusVersion;
  status.platform = info_.platform.os;
  status.architecture = info_.platform.architecture;
  status.runtime = formats::kOurRuntime;
  status.thing = info_.thing;
  status.timestamp_ms = env_.clock.wall_ms();
  status.sequence_number = ++sequence_;
  status.message_type = formats::FleetMessageType::kComplete;
  status.trigger = std::move(trigger);
  // The file system has it at hand: nothing is read.
  if (auto free = env_.files.free_bytes(info_.root)) {
    status.free_disk_bytes = static_cast<int64_t>(*free);
  }
  status.components = components();
  status.history = supervisor_.history();
  if (!state_.needs_repair().empty()) {
    formats::ComponentStatus self;
    self.name = ComponentName(std::string(kNucleusComponent));
    self.version = kNucleusVersion;
    self.status = "BROKEN";
    self.details =
        formats::ComponentStatusDetails{{"NEEDS_REPAIR"}, "NEEDS_REPAIR: " + state_.needs_repair()};
    status.components.push_back(std::move(self));
  }
  for (const auto& component : status.components) {
    if (component.status == "ERRORED" || component.status == "BROKEN") status.healthy = false;
  }
  if (deployment) {
    formats::DeploymentInformation information;
    information.status = deployment->status;
    information.detailed_status = deployment->detailed_status;
    information.failure_cause = deployment->reason;
    information.error_stack = deployment->codes.stack;
    information.error_types = deployment->codes.types;
    information.configuration_arn = deployment->configuration_arn;
    information.deployment_id = deployment->deployment;
    status.deployment = std::move(information);
  }
  // While a deployment may still be rolled back nothing is gone for good.
  if (state_.phase() == Phase::kIdle) {
    for (const ComponentName& name : std::exchange(told_, {})) {
      if (state_.components().contains(name)) continue;
      formats::ComponentStatus gone;
      gone.name = name;
      gone.status = "UNINSTALLED";
      status.components.push_back(std::move(gone));
    }
  }
  for (const auto& [name, component] : state_.components()) told_.insert(name);
  auto accepted = mqtt_.publish(MqttRouter::Sender::kNucleus,
                                {.topic = formats::fleet_status_topic(info_.thing),
                                 .payload = formats::to_text(status),
                                 .qos = 1});
  if (!accepted) {
    log::warn("fleet-status", "not sent", {{"reason", accepted.error().message()}});
  }
  cadence_timer_ = env_.loop.after(kCadenceMs, [this] { send("CADENCE", nullptr); });
}

std::vector<formats::ComponentStatus> FleetStatusReporter::components() const {
  std::vector<formats::ComponentStatus> all;
  for (const ComponentStatus& running : supervisor_.statuses()) {
    formats::ComponentStatus status;
    status.name = running.name;
    status.version = running.version;
    status.status = name_of(running.state);
    if (auto installed = state_.components().find(running.name);
        installed != state_.components().end()) {
      status.is_root = installed->second.is_root;
      status.fleet_configuration_arns = installed->second.configuration_arns;
    }
    if (!running.reason.empty()) status.details.emplace().status_reason = running.reason;
    if (!running.code.empty()) status.details->status_codes = {running.code};
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace skerry::nucleus
