// iot: things, thing groups and who is in which.
#include <nlohmann/json.hpp>

#include "fleet/aws/input.h"
#include "fleet/deployments.h"
#include "fleet/store.h"
#include "formats/names.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;
using Kind = formats::Target::Kind;

constexpr size_t kMaxPage = 250;
constexpr size_t kMaxDescription = 2028;
// The control plane's own name at the broker; a thing with it would be taken for it.
constexpr std::string_view kReservedName = "skerry-fleet";

std::string thing_arn(const ApiContext& context, const ThingName& name) {
  return formats::target_arn(context.scope, {Kind::kThing, name.str()});
}
std::string group_arn(const ApiContext& context, const ThingGroupName& name) {
  return formats::target_arn(context.scope, {Kind::kThingGroup, name.str()});
}

Result<json> attributes_of(const json& body) {
  SKERRY_ASSIGN(const json* payload, object_member(body, "attributePayload"));
  if (!payload) return json::object();
  SKERRY_ASSIGN(const json* attributes, object_member(*payload, "attributes"));
  if (!attributes) return json::object();
  for (const auto& [key, value] : attributes->items()) {
    if (key.empty() || key.size() > 128 || !value.is_string() ||
        value.get_ref<const std::string&>().size() > 800) {
      return fail(Code::kInvalidArgument,
                  "attributes: '" + key +
                      "' must have a name of 1 to 128 characters and a string of at most 800");
    }
  }
  return *attributes;
}

json thing_answer(const ApiContext& context, const Thing& thing) {
  return {{"thingName", thing.name.str()},
          {"thingArn", thing_arn(context, thing.name)},
          {"thingId", thing.id}};
}

Result<json> create_thing(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(ThingName name, formats::parse_thing_name(request.parameter("thingName")));
  if (name.str() == kReservedName) {
    return fail(Code::kInvalidArgument, "skerry-fleet is the control plane's own name");
  }
  for (const char* unsupported : {"thingTypeName", "billingGroupName"}) {
    if (request.body.contains(unsupported)) {
      return fail(Code::kUnsupported, std::string(unsupported) + ": is not supported");
    }
  }
  SKERRY_ASSIGN(json attributes, attributes_of(request.body));
  Thing thing{name, context.env.random.uuid(), attributes.dump(), context.env.clock.wall_ms()};
  auto created = context.store.create_thing(thing);
  if (!created && created.error().code() == Code::kAlreadyExists) {
    // The same thing again is no conflict.
    SKERRY_ASSIGN(auto existing, context.store.find_thing(name));
    if (existing.attributes_json != thing.attributes_json) return fail(created.error());
    return thing_answer(context, existing);
  }
  if (!created) return fail(created.error());
  return thing_answer(context, thing);
}

Result<json> describe_thing(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(auto thing, context.store.find_thing(ThingName(request.parameter("thingName"))));
  json answer = thing_answer(context, thing);
  answer["defaultClientId"] = thing.name.str();
  answer["attributes"] = json::parse(thing.attributes_json, nullptr, false);
  answer["version"] = 1;
  return answer;
}

Result<json> list_things(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Page page, page_of(request, kMaxPage));
  for (const char* filter : {"attributeName", "attributeValue", "thingTypeName"}) {
    if (request.query.contains(filter)) {
      return fail(Code::kUnsupported, std::string(filter) + ": this filter is not supported");
    }
  }
  SKERRY_ASSIGN(auto things, context.store.list_things(page));
  json answer = {{"things", json::array()}};
  for (const Thing& thing : things.items) {
    answer["things"].push_back({{"thingName", thing.name.str()},
                                {"thingArn", thing_arn(context, thing.name)},
                                {"attributes", json::parse(thing.attributes_json, nullptr, false)},
                                {"version", 1}});
  }
  add_next_token(answer, things.next);
  return answer;
}

json group_answer(const ApiContext& context, const ThingGroup& group) {
  return {{"thingGroupName", group.name.str()},
          {"thingGroupArn", group_arn(context, group.name)},
          {"thingGroupId", group.id}};
}

Result<json> create_group(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(ThingGroupName name,
                formats::parse_thing_group_name(request.parameter("thingGroupName")));
  if (request.body.contains("parentGroupName")) {
    return fail(Code::kUnsupported, "parentGroupName: groups within groups are not supported");
  }
  std::string description;
  SKERRY_ASSIGN(const json* properties, object_member(request.body, "thingGroupProperties"));
  if (properties) {
    SKERRY_ASSIGN(description,
                  string_member(*properties, "thingGroupDescription", {0, kMaxDescription}));
  }
  ThingGroup group{name, context.env.random.uuid(), description, context.env.clock.wall_ms()};
  auto created = context.store.create_group(group);
  if (!created && created.error().code() == Code::kAlreadyExists) {
    SKERRY_ASSIGN(auto existing, context.store.find_group(name));
    if (existing.description != description) return fail(created.error());
    return group_answer(context, existing);
  }
  if (!created) return fail(created.error());
  return group_answer(context, group);
}

Result<json> describe_group(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(auto group,
                context.store.find_group(ThingGroupName(request.parameter("thingGroupName"))));
  json answer = group_answer(context, group);
  answer["version"] = 1;
  answer["thingGroupProperties"] = {{"thingGroupDescription", group.description}};
  answer["thingGroupMetadata"] = {{"creationDate", timestamp(group.created_ms)}};
  return answer;
}

json name_and_arn(const ApiContext& context, const ThingGroupName& name) {
  return {{"groupName", name.str()}, {"groupArn", group_arn(context, name)}};
}

Result<json> list_groups(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Page page, page_of(request, kMaxPage));
  json answer = {{"thingGroups", json::array()}};
  if (std::string parent = request.option("parentGroup"); !parent.empty()) {
    SKERRY_TRY(context.store.find_group(ThingGroupName(parent)));
    return answer;  // no group has children
  }
  SKERRY_ASSIGN(auto groups, context.store.list_groups(request.option("namePrefixFilter"), page));
  for (const ThingGroup& group : groups.items) {
    answer["thingGroups"].push_back(name_and_arn(context, group.name));
  }
  add_next_token(answer, groups.next);
  return answer;
}

// A name that may come as such or within an ARN.
Result<std::string> name_or_arn(const json& body, const std::string& name_member,
                                const std::string& arn_member, Kind kind) {
  SKERRY_ASSIGN(std::string name, string_member(body, name_member, {1, 128}));
  SKERRY_ASSIGN(std::string arn, string_member(body, arn_member, {}));
  if (arn.empty() && name.empty()) {
    return fail(Code::kInvalidArgument, name_member + " or " + arn_member + " is required");
  }
  if (arn.empty()) return name;
  SKERRY_ASSIGN(auto target, formats::parse_target_arn(arn));
  if (target.kind != kind || (!name.empty() && target.name != name)) {
    return fail(Code::kInvalidArgument, arn_member + ": " + arn + " is not the one meant");
  }
  return target.name;
}

struct Membership {
  ThingName thing;
  ThingGroupName group;
};

Result<Membership> membership_of(const json& body) {
  SKERRY_ASSIGN(std::string thing, name_or_arn(body, "thingName", "thingArn", Kind::kThing));
  SKERRY_ASSIGN(std::string group,
                name_or_arn(body, "thingGroupName", "thingGroupArn", Kind::kThingGroup));
  return Membership{ThingName(thing), ThingGroupName(group)};
}

Result<json> add_to_group(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Membership membership, membership_of(request.body));
  SKERRY_TRY(context.deployments.add_to_group(context.store, membership.thing, membership.group));
  return json::object();
}

Result<json> remove_from_group(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Membership membership, membership_of(request.body));
  SKERRY_TRY(
      context.deployments.remove_from_group(context.store, membership.thing, membership.group));
  return json::object();
}

Result<json> list_things_in_group(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Page page, page_of(request, kMaxPage));
  SKERRY_ASSIGN(auto things, context.store.list_things_in_group(
                                 ThingGroupName(request.parameter("thingGroupName")), page));
  json answer = {{"things", json::array()}};
  for (const ThingName& name : things.items) answer["things"].push_back(name.str());
  add_next_token(answer, things.next);
  return answer;
}

Result<json> list_groups_of_thing(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Page page, page_of(request, kMaxPage));
  SKERRY_ASSIGN(auto groups, context.store.list_groups_of_thing(
                                 ThingName(request.parameter("thingName")), page));
  json answer = {{"thingGroups", json::array()}};
  for (const ThingGroupName& name : groups.items) {
    answer["thingGroups"].push_back(name_and_arn(context, name));
  }
  add_next_token(answer, groups.next);
  return answer;
}

constexpr Route kRoutes[] = {
    {"iot", "POST", "/things/{thingName}", 200, create_thing},
    {"iot", "GET", "/things/{thingName}", 200, describe_thing},
    {"iot", "GET", "/things", 200, list_things},
    {"iot", "PUT", "/thing-groups/addThingToThingGroup", 200, add_to_group},
    {"iot", "PUT", "/thing-groups/removeThingFromThingGroup", 200, remove_from_group},
    {"iot", "POST", "/thing-groups/{thingGroupName}", 200, create_group},
    {"iot", "GET", "/thing-groups/{thingGroupName}", 200, describe_group},
    {"iot", "GET", "/thing-groups", 200, list_groups},
    {"iot", "GET", "/thing-groups/{thingGroupName}/things", 200, list_things_in_group},
    {"iot", "GET", "/things/{thingName}/thing-groups", 200, list_groups_of_thing},
};

}  // namespace

std::span<const Route> thing_routes() {
  return kRoutes;
}

}  // namespace skerry::fleet::aws
