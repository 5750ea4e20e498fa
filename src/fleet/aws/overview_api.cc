// skerry, our own service: the fleet as a whole, for consoles.
#include <nlohmann/json.hpp>

#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/overview_store.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr int64_t kMostVersions = 2000;
constexpr std::string_view kStatuses[] = {"HEALTHY", "UNHEALTHY", "UNREACHABLE", "NEW"};
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

Result<json> overview(ApiContext& context, const Overview&) {
  SKERRY_ASSIGN(const FleetCounts counts, count_fleet(context.store));
  SKERRY_ASSIGN(const auto versions, count_versions(context.store, kMostVersions));
  json components = json::array();
  for (const VersionCount& count : versions) {
    components.push_back({{"componentName", count.component.str()},
                          {"componentVersion", count.version},
                          {"devices", count.devices},
                          {"broken", count.broken}});
  }
  return json{{"healthy", counts.healthy},         {"unhealthy", counts.unhealthy},
              {"unreachable", counts.unreachable}, {"new", counts.new_ones},
              {"thingGroups", counts.groups},      {"activeDeployments", counts.active_deployments},
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

constexpr Route kRoutes[] = {
    operation<overview>("skerry", "GetOverview", "GET", "/skerry/v1/overview"),
    operation<search_devices>("skerry", "SearchDevices", "GET", "/skerry/v1/devices"),
};

}  // namespace

std::span<const Route> overview_routes() {
  return kRoutes;
}

}  // namespace skerry::fleet::aws
