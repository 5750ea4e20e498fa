// Histories add up: of each component the difference to what the device said before.
#include "fleet/component_events.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fleet/store_sql.h"
#include "formats/json_ptr.h"

namespace skerry::fleet {
namespace {

using formats::ComponentHistory;
using formats::ComponentTally;
using nlohmann::json;

constexpr int64_t kEventsDayMs = int64_t{24} * 3'600'000;

struct Known {
  ComponentHistory history;  // as the device said it last
  int64_t since_ms = 0;
};

Result<std::optional<Known>> known_history(Database& database, const ThingName& thing) {
  struct Read {
    std::string history;
    int64_t since_ms;
  };
  SKERRY_ASSIGN(
      auto rows,
      database.select(
          "SELECT history, since_ms FROM component_histories WHERE thing = :thing",
          [](const Row& row) { return Read{row.text("history"), row.number("since_ms")}; },
          thing.str()));
  if (rows.empty()) return std::optional<Known>();
  SKERRY_ASSIGN(const json document, formats::parse_json(rows.front().history));
  SKERRY_ASSIGN(auto history,
                formats::parse_component_history(formats::Node(document, "component history")));
  if (!history) return std::optional<Known>();
  return std::optional(Known{*std::move(history), rows.front().since_ms});
}

// What is new since `before`. A message that was overtaken says less, and nothing new.
ComponentTally news(const ComponentHistory& before, const ComponentHistory& now) {
  ComponentTally sum;
  for (const ComponentTally& tally : now.tallies) {
    ComponentTally known;
    const auto found = std::ranges::find(before.tallies, tally.name, &ComponentTally::name);
    if (before.run == now.run && found != before.tallies.end()) known = *found;
    sum.errors += std::max<int64_t>(0, tally.errors - known.errors);
    sum.restarts += std::max<int64_t>(0, tally.restarts - known.restarts);
  }
  return sum;
}

// As far as the device has counted in this run, and its last failure of any.
ComponentHistory merged(const ComponentHistory& before, ComponentHistory now) {
  if (!now.last_failure) now.last_failure = before.last_failure;
  if (before.run != now.run) return now;
  for (const ComponentTally& known : before.tallies) {
    const auto found = std::ranges::find(now.tallies, known.name, &ComponentTally::name);
    if (found == now.tallies.end()) {
      if (now.tallies.size() < formats::kMaxTallies) now.tallies.push_back(known);
      continue;
    }
    found->errors = std::max(found->errors, known.errors);
    found->restarts = std::max(found->restarts, known.restarts);
  }
  return now;
}

Result<void> add_event(Database& database, const ThingName& thing, const ComponentTally& news,
                       int64_t now_ms) {
  SKERRY_TRY(database.execute(
      "INSERT INTO component_events (thing, at_ms, errors, restarts) VALUES (:thing, :at, "
      ":errors, :restarts) ON CONFLICT (thing, at_ms) DO UPDATE SET errors = "
      "component_events.errors + excluded.errors, restarts = component_events.restarts + "
      "excluded.restarts",
      thing.str(), now_ms, news.errors, news.restarts));
  SKERRY_TRY(database.execute(
      "DELETE FROM component_events WHERE thing = :thing AND at_ms <= (SELECT at_ms FROM "
      "component_events WHERE thing = :same ORDER BY at_ms DESC LIMIT 1 OFFSET :kept)",
      thing.str(), thing.str(), kEventsOfThing));
  return {};
}

}  // namespace

Result<void> take_history(Store& store, const ThingName& thing, const ComponentHistory& history,
                          int64_t now_ms) {
  Database& database = store.database();
  SKERRY_ASSIGN(const auto known, known_history(database, thing));
  if (known && known->history == history) return {};
  if (known) {
    const ComponentTally news = fleet::news(known->history, history);
    if (news.errors + news.restarts > 0) SKERRY_TRY(add_event(database, thing, news, now_ms));
  }
  const ComponentHistory kept = known ? merged(known->history, history) : history;
  SKERRY_TRY(database.execute(
      "INSERT INTO component_histories (thing, history, since_ms) VALUES (:thing, :history, "
      ":since) ON CONFLICT (thing) DO UPDATE SET history = excluded.history",
      thing.str(), formats::json_text(to_json(kept)), now_ms));
  return {};
}

Result<ComponentTrouble> trouble_of(Store& store, const ThingName& thing, int64_t now_ms) {
  Database& database = store.database();
  ComponentTrouble trouble;
  SKERRY_ASSIGN(const auto known, known_history(database, thing));
  if (!known) return trouble;
  trouble.since_ms = known->since_ms;
  trouble.last_failure = known->history.last_failure;
  const int64_t from_ms = now_ms - kEventsDayMs;
  SKERRY_TRY(database.select_one(
      "",
      "SELECT sum(errors) AS errors, sum(restarts) AS restarts FROM component_events WHERE thing "
      "= :thing AND at_ms > :from",
      [&](const Row& row) {
        trouble.errors = row.number("errors");
        trouble.restarts = row.number("restarts");
        return 0;
      },
      thing.str(), from_ms));
  return trouble;
}

Result<int64_t> prune_events(Store& store, int64_t oldest_ms, int64_t limit) {
  return store.database().execute(
      "DELETE FROM component_events WHERE (thing, at_ms) IN (SELECT thing, at_ms FROM "
      "component_events WHERE at_ms < :oldest LIMIT :limit)",
      oldest_ms, limit);
}

}  // namespace skerry::fleet
