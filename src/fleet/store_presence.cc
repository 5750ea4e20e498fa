// Which devices are there, in the store.
#include "fleet/store_presence.h"

#include <algorithm>

#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

constexpr const char* kAsOf = "presence_as_of";

DevicePresence read_presence(const Row& row) {
  return {ThingName(row.text("thing")), row.number("connected") != 0, row.number("since_ms"),
          row.number("last_seen_ms"), row.number("unreachable") != 0};
}

}  // namespace

Result<std::vector<DevicePresence>> all_presence(Store& store) {
  return store.database().select(
      "SELECT thing, connected, since_ms, last_seen_ms, unreachable FROM presence", read_presence);
}

Result<DevicePresence> presence_of(Store& store, const ThingName& thing) {
  SKERRY_ASSIGN(auto found, store.database().select(
                                "SELECT thing, connected, since_ms, last_seen_ms, unreachable "
                                "FROM presence WHERE thing = :thing",
                                read_presence, thing.str()));
  if (found.empty()) return DevicePresence{.thing = thing};
  DevicePresence presence = std::move(found.front());
  if (presence.connected) {
    SKERRY_ASSIGN(const int64_t as_of_ms, presence_as_of(store));
    presence.last_seen_ms = std::max(presence.last_seen_ms, as_of_ms);
  }
  return presence;
}

Result<void> record_presence(Store& store, const std::vector<PresenceChange>& changes) {
  using What = PresenceChange::What;
  return store.transaction([&]() -> Result<void> {
    for (const PresenceChange& one : changes) {
      store.effects().devices.push_back(one.thing);
      if (one.what == What::kConnected) {
        // A thing that is deleted has none.
        SKERRY_TRY(store.database().execute(
            "INSERT INTO presence (thing, connected, since_ms, last_seen_ms, unreachable) "
            "SELECT name, 1, :since, :seen, 0 FROM things WHERE name = :thing "
            "ON CONFLICT (thing) DO UPDATE SET connected = 1, since_ms = excluded.since_ms, "
            "last_seen_ms = excluded.last_seen_ms, unreachable = 0",
            one.now_ms, one.seen_ms, one.thing.str()));
      }
      if (one.what == What::kDisconnected) {
        SKERRY_TRY(store.database().execute(
            "INSERT INTO presence (thing, connected, since_ms, last_seen_ms, unreachable) "
            "SELECT name, 0, :since, :seen, 0 FROM things WHERE name = :thing "
            "ON CONFLICT (thing) DO UPDATE SET connected = 0, since_ms = excluded.since_ms, "
            "last_seen_ms = excluded.last_seen_ms",
            one.now_ms, one.seen_ms, one.thing.str()));
      }
      if (one.is_unreachable) {
        SKERRY_TRY(store.database().execute(
            "UPDATE presence SET unreachable = 1 WHERE thing = :thing", one.thing.str()));
      }
    }
    return {};
  });
}

Result<int64_t> presence_as_of(Store& store) {
  SKERRY_ASSIGN(const std::string text, store.setting(kAsOf));
  return number_after({.limit = 0, .after = text}, 0);
}

Result<void> set_presence_as_of(Store& store, int64_t wall_ms) {
  return store.set_setting(kAsOf, std::to_string(wall_ms));
}

}  // namespace skerry::fleet
