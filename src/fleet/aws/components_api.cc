// greengrassv2: component versions.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "fleet/artifacts.h"
#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/aws/yaml.h"
#include "fleet/components.h"
#include "fleet/store.h"
#include "formats/public_components.h"
#include "formats/recipe.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

struct CreateComponentVersion {
  std::string recipe;  // base64
  json lambda;         // null where absent
  json tags;
  std::string client_token;
  bool force = false;  // our own: other content under a name that was deleted
  static std::span<const Field> fields() {
    using F = Fields<CreateComponentVersion>;
    static constexpr Field kFields[] = {
        F::body<&CreateComponentVersion::recipe>("inlineRecipe", kRecipe),
        F::body<&CreateComponentVersion::lambda>("lambdaFunction", kLambdaFunction),
        F::body<&CreateComponentVersion::tags>("tags", kTags),
        F::body<&CreateComponentVersion::client_token>("clientToken", kClientToken),
        F::query<&CreateComponentVersion::force>("skerry-force", kBoolean)};
    return kFields;
  }
};

struct VersionRequest {
  std::string arn;
  static std::span<const Field> fields() {
    using F = Fields<VersionRequest>;
    static constexpr Field kFields[] = {F::path<&VersionRequest::arn>("arn", kComponentVersionArn)};
    return kFields;
  }
};

struct GetComponent {
  std::string arn;
  std::string format = "JSON";
  static std::span<const Field> fields() {
    using F = Fields<GetComponent>;
    static constexpr Field kFields[] = {
        F::path<&GetComponent::arn>("arn", kComponentVersionArn),
        F::query<&GetComponent::format>("recipeOutputFormat", kRecipeFormat)};
    return kFields;
  }
};

struct ListComponents : Paged {
  std::string visibility = "PRIVATE";
  static std::span<const Field> fields() {
    using F = Fields<ListComponents>;
    static constexpr Field kFields[] = {F::query<&ListComponents::visibility>("scope", kVisibility),
                                        page_size<ListComponents>(kPageSize100),
                                        page_token<ListComponents>()};
    return kFields;
  }
};

struct ListVersions : Paged {
  std::string arn;
  static std::span<const Field> fields() {
    using F = Fields<ListVersions>;
    static constexpr Field kFields[] = {F::path<&ListVersions::arn>("arn", kComponentArn),
                                        page_size<ListVersions>(kPageSize100),
                                        page_token<ListVersions>()};
    return kFields;
  }
};

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

// What nuclei provide, as if AWS had published it here.
formats::ArnScope public_scope(const ApiContext& context) {
  return {context.scope.region, "aws"};
}
bool is_public(const ApiContext& context, const ComponentName& name, std::string_view arn) {
  return formats::is_provided(name) &&
         arn.starts_with(formats::component_arn(public_scope(context), name));
}

Result<ComponentVersion> public_version(const ComponentName& name,
                                        const formats::Version& version) {
  const auto provided = formats::provided_versions(name);
  if (std::ranges::find(provided, version) == provided.end()) {
    return fail(Code::kNotFound,
                "component " + name.str() + " " + version.str() + " does not exist here");
  }
  return ComponentVersion{.name = name,
                          .version = version.str(),
                          .recipe_json = formats::provided_recipe(name, version),
                          .description = "Provided by the nucleus.",
                          .publisher = "AWS"};
}

// The component version that the ARN names: of this fleet, or of what nuclei provide.
Result<ComponentVersion> component_of(ApiContext& context, const std::string& arn) {
  SKERRY_ASSIGN(auto id, formats::parse_component_version_arn(arn));
  if (is_public(context, id.name, arn)) return public_version(id.name, id.version);
  SKERRY_ASSIGN(auto component, context.store.find_component(id.name, id.version.str()));
  if (arn_of(context, component) != arn) {
    return fail(Code::kNotFound, arn + " is not of this region and account");
  }
  return component;
}

Result<ComponentVersion> new_component(ApiContext& context, const CreateComponentVersion& request) {
  if (!request.lambda.is_null()) {
    return fail(Code::kUnsupported,
                "lambdaFunction: Lambda components are not supported, give an inlineRecipe");
  }
  if (request.recipe.empty()) return fail(Code::kInvalidArgument, "inlineRecipe: is required");
  SKERRY_ASSIGN(auto text, base64_decode(request.recipe));
  SKERRY_ASSIGN(ComponentVersion component,
                component_from_recipe(context.store, context.artifacts, text));
  if (request.tags.is_object()) component.tags_json = request.tags.dump();
  component.created_ms = context.env.clock.wall_ms();
  return component;
}

Result<json> create_component_version(ApiContext& context, const CreateComponentVersion& request) {
  SKERRY_ASSIGN(auto former, former_answer(context, request.client_token));
  if (former) return std::move(*former);
  SKERRY_ASSIGN(ComponentVersion component, new_component(context, request));
  // Devices that still have the deleted version would take the new one for the same.
  if (!request.force) SKERRY_TRY(context.store.check_same_as_deleted(component));
  SKERRY_TRY(context.store.create_component(component));
  json answer = {{"arn", arn_of(context, component)},
                 {"componentName", component.name.str()},
                 {"componentVersion", component.version},
                 {"creationTimestamp", timestamp(component.created_ms)},
                 {"status", status_of_component()}};
  SKERRY_TRY(remember_answer(context, request.client_token, answer));
  return answer;
}

Result<json> describe_component(ApiContext& context, const VersionRequest& request) {
  SKERRY_ASSIGN(ComponentVersion component, component_of(context, request.arn));
  json answer = {{"arn", request.arn},
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

Result<json> get_component(ApiContext& context, const GetComponent& request) {
  SKERRY_ASSIGN(ComponentVersion component, component_of(context, request.arn));
  std::string recipe = component.recipe_json;
  if (request.format == "YAML") recipe = yaml_text(json::parse(recipe, nullptr, false));
  json answer = {{"recipeOutputFormat", request.format}, {"recipe", base64_encode(recipe)}};
  add_tags(answer, component.tags_json);
  return answer;
}

json summary_of(const ComponentVersion& latest, const formats::ArnScope& scope) {
  json version = {{"arn", component_version_arn(scope, latest)},
                  {"componentVersion", latest.version},
                  {"creationTimestamp", timestamp(latest.created_ms)},
                  {"platforms", platforms_of(latest)}};
  if (!latest.description.empty()) version["description"] = latest.description;
  if (!latest.publisher.empty()) version["publisher"] = latest.publisher;
  return {{"arn", formats::component_arn(scope, latest.name)},
          {"componentName", latest.name.str()},
          {"latestVersion", std::move(version)}};
}

Result<json> list_public(ApiContext& context, const Page& page) {
  json answer = {{"components", json::array()}};
  std::vector<ComponentName> names = formats::provided_services();
  std::ranges::sort(names);
  for (const ComponentName& name : names) {
    if (name.str() <= page.after) continue;
    if (answer["components"].size() == page.limit) {
      add_next_token(context, answer, answer["components"].back()["componentName"]);
      break;
    }
    SKERRY_ASSIGN(const auto latest,
                  public_version(name, formats::provided_versions(name).front()));
    answer["components"].push_back(summary_of(latest, public_scope(context)));
  }
  return answer;
}

Result<json> list_components(ApiContext& context, const ListComponents& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  json answer = {{"components", json::array()}};
  if (request.visibility == "PUBLIC") return list_public(context, page);
  SKERRY_ASSIGN(auto names, context.store.list_component_names(page));
  for (const ComponentName& name : names.items) {
    SKERRY_ASSIGN(auto versions, versions_of(context.store, name));
    if (versions.empty()) continue;
    answer["components"].push_back(summary_of(versions.front(), context.scope));
  }
  add_next_token(context, answer, names.next);
  return answer;
}

Result<json> list_component_versions(ApiContext& context, const ListVersions& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  const std::string& arn = request.arn;
  SKERRY_ASSIGN(ComponentName name, formats::parse_component_arn(arn));
  const bool of_aws = is_public(context, name, arn);
  const formats::ArnScope scope = of_aws ? public_scope(context) : context.scope;
  std::vector<ComponentVersion> versions;
  if (of_aws) {
    for (const auto& version : formats::provided_versions(name)) {
      SKERRY_ASSIGN(auto provided, public_version(name, version));
      versions.push_back(std::move(provided));
    }
  } else {
    SKERRY_ASSIGN(versions, versions_of(context.store, name));
  }
  if (versions.empty() || formats::component_arn(scope, name) != arn) {
    return fail(Code::kNotFound, "component " + arn + " does not exist");
  }
  auto first = versions.begin();
  if (!page.after.empty()) {
    // The one that the page before ended with may be deleted: what comes after it in their order.
    SKERRY_ASSIGN(const auto last, formats::Version::parse(page.after));
    first = std::ranges::find_if(versions, [&](const ComponentVersion& one) {
      auto version = formats::Version::parse(one.version);
      return version && *version < last;
    });
  }
  json answer = {{"componentVersions", json::array()}};
  json& items = answer["componentVersions"];
  for (; first != versions.end() && items.size() < page.limit; ++first) {
    items.push_back({{"componentName", name.str()},
                     {"componentVersion", first->version},
                     {"arn", component_version_arn(scope, *first)}});
  }
  if (first != versions.end()) add_next_token(context, answer, std::prev(first)->version);
  return answer;
}

Result<json> delete_component(ApiContext& context, const VersionRequest& request) {
  SKERRY_ASSIGN(ComponentVersion component, component_of(context, request.arn));
  if (is_public(context, component.name, request.arn)) {
    return fail(Code::kPermissionDenied, request.arn + " is not this fleet's to delete");
  }
  SKERRY_TRY(context.store.delete_component(component.name, component.version));
  return json::object();
}

constexpr Route kComponentRoutes[] = {
    operation<create_component_version>("greengrass", "CreateComponentVersion", "POST",
                                        "/greengrass/v2/createComponentVersion", 201),
    operation<list_components>("greengrass", "ListComponents", "GET", "/greengrass/v2/components"),
    operation<get_component>("greengrass", "GetComponent", "GET",
                             "/greengrass/v2/components/{arn}"),
    operation<delete_component>("greengrass", "DeleteComponent", "DELETE",
                                "/greengrass/v2/components/{arn}", 204),
    operation<describe_component>("greengrass", "DescribeComponent", "GET",
                                  "/greengrass/v2/components/{arn}/metadata"),
    operation<list_component_versions>("greengrass", "ListComponentVersions", "GET",
                                       "/greengrass/v2/components/{arn}/versions"),
};

}  // namespace

std::span<const Route> component_routes() {
  return kComponentRoutes;
}

}  // namespace skerry::fleet::aws
