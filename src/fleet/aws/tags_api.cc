// greengrassv2: tags of component versions and deployments.
#include <nlohmann/json.hpp>

#include "fleet/aws/input.h"
#include "fleet/components.h"
#include "fleet/store.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

// A tagged record, however it is stored.
struct Tagged {
  json tags;
  std::function<Result<void>(const std::string& tags_json)> write;
};

json parse_tags(const std::string& text) {
  json tags = json::parse(text, nullptr, false);
  return tags.is_object() ? tags : json::object();
}

Result<Tagged> tagged_in_path(ApiContext& context, const ApiRequest& request) {
  constexpr std::string_view kDeployments = "deployments:";
  const std::string text = request.parameter("resourceArn");
  SKERRY_ASSIGN(auto arn, formats::Arn::parse(text));
  const formats::Arn own{"aws", "greengrass", context.scope.region, context.scope.account,
                         arn.resource};
  if (arn != own) return fail(Code::kNotFound, text + " is not of this region and account");
  Store& store = context.store;
  if (arn.resource.starts_with(kDeployments)) {
    const DeploymentId id(arn.resource.substr(kDeployments.size()));
    SKERRY_ASSIGN(auto deployment, store.find_deployment(id));
    return Tagged{parse_tags(deployment.tags_json), [&store, id](const std::string& tags) {
                    return store.set_deployment_tags(id, tags);
                  }};
  }
  SKERRY_ASSIGN(auto id, formats::parse_component_version_arn(text));
  const std::string version = id.version.str();
  SKERRY_ASSIGN(auto component, store.find_component(id.name, version));
  return Tagged{parse_tags(component.tags_json),
                [&store, name = id.name, version](const std::string& tags) {
                  return store.set_component_tags(name, version, tags);
                }};
}

Result<json> list_tags(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Tagged resource, tagged_in_path(context, request));
  return json{{"tags", std::move(resource.tags)}};
}

Result<json> tag_resource(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Tagged resource, tagged_in_path(context, request));
  SKERRY_ASSIGN(json added, tags_of(request.body));
  if (added.empty()) return fail(Code::kInvalidArgument, "tags: is required");
  resource.tags.update(added);
  SKERRY_TRY(check_tags(resource.tags));
  SKERRY_TRY(resource.write(resource.tags.dump()));
  return json::object();
}

Result<json> untag_resource(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Tagged resource, tagged_in_path(context, request));
  auto [first, last] = request.query.equal_range("tagKeys");
  if (first == last) return fail(Code::kInvalidArgument, "tagKeys: is required");
  for (; first != last; ++first) resource.tags.erase(first->second);
  SKERRY_TRY(resource.write(resource.tags.dump()));
  return json::object();
}

constexpr Route kRoutes[] = {
    {"greengrass", "GET", "/tags/{resourceArn}", 200, list_tags},
    {"greengrass", "POST", "/tags/{resourceArn}", 200, tag_resource},
    {"greengrass", "DELETE", "/tags/{resourceArn}", 200, untag_resource},
};

}  // namespace

std::span<const Route> tag_routes() {
  return kRoutes;
}

}  // namespace skerry::fleet::aws
