// iot: thing groups and who is in which.
#include <nlohmann/json.hpp>

#include "fleet/aws/attributes.h"
#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/deployments.h"
#include "fleet/store.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;
using Kind = formats::Target::Kind;

struct GroupRequest {
  ThingGroupName name;
  static std::span<const Field> fields() {
    using F = Fields<GroupRequest>;
    static constexpr Field kFields[] = {F::path<&GroupRequest::name>("thingGroupName", kName)};
    return kFields;
  }
};

struct CreateGroup {
  ThingGroupName name;
  std::string parent;
  json properties;  // null where absent
  json tags;
  static std::span<const Field> fields() {
    using F = Fields<CreateGroup>;
    static constexpr Field kFields[] = {
        F::path<&CreateGroup::name>("thingGroupName", kName),
        F::body<&CreateGroup::parent>("parentGroupName", kName),
        F::body<&CreateGroup::properties>("thingGroupProperties", kGroupProperties),
        F::body<&CreateGroup::tags>("tags", kIotTags)};
    return kFields;
  }
};

struct UpdateGroup {
  ThingGroupName name;
  json properties;
  std::optional<int64_t> expected_version;
  static std::span<const Field> fields() {
    using F = Fields<UpdateGroup>;
    static constexpr Field kFields[] = {
        F::path<&UpdateGroup::name>("thingGroupName", kName),
        F::body<&UpdateGroup::properties>("thingGroupProperties", kGroupProperties, true),
        F::body<&UpdateGroup::expected_version>("expectedVersion", kLong)};
    return kFields;
  }
};

struct DeleteGroup {
  ThingGroupName name;
  std::optional<int64_t> expected_version;
  static std::span<const Field> fields() {
    using F = Fields<DeleteGroup>;
    static constexpr Field kFields[] = {
        F::path<&DeleteGroup::name>("thingGroupName", kName),
        F::query<&DeleteGroup::expected_version>("expectedVersion", kLong)};
    return kFields;
  }
};

struct ListGroups : Paged {
  ThingGroupName parent;
  std::string prefix;
  bool recursive = false;
  static std::span<const Field> fields() {
    using F = Fields<ListGroups>;
    static constexpr Field kFields[] = {F::query<&ListGroups::parent>("parentGroup", kName),
                                        F::query<&ListGroups::prefix>("namePrefixFilter", kName),
                                        F::query<&ListGroups::recursive>("recursive", kBoolean),
                                        page_size<ListGroups>(kPageSize250),
                                        page_token<ListGroups>()};
    return kFields;
  }
};

struct ListMembers : Paged {
  ThingGroupName name;
  bool recursive = false;  // no group has children
  static std::span<const Field> fields() {
    using F = Fields<ListMembers>;
    static constexpr Field kFields[] = {F::path<&ListMembers::name>("thingGroupName", kName),
                                        F::query<&ListMembers::recursive>("recursive", kBoolean),
                                        page_size<ListMembers>(kPageSize250),
                                        page_token<ListMembers>()};
    return kFields;
  }
};

// A name that may come as such or within an ARN.
struct Membership {
  std::string thing, thing_arn, group, group_arn;
  static std::span<const Field> fields() {
    using F = Fields<Membership>;
    static constexpr Field kFields[] = {F::body<&Membership::group>("thingGroupName", kName),
                                        F::body<&Membership::group_arn>("thingGroupArn", kText),
                                        F::body<&Membership::thing>("thingName", kName),
                                        F::body<&Membership::thing_arn>("thingArn", kText)};
    return kFields;
  }
};

struct Joining : Membership {
  bool override_dynamic = false;
  static std::span<const Field> fields() {
    using F = Fields<Joining>;
    static constexpr Field kFields[] = {
        F::body<&Joining::group>("thingGroupName", kName),
        F::body<&Joining::group_arn>("thingGroupArn", kText),
        F::body<&Joining::thing>("thingName", kName),
        F::body<&Joining::thing_arn>("thingArn", kText),
        F::body<&Joining::override_dynamic>("overrideDynamicGroups", kBoolean)};
    return kFields;
  }
};

json group_answer(const ApiContext& context, const ThingGroup& group) {
  return {{"thingGroupName", group.name.str()},
          {"thingGroupArn", group_arn(context, group.name)},
          {"thingGroupId", group.id}};
}

// The properties, where they were given.
std::string description_in(const json& properties, const std::string& otherwise) {
  return properties.is_object() ? properties.value("thingGroupDescription", otherwise) : otherwise;
}
json attributes_in(const json& properties, const json& present) {
  if (!properties.is_object() || !properties.contains("attributePayload")) return present;
  return changed_attributes(present, properties["attributePayload"]);
}

Result<json> create_group(ApiContext& context, const CreateGroup& request) {
  if (!request.parent.empty()) {
    return fail(Code::kUnsupported, "parentGroupName: groups within groups are not supported");
  }
  ThingGroup group;
  group.name = request.name;
  group.id = context.env.random.uuid();
  group.description = description_in(request.properties, "");
  group.attributes_json = attributes_in(request.properties, json::object()).dump();
  json tags = json::object();
  for (const json& tag : request.tags) {
    tags[tag.value("Key", std::string())] = tag.value("Value", std::string());
  }
  SKERRY_TRY(check_tag_count(tags));
  group.tags_json = tags.dump();
  group.created_ms = context.env.clock.wall_ms();
  auto created = context.store.create_group(group);
  if (!created && created.error().code() == Code::kAlreadyExists) {
    SKERRY_ASSIGN(auto existing, context.store.find_group(request.name));
    if (existing.description != group.description ||
        existing.attributes_json != group.attributes_json) {
      return fail(created.error());
    }
    return group_answer(context, existing);
  }
  if (!created) return fail(created.error());
  return group_answer(context, group);
}

Result<json> describe_group(ApiContext& context, const GroupRequest& request) {
  SKERRY_ASSIGN(auto group, context.store.find_group(request.name));
  json answer = group_answer(context, group);
  answer["version"] = group.version;
  answer["thingGroupProperties"] = {
      {"thingGroupDescription", group.description},
      {"attributePayload", {{"attributes", object_of(group.attributes_json)}}}};
  answer["thingGroupMetadata"] = {{"creationDate", timestamp(group.created_ms)}};
  return answer;
}

std::unexpected<Error> other_version(const ApiContext& context, const ThingGroup& group) {
  return context.refuse(kVersionConflict, "thing group " + group.name.str() + " is at version " +
                                              std::to_string(group.version));
}

Result<json> update_group(ApiContext& context, const UpdateGroup& request) {
  SKERRY_ASSIGN(auto group, context.store.find_group(request.name));
  if (request.expected_version.value_or(group.version) != group.version) {
    return other_version(context, group);
  }
  group.description = description_in(request.properties, group.description);
  group.attributes_json =
      attributes_in(request.properties, object_of(group.attributes_json)).dump();
  ++group.version;
  SKERRY_TRY(context.store.update_group(group));
  return json{{"version", group.version}};
}

// As AWS has it, what does not exist is deleted already.
Result<json> delete_group(ApiContext& context, const DeleteGroup& request) {
  auto group = context.store.find_group(request.name);
  if (!group && group.error().code() == Code::kNotFound) return json::object();
  if (!group) return fail(group.error());
  if (request.expected_version.value_or(group->version) != group->version) {
    return other_version(context, *group);
  }
  SKERRY_TRY(context.deployments.delete_group(context.store, request.name));
  return json::object();
}

Result<json> list_groups(ApiContext& context, const ListGroups& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  json answer = {{"thingGroups", json::array()}};
  if (!request.parent.empty()) {
    SKERRY_TRY(context.store.find_group(request.parent));
    return answer;  // no group has children
  }
  SKERRY_ASSIGN(auto groups, context.store.list_groups(request.prefix, page));
  for (const ThingGroup& group : groups.items) {
    answer["thingGroups"].push_back(
        {{"groupName", group.name.str()}, {"groupArn", group_arn(context, group.name)}});
  }
  add_next_token(context, answer, groups.next);
  return answer;
}

Result<std::string> one_name(const std::string& name, const std::string& arn, Kind kind,
                             const std::string& what) {
  if (arn.empty() && name.empty()) {
    return fail(Code::kInvalidArgument, what + "Name or " + what + "Arn is required");
  }
  if (arn.empty()) return name;
  SKERRY_ASSIGN(auto target, formats::parse_target_arn(arn));
  if (target.kind != kind || (!name.empty() && target.name != name)) {
    return fail(Code::kInvalidArgument, what + "Arn: " + arn + " is not the one meant");
  }
  return target.name;
}

Result<std::pair<ThingName, ThingGroupName>> names_of(const Membership& request) {
  SKERRY_ASSIGN(auto thing, one_name(request.thing, request.thing_arn, Kind::kThing, "thing"));
  SKERRY_ASSIGN(auto group,
                one_name(request.group, request.group_arn, Kind::kThingGroup, "thingGroup"));
  return std::pair(ThingName(thing), ThingGroupName(group));
}

Result<json> add_to_group(ApiContext& context, const Joining& request) {
  SKERRY_ASSIGN(auto names, names_of(request));
  SKERRY_TRY(context.deployments.add_to_group(context.store, names.first, names.second));
  return json::object();
}

Result<json> remove_from_group(ApiContext& context, const Membership& request) {
  SKERRY_ASSIGN(auto names, names_of(request));
  SKERRY_TRY(context.deployments.remove_from_group(context.store, names.first, names.second));
  return json::object();
}

Result<json> list_members(ApiContext& context, const ListMembers& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  SKERRY_ASSIGN(auto things, context.store.list_things_in_group(request.name, page));
  json answer = {{"things", json::array()}};
  for (const ThingName& name : things.items) answer["things"].push_back(name.str());
  add_next_token(context, answer, things.next);
  return answer;
}

constexpr Route kGroupRoutes[] = {
    operation<add_to_group>("iot", "AddThingToThingGroup", "PUT",
                            "/thing-groups/addThingToThingGroup"),
    operation<remove_from_group>("iot", "RemoveThingFromThingGroup", "PUT",
                                 "/thing-groups/removeThingFromThingGroup"),
    operation<create_group>("iot", "CreateThingGroup", "POST", "/thing-groups/{thingGroupName}"),
    operation<describe_group>("iot", "DescribeThingGroup", "GET", "/thing-groups/{thingGroupName}"),
    operation<update_group>("iot", "UpdateThingGroup", "PATCH", "/thing-groups/{thingGroupName}"),
    operation<delete_group>("iot", "DeleteThingGroup", "DELETE", "/thing-groups/{thingGroupName}"),
    operation<list_groups>("iot", "ListThingGroups", "GET", "/thing-groups"),
    operation<list_members>("iot", "ListThingsInThingGroup", "GET",
                            "/thing-groups/{thingGroupName}/things"),
};

}  // namespace

std::span<const Route> group_routes() {
  return kGroupRoutes;
}

}  // namespace skerry::fleet::aws
