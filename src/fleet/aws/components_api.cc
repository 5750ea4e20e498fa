// greengrassv2: component versions.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "fleet/artifacts.h"
#include "fleet/aws/input.h"
#include "fleet/aws/yaml.h"
#include "fleet/components.h"
#include "fleet/store.h"
#include "formats/recipe.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr size_t kMaxPage = 100;

json status_of_component() {
  return {{"componentState", "DEPLOYABLE"},
          {"message", "NONE"},
          {"errors", json::object()},
          {"vendorGuidance", "ACTIVE"}};
}

std::string arn_of(const ApiContext& context, const ComponentVersion& component) {
  return component_version_arn(context.scope, component);
}

// What the manifests say they run on.
json platforms_of(const ComponentVersion& component) {
  json platforms = json::array();
  auto recipe = formats::parse_recipe(component.recipe_json);
  if (!recipe) return platforms;
  for (const formats::Manifest& manifest : recipe->manifests) {
    json platform = {{"attributes", manifest.platform}};
    if (!manifest.name.empty()) platform["name"] = manifest.name;
    platforms.push_back(std::move(platform));
  }
  return platforms;
}

// The component version of this fleet that the path's {arn} names.
Result<ComponentVersion> component_in_path(ApiContext& context, const ApiRequest& request) {
  const std::string arn = request.parameter("arn");
  SKERRY_ASSIGN(auto id, formats::parse_component_version_arn(arn));
  SKERRY_ASSIGN(auto component, context.store.find_component(id.name, id.version.str()));
  if (arn_of(context, component) != arn) {
    return fail(Code::kNotFound, arn + " is not of this region and account");
  }
  return component;
}

Result<ComponentVersion> new_component(ApiContext& context, const json& body) {
  if (body.contains("lambdaFunction")) {
    return fail(Code::kUnsupported,
                "lambdaFunction: Lambda components are not supported, give an inlineRecipe");
  }
  SKERRY_ASSIGN(std::string encoded, string_member(body, "inlineRecipe", {}, true));
  SKERRY_ASSIGN(json tags, tags_of(body));
  auto text = base64_decode(encoded);
  if (!text) return fail(Code::kInvalidArgument, "inlineRecipe: " + text.error().message());
  SKERRY_ASSIGN(ComponentVersion component,
                component_from_recipe(context.store, context.artifacts, *text));
  component.tags_json = tags.dump();
  component.created_ms = context.env.clock.wall_ms();
  return component;
}

Result<json> create_component_version(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(auto former, former_answer(context, "CreateComponentVersion", request.body));
  if (former) return std::move(*former);
  SKERRY_ASSIGN(ComponentVersion component, new_component(context, request.body));
  SKERRY_TRY(context.store.create_component(component));
  json answer = {{"arn", arn_of(context, component)},
                 {"componentName", component.name.str()},
                 {"componentVersion", component.version},
                 {"creationTimestamp", timestamp(component.created_ms)},
                 {"status", status_of_component()}};
  SKERRY_TRY(remember_answer(context, "CreateComponentVersion", request.body, answer));
  return answer;
}

Result<json> describe_component(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(ComponentVersion component, component_in_path(context, request));
  json answer = {{"arn", arn_of(context, component)},
                 {"componentName", component.name.str()},
                 {"componentVersion", component.version},
                 {"creationTimestamp", timestamp(component.created_ms)},
                 {"publisher", component.publisher},
                 {"description", component.description},
                 {"status", status_of_component()},
                 {"platforms", platforms_of(component)}};
  add_tags(answer, component.tags_json);
  return answer;
}

Result<json> get_component(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(ComponentVersion component, component_in_path(context, request));
  SKERRY_ASSIGN(std::string format, enum_option(request, "recipeOutputFormat", {"JSON", "YAML"}));
  if (format.empty()) format = "JSON";
  std::string recipe = component.recipe_json;
  if (format == "YAML") recipe = yaml_text(json::parse(recipe, nullptr, false));
  json answer = {{"recipeOutputFormat", format}, {"recipe", base64_encode(recipe)}};
  add_tags(answer, component.tags_json);
  return answer;
}

Result<json> list_components(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Page page, page_of(request, kMaxPage));
  SKERRY_ASSIGN(std::string visibility, enum_option(request, "scope", {"PRIVATE", "PUBLIC"}));
  json answer = {{"components", json::array()}};
  if (visibility == "PUBLIC") return answer;  // nobody publishes to everybody here
  SKERRY_ASSIGN(auto names, context.store.list_component_names(page));
  for (const ComponentName& name : names.items) {
    SKERRY_ASSIGN(auto versions, versions_of(context.store, name));
    if (versions.empty()) continue;
    const ComponentVersion& latest = versions.front();
    json latest_version = {{"arn", arn_of(context, latest)},
                           {"componentVersion", latest.version},
                           {"creationTimestamp", timestamp(latest.created_ms)},
                           {"platforms", platforms_of(latest)}};
    if (!latest.description.empty()) latest_version["description"] = latest.description;
    if (!latest.publisher.empty()) latest_version["publisher"] = latest.publisher;
    answer["components"].push_back({{"arn", formats::component_arn(context.scope, name)},
                                    {"componentName", name.str()},
                                    {"latestVersion", std::move(latest_version)}});
  }
  add_next_token(answer, names.next);
  return answer;
}

Result<json> list_component_versions(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Page page, page_of(request, kMaxPage));
  const std::string arn = request.parameter("arn");
  SKERRY_ASSIGN(ComponentName name, formats::parse_component_arn(arn));
  SKERRY_ASSIGN(auto versions, versions_of(context.store, name));
  if (versions.empty() || formats::component_arn(context.scope, name) != arn) {
    return fail(Code::kNotFound, "component " + arn + " does not exist");
  }
  auto first = versions.begin();
  if (!page.after.empty()) {
    first = std::ranges::find(versions, page.after, &ComponentVersion::version);
    if (first != versions.end()) ++first;
  }
  json answer = {{"componentVersions", json::array()}};
  json& items = answer["componentVersions"];
  for (; first != versions.end() && items.size() < page.limit; ++first) {
    items.push_back({{"componentName", name.str()},
                     {"componentVersion", first->version},
                     {"arn", arn_of(context, *first)}});
  }
  if (first != versions.end()) add_next_token(answer, std::prev(first)->version);
  return answer;
}

Result<json> delete_component(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(ComponentVersion component, component_in_path(context, request));
  SKERRY_TRY(context.store.delete_component(component.name, component.version));
  return json::object();
}

constexpr Route kRoutes[] = {
    {"greengrass", "POST", "/greengrass/v2/createComponentVersion", 201, create_component_version},
    {"greengrass", "GET", "/greengrass/v2/components", 200, list_components},
    {"greengrass", "GET", "/greengrass/v2/components/{arn}", 200, get_component},
    {"greengrass", "DELETE", "/greengrass/v2/components/{arn}", 204, delete_component},
    {"greengrass", "GET", "/greengrass/v2/components/{arn}/metadata", 200, describe_component},
    {"greengrass", "GET", "/greengrass/v2/components/{arn}/versions", 200, list_component_versions},
};

}  // namespace

std::span<const Route> component_routes() {
  return kRoutes;
}

}  // namespace skerry::fleet::aws
