// Set-based SQL: one statement a question, whatever the size of the fleet.
#include "fleet/overview_store.h"

#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

// Every device, and its status by name of column.
const std::string kDevices =
    "things t LEFT JOIN core_devices d ON d.thing = t.name LEFT JOIN presence p ON p.thing = "
    "t.name";
const std::string kStatus =
    "(CASE WHEN p.unreachable = 1 THEN 'UNREACHABLE' WHEN d.thing IS NULL THEN 'NEW' "
    "WHEN d.healthy = 1 THEN 'HEALTHY' ELSE 'UNHEALTHY' END)";

const std::string kPresenceColumn = "(CASE WHEN p.connected = 1 THEN 'CONNECTED' ELSE 'AWAY' END)";

}  // namespace

Result<FleetCounts> count_fleet(Store& store) {
  SKERRY_ASSIGN(
      FleetCounts counts,
      store.database().select_one(
          "",
          "SELECT (SELECT count(*) FROM thing_groups) AS thing_groups, "
          "(SELECT count(*) FROM presence WHERE connected = 1) AS connected, "
          "(SELECT count(*) FROM deployments WHERE status = 'ACTIVE' AND is_latest = 1) AS active",
          [](const Row& row) {
            return FleetCounts{.connected = row.number("connected"),
                               .groups = row.number("thing_groups"),
                               .active_deployments = row.number("active")};
          }));
  const std::pair<std::string_view, int64_t*> kinds[] = {{"HEALTHY", &counts.healthy},
                                                         {"UNHEALTHY", &counts.unhealthy},
                                                         {"UNREACHABLE", &counts.unreachable},
                                                         {"NEW", &counts.new_ones}};
  SKERRY_ASSIGN(
      const auto found,
      store.database().select(
          "SELECT " + kStatus + " AS status, count(*) AS devices FROM " + kDevices + " GROUP BY 1",
          [](const Row& row) { return std::pair(row.text("status"), row.number("devices")); }));
  for (const auto& [status, devices] : found) {
    for (const auto& [name, count] : kinds) {
      if (name == status) *count = devices;
    }
  }
  return counts;
}

Result<std::vector<VersionCount>> count_versions(Store& store, const ComponentName& component,
                                                 int64_t limit) {
  const std::string of_one = component.empty() ? "" : "WHERE name = ? ";
  return store.database().select_where(
      "SELECT name, version, count(*) AS devices, "
      "sum(CASE WHEN state = 'BROKEN' THEN 1 ELSE 0 END) AS broken FROM installed_components " +
          of_one + "GROUP BY name, version ORDER BY name, version LIMIT " + std::to_string(limit),
      [](const Row& row) {
        return VersionCount{ComponentName(row.text("name")), row.text("version"),
                            row.number("devices"), row.number("broken")};
      },
      [&](auto bind) {
        if (!component.empty()) bind(component.str());
      });
}

Result<std::vector<ComponentDeployment>> deployments_of_component(Store& store,
                                                                  const ComponentName& component,
                                                                  int64_t limit) {
  return store.database().select(
      "SELECT d.id, d.name, d.target_arn, c.version, d.status, d.is_latest, d.created_ms, r.state "
      "FROM deployed_components c JOIN deployments d ON d.id = c.deployment_id "
      "LEFT JOIN rollouts r ON r.id = d.id WHERE c.name = :name "
      "ORDER BY d.sequence DESC LIMIT :limit",
      [](const Row& row) {
        ComponentDeployment one{.id = DeploymentId(row.text("id")),
                                .name = row.text("name"),
                                .target_arn = row.text("target_arn"),
                                .version = row.text("version"),
                                .is_latest = row.number("is_latest") != 0,
                                .created_ms = row.number("created_ms"),
                                .rollout_state_json = row.text("state")};
        parse(row.text("status"), one.status);
        return one;
      },
      component.str(), limit);
}

Result<Slice<DeviceRow>> find_devices(Store& store, const DeviceFilter& filter, const Page& page) {
  const std::string pattern = anywhere(filter.text);
  SKERRY_ASSIGN(
      auto rows,
      store.database().select(
          "SELECT t.name, t.attributes, " + kStatus +
              " AS status, p.last_seen_ms, d.last_status_ms, d.nucleus_version, d.platform, "
              "d.architecture FROM " +
              kDevices +
              " WHERE t.name > :after AND "
              "(:any_text = '' OR t.name LIKE :name ESCAPE '\\' OR t.attributes LIKE :attribute "
              "ESCAPE "
              "'\\') AND "
              "(:any_group = '' OR t.name IN (SELECT thing FROM memberships WHERE group_name = "
              ":group)) AND "
              "(:any_component = '' OR t.name IN (SELECT thing FROM installed_components WHERE "
              "name = "
              ":component AND (:any_version = '' OR version = :version))) AND "
              "(:any_status = '' OR " +
              kStatus + " = :status OR " + kPresenceColumn +
              " = :presence) ORDER BY t.name LIMIT :limit",
          [](const Row& row) {
            return DeviceRow{ThingName(row.text("name")),  row.text("attributes"),
                             row.text("status"),           row.number("last_seen_ms"),
                             row.number("last_status_ms"), row.text("nucleus_version"),
                             row.text("platform"),         row.text("architecture")};
          },
          page.after, filter.text, pattern, pattern, filter.group, filter.group, filter.component,
          filter.component, filter.version, filter.version, filter.status, filter.status,
          filter.status, limit_of(page)));
  return slice_of(std::move(rows), page, [](const DeviceRow& row) { return row.thing.str(); });
}

}  // namespace skerry::fleet
