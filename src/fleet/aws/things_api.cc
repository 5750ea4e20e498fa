// iot: things.
#include <nlohmann/json.hpp>

#include "fleet/aws/attributes.h"
#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/deployments.h"
#include "fleet/store.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

// The control plane's own name at the broker; a thing with it would be taken for it.
constexpr std::string_view kReservedName = "skerry-fleet";

struct ThingRequest {
  ThingName name;
  static std::span<const Field> fields() {
    using F = Fields<ThingRequest>;
    static constexpr Field kFields[] = {F::path<&ThingRequest::name>("thingName", kName)};
    return kFields;
  }
};

struct CreateThing {
  ThingName name;
  std::string type;
  std::string billing_group;
  json attributes;  // null where absent
  static std::span<const Field> fields() {
    using F = Fields<CreateThing>;
    static constexpr Field kFields[] = {
        F::path<&CreateThing::name>("thingName", kName),
        F::body<&CreateThing::type>("thingTypeName", kName),
        F::body<&CreateThing::billing_group>("billingGroupName", kName),
        F::body<&CreateThing::attributes>("attributePayload", kAttributePayload)};
    return kFields;
  }
};

struct UpdateThing {
  ThingName name;
  std::string type;
  json attributes;
  std::optional<int64_t> expected_version;
  bool remove_type = false;
  static std::span<const Field> fields() {
    using F = Fields<UpdateThing>;
    static constexpr Field kFields[] = {
        F::path<&UpdateThing::name>("thingName", kName),
        F::body<&UpdateThing::type>("thingTypeName", kName),
        F::body<&UpdateThing::attributes>("attributePayload", kAttributePayload),
        F::body<&UpdateThing::expected_version>("expectedVersion", kLong),
        F::body<&UpdateThing::remove_type>("removeThingType", kBoolean)};
    return kFields;
  }
};

struct DeleteThing {
  ThingName name;
  std::optional<int64_t> expected_version;
  static std::span<const Field> fields() {
    using F = Fields<DeleteThing>;
    static constexpr Field kFields[] = {
        F::path<&DeleteThing::name>("thingName", kName),
        F::query<&DeleteThing::expected_version>("expectedVersion", kLong)};
    return kFields;
  }
};

struct ListThings : Paged {
  std::string attribute_name;
  std::string attribute_value;
  std::string type;
  bool prefix = false;
  static std::span<const Field> fields() {
    using F = Fields<ListThings>;
    static constexpr Field kFields[] = {
        F::query<&ListThings::attribute_name>("attributeName", kAttributeName),
        F::query<&ListThings::attribute_value>("attributeValue", kAttributeValue),
        F::query<&ListThings::type>("thingTypeName", kName),
        F::query<&ListThings::prefix>("usePrefixAttributeValue", kBoolean),
        page_size<ListThings>(kPageSize250),
        page_token<ListThings>()};
    return kFields;
  }
};

struct ListGroupsOfThing : Paged {
  ThingName name;
  static std::span<const Field> fields() {
    using F = Fields<ListGroupsOfThing>;
    static constexpr Field kFields[] = {F::path<&ListGroupsOfThing::name>("thingName", kName),
                                        page_size<ListGroupsOfThing>(kPageSize250),
                                        page_token<ListGroupsOfThing>()};
    return kFields;
  }
};

std::unexpected<Error> unsupported(const std::string& member) {
  return fail(Code::kUnsupported, member + ": is not supported");
}

json thing_answer(const ApiContext& context, const Thing& thing) {
  return {{"thingName", thing.name.str()},
          {"thingArn", thing_arn(context, thing.name)},
          {"thingId", thing.id}};
}

Result<json> create_thing(ApiContext& context, const CreateThing& request) {
  if (request.name.str() == kReservedName) {
    return fail(Code::kInvalidArgument, "skerry-fleet is the control plane's own name");
  }
  if (!request.type.empty()) return unsupported("thingTypeName");
  if (!request.billing_group.empty()) return unsupported("billingGroupName");
  const json attributes = changed_attributes(json::object(), request.attributes);
  Thing thing;
  thing.name = request.name;
  thing.id = context.env.random.uuid();
  thing.attributes_json = attributes.dump();
  thing.created_ms = context.env.clock.wall_ms();
  auto created = context.store.create_thing(thing);
  if (!created && created.error().code() == Code::kAlreadyExists) {
    // The same thing again is no conflict.
    SKERRY_ASSIGN(auto existing, context.store.find_thing(request.name));
    if (object_of(existing.attributes_json) != attributes) return fail(created.error());
    return thing_answer(context, existing);
  }
  if (!created) return fail(created.error());
  return thing_answer(context, thing);
}

Result<json> describe_thing(ApiContext& context, const ThingRequest& request) {
  SKERRY_ASSIGN(auto thing, context.store.find_thing(request.name));
  json answer = thing_answer(context, thing);
  answer["defaultClientId"] = thing.name.str();
  answer["attributes"] = object_of(thing.attributes_json);
  answer["version"] = thing.version;
  return answer;
}

std::unexpected<Error> other_version(const ApiContext& context, const Thing& thing) {
  return context.refuse(kVersionConflict, "thing " + thing.name.str() + " is at version " +
                                              std::to_string(thing.version));
}

Result<json> update_thing(ApiContext& context, const UpdateThing& request) {
  if (!request.type.empty()) return unsupported("thingTypeName");
  SKERRY_ASSIGN(auto thing, context.store.find_thing(request.name));
  if (request.expected_version.value_or(thing.version) != thing.version) {
    return other_version(context, thing);
  }
  const json attributes = changed_attributes(object_of(thing.attributes_json), request.attributes);
  SKERRY_TRY(context.store.update_thing(thing.name, attributes.dump()));
  return json::object();
}

Result<json> delete_thing(ApiContext& context, const DeleteThing& request) {
  SKERRY_ASSIGN(auto thing, context.store.find_thing(request.name));
  if (request.expected_version.value_or(thing.version) != thing.version) {
    return other_version(context, thing);
  }
  SKERRY_ASSIGN(auto certificates, context.store.certificates_of_thing(thing.name));
  if (!certificates.empty()) {
    return fail(Code::kInvalidArgument,
                "thing " + thing.name.str() +
                    " is still attached to a certificate: detach that first "
                    "(DetachThingPrincipal)");
  }
  SKERRY_TRY(context.deployments.delete_thing(context.store, thing.name));
  return json::object();
}

Result<json> list_things(ApiContext& context, const ListThings& request) {
  if (!request.attribute_name.empty()) return unsupported("attributeName");
  if (!request.attribute_value.empty()) return unsupported("attributeValue");
  if (!request.type.empty()) return unsupported("thingTypeName");
  SKERRY_ASSIGN(Page page, page_of(context, request));
  SKERRY_ASSIGN(auto things, context.store.list_things(page));
  json answer = {{"things", json::array()}};
  for (const Thing& thing : things.items) {
    answer["things"].push_back({{"thingName", thing.name.str()},
                                {"thingArn", thing_arn(context, thing.name)},
                                {"attributes", object_of(thing.attributes_json)},
                                {"version", thing.version}});
  }
  add_next_token(context, answer, things.next);
  return answer;
}

Result<json> list_groups_of_thing(ApiContext& context, const ListGroupsOfThing& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  SKERRY_ASSIGN(auto groups, context.store.list_groups_of_thing(request.name, page));
  json answer = {{"thingGroups", json::array()}};
  for (const ThingGroupName& name : groups.items) {
    answer["thingGroups"].push_back(
        {{"groupName", name.str()}, {"groupArn", group_arn(context, name)}});
  }
  add_next_token(context, answer, groups.next);
  return answer;
}

constexpr Route kThingRoutes[] = {
    admin_only(operation<create_thing>("iot", "CreateThing", "POST", "/things/{thingName}")),
    operation<describe_thing>("iot", "DescribeThing", "GET", "/things/{thingName}"),
    admin_only(operation<update_thing>("iot", "UpdateThing", "PATCH", "/things/{thingName}")),
    admin_only(operation<delete_thing>("iot", "DeleteThing", "DELETE", "/things/{thingName}")),
    operation<list_things>("iot", "ListThings", "GET", "/things"),
    operation<list_groups_of_thing>("iot", "ListThingGroupsForThing", "GET",
                                    "/things/{thingName}/thing-groups"),
};

}  // namespace

std::span<const Route> thing_routes() {
  return kThingRoutes;
}

}  // namespace skerry::fleet::aws
