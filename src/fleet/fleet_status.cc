// From fleet status messages to rows of the store.
#include "fleet/fleet_status.h"

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "formats/json_ptr.h"

namespace skerry::fleet {
namespace {

constexpr std::string_view kModule = "fleet-status";
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

}  // namespace

FleetStatusService::FleetStatusService(io::Clock& clock, Store& store, DeviceLink& link)
    : clock_(clock), store_(store) {
  link.route(formats::fleet_status_topic(ThingName("+")),
             [this](const net::MqttMessage& message) { on_message(message); });
}

void FleetStatusService::on_message(const net::MqttMessage& message) {
  const auto stored = [&]() -> Result<void> {
    SKERRY_ASSIGN(auto status, formats::parse_fleet_status(message.payload));
    const auto sender = formats::parse_fleet_status_topic(message.topic);
    if (!sender || *sender != status.thing) {
      return fail(Code::kInvalidArgument, "status of another thing: " + status.thing.str());
    }
    return store(status);
  }();
  if (!stored) {
    log::warn(kModule, "message ignored",
              {{"topic", message.topic}, {"error", stored.error().message()}});
  }
}

Result<void> FleetStatusService::store(const formats::FleetStatus& status) {
  CoreDevice device;
  device.thing = status.thing;
  device.healthy = status.healthy;
  device.last_status_ms = clock_.wall_ms();
  device.nucleus_version = status.nucleus_version;
  device.platform = status.platform;
  device.architecture = status.architecture;
  device.runtime = status.runtime;
  device.sequence_number = status.sequence_number;
  return store_.transaction([&]() -> Result<void> {
    SKERRY_TRY(store_.upsert_core_device(device));
    return store_components(status);
  });
}

Result<void> FleetStatusService::store_components(const formats::FleetStatus& status) {
  const int64_t now_ms = clock_.wall_ms();
  std::vector<InstalledComponent> installed;
  for (const formats::ComponentStatus& component : status.components) {
    if (component.status == kUninstalled) {
      SKERRY_TRY(store_.remove_installed_component(status.thing, component.name));
    } else {
      installed.push_back(to_record(component, now_ms));
    }
  }
  return replaces(status) ? store_.replace_installed_components(status.thing, installed)
                          : store_.merge_installed_components(status.thing, installed);
}

}  // namespace skerry::fleet
