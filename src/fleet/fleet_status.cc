// From fleet status messages to rows of the store.
#include "fleet/fleet_status.h"

#include <nlohmann/json.hpp>

#include "base/log_limit.h"
#include "fleet/component_events.h"
#include "formats/json_ptr.h"

namespace skerry::fleet {
namespace {

constexpr std::string_view kModule = "fleet-status";
constexpr int64_t kHeldCheckMs = 500, kStalledCheckMs = 1'000;
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
    : env_(env), stores_(stores), budget_(env.clock, kBurst, kPerSecond) {
  link.route(formats::fleet_status_topic(ThingName("+")),
             [this](const net::MqttMessage& message) { receive(message); });
}

void FleetStatusService::receive(const net::MqttMessage& message) {
  Heard heard{message, env_.clock.wall_ms()};
  const auto sender = formats::parse_fleet_status_topic(message.topic);
  const bool waits = sender && (is_stalled_ || held_.contains(*sender) || !budget_.spend(*sender));
  if (waits) return hold_back(*sender, std::move(heard));
  tasks_.spawn(on_message(std::move(heard)));
}

void FleetStatusService::hold_back(const ThingName& thing, Heard heard, bool is_first) {
  const size_t size = heard.message.payload.size();
  if (held_bytes_ + size > kHeldBytes) {
    static log::Limit limit;
    return limit.write(log::Level::kWarn, kModule, "too many messages wait; ignoring one",
                       {{"thing", thing.str()}});
  }
  if (held_.empty()) held_timer_ = env_.loop.after(kHeldCheckMs, [this] { store_held(); });
  auto& messages = held_[thing];
  held_bytes_ += size;
  messages.insert(is_first ? messages.begin() : messages.end(), std::move(heard));
  if (messages.size() > kHeldMessages) {
    take_held(messages);
    if (budget_.first_refusal(thing))
      log::warn(kModule, "too many messages; ignoring some", {{"thing", thing.str()}});
  }
}

FleetStatusService::Heard FleetStatusService::take_held(std::deque<Heard>& of_thing) {
  Heard first = std::move(of_thing.front());
  of_thing.pop_front();
  held_bytes_ -= first.message.payload.size();
  return first;
}

void FleetStatusService::store_held() {
  if (is_stalled_) return probe();
  for (auto each = held_.begin(); each != held_.end();) {
    auto& [thing, messages] = *each;
    while (!messages.empty() && budget_.spend(thing)) {
      tasks_.spawn(on_message(take_held(messages)));
    }
    each = messages.empty() ? held_.erase(each) : std::next(each);
  }
  if (!held_.empty()) held_timer_ = env_.loop.after(kHeldCheckMs, [this] { store_held(); });
}

void FleetStatusService::probe() {
  held_timer_ = env_.loop.after(kStalledCheckMs, [this] { store_held(); });
  if (held_.empty()) return;
  const auto first = held_.begin();
  Heard heard = take_held(first->second);
  if (first->second.empty()) held_.erase(first);
  tasks_.spawn(on_message(std::move(heard)));
}

io::Task<void> FleetStatusService::on_message(Heard heard) {
  const auto sender = formats::parse_fleet_status_topic(heard.message.topic);
  auto stored = co_await stores_.write([sender, heard](Store& session) -> Result<void> {
    SKERRY_ASSIGN(auto status, formats::parse_fleet_status(heard.message.payload));
    if (!sender || *sender != status.thing) {
      return fail(Code::kInvalidArgument, "status of another thing: " + status.thing.str());
    }
    return store(session, status, heard.at_ms);
  });
  const bool waits = !stored && stored.error().retryable() && sender;
  is_stalled_ = waits;
  if (stored) co_return;
  static log::Limit limit;
  limit.write(log::Level::kWarn, kModule, waits ? "message waits" : "message ignored",
              {{"topic", heard.message.topic}, {"error", stored.error().message()}});
  if (waits) hold_back(*sender, std::move(heard), true);
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
