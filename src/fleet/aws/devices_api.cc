// greengrassv2: core devices, what is installed on them, which deployments reached them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/component_events.h"
#include "fleet/store_presence.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr size_t kMaxDetails = 1000;
constexpr size_t kStateItems = 500;  // components and deployments of a device in its state
constexpr std::string_view kLifecycleStates[] = {"NEW",      "INSTALLED", "STARTING", "RUNNING",
                                                 "STOPPING", "ERRORED",   "BROKEN",   "FINISHED"};

struct ListCoreDevices : Paged {
  std::string group_arn;
  std::string status;
  std::string runtime;
  static std::span<const Field> fields() {
    using F = Fields<ListCoreDevices>;
    static constexpr Field kFields[] = {
        F::query<&ListCoreDevices::group_arn>("thingGroupArn", kThingGroupArn),
        F::query<&ListCoreDevices::status>("status", kCoreDeviceStatus),
        F::query<&ListCoreDevices::runtime>("runtime", kRuntime),
        page_size<ListCoreDevices>(kPageSize100), page_token<ListCoreDevices>()};
    return kFields;
  }
};

struct DeviceRequest {
  ThingName thing;
  static std::span<const Field> fields() {
    using F = Fields<DeviceRequest>;
    static constexpr Field kFields[] = {
        F::path<&DeviceRequest::thing>("coreDeviceThingName", kCoreDeviceName)};
    return kFields;
  }
};

struct ListInstalled : Paged {
  ThingName thing;
  std::string topology = "ROOT";
  static std::span<const Field> fields() {
    using F = Fields<ListInstalled>;
    static constexpr Field kFields[] = {
        F::path<&ListInstalled::thing>("coreDeviceThingName", kCoreDeviceName),
        F::query<&ListInstalled::topology>("topologyFilter", kTopology),
        page_size<ListInstalled>(kPageSize100), page_token<ListInstalled>()};
    return kFields;
  }
};

struct ListEffective : Paged {
  ThingName thing;
  static std::span<const Field> fields() {
    using F = Fields<ListEffective>;
    static constexpr Field kFields[] = {
        F::path<&ListEffective::thing>("coreDeviceThingName", kCoreDeviceName),
        page_size<ListEffective>(kPageSize100), page_token<ListEffective>()};
    return kFields;
  }
};

void set_if(json& object, const char* name, const std::string& value) {
  if (!value.empty()) object[name] = value;
}

const char* health(const CoreDevice& device) {
  return device.healthy ? "HEALTHY" : "UNHEALTHY";
}

json summary(const CoreDevice& device) {
  json item = {{"coreDeviceThingName", device.thing.str()},
               {"status", health(device)},
               {"lastStatusUpdateTimestamp", timestamp(device.last_status_ms)}};
  set_if(item, "platform", device.platform);
  set_if(item, "architecture", device.architecture);
  set_if(item, "runtime", device.runtime);
  return item;
}

Result<json> list_core_devices(ApiContext& context, const ListCoreDevices& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  Store::CoreDeviceFilter filter;
  if (!request.status.empty()) filter.healthy = request.status == "HEALTHY";
  filter.runtime = request.runtime;
  if (!request.group_arn.empty()) {
    SKERRY_ASSIGN(auto target, formats::parse_target_arn(request.group_arn));
    filter.group = ThingGroupName(target.name);
  }
  SKERRY_ASSIGN(auto devices, context.store.list_core_devices(filter, page));
  json answer = {{"coreDevices", json::array()}};
  for (const CoreDevice& device : devices.items) answer["coreDevices"].push_back(summary(device));
  add_next_token(context, answer, devices.next);
  return answer;
}

Result<json> get_core_device(ApiContext& context, const DeviceRequest& request) {
  SKERRY_ASSIGN(auto device, context.store.find_core_device(request.thing));
  json answer = summary(device);
  set_if(answer, "coreVersion", device.nucleus_version);
  add_tags(answer, device.tags_json);
  return answer;
}

// Takes it from the list of core devices; the thing stays, and a nucleus that still runs comes back
// with its next status.
Result<json> delete_core_device(ApiContext& context, const DeviceRequest& request) {
  SKERRY_TRY(context.store.delete_core_device(request.thing));
  return json::object();
}

json installed_item(const InstalledComponent& component) {
  json item = {{"componentName", component.name.str()},
               {"isRoot", component.is_root},
               {"lastStatusChangeTimestamp", timestamp(component.changed_ms)},
               {"lastReportedTimestamp", timestamp(component.reported_ms)}};
  set_if(item, "componentVersion", component.version);
  if (std::ranges::find(kLifecycleStates, component.state) != std::end(kLifecycleStates)) {
    item["lifecycleState"] = component.state;
  }
  set_if(item, "lifecycleStateDetails", component.status_reason.substr(0, kMaxDetails));
  json codes = json::parse(component.status_codes_json, nullptr, false);
  if (codes.is_array() && !codes.empty()) item["lifecycleStatusCodes"] = std::move(codes);
  // The deployment that brought it: the last part of its configuration ARN's target.
  json arns = json::parse(component.configuration_arns_json, nullptr, false);
  if (arns.is_array() && !arns.empty() && arns[0].is_string()) {
    if (auto id = formats::parse_configuration_arn(arns[0].get<std::string>())) {
      item["lastInstallationSource"] = id->target.name;
    }
  }
  return item;
}

Result<json> list_installed_components(ApiContext& context, const ListInstalled& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  const bool roots_only = request.topology == "ROOT";
  SKERRY_ASSIGN(auto components,
                context.store.list_installed_components(request.thing, roots_only, page));
  json answer = {{"installedComponents", json::array()}};
  for (const InstalledComponent& component : components.items) {
    answer["installedComponents"].push_back(installed_item(component));
  }
  add_next_token(context, answer, components.next);
  return answer;
}

// A list that a nucleus reports as JSON inside a string, or as words between brackets (Java).
json list_in(const json& details, const char* name) {
  json list = json::array();
  if (!details.contains(name) || !details[name].is_string()) return list;
  const std::string text = details[name].get<std::string>();
  json parsed = json::parse(text, nullptr, false);
  if (parsed.is_array()) return parsed;
  if (!text.empty()) list.push_back(text);
  return list;
}

json effective_item(const ApiContext& context, const JobExecution& execution,
                    const Deployment& deployment) {
  json item = {{"deploymentId", deployment.id.str()},
               {"deploymentName", deployment.name},
               {"iotJobId", deployment.job_id.str()},
               {"iotJobArn", job_arn(context, deployment.job_id)},
               {"targetArn", deployment.target_arn},
               {"coreDeviceExecutionStatus", std::string(to_string(execution.status))},
               {"creationTimestamp", timestamp(execution.queued_ms)},
               {"modifiedTimestamp", timestamp(execution.updated_ms)}};
  const json details = json::parse(execution.status_details_json, nullptr, false);
  if (!details.is_object() || details.empty()) return item;
  for (const char* reason : {"deployment-failure-cause", "detailed-deployment-status"}) {
    if (details.contains(reason) && details[reason].is_string()) {
      item["reason"] = details[reason];
      break;
    }
  }
  if (execution.status != ExecutionStatus::kSucceeded) {
    item["statusDetails"] = {{"errorStack", list_in(details, "deployment-error-stack")},
                             {"errorTypes", list_in(details, "deployment-error-types")}};
  }
  return item;
}

Result<json> list_effective_deployments(ApiContext& context, const ListEffective& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  const ThingName& thing = request.thing;
  SKERRY_TRY(context.store.find_thing(thing));
  SKERRY_ASSIGN(auto executions, context.store.list_executions_of_thing(thing, page));
  json answer = {{"effectiveDeployments", json::array()}};
  for (const JobExecution& execution : executions.items) {
    if (execution.status == ExecutionStatus::kRemoved) continue;  // no longer a target
    SKERRY_ASSIGN(auto deployment, context.store.find_deployment_of_job(execution.job_id));
    answer["effectiveDeployments"].push_back(effective_item(context, execution, deployment));
  }
  add_next_token(context, answer, executions.next);
  return answer;
}

// --- Ours, beside AWS's: whether a device is there at all ---

struct ListReachability : Paged {
  static std::span<const Field> fields() {
    static constexpr Field kFields[] = {page_size<ListReachability>(kPageSize100),
                                        page_token<ListReachability>()};
    return kFields;
  }
};

// AWS's statuses are what the device said last, and nothing where it never did.
json reachability(const ThingName& thing, const CoreDevice* device,
                  const DevicePresence& presence) {
  json item = {{"coreDeviceThingName", thing.str()},
               {"status", presence.unreachable ? "UNREACHABLE"
                          : device             ? health(*device)
                                               : "NEVER_REPORTED"},
               {"connected", presence.connected}};
  if (presence.since_ms > 0) {
    item["since"] = timestamp(presence.since_ms);
    item["lastSeen"] = timestamp(presence.last_seen_ms);
  }
  if (device) {
    item["reportedStatus"] = health(*device);
    item["lastStatusUpdateTimestamp"] = timestamp(device->last_status_ms);
    if (device->free_disk_bytes >= 0) item["freeDiskBytes"] = device->free_disk_bytes;
  }
  return item;
}

// What happened to its components, where it tells.
Result<void> add_history(ApiContext& context, const ThingName& thing, json& item) {
  SKERRY_ASSIGN(const auto trouble, trouble_of(context.store, thing, context.env.clock.wall_ms()));
  if (trouble.since_ms == 0) return {};
  json& history = item["componentHistory"] = {{"since", timestamp(trouble.since_ms)},
                                              {"errors", trouble.errors},
                                              {"restarts", trouble.restarts}};
  if (trouble.last_failure) history["lastFailure"] = to_json(*trouble.last_failure);
  return {};
}

Result<json> list_reachability(ApiContext& context, const ListReachability& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  SKERRY_ASSIGN(auto devices, context.store.list_core_devices({}, page));
  json answer = {{"coreDevices", json::array()}};
  for (const CoreDevice& device : devices.items) {
    SKERRY_ASSIGN(const auto presence, presence_of(context.store, device.thing));
    answer["coreDevices"].push_back(reachability(device.thing, &device, presence));
  }
  add_next_token(context, answer, devices.next);
  return answer;
}

// Of any thing: one that never reported may be connected all the same.
Result<json> get_reachability(ApiContext& context, const DeviceRequest& request) {
  SKERRY_TRY(context.store.find_thing(request.thing));
  SKERRY_ASSIGN(const auto presence, presence_of(context.store, request.thing));
  const auto device = context.store.find_core_device(request.thing);
  if (!device && device.error().code() != Code::kNotFound) return fail(device.error());
  json answer = reachability(request.thing, device ? &*device : nullptr, presence);
  SKERRY_TRY(add_history(context, request.thing, answer));
  return answer;
}

// Everything that `skerry status` shows of a thing.
Result<json> state_of(ApiContext& context, const ThingName& thing) {
  SKERRY_ASSIGN(const auto presence, presence_of(context.store, thing));
  const auto device = context.store.find_core_device(thing);
  if (!device && device.error().code() != Code::kNotFound) return fail(device.error());
  json state = reachability(thing, device ? &*device : nullptr, presence);
  SKERRY_TRY(add_history(context, thing, state));
  json& components = state["installedComponents"] = json::array();
  if (device) {
    state.update(summary(*device));
    if (presence.unreachable) state["status"] = "UNREACHABLE";
    set_if(state, "coreVersion", device->nucleus_version);
    SKERRY_ASSIGN(const auto installed,
                  context.store.list_installed_components(thing, false, {.limit = kStateItems}));
    for (const InstalledComponent& each : installed.items) {
      components.push_back(installed_item(each));
    }
  }
  json& deployments = state["effectiveDeployments"] = json::array();
  SKERRY_ASSIGN(const auto executions,
                context.store.list_executions_of_thing(thing, {.limit = kStateItems}));
  for (const JobExecution& each : executions.items) {
    if (each.status == ExecutionStatus::kRemoved) continue;
    SKERRY_ASSIGN(const auto deployment, context.store.find_deployment_of_job(each.job_id));
    deployments.push_back(effective_item(context, each, deployment));
  }
  return state;
}

Result<json> list_device_states(ApiContext& context, const ListReachability& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  SKERRY_ASSIGN(const auto things, context.store.list_things(page));
  json answer = {{"devices", json::array()}};
  for (const Thing& thing : things.items) {
    SKERRY_ASSIGN(json state, state_of(context, thing.name));
    answer["devices"].push_back(std::move(state));
  }
  add_next_token(context, answer, things.next);
  return answer;
}

Result<json> get_device_state(ApiContext& context, const DeviceRequest& request) {
  SKERRY_TRY(context.store.find_thing(request.thing));
  return state_of(context, request.thing);
}

constexpr Route kDeviceRoutes[] = {
    operation<list_device_states>("skerry", "ListDeviceStates", "GET", "/skerry/v1/deviceStates"),
    operation<get_device_state>("skerry", "GetDeviceState", "GET",
                                "/skerry/v1/deviceStates/{coreDeviceThingName}"),
    operation<list_reachability>("skerry", "ListReachability", "GET", "/skerry/v1/coreDevices"),
    operation<get_reachability>("skerry", "GetReachability", "GET",
                                "/skerry/v1/coreDevices/{coreDeviceThingName}"),
    operation<list_core_devices>("greengrass", "ListCoreDevices", "GET",
                                 "/greengrass/v2/coreDevices"),
    operation<get_core_device>("greengrass", "GetCoreDevice", "GET",
                               "/greengrass/v2/coreDevices/{coreDeviceThingName}"),
    admin_only(operation<delete_core_device>("greengrass", "DeleteCoreDevice", "DELETE",
                                             "/greengrass/v2/coreDevices/{coreDeviceThingName}",
                                             204)),
    operation<list_installed_components>(
        "greengrass", "ListInstalledComponents", "GET",
        "/greengrass/v2/coreDevices/{coreDeviceThingName}/installedComponents"),
    operation<list_effective_deployments>(
        "greengrass", "ListEffectiveDeployments", "GET",
        "/greengrass/v2/coreDevices/{coreDeviceThingName}/effectiveDeployments"),
};

}  // namespace

std::span<const Route> device_routes() {
  return kDeviceRoutes;
}

}  // namespace skerry::fleet::aws
