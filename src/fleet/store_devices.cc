// Core devices and what is installed on them, as their fleet status says.
#include <algorithm>
#include <map>

#include "fleet/store.h"
#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

const std::string kDeviceColumns =
    "thing, healthy, last_status_ms, nucleus_version, platform, architecture, runtime, "
    "sequence_number, free_disk_bytes";

CoreDevice read_device(const Row& row) {
  CoreDevice device;
  device.thing = ThingName(row.text("thing"));
  device.healthy = row.number("healthy") != 0;
  device.last_status_ms = row.number("last_status_ms");
  device.nucleus_version = row.text("nucleus_version");
  device.platform = row.text("platform");
  device.architecture = row.text("architecture");
  device.runtime = row.text("runtime");
  device.sequence_number = row.number("sequence_number");
  device.free_disk_bytes = row.number("free_disk_bytes");
  device.tags_json = row.text("tags");
  return device;
}

const std::string kInstalledColumns =
    "name, version, state, status_codes, status_reason, configuration_arns, is_root, changed_ms, "
    "reported_ms, installed_ms";

InstalledComponent read_installed(const Row& row) {
  InstalledComponent component;
  component.name = ComponentName(row.text("name"));
  component.version = row.text("version");
  component.state = row.text("state");
  component.status_codes_json = row.text("status_codes");
  component.status_reason = row.text("status_reason");
  component.configuration_arns_json = row.text("configuration_arns");
  component.is_root = row.number("is_root") != 0;
  component.changed_ms = row.number("changed_ms");
  component.reported_ms = row.number("reported_ms");
  component.installed_ms = row.number("installed_ms");
  return component;
}

Result<std::map<std::string, InstalledComponent>> known_components(Database& database,
                                                                   const ThingName& thing) {
  SKERRY_ASSIGN(auto rows, database.select("SELECT " + kInstalledColumns +
                                               " FROM installed_components WHERE thing = :thing",
                                           read_installed, thing.str()));
  std::map<std::string, InstalledComponent> known;
  for (InstalledComponent& row : rows) known.emplace(row.name.str(), std::move(row));
  return known;
}

// Writes `component`, keeping the times of what has not changed since `before` (may be null).
Result<void> put_installed(Database& database, const ThingName& thing,
                           const InstalledComponent& component, const InstalledComponent* before) {
  const bool same_version = before && before->version == component.version;
  const bool same_state = same_version && before->state == component.state;
  const int64_t changed_ms = same_state ? before->changed_ms : component.changed_ms;
  const int64_t installed_ms = same_version ? before->installed_ms : component.installed_ms;
  const int64_t is_root = component.is_root ? 1 : 0;
  SKERRY_TRY(database.execute(
      "INSERT INTO installed_components (thing, " + kInstalledColumns +
          ") VALUES (:thing, :name, :version, :state, :codes, :reason, :arns, :root, :changed, "
          ":reported, :installed) ON CONFLICT (thing, name) DO UPDATE SET "
          "version = excluded.version, state = excluded.state, "
          "status_codes = excluded.status_codes, status_reason = excluded.status_reason, "
          "configuration_arns = excluded.configuration_arns, is_root = excluded.is_root, "
          "changed_ms = excluded.changed_ms, reported_ms = excluded.reported_ms, "
          "installed_ms = excluded.installed_ms",
      thing.str(), component.name.str(), component.version, component.state,
      component.status_codes_json, component.status_reason, component.configuration_arns_json,
      is_root, changed_ms, component.reported_ms, installed_ms));
  return {};
}

}  // namespace

Result<void> Store::upsert_core_device(const CoreDevice& device) {
  SKERRY_TRY(find_thing(device.thing));
  const int64_t healthy = device.healthy ? 1 : 0;
  SKERRY_TRY(database_->execute(
      "INSERT INTO core_devices (" + kDeviceColumns +
          ") VALUES (:thing, :healthy, :last, :version, :platform, :architecture, :runtime, "
          ":sequence, :free) ON CONFLICT (thing) DO UPDATE SET healthy = excluded.healthy, "
          "last_status_ms = excluded.last_status_ms, nucleus_version = excluded.nucleus_version, "
          "platform = excluded.platform, architecture = excluded.architecture, "
          "runtime = excluded.runtime, sequence_number = excluded.sequence_number, "
          "free_disk_bytes = excluded.free_disk_bytes",
      device.thing.str(), healthy, device.last_status_ms, device.nucleus_version, device.platform,
      device.architecture, device.runtime, device.sequence_number, device.free_disk_bytes));
  effects_.devices.push_back(device.thing);
  return {};
}

Result<void> Store::set_core_device_tags(const ThingName& thing, const std::string& tags_json) {
  SKERRY_ASSIGN(int64_t touched,
                database_->execute("UPDATE core_devices SET tags = :tags WHERE thing = :thing",
                                   tags_json, thing.str()));
  if (touched == 0) {
    return fail(Code::kNotFound, "core device " + thing.str() + " does not exist");
  }
  return {};
}

Result<void> Store::delete_core_device(const ThingName& thing) {
  return transaction([&]() -> Result<void> {
    SKERRY_TRY(
        database_->execute("DELETE FROM installed_components WHERE thing = :thing", thing.str()));
    SKERRY_ASSIGN(int64_t touched,
                  database_->execute("DELETE FROM core_devices WHERE thing = :thing", thing.str()));
    if (touched == 0) {
      return fail(Code::kNotFound, "core device " + thing.str() + " does not exist");
    }
    return {};
  });
}

Result<CoreDevice> Store::find_core_device(const ThingName& thing) {
  return database_->select_one(
      "core device " + thing.str() + " does not exist",
      "SELECT " + kDeviceColumns + ", tags FROM core_devices WHERE thing = :thing", read_device,
      thing.str());
}

Result<Slice<CoreDevice>> Store::list_core_devices(const CoreDeviceFilter& filter,
                                                   const Page& page) {
  const int64_t least = filter.healthy.value_or(false) ? 1 : 0;
  const int64_t most = filter.healthy.value_or(true) ? 1 : 0;
  SKERRY_ASSIGN(auto rows,
                database_->select(
                    "SELECT " + kDeviceColumns +
                        ", tags FROM core_devices WHERE thing > :after AND healthy >= :least AND "
                        "healthy <= :most AND (:any_runtime = '' OR runtime = :runtime) AND "
                        "(:any_group = '' OR thing IN (SELECT thing FROM memberships "
                        "WHERE group_name = :group_name)) ORDER BY thing LIMIT :limit",
                    read_device, page.after, least, most, filter.runtime, filter.runtime,
                    filter.group.str(), filter.group.str(), limit_of(page)));
  return slice_of(std::move(rows), page, [](const CoreDevice& one) { return one.thing.str(); });
}

Result<void> Store::replace_installed_components(
    const ThingName& thing, const std::vector<InstalledComponent>& components) {
  return transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(auto known, known_components(*database_, thing));
    SKERRY_TRY(merge_installed_components(thing, components));
    for (const InstalledComponent& component : components) known.erase(component.name.str());
    for (const auto& gone : known) {
      SKERRY_TRY(remove_installed_component(thing, ComponentName(gone.first)));
    }
    return {};
  });
}

Result<void> Store::merge_installed_components(const ThingName& thing,
                                               const std::vector<InstalledComponent>& components) {
  return transaction([&]() -> Result<void> {
    SKERRY_TRY(find_core_device(thing));
    SKERRY_ASSIGN(auto known, known_components(*database_, thing));
    for (const InstalledComponent& component : components) {
      auto before = known.find(component.name.str());
      SKERRY_TRY(put_installed(*database_, thing, component,
                               before == known.end() ? nullptr : &before->second));
    }
    return {};
  });
}

Result<void> Store::remove_installed_component(const ThingName& thing, const ComponentName& name) {
  SKERRY_TRY(
      database_->execute("DELETE FROM installed_components WHERE thing = :thing AND name = :name",
                         thing.str(), name.str()));
  return {};
}

Result<Slice<InstalledComponent>> Store::list_installed_components(const ThingName& thing,
                                                                   bool roots_only,
                                                                   const Page& page) {
  SKERRY_TRY(find_core_device(thing));
  const int64_t least_root = roots_only ? 1 : 0;
  SKERRY_ASSIGN(
      auto rows,
      database_->select("SELECT " + kInstalledColumns +
                            " FROM installed_components WHERE thing = :thing AND "
                            "name > :after AND is_root >= :root "
                            "ORDER BY name LIMIT :limit",
                        read_installed, thing.str(), page.after, least_root, limit_of(page)));
  return slice_of(std::move(rows), page,
                  [](const InstalledComponent& one) { return one.name.str(); });
}

}  // namespace skerry::fleet
