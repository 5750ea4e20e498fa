// skerry status: devices, what they run, and what became of deployments.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/command.h"
#include "io/clock.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr const char* kNeverSeen = "NEVER_SEEN";
constexpr const char* kUnreachable = "UNREACHABLE";
constexpr size_t kDeploymentsShown = 3;  // of each device, newest first

std::string device_path(const std::string& thing) {
  return "/greengrass/v2/coreDevices/" + net::percent_encode(thing);
}

// {"name", "version", "status", "root", "details"?} each.
Result<json> components_of(FleetClient& fleet, const std::string& thing) {
  SKERRY_ASSIGN(const json installed,
                fleet.list({.service = "greengrass",
                            .method = "GET",
                            .path = device_path(thing) + "/installedComponents",
                            .query = {{"topologyFilter", "ALL"}}},
                           "installedComponents"));
  json components = json::array();
  for (const json& each : installed) {
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
Result<json> deployments_of(FleetClient& fleet, const std::string& thing) {
  SKERRY_ASSIGN(const json effective,
                fleet.list({.service = "greengrass",
                            .method = "GET",
                            .path = device_path(thing) + "/effectiveDeployments"},
                           "effectiveDeployments"));
  json deployments = json::array();
  for (const json& each : effective) {
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

Result<json> device_state(FleetClient& fleet, const std::string& thing) {
  json state = {{"thing", thing}, {"status", kNeverSeen}, {"components", json::array()}};
  const auto core =
      fleet.call({.service = "greengrass", .method = "GET", .path = device_path(thing)});
  if (!core && core.error().code() != Code::kNotFound) return fail(core.error());
  if (core) {
    state["status"] = core->value("status", "");
    state["nucleus_version"] = core->value("coreVersion", "");
    state["platform"] = core->value("platform", "");
    state["architecture"] = core->value("architecture", "");
    state["updated"] = core->value("lastStatusUpdateTimestamp", 0.0);
    SKERRY_ASSIGN(state["components"], components_of(fleet, thing));
  }
  SKERRY_ASSIGN(const json reach,
                fleet.call({.service = "skerry",
                            .method = "GET",
                            .path = "/skerry/v1/coreDevices/" + net::percent_encode(thing)}));
  state["connected"] = reach.value("connected", false);
  if (reach.contains("lastSeen")) state["last_seen"] = reach["lastSeen"];
  if (reach.value("status", "") == kUnreachable) state["status"] = kUnreachable;
  SKERRY_ASSIGN(state["deployments"], deployments_of(fleet, thing));
  return state;
}

// The last of the codes says most: "COMPONENT_BROKEN".
std::string cause_of(const json& deployment) {
  const json stack = deployment.value("error_stack", json::array());
  return !stack.empty() && stack.back().is_string() ? stack.back().get<std::string>() : "";
}

void show(const Output& output, const json& devices) {
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
                                  each.value("status", ""), cause_of(each),
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
    SKERRY_TRY(fleet.call(
        {.service = "iot", .method = "GET", .path = "/things/" + net::percent_encode(device)}));
    SKERRY_ASSIGN(const json state, device_state(fleet, device));
    if (session.output.json) {
      session.output.print_json(state);
    } else {
      show(session.output, json::array({state}));
    }
    return {};
  }
  SKERRY_ASSIGN(const json things,
                fleet.list({.service = "iot", .method = "GET", .path = "/things"}, "things"));
  json devices = json::array();
  for (const json& thing : things) {
    SKERRY_ASSIGN(json state, device_state(fleet, thing.value("thingName", "")));
    devices.push_back(std::move(state));
  }
  if (session.output.json) {
    session.output.print_json(json{{"devices", devices}});
  } else {
    show(session.output, devices);
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
