// Fleet status messages.
#include "formats/fleet_status.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "formats/names.h"
#include "formats/node.h"
#include "formats/thing_topic.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr std::string_view kHealthTopic = "/greengrassv2/health/json";
constexpr std::string_view kHealthy = "HEALTHY";
constexpr const char* kHistory = "componentHistory";

constexpr EnumNames<FleetMessageType, 2> kMessageTypes = {
    {{FleetMessageType::kComplete, "COMPLETE"}, {FleetMessageType::kPartial, "PARTIAL"}}};

json to_json(const ComponentStatus& component) {
  json result = {{"componentName", component.name.str()},
                 {"version", component.version},
                 {"status", component.status},
                 {"isRoot", component.is_root},
                 {"fleetConfigArns", component.fleet_configuration_arns}};
  if (component.details) {
    result["componentStatusDetails"] = {{"statusCodes", component.details->status_codes},
                                        {"statusReason", component.details->status_reason}};
  }
  return result;
}

json to_json(const DeploymentInformation& deployment) {
  json details = {{"detailedStatus", deployment.detailed_status}};
  if (!deployment.failure_cause.empty()) details["failureCause"] = deployment.failure_cause;
  if (!deployment.error_stack.empty()) details["errorStack"] = deployment.error_stack;
  if (!deployment.error_types.empty()) details["errorTypes"] = deployment.error_types;
  return {{"status", deployment.status},
          {"statusDetails", std::move(details)},
          {"fleetConfigurationArnForStatus", deployment.configuration_arn},
          {"deploymentId", deployment.deployment_id.str()},
          {"unchangedRootComponents", deployment.unchanged_root_components}};
}

Result<> read_texts(const Node& node, std::string_view key, std::vector<std::string>& out) {
  SKERRY_ASSIGN(auto member, node.find(key));
  if (!member) return {};
  SKERRY_ASSIGN(out, member->as_string_list());
  return {};
}

Result<ComponentStatus> parse_component_status(const Node& node) {
  ComponentStatus component;
  SKERRY_ASSIGN(auto name_node, node.require("componentName"));
  SKERRY_ASSIGN(const std::string name_text, name_node.as_string());
  auto name = parse_component_name(name_text);
  if (!name) return name_node.wrong(name.error().message());
  component.name = *std::move(name);
  SKERRY_TRY(node.read("version", component.version));
  SKERRY_TRY(node.read("status", component.status));
  SKERRY_TRY(node.read("isRoot", component.is_root));
  SKERRY_TRY(read_texts(node, "fleetConfigArns", component.fleet_configuration_arns));
  SKERRY_ASSIGN(auto details_node, node.find("componentStatusDetails"));
  if (details_node) {
    ComponentStatusDetails details;
    SKERRY_TRY(read_texts(*details_node, "statusCodes", details.status_codes));
    SKERRY_TRY(details_node->read("statusReason", details.status_reason));
    component.details = std::move(details);
  }
  return component;
}

Result<DeploymentInformation> parse_deployment_information(const Node& node) {
  DeploymentInformation deployment;
  SKERRY_TRY(node.read("status", deployment.status));
  SKERRY_TRY(node.read("fleetConfigurationArnForStatus", deployment.configuration_arn));
  std::string id;
  SKERRY_TRY(node.read("deploymentId", id));
  deployment.deployment_id = DeploymentId(std::move(id));
  SKERRY_TRY(read_texts(node, "unchangedRootComponents", deployment.unchanged_root_components));
  SKERRY_ASSIGN(auto details, node.find("statusDetails"));
  if (details) {
    SKERRY_TRY(details->read("detailedStatus", deployment.detailed_status));
    SKERRY_TRY(details->read("failureCause", deployment.failure_cause));
    SKERRY_TRY(read_texts(*details, "errorStack", deployment.error_stack));
    SKERRY_TRY(read_texts(*details, "errorTypes", deployment.error_types));
  }
  return deployment;
}

Result<> parse_device(const Node& root, FleetStatus& status) {
  SKERRY_TRY(root.read("ggcVersion", status.nucleus_version));
  SKERRY_TRY(root.read("platform", status.platform));
  SKERRY_TRY(root.read("architecture", status.architecture));
  SKERRY_TRY(root.read("runtime", status.runtime));
  SKERRY_ASSIGN(auto thing_node, root.require("thing"));
  SKERRY_ASSIGN(const std::string thing_text, thing_node.as_string());
  auto thing = parse_thing_name(thing_text);
  if (!thing) return thing_node.wrong(thing.error().message());
  status.thing = *std::move(thing);
  SKERRY_TRY(root.read("sequenceNumber", status.sequence_number));
  SKERRY_TRY(root.read("timestamp", status.timestamp_ms));
  SKERRY_TRY(root.read("messageType", kMessageTypes, status.message_type));
  SKERRY_TRY(root.read("trigger", status.trigger));
  std::string overall(kHealthy);
  SKERRY_TRY(root.read("overallDeviceStatus", overall));
  status.healthy = equal_ignoring_case(overall, kHealthy);
  int64_t free_bytes = -1;
  SKERRY_TRY(root.read("freeDiskBytes", free_bytes));
  if (free_bytes >= 0) status.free_disk_bytes = free_bytes;
  SKERRY_ASSIGN(auto history, root.find(kHistory));
  if (history) {
    SKERRY_ASSIGN(status.history, parse_component_history(*history));
  }
  SKERRY_ASSIGN(auto chunk_node, root.find("chunkInfo"));
  if (chunk_node) {
    ChunkInfo chunk;
    SKERRY_TRY(chunk_node->read("chunkId", chunk.chunk_id));
    SKERRY_TRY(chunk_node->read("totalChunks", chunk.total_chunks));
    status.chunk = chunk;
  }
  return {};
}

}  // namespace

std::string_view name_of(FleetMessageType type) {
  return enum_name(kMessageTypes, type);
}

std::string fleet_status_topic(const ThingName& thing) {
  return thing_topic(thing, kHealthTopic);
}

std::optional<ThingName> parse_fleet_status_topic(std::string_view topic) {
  return thing_of_topic(topic, kHealthTopic);
}

std::string to_text(const FleetStatus& status) {
  json result = {{"ggcVersion", status.nucleus_version},
                 {"platform", status.platform},
                 {"architecture", status.architecture},
                 {"thing", status.thing.str()},
                 {"sequenceNumber", status.sequence_number},
                 {"timestamp", status.timestamp_ms},
                 {"messageType", name_of(status.message_type)},
                 {"trigger", status.trigger},
                 {"overallDeviceStatus", status.healthy ? kHealthy : "UNHEALTHY"},
                 {"components", json::array()}};
  if (!status.runtime.empty()) result["runtime"] = status.runtime;
  if (status.free_disk_bytes) result["freeDiskBytes"] = *status.free_disk_bytes;
  if (status.history) result[kHistory] = to_json(*status.history);
  if (status.chunk) {
    result["chunkInfo"] = {{"chunkId", status.chunk->chunk_id},
                           {"totalChunks", status.chunk->total_chunks}};
  }
  for (const ComponentStatus& component : status.components) {
    result["components"].push_back(to_json(component));
  }
  if (status.deployment) result["deploymentInformation"] = to_json(*status.deployment);
  return json_text(result);
}

Result<FleetStatus> parse_fleet_status(std::string_view text) {
  auto message = parse_json(text);
  if (!message) return fail(message.error().with_context("fleet status"));
  const Node root(*message, "");
  if (!root.is_object()) return fail(Code::kInvalidArgument, "fleet status: must be an object");
  FleetStatus status;
  SKERRY_TRY(parse_device(root, status));
  SKERRY_ASSIGN(auto components, root.find("components"));
  if (components) {
    SKERRY_ASSIGN(auto elements, components->elements());
    for (const Node& element : elements) {
      SKERRY_ASSIGN(auto component, parse_component_status(element));
      status.components.push_back(std::move(component));
    }
  }
  SKERRY_ASSIGN(auto deployment, root.find("deploymentInformation"));
  if (deployment) {
    SKERRY_ASSIGN(status.deployment, parse_deployment_information(*deployment));
  }
  return status;
}

}  // namespace skerry::formats
