// greengrassv2: deployments.
#include <nlohmann/json.hpp>

#include "fleet/aws/input.h"
#include "fleet/deployments.h"
#include "fleet/store.h"
#include "formats/names.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr size_t kMaxPage = 100;
constexpr size_t kMaxMerge = 10'485'760;
constexpr size_t kMaxResetPath = 256;

Result<void> check_configuration(const json& update) {
  SKERRY_TRY(string_member(update, "merge", {1, kMaxMerge}));
  auto reset = update.find("reset");
  if (reset == update.end() || reset->is_null()) return {};
  if (!reset->is_array()) return fail(Code::kInvalidArgument, "reset: must be a list");
  for (const json& path : *reset) {
    if (!path.is_string() || path.get_ref<const std::string&>().size() > kMaxResetPath) {
      return fail(Code::kInvalidArgument, "reset: must hold strings of at most 256 characters");
    }
  }
  return {};
}

Result<void> check_component(const std::string& name, const json& component) {
  SKERRY_TRY(formats::parse_component_name(name));
  if (!component.is_object()) return fail(Code::kInvalidArgument, "must be an object");
  SKERRY_TRY(string_member(component, "componentVersion", {1, 64}, true));
  SKERRY_ASSIGN(const json* update, object_member(component, "configurationUpdate"));
  if (update) SKERRY_TRY(check_configuration(*update));
  SKERRY_ASSIGN(const json* run_with, object_member(component, "runWith"));
  if (run_with) SKERRY_TRY(string_member(*run_with, "posixUser", {}));
  return {};
}

// What the model of CreateDeployment demands beyond what the document's parser checks.
Result<void> check_request(ApiContext& context, const json& body) {
  SKERRY_ASSIGN(std::string target, string_member(body, "targetArn", {}, true));
  SKERRY_ASSIGN(auto parsed, formats::parse_target_arn(target));
  if (formats::target_arn(context.scope, parsed) != target) {
    return fail(Code::kInvalidArgument,
                "targetArn: " + target + " is not of this region and account");
  }
  SKERRY_TRY(string_member(body, "deploymentName", {1, 256}));
  SKERRY_ASSIGN(std::string parent, string_member(body, "parentTargetArn", {}));
  if (!parent.empty()) {
    SKERRY_ASSIGN(auto group, formats::parse_target_arn(parent));
    if (group.kind != formats::Target::Kind::kThingGroup) {
      return fail(Code::kInvalidArgument, "parentTargetArn: must name a thing group");
    }
  }
  if (body.contains("iotJobConfiguration") && !body["iotJobConfiguration"].empty()) {
    return fail(Code::kUnsupported,
                "iotJobConfiguration: rollout rates, abort criteria and timeouts are not supported "
                "yet; leave it out, the deployment then goes to every target at once");
  }
  SKERRY_ASSIGN(const json* components, object_member(body, "components"));
  if (!components) return {};
  for (const auto& [name, component] : components->items()) {
    if (auto checked = check_component(name, component); !checked) {
      return fail(checked.error().with_context("components: " + name));
    }
  }
  return {};
}

std::string job_arn(const ApiContext& context, const JobId& job) {
  return formats::Arn{"aws", "iot", context.scope.region, context.scope.account, "job/" + job.str()}
      .str();
}

// What GetDeployment and ListDeployments both say.
json summary(const Deployment& deployment) {
  json item = {{"targetArn", deployment.target_arn},
               {"revisionId", std::to_string(deployment.revision)},
               {"deploymentId", deployment.id.str()},
               {"deploymentStatus", std::string(to_string(deployment.status))},
               {"creationTimestamp", timestamp(deployment.created_ms)},
               {"isLatestForTarget", deployment.is_latest}};
  if (!deployment.name.empty()) item["deploymentName"] = deployment.name;
  if (!deployment.parent_target_arn.empty()) {
    item["parentTargetArn"] = deployment.parent_target_arn;
  }
  return item;
}

Result<json> create_deployment(ApiContext& context, const ApiRequest& request) {
  SKERRY_TRY(check_request(context, request.body));
  SKERRY_TRY(tags_of(request.body));
  SKERRY_ASSIGN(auto former, former_answer(context, "CreateDeployment", request.body));
  if (former) return std::move(*former);
  SKERRY_ASSIGN(auto made, context.deployments.create(context.store, request.body));
  json answer = {{"deploymentId", made.id.str()},
                 {"iotJobId", made.job_id.str()},
                 {"iotJobArn", job_arn(context, made.job_id)}};
  SKERRY_TRY(remember_answer(context, "CreateDeployment", request.body, answer));
  return answer;
}

Result<json> get_deployment(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(auto deployment,
                context.store.find_deployment(DeploymentId(request.parameter("deploymentId"))));
  json answer = summary(deployment);
  answer["iotJobId"] = deployment.job_id.str();
  answer["iotJobArn"] = job_arn(context, deployment.job_id);
  const json asked = json::parse(deployment.request_json, nullptr, false);
  for (const char* member : {"components", "deploymentPolicies"}) {
    answer[member] = asked.contains(member) ? asked[member] : json::object();
  }
  add_tags(answer, deployment.tags_json);
  return answer;
}

Result<json> list_deployments(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Page page, page_of(request, kMaxPage));
  SKERRY_ASSIGN(std::string history, enum_option(request, "historyFilter", {"ALL", "LATEST_ONLY"}));
  Store::DeploymentFilter filter;
  filter.target_arn = request.option("targetArn");
  filter.parent_target_arn = request.option("parentTargetArn");
  filter.latest_only = history != "ALL";  // LATEST_ONLY is the model's default
  for (const std::string& arn : {filter.target_arn, filter.parent_target_arn}) {
    if (!arn.empty()) SKERRY_TRY(formats::parse_target_arn(arn));
  }
  SKERRY_ASSIGN(auto deployments, context.store.list_deployments(filter, page));
  json answer = {{"deployments", json::array()}};
  for (const Deployment& one : deployments.items) answer["deployments"].push_back(summary(one));
  add_next_token(answer, deployments.next);
  return answer;
}

Result<json> cancel_deployment(ApiContext& context, const ApiRequest& request) {
  const DeploymentId id(request.parameter("deploymentId"));
  SKERRY_TRY(context.deployments.cancel(context.store, id));
  return json{{"message",
               "deployment " + id.str() + " is cancelled for every device that has not begun it"}};
}

constexpr Route kRoutes[] = {
    {"greengrass", "POST", "/greengrass/v2/deployments", 201, create_deployment},
    {"greengrass", "GET", "/greengrass/v2/deployments", 200, list_deployments},
    {"greengrass", "GET", "/greengrass/v2/deployments/{deploymentId}", 200, get_deployment},
    {"greengrass", "POST", "/greengrass/v2/deployments/{deploymentId}/cancel", 200,
     cancel_deployment},
};

}  // namespace

std::span<const Route> deployment_routes() {
  return kRoutes;
}

}  // namespace skerry::fleet::aws
