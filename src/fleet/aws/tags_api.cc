// Tags: of component versions, deployments and core devices (greengrassv2), of thing groups (iot).
#include <functional>
#include <nlohmann/json.hpp>

#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/components.h"
#include "fleet/store.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

struct ListTags {
  std::string arn;
  static std::span<const Field> fields() {
    using F = Fields<ListTags>;
    static constexpr Field kFields[] = {F::path<&ListTags::arn>("resourceArn", kTaggedArn)};
    return kFields;
  }
};

struct TagResource {
  std::string arn;
  json tags;
  static std::span<const Field> fields() {
    using F = Fields<TagResource>;
    static constexpr Field kFields[] = {F::path<&TagResource::arn>("resourceArn", kTaggedArn),
                                        F::body<&TagResource::tags>("tags", kTags, true)};
    return kFields;
  }
};

struct UntagResource {
  std::string arn;
  std::vector<std::string> keys;
  static std::span<const Field> fields() {
    using F = Fields<UntagResource>;
    static constexpr Field kFields[] = {F::path<&UntagResource::arn>("resourceArn", kTaggedArn),
                                        F::query<&UntagResource::keys>("tagKeys", kTagKeys, true)};
    return kFields;
  }
};

struct ListIotTags : Paged {
  std::string arn;
  static std::span<const Field> fields() {
    using F = Fields<ListIotTags>;
    static constexpr Field kFields[] = {F::query<&ListIotTags::arn>("resourceArn", kText, true),
                                        page_token<ListIotTags>()};
    return kFields;
  }
};

struct TagIotResource {
  std::string arn;
  json tags;
  static std::span<const Field> fields() {
    using F = Fields<TagIotResource>;
    static constexpr Field kFields[] = {F::body<&TagIotResource::arn>("resourceArn", kText, true),
                                        F::body<&TagIotResource::tags>("tags", kIotTags, true)};
    return kFields;
  }
};

struct UntagIotResource {
  std::string arn;
  std::vector<std::string> keys;
  static std::span<const Field> fields() {
    using F = Fields<UntagIotResource>;
    static constexpr Field kFields[] = {
        F::body<&UntagIotResource::arn>("resourceArn", kText, true),
        F::body<&UntagIotResource::keys>("tagKeys", kIotTagKeys, true)};
    return kFields;
  }
};

// A tagged record, however it is stored.
struct Tagged {
  json tags;
  std::function<Result<void>(const std::string& tags_json)> write;
};

Result<Tagged> tagged_deployment(Store& store, const DeploymentId& id) {
  SKERRY_ASSIGN(auto deployment, store.find_deployment(id));
  return Tagged{object_of(deployment.tags_json), [&store, id](const std::string& tags) {
                  return store.set_deployment_tags(id, tags);
                }};
}

Result<Tagged> tagged_device(Store& store, const ThingName& thing) {
  SKERRY_ASSIGN(auto device, store.find_core_device(thing));
  return Tagged{object_of(device.tags_json), [&store, thing](const std::string& tags) {
                  return store.set_core_device_tags(thing, tags);
                }};
}

Result<Tagged> tagged_component(Store& store, const std::string& arn) {
  SKERRY_ASSIGN(auto id, formats::parse_component_version_arn(arn));
  const std::string version = id.version.str();
  SKERRY_ASSIGN(auto component, store.find_component(id.name, version));
  return Tagged{object_of(component.tags_json),
                [&store, name = id.name, version](const std::string& tags) {
                  return store.set_component_tags(name, version, tags);
                }};
}

Result<formats::Arn> own_arn(const ApiContext& context, const std::string& text,
                             const std::string& service) {
  SKERRY_ASSIGN(auto arn, formats::Arn::parse(text));
  const formats::Arn own{"aws", service, context.scope.region, context.scope.account, arn.resource};
  if (arn != own) return fail(Code::kNotFound, text + " is not of this region and account");
  return arn;
}

Result<Tagged> tagged_in_greengrass(ApiContext& context, const std::string& text) {
  constexpr std::string_view kDeploymentPrefix = "deployments:";
  constexpr std::string_view kDevicePrefix = "coreDevices:";
  SKERRY_ASSIGN(auto arn, own_arn(context, text, "greengrass"));
  if (arn.resource.starts_with(kDeploymentPrefix)) {
    return tagged_deployment(context.store,
                             DeploymentId(arn.resource.substr(kDeploymentPrefix.size())));
  }
  if (arn.resource.starts_with(kDevicePrefix)) {
    return tagged_device(context.store, ThingName(arn.resource.substr(kDevicePrefix.size())));
  }
  return tagged_component(context.store, text);
}

Result<Tagged> tagged_in_iot(ApiContext& context, const std::string& text) {
  constexpr std::string_view kGroups = "thinggroup/";
  SKERRY_ASSIGN(auto arn, own_arn(context, text, "iot"));
  if (!arn.resource.starts_with(kGroups)) {
    return fail(Code::kInvalidArgument,
                "resourceArn: of what is here, only thing groups have tags");
  }
  Store& store = context.store;
  SKERRY_ASSIGN(auto group, store.find_group(ThingGroupName(arn.resource.substr(kGroups.size()))));
  return Tagged{object_of(group.tags_json), [&store, group](const std::string& tags) {
                  ThingGroup changed = group;
                  changed.tags_json = tags;
                  return store.update_group(changed);
                }};
}

Result<json> add(Tagged resource, const json& added) {
  resource.tags.update(added);
  SKERRY_TRY(check_tag_count(resource.tags));
  SKERRY_TRY(resource.write(resource.tags.dump()));
  return json::object();
}

Result<json> remove(Tagged resource, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) resource.tags.erase(key);
  SKERRY_TRY(resource.write(resource.tags.dump()));
  return json::object();
}

Result<json> list_tags(ApiContext& context, const ListTags& request) {
  SKERRY_ASSIGN(Tagged resource, tagged_in_greengrass(context, request.arn));
  return json{{"tags", std::move(resource.tags)}};
}

Result<json> tag_resource(ApiContext& context, const TagResource& request) {
  SKERRY_ASSIGN(Tagged resource, tagged_in_greengrass(context, request.arn));
  return add(std::move(resource), request.tags);
}

Result<json> untag_resource(ApiContext& context, const UntagResource& request) {
  SKERRY_ASSIGN(Tagged resource, tagged_in_greengrass(context, request.arn));
  return remove(std::move(resource), request.keys);
}

Result<json> list_iot_tags(ApiContext& context, const ListIotTags& request) {
  SKERRY_TRY(page_of(context, request));
  SKERRY_ASSIGN(Tagged resource, tagged_in_iot(context, request.arn));
  json answer = {{"tags", json::array()}};
  for (const auto& [key, value] : resource.tags.items()) {
    answer["tags"].push_back({{"Key", key}, {"Value", value}});
  }
  return answer;
}

Result<json> tag_iot_resource(ApiContext& context, const TagIotResource& request) {
  SKERRY_ASSIGN(Tagged resource, tagged_in_iot(context, request.arn));
  json added = json::object();
  for (const json& tag : request.tags) {
    added[tag.value("Key", std::string())] = tag.value("Value", std::string());
  }
  return add(std::move(resource), added);
}

Result<json> untag_iot_resource(ApiContext& context, const UntagIotResource& request) {
  SKERRY_ASSIGN(Tagged resource, tagged_in_iot(context, request.arn));
  return remove(std::move(resource), request.keys);
}

constexpr Route kTagRoutes[] = {
    operation<list_tags>("greengrass", "ListTagsForResource", "GET", "/tags/{resourceArn}"),
    operation<tag_resource>("greengrass", "TagResource", "POST", "/tags/{resourceArn}"),
    operation<untag_resource>("greengrass", "UntagResource", "DELETE", "/tags/{resourceArn}"),
    operation<list_iot_tags>("iot", "ListTagsForResource", "GET", "/tags"),
    operation<tag_iot_resource>("iot", "TagResource", "POST", "/tags"),
    operation<untag_iot_resource>("iot", "UntagResource", "POST", "/untag"),
};

}  // namespace

std::span<const Route> tag_routes() {
  return kTagRoutes;
}

}  // namespace skerry::fleet::aws
