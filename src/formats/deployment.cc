// Deployment documents: reading them from a job or an API request, printing them for a job.
#include "formats/deployment.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "formats/json_pointer.h"
#include "formats/limits.h"
#include "formats/names.h"
#include "formats/node.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr std::string_view kSchemaDate = "2021-05-17";
constexpr int64_t kMaxMemoryKb = INT64_MAX / 1024;
constexpr double kMaxCpus = 10'000;

constexpr EnumNames<FailureHandling, 2> kFailureHandlings = {
    {{FailureHandling::kRollback, "ROLLBACK"}, {FailureHandling::kDoNothing, "DO_NOTHING"}}};
constexpr EnumNames<UpdateAction, 2> kUpdateActions = {
    {{UpdateAction::kNotify, "NOTIFY_COMPONENTS"},
     {UpdateAction::kSkipNotify, "SKIP_NOTIFY_COMPONENTS"}}};

// The member under the job document's name or under the API's.
Result<std::optional<Node>> find_either(const Node& node, std::string_view job_name,
                                        std::string_view api_name) {
  SKERRY_ASSIGN(auto member, node.find(job_name));
  if (member) return member;
  return node.find(api_name);
}

Result<> read_timeout(const Node& policy, std::chrono::seconds& timeout) {
  SKERRY_ASSIGN(auto node, find_either(policy, "timeout", "timeoutInSeconds"));
  if (!node) return {};
  SKERRY_ASSIGN(const int64_t seconds, node->as_integer());
  if (seconds < 0 || seconds > kMaxTimeoutSeconds) {
    return node->wrong(fmt::format("must be 0 to {} seconds", kMaxTimeoutSeconds));
  }
  timeout = std::chrono::seconds(seconds);
  return {};
}

Result<JsonPtr> parse_merge(const Node& node) {
  json merge = node.value();
  if (node.is_string()) {
    SKERRY_ASSIGN(const std::string text, node.as_string());
    if (text.empty()) return JsonPtr();
    auto parsed = parse_json(text, {.size_bytes = kMaxPacketBytes});
    if (!parsed) return node.wrong(parsed.error().message());
    merge = *std::move(parsed);
  }
  if (!merge.is_object()) return node.wrong("must be an object");
  return share(std::move(merge));
}

Result<std::vector<std::string>> parse_reset(const Node& node) {
  json inner;
  Node list = node;
  if (node.is_string()) {
    SKERRY_ASSIGN(const std::string text, node.as_string());
    auto parsed = parse_json(text, {.size_bytes = kMaxPacketBytes});
    if (!parsed) return node.wrong(parsed.error().message());
    inner = *std::move(parsed);
    list = Node(inner, node.path());
  }
  SKERRY_ASSIGN(auto pointers, list.as_string_list());
  for (const std::string& pointer : pointers) {
    if (auto keys = parse_json_pointer(pointer); !keys) return node.wrong(keys.error().message());
  }
  return pointers;
}

Result<DeployedComponent> parse_component(const Node& node) {
  DeployedComponent component;
  SKERRY_ASSIGN(auto version_node, find_either(node, "version", "componentVersion"));
  if (!version_node) return node.wrong("has no version");
  SKERRY_ASSIGN(const std::string text, version_node->as_string());
  auto version = Version::parse(text);
  if (!version) return version_node->wrong(version.error().message());
  component.version = *std::move(version);

  SKERRY_ASSIGN(auto update, node.find("configurationUpdate"));
  if (update) {
    SKERRY_ASSIGN(auto merge, update->find("merge"));
    if (merge) {
      SKERRY_ASSIGN(component.configuration.merge, parse_merge(*merge));
    }
    SKERRY_ASSIGN(auto reset, update->find("reset"));
    if (reset) {
      SKERRY_ASSIGN(component.configuration.reset, parse_reset(*reset));
    }
  }
  SKERRY_ASSIGN(auto run_with, node.find("runWith"));
  if (run_with) {
    SKERRY_ASSIGN(component.run_with, parse_run_with(*run_with));
  }
  return component;
}

Result<> parse_components(const Node& root, Deployment& deployment) {
  SKERRY_ASSIGN(auto node, root.find("components"));
  if (!node) return {};
  SKERRY_ASSIGN(auto members, node->members());
  for (const auto& [key, member] : members) {
    auto name = parse_component_name(key);
    if (!name) return member.wrong(name.error().message());
    SKERRY_ASSIGN(auto component, parse_component(member));
    deployment.components.emplace(*std::move(name), std::move(component));
  }
  return {};
}

Result<> parse_policies(const Node& node, Deployment& deployment) {
  SKERRY_TRY(node.read("failureHandlingPolicy", kFailureHandlings, deployment.failure_handling));
  SKERRY_ASSIGN(auto update, node.find("componentUpdatePolicy"));
  if (update) {
    SKERRY_TRY(update->read("action", kUpdateActions, deployment.update_action));
    SKERRY_TRY(read_timeout(*update, deployment.update_timeout));
  }
  SKERRY_ASSIGN(auto validation, node.find("configurationValidationPolicy"));
  if (validation) SKERRY_TRY(read_timeout(*validation, deployment.validation_timeout));
  return {};
}

Result<> parse_identity(const Node& root, Deployment& deployment) {
  SKERRY_ASSIGN(auto id_node, root.find("deploymentId"));
  if (id_node) {
    SKERRY_ASSIGN(const std::string text, id_node->as_string());
    // It names folders and records on the device, as a job id does.
    auto id = parse_job_id(text);
    if (!id) return id_node->wrong(id.error().message());
    deployment.id = DeploymentId(id->str());
  }
  SKERRY_ASSIGN(auto arn_node, root.find("configurationArn"));
  if (arn_node) {
    SKERRY_ASSIGN(deployment.configuration_arn, arn_node->as_string());
    auto configuration = deployment.configuration_id();
    if (!configuration) return arn_node->wrong(configuration.error().message());
  }
  SKERRY_TRY(root.read("deploymentName", deployment.name));
  SKERRY_TRY(root.read("parentTargetArn", deployment.parent_target_arn));
  SKERRY_TRY(root.read("onBehalfOf", deployment.on_behalf_of));
  SKERRY_TRY(root.read("creationTimestamp", deployment.creation_timestamp_ms));
  SKERRY_ASSIGN(auto capabilities, root.find("requiredCapabilities"));
  if (capabilities) {
    SKERRY_ASSIGN(deployment.required_capabilities, capabilities->as_string_list());
  }
  return {};
}

json to_json(const RunWith& run_with) {
  json result = json::object();
  if (!run_with.posix_user.empty()) result["posixUser"] = run_with.posix_user;
  if (!run_with.windows_user.empty()) result["windowsUser"] = run_with.windows_user;
  if (run_with.limits.memory_kb)
    result["systemResourceLimits"]["memory"] = *run_with.limits.memory_kb;
  if (run_with.limits.cpus) result["systemResourceLimits"]["cpus"] = *run_with.limits.cpus;
  return result;
}

json to_json(const DeployedComponent& component) {
  json result = {{"version", component.version.str()}};
  if (component.configuration.merge) {
    result["configurationUpdate"]["merge"] = *component.configuration.merge;
  }
  if (!component.configuration.reset.empty()) {
    result["configurationUpdate"]["reset"] = component.configuration.reset;
  }
  if (json run_with = to_json(component.run_with); !run_with.empty()) {
    result["runWith"] = std::move(run_with);
  }
  return result;
}

void set_unless_empty(json& document, const char* key, const std::string& value) {
  if (!value.empty()) document[key] = value;
}

}  // namespace

std::string_view name_of(FailureHandling policy) {
  return enum_name(kFailureHandlings, policy);
}
std::string_view name_of(UpdateAction action) {
  return enum_name(kUpdateActions, action);
}

Result<ConfigurationId> Deployment::configuration_id() const {
  return parse_configuration_arn(configuration_arn);
}

Result<RunWith> parse_run_with(const Node& node) {
  RunWith run_with;
  SKERRY_TRY(node.read("posixUser", run_with.posix_user));
  SKERRY_TRY(node.read("windowsUser", run_with.windows_user));
  SKERRY_ASSIGN(auto limits, node.find("systemResourceLimits"));
  if (!limits) return run_with;
  SKERRY_ASSIGN(auto memory, limits->find("memory"));
  if (memory) {
    SKERRY_ASSIGN(const int64_t kilobytes, memory->as_integer());
    if (kilobytes < 1 || kilobytes > kMaxMemoryKb) {
      return memory->wrong(fmt::format("must be 1 to {} kilobytes", kMaxMemoryKb));
    }
    run_with.limits.memory_kb = kilobytes;
  }
  SKERRY_ASSIGN(auto cpus, limits->find("cpus"));
  if (cpus) {
    SKERRY_ASSIGN(const double share_of_cpus, cpus->as_number());
    if (share_of_cpus <= 0 || share_of_cpus > kMaxCpus) {
      return cpus->wrong(fmt::format("must be above 0 and at most {}", kMaxCpus));
    }
    run_with.limits.cpus = share_of_cpus;
  }
  return run_with;
}

Result<Deployment> parse_deployment_text(std::string_view text) {
  auto document = parse_json(text, {.size_bytes = kMaxPacketBytes});
  if (!document) return fail(document.error().with_context("deployment document"));
  return parse_deployment(*document);
}

Result<Deployment> parse_deployment(const json& document) {
  const Node root(document, "");
  if (!root.is_object()) {
    return fail(Code::kInvalidArgument, "the deployment document must be an object");
  }
  Deployment deployment;
  SKERRY_TRY(parse_identity(root, deployment));
  SKERRY_TRY(parse_components(root, deployment));
  SKERRY_TRY(parse_policies(root, deployment));
  SKERRY_ASSIGN(auto policies, root.find("deploymentPolicies"));
  if (policies) SKERRY_TRY(parse_policies(*policies, deployment));
  return deployment;
}

json to_json(const Deployment& deployment) {
  json document = {
      {"schemaDate", kSchemaDate},
      {"creationTimestamp", deployment.creation_timestamp_ms},
      {"components", json::object()},
      {"failureHandlingPolicy", name_of(deployment.failure_handling)},
      {"componentUpdatePolicy",
       {{"timeout", deployment.update_timeout.count()},
        {"action", name_of(deployment.update_action)}}},
      {"configurationValidationPolicy", {{"timeout", deployment.validation_timeout.count()}}},
  };
  set_unless_empty(document, "deploymentId", deployment.id.str());
  set_unless_empty(document, "deploymentName", deployment.name);
  set_unless_empty(document, "configurationArn", deployment.configuration_arn);
  set_unless_empty(document, "parentTargetArn", deployment.parent_target_arn);
  set_unless_empty(document, "onBehalfOf", deployment.on_behalf_of);
  if (!deployment.required_capabilities.empty()) {
    document["requiredCapabilities"] = deployment.required_capabilities;
  }
  for (const auto& [name, component] : deployment.components) {
    document["components"][name.str()] = to_json(component);
  }
  return document;
}

}  // namespace skerry::formats
