// greengrassv2: deployments.
#include <nlohmann/json.hpp>

#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/deployments.h"
#include "fleet/store.h"
#include "formats/names.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

struct CreateDeployment {
  std::string target_arn;
  std::string name;
  json components;
  json job_configuration;
  json policies;
  std::string parent_target_arn;
  json tags;
  std::string client_token;
  static std::span<const Field> fields() {
    using F = Fields<CreateDeployment>;
    static constexpr Field kFields[] = {
        F::body<&CreateDeployment::target_arn>("targetArn", kTargetArn, true),
        F::body<&CreateDeployment::name>("deploymentName", kDeploymentName),
        F::body<&CreateDeployment::components>("components", kDeploymentComponents),
        F::body<&CreateDeployment::job_configuration>("iotJobConfiguration", kJobConfiguration),
        F::body<&CreateDeployment::policies>("deploymentPolicies", kDeploymentPolicies),
        F::body<&CreateDeployment::parent_target_arn>("parentTargetArn", kThingGroupArn),
        F::body<&CreateDeployment::tags>("tags", kTags),
        F::body<&CreateDeployment::client_token>("clientToken", kClientToken)};
    return kFields;
  }
};

struct DeploymentRequest {
  DeploymentId id;
  static std::span<const Field> fields() {
    using F = Fields<DeploymentRequest>;
    static constexpr Field kFields[] = {F::path<&DeploymentRequest::id>("deploymentId", kNonEmpty)};
    return kFields;
  }
};

struct ListDeployments : Paged {
  std::string target_arn;
  std::string history = "LATEST_ONLY";
  std::string parent_target_arn;
  static std::span<const Field> fields() {
    using F = Fields<ListDeployments>;
    static constexpr Field kFields[] = {
        F::query<&ListDeployments::target_arn>("targetArn", kTargetArn),
        F::query<&ListDeployments::history>("historyFilter", kDeploymentHistory),
        F::query<&ListDeployments::parent_target_arn>("parentTargetArn", kThingGroupArn),
        page_size<ListDeployments>(kPageSize100), page_token<ListDeployments>()};
    return kFields;
  }
};

// What is demanded beyond the model and what the document's parser checks.
Result<void> check_request(const ApiContext& context, const CreateDeployment& request) {
  SKERRY_ASSIGN(auto target, formats::parse_target_arn(request.target_arn));
  if (formats::target_arn(context.scope, target) != request.target_arn) {
    return fail(Code::kInvalidArgument,
                "targetArn: " + request.target_arn + " is not of this region and account");
  }
  if (!request.components.is_object()) return {};
  for (const auto& [name, component] : request.components.items()) {
    if (auto checked = formats::parse_component_name(name); !checked) {
      return fail(checked.error().with_context("components: " + name));
    }
  }
  return {};
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

Result<json> create_deployment(ApiContext& context, const CreateDeployment& request) {
  SKERRY_TRY(check_request(context, request));
  SKERRY_ASSIGN(auto former, former_answer(context, request.client_token));
  if (former) return std::move(*former);
  SKERRY_ASSIGN(auto made, context.deployments.create(context.store, context.given));
  json answer = {{"deploymentId", made.id.str()},
                 {"iotJobId", made.job_id.str()},
                 {"iotJobArn", job_arn(context, made.job_id)}};
  SKERRY_TRY(remember_answer(context, request.client_token, answer));
  return answer;
}

Result<json> get_deployment(ApiContext& context, const DeploymentRequest& request) {
  SKERRY_ASSIGN(auto deployment, context.store.find_deployment(request.id));
  json answer = summary(deployment);
  answer["iotJobId"] = deployment.job_id.str();
  answer["iotJobArn"] = job_arn(context, deployment.job_id);
  const json asked = object_of(deployment.request_json);
  for (const char* member : {"components", "deploymentPolicies", "iotJobConfiguration"}) {
    answer[member] = asked.contains(member) ? asked[member] : json::object();
  }
  // Not of the model, and ignored by its clients; in the tags, too.
  if (asked.contains("rolledBackFrom")) answer["rolledBackFrom"] = asked["rolledBackFrom"];
  add_tags(answer, deployment.tags_json);
  return answer;
}

Result<json> list_deployments(ApiContext& context, const ListDeployments& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  Store::DeploymentFilter filter;
  filter.target_arn = request.target_arn;
  filter.parent_target_arn = request.parent_target_arn;
  filter.latest_only = request.history != "ALL";
  SKERRY_ASSIGN(auto deployments, context.store.list_deployments(filter, page));
  json answer = {{"deployments", json::array()}};
  for (const Deployment& one : deployments.items) answer["deployments"].push_back(summary(one));
  add_next_token(context, answer, deployments.next);
  return answer;
}

Result<json> cancel_deployment(ApiContext& context, const DeploymentRequest& request) {
  SKERRY_TRY(context.deployments.cancel(context.store, request.id, Deployments::Begun::kFinishes));
  return json{{"message", "deployment " + request.id.str() +
                              " is cancelled for every device that has not begun it"}};
}

Result<json> delete_deployment(ApiContext& context, const DeploymentRequest& request) {
  SKERRY_ASSIGN(auto deployment, context.store.find_deployment(request.id));
  if (deployment.status == DeploymentStatus::kActive) {
    return fail(Code::kFailedPrecondition,
                "deployment " + request.id.str() + " is ACTIVE: cancel it first");
  }
  SKERRY_TRY(context.deployments.remove(context.store, deployment));
  return json::object();
}

constexpr Route kDeploymentRoutes[] = {
    operation<create_deployment>("greengrass", "CreateDeployment", "POST",
                                 "/greengrass/v2/deployments", 201),
    operation<list_deployments>("greengrass", "ListDeployments", "GET",
                                "/greengrass/v2/deployments"),
    operation<get_deployment>("greengrass", "GetDeployment", "GET",
                              "/greengrass/v2/deployments/{deploymentId}"),
    operation<delete_deployment>("greengrass", "DeleteDeployment", "DELETE",
                                 "/greengrass/v2/deployments/{deploymentId}", 204),
    operation<cancel_deployment>("greengrass", "CancelDeployment", "POST",
                                 "/greengrass/v2/deployments/{deploymentId}/cancel"),
};

}  // namespace

std::span<const Route> deployment_routes() {
  return kDeploymentRoutes;
}

}  // namespace skerry::fleet::aws
