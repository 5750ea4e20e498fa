// skerry, our own service: the fleet as a whole, for consoles.
#include <nlohmann/json.hpp>

#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/overview_store.h"
#include "fleet/rollout/machine.h"
#include "formats/json_ptr.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr int64_t kMostVersions = 2000;
constexpr int64_t kMostDeployments = 200;
constexpr std::string_view kStatuses[] = {"HEALTHY", "UNHEALTHY", "UNREACHABLE",
                                          "NEW",     "CONNECTED", "AWAY"};
constexpr Shape kStatus{.values = kStatuses};
constexpr Shape kPage{.type = Type::kInteger, .min = 1, .max = 500};

struct Overview {
  static std::span<const Field> fields() { return {}; }
};

struct SearchDevices : Paged {
  std::string text, group, component, version, status;
  static std::span<const Field> fields() {
    using F = Fields<SearchDevices>;
    static constexpr Field kFields[] = {F::query<&SearchDevices::text>("text", kText),
                                        F::query<&SearchDevices::group>("group", kName),
                                        F::query<&SearchDevices::component>("component", kText),
                                        F::query<&SearchDevices::version>("version", kText),
                                        F::query<&SearchDevices::status>("status", kStatus),
                                        page_size<SearchDevices>(kPage),
                                        page_token<SearchDevices>()};
    return kFields;
  }
};

json answer_of(const std::vector<VersionCount>& versions) {
  json answer = json::array();
  for (const VersionCount& count : versions) {
    answer.push_back({{"componentName", count.component.str()},
                      {"componentVersion", count.version},
                      {"devices", count.devices},
                      {"broken", count.broken}});
  }
  return answer;
}

Result<json> overview(ApiContext& context, const Overview&) {
  SKERRY_ASSIGN(const FleetCounts counts, count_fleet(context.store));
  SKERRY_ASSIGN(const auto versions, count_versions(context.store, {}, kMostVersions));
  const json components = answer_of(versions);
  return json{{"healthy", counts.healthy},
              {"unhealthy", counts.unhealthy},
              {"unreachable", counts.unreachable},
              {"new", counts.new_ones},
              {"connected", counts.connected},
              {"thingGroups", counts.groups},
              {"activeDeployments", counts.active_deployments},
              {"components", components}};
}

Result<json> search_devices(ApiContext& context, const SearchDevices& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  SKERRY_ASSIGN(const auto found, find_devices(context.store,
                                               {request.text, request.group, request.component,
                                                request.version, request.status},
                                               page));
  json answer = {{"devices", json::array()}};
  for (const DeviceRow& row : found.items) {
    json device = {{"thingName", row.thing.str()}, {"attributes", object_of(row.attributes_json)}};
    device["status"] = row.status;
    if (row.last_seen_ms != 0) device["lastSeen"] = timestamp(row.last_seen_ms);
    if (row.last_status_ms != 0) {
      device["lastStatus"] = timestamp(row.last_status_ms);
      device["nucleusVersion"] = row.nucleus_version;
      device["platform"] = row.platform;
      device["architecture"] = row.architecture;
    }
    answer["devices"].push_back(std::move(device));
  }
  add_next_token(context, answer, found.next);
  return answer;
}

// Where a component is: which devices have it, which deployments brought it.
struct ComponentUse {
  std::string component;
  static std::span<const Field> fields() {
    using F = Fields<ComponentUse>;
    static constexpr Field kFields[] = {F::path<&ComponentUse::component>("component", kNonEmpty)};
    return kFields;
  }
};

Result<json> component_use(ApiContext& context, const ComponentUse& request) {
  const ComponentName component(request.component);
  SKERRY_ASSIGN(const auto versions, count_versions(context.store, component, kMostVersions));
  SKERRY_ASSIGN(const auto deployments,
                deployments_of_component(context.store, component, kMostDeployments));
  json answer = {{"arn", formats::component_arn(context.scope, component)},
                 {"versions", answer_of(versions)},
                 {"deployments", json::array()}};
  for (const ComponentDeployment& one : deployments) {
    json deployment = {{"deploymentId", one.id.str()},
                       {"deploymentName", one.name},
                       {"targetArn", one.target_arn},
                       {"componentVersion", one.version},
                       {"deploymentStatus", std::string(to_string(one.status))},
                       {"isLatestForTarget", one.is_latest},
                       {"creationTimestamp", timestamp(one.created_ms)}};
    if (!one.rollout_state_json.empty()) {
      SKERRY_ASSIGN(const json document, formats::parse_json(one.rollout_state_json));
      SKERRY_ASSIGN(const auto state, rollout::parse_state(document));
      deployment["rolloutPhase"] = name_of(state.phase);
    }
    answer["deployments"].push_back(std::move(deployment));
  }
  return answer;
}

constexpr Route kOverviewRoutes[] = {
    operation<overview>("skerry", "GetOverview", "GET", "/skerry/v1/overview"),
    operation<search_devices>("skerry", "SearchDevices", "GET", "/skerry/v1/devices"),
    operation<component_use>("skerry", "GetComponentUse", "GET",
                             "/skerry/v1/components/{component}/use"),
};

}  // namespace

std::span<const Route> overview_routes() {
  return kOverviewRoutes;
}

}  // namespace skerry::fleet::aws
