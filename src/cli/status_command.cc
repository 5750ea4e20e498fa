// skerry status: devices, what they run, and what became of deployments.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "io/clock.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr const char* kNeverSeen = "NEVER_SEEN";
constexpr const char* kUnreachable = "UNREACHABLE";
constexpr size_t kDeploymentsShown = 3;  // of each device, newest first

const std::string kStates = "/skerry/v1/deviceStates";

// {"name", "version", "status", "root", "details"?} each.
json components_of(const json& device) {
  json components = json::array();
  for (const json& each : device["installedComponents"]) {
    json component = {{"name", each.value("componentName", "")},
                      {"version", each.value("componentVersion", "")},
                      {"status", each.value("lifecycleState", "")},
                      {"root", each.value("isRoot", false)}};
    if (each.contains("lifecycleStateDetails"))
      component["details"] = each["lifecycleStateDetails"];
    components.push_back(std::move(component));
  }
  return components;
}

// {"id", "name", "target", "status", "modified"} each, and of failed ones "reason", "error_stack",
// "error_types"; newest first.
json deployments_of(const json& device) {
  json deployments = json::array();
  for (const json& each : device["effectiveDeployments"]) {
    json deployment = {{"id", each.value("deploymentId", "")},
                       {"name", each.value("deploymentName", "")},
                       {"target", each.value("targetArn", "")},
                       {"status", each.value("coreDeviceExecutionStatus", "")},
                       {"modified", each.value("modifiedTimestamp", 0.0)}};
    if (deployment["status"] != "SUCCEEDED") add_failure(each, deployment);
    deployments.push_back(std::move(deployment));
  }
  return deployments;
}

// Of what the fleet says of a device, as the command prints it.
json state_of(const json& device) {
  const bool has_reported = device.contains("reportedStatus");
  json state = {{"thing", device.value("coreDeviceThingName", "")},
                {"status", device.value("status", "")},
                {"connected", device.value("connected", false)},
                {"components", components_of(device)},
                {"deployments", deployments_of(device)}};
  if (!has_reported && state["status"] != kUnreachable) state["status"] = kNeverSeen;
  if (device.contains("lastSeen")) state["last_seen"] = device["lastSeen"];
  if (device.contains("componentHistory")) state["component_history"] = device["componentHistory"];
  if (!has_reported) return state;
  state["nucleus_version"] = device.value("coreVersion", "");
  state["platform"] = device.value("platform", "");
  state["architecture"] = device.value("architecture", "");
  state["updated"] = device.value("lastStatusUpdateTimestamp", 0.0);
  return state;
}

// The last of the codes says most: "COMPONENT_BROKEN".
std::string failure_of(const json& deployment) {
  const json stack = deployment.value("error_stack", json::array());
  return !stack.empty() && stack.back().is_string() ? stack.back().get<std::string>() : "";
}

void show_devices(const Output& output, const json& devices) {
  const double now_s = static_cast<double>(io::RealClock().wall_ms()) / 1000;
  Table heads{{"DEVICE", "STATUS", "SEEN", "NUCLEUS", "REPORTED"}, {}};
  Table components{{"DEVICE", "COMPONENT", "VERSION", "STATE", "DETAILS"}, {}};
  Table deployments{{"DEVICE", "DEPLOYMENT", "TARGET", "STATUS", "CAUSE", "REASON"}, {}};
  for (const json& device : devices) {
    const std::string thing = device.value("thing", "");
    const bool seen = device.contains("updated");
    const std::string seen_when = device.value("connected", false) ? "connected"
                                  : device.contains("last_seen")
                                      ? age(device.value("last_seen", 0.0), now_s)
                                      : "";
    heads.rows.push_back({thing, device.value("status", ""), seen_when,
                          device.value("nucleus_version", ""),
                          seen ? age(device.value("updated", 0.0), now_s) : ""});
    for (const json& each : device["components"]) {
      components.rows.push_back({thing, each.value("name", ""), each.value("version", ""),
                                 each.value("status", ""), each.value("details", "")});
    }
    size_t shown = 0;
    for (const json& each : device["deployments"]) {
      if (++shown > kDeploymentsShown) break;
      const std::string target = each.value("target", "");
      deployments.rows.push_back({thing, each.value("id", ""), target.substr(target.rfind(':') + 1),
                                  each.value("status", ""), failure_of(each),
                                  each.value("reason", "")});
    }
  }
  output.print_table(heads);
  for (const Table* table : {&components, &deployments}) {
    if (table->rows.empty()) continue;
    output.print_line("");
    output.print_table(*table);
  }
  if (devices.empty()) output.hint("no devices yet: skerry device provision NAME --out NAME");
}

Result<void> status(const Session& session, const std::string& device) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  if (!device.empty()) {
    SKERRY_ASSIGN(const json found,
                  fleet.call({.service = "skerry",
                              .method = "GET",
                              .path = kStates + "/" + net::percent_encode(device)}));
    const json state = state_of(found);
    if (session.output.json) {
      session.output.print_json(state);
    } else {
      show_devices(session.output, json::array({state}));
    }
    return {};
  }
  SKERRY_ASSIGN(const json found,
                fleet.list({.service = "skerry", .method = "GET", .path = kStates}, "devices"));
  json devices = json::array();
  for (const json& each : found) devices.push_back(state_of(each));
  if (session.output.json) {
    session.output.print_json(json{{"devices", devices}});
  } else {
    show_devices(session.output, devices);
  }
  return {};
}

}  // namespace

void add_status_command(CLI::App& app, Session& session) {
  auto device = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("status", "Devices, what they run, and their last deployments");
  command->add_option("--device", *device, "Only this thing");
  command->footer(R"(
NEVER_SEEN is a device that has not reported yet, UNREACHABLE one that has been away for longer than the
fleet allows (skerry-fleet --unreachable-after). SEEN says when it was connected last. Where a deployment failed, its reason is shown.
Examples:
  skerry status
  skerry status --device press-7 --json)");
  command->callback([&session, device] {
    session.action = [&session, device] { return status(session, *device); };
  });
}

}  // namespace skerry::cli
