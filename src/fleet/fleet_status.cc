// From fleet status messages to rows of the store.
#include "fleet/fleet_status.h"

#include <nlohmann/json.hpp>

#include "fleet/component_events.h"
#include "formats/json_ptr.h"

namespace skerry::fleet {
namespace {

constexpr std::string_view kUninstalled = "UNINSTALLED";

InstalledComponent to_record(const formats::ComponentStatus& status, int64_t now_ms) {
  InstalledComponent component;
  component.name = status.name;
  component.version = status.version;
  component.state = status.status;
  if (status.details) {
    component.status_codes_json = formats::json_text(status.details->status_codes);
    component.status_reason = status.details->status_reason;
  }
  component.configuration_arns_json = formats::json_text(status.fleet_configuration_arns);
  component.is_root = status.is_root;
  component.changed_ms = component.reported_ms = component.installed_ms = now_ms;
  return component;
}

// Only the first piece of a status in pieces takes away what was known before.
bool replaces(const formats::FleetStatus& status) {
  return status.message_type == formats::FleetMessageType::kComplete &&
         (!status.chunk || status.chunk->chunk_id <= 1);
}

Result<void> store_components(Store& store, const formats::FleetStatus& status, int64_t now_ms) {
  std::vector<InstalledComponent> installed;
  for (const formats::ComponentStatus& component : status.components) {
    if (component.status == kUninstalled) {
      SKERRY_TRY(store.remove_installed_component(status.thing, component.name));
    } else {
      installed.push_back(to_record(component, now_ms));
    }
  }
  return replaces(status) ? store.replace_installed_components(status.thing, installed)
                          : store.merge_installed_components(status.thing, installed);
}

}  // namespace

FleetStatusService::FleetStatusService(io::Env& env, StorePool& stores, DeviceLink& link)
    : inbox_(env, stores,
             {.module = "fleet-status",
              .burst = 60,
              .per_second = 1,
              .held = 8,
              .read = [](const ThingName& sender, std::string_view payload,
                         int64_t heard_ms) -> Result<ThingInbox::Put> {
                SKERRY_ASSIGN(auto status, formats::parse_fleet_status(payload));
                if (sender != status.thing) {
                  return fail(Code::kInvalidArgument,
                              "status of another thing: " + status.thing.str());
                }
                return [status = std::move(status), heard_ms](Store& session) {
                  return store(session, status, heard_ms);
                };
              }}) {
  link.route(formats::fleet_status_topic(ThingName("+")), [this](const net::MqttMessage& message) {
    const auto sender = formats::parse_fleet_status_topic(message.topic);
    if (sender) inbox_.receive(*sender, message.payload);
  });
}

Result<void> FleetStatusService::store(Store& store, const formats::FleetStatus& status,
                                       int64_t now_ms) {
  CoreDevice device;
  device.thing = status.thing;
  device.healthy = status.healthy;
  device.last_status_ms = now_ms;
  device.nucleus_version = status.nucleus_version;
  device.platform = status.platform;
  device.architecture = status.architecture;
  device.runtime = status.runtime;
  device.sequence_number = status.sequence_number;
  device.free_disk_bytes = status.free_disk_bytes.value_or(-1);
  return store.transaction([&]() -> Result<void> {
    SKERRY_TRY(store.upsert_core_device(device));
    if (status.history) SKERRY_TRY(take_history(store, status.thing, *status.history, now_ms));
    return store_components(store, status, now_ms);
  });
}

}  // namespace skerry::fleet
