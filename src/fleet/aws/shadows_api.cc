// iot-data: device shadows. The bodies of its requests and answers are the shadow's documents.
#include <nlohmann/json.hpp>

#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/shadow_store.h"
#include "fleet/store.h"
#include "formats/json_ptr.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

struct ShadowRequest {
  ThingName thing;
  std::string name;
  static std::span<const Field> fields() {
    using F = Fields<ShadowRequest>;
    static constexpr Field kFields[] = {F::path<&ShadowRequest::thing>("thingName", kName),
                                        F::query<&ShadowRequest::name>("name", kShadowName)};
    return kFields;
  }
  formats::ShadowKey key() const { return {thing, name}; }
};

struct UpdateThingShadow : ShadowRequest {
  std::string payload;
  static std::span<const Field> fields() {
    using F = Fields<UpdateThingShadow>;
    static constexpr Field kFields[] = {
        F::path<&UpdateThingShadow::thing>("thingName", kName),
        F::query<&UpdateThingShadow::name>("name", kShadowName),
        F::payload<&UpdateThingShadow::payload>("payload", kShadowDocument)};
    return kFields;
  }
};

struct ListNamedShadows : Paged {
  ThingName thing;
  static std::span<const Field> fields() {
    using F = Fields<ListNamedShadows>;
    static constexpr Field kFields[] = {F::path<&ListNamedShadows::thing>("thingName", kName),
                                        page_size<ListNamedShadows>(kPageSize100, "pageSize"),
                                        page_token<ListNamedShadows>()};
    return kFields;
  }
};

Result<json> answer(const ApiContext& context, const Result<ShadowAnswer>& outcome) {
  SKERRY_ASSIGN(const ShadowAnswer document, outcome);
  if (document) return formats::parse_json(*document);
  const formats::ShadowError& error = document.error();
  if (error.code == 404) return fail(Code::kNotFound, error.message);
  if (error.code == 409) return context.refuse(kConflict, error.message);
  if (error.code == 413) return context.refuse(kTooLarge, error.message);
  return fail(Code::kInvalidArgument, error.message);
}

Result<json> get(ApiContext& context, const ShadowRequest& request) {
  return answer(context, get_shadow(context.store, request.key(), "", context.env.clock.wall_ms()));
}

Result<json> update(ApiContext& context, const UpdateThingShadow& request) {
  return answer(context, update_shadow(context.store, request.key(), request.payload,
                                       context.env.clock.wall_ms()));
}

Result<json> remove(ApiContext& context, const ShadowRequest& request) {
  return answer(context,
                delete_shadow(context.store, request.key(), "", context.env.clock.wall_ms()));
}

Result<json> list_names(ApiContext& context, const ListNamedShadows& request) {
  SKERRY_ASSIGN(const Page page, page_of(context, request));
  SKERRY_TRY(context.store.find_thing(request.thing));
  SKERRY_ASSIGN(const auto names, list_named_shadows(context.store, request.thing, page));
  json listed = {{"results", names.items}, {"timestamp", context.env.clock.wall_ms() / 1000}};
  add_next_token(context, listed, names.next);
  return listed;
}

constexpr std::string_view kClassicShadow = "/things/{thingName}/shadow";
constexpr Route kShadowRoutes[] = {
    operation<get>("iotdata", "GetThingShadow", "GET", kClassicShadow),
    operation<update>("iotdata", "UpdateThingShadow", "POST", kClassicShadow),
    operation<remove>("iotdata", "DeleteThingShadow", "DELETE", kClassicShadow),
    operation<list_names>("iotdata", "ListNamedShadowsForThing", "GET",
                          "/api/things/shadow/ListNamedShadowsForThing/{thingName}"),
};

}  // namespace

std::span<const Route> shadow_routes() {
  return kShadowRoutes;
}

}  // namespace skerry::fleet::aws
