// What summaries add up to, in the store. Counts are packed (formats/model_counts.h): a version's
// totals stand side by side in the order of their things, and are read in one sweep.
#include <array>
#include <optional>

#include "fleet/model_metrics.h"
#include "fleet/store.h"
#include "fleet/store_sql.h"
#include "fleet/summary_runs.h"

namespace skerry::fleet {
namespace {

using formats::InferenceSummary;
using formats::ModelCounts;
using formats::ModelId;
using formats::ModelTotals;

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kMetricDayMs = 24 * kHourMs;

Result<ModelCounts> unpacked(std::string_view packed) {
  ModelCounts counts;
  ModelTotals totals;
  if (formats::add_packed(packed, counts, totals)) return counts;
  return fail(Code::kCorrupt, "control-plane database: counts of a model are damaged");
}

// A thing's list of versions has an end; those it has not spoken of for a day make room.
Result<void> make_room(Database& database, const ThingName& thing, int64_t now_ms) {
  struct Known {
    ModelId model;
    int64_t last_ms;
  };
  SKERRY_ASSIGN(auto known, database.select(
                                "SELECT model, version, last_ms FROM model_totals "
                                "WHERE thing = :thing ORDER BY last_ms",
                                [](const Row& row) {
                                  return Known{{row.text("model"), row.text("version")},
                                               row.number("last_ms")};
                                },
                                thing.str()));
  if (known.size() < kVersionsOfThing) return {};
  const Known& oldest = known.front();
  if (oldest.last_ms > now_ms - kMetricDayMs) {
    return fail(Code::kFailedPrecondition, thing.str() + " speaks of more than " +
                                               std::to_string(kVersionsOfThing) +
                                               " versions of models in a day");
  }
  SKERRY_TRY(database.execute(
      "DELETE FROM model_totals WHERE model = :model AND version = :version AND thing = :thing",
      oldest.model.name, oldest.model.version, thing.str()));
  return {};
}

Result<void> add_to_thing(Database& database, const ThingName& thing,
                          const formats::ModelSummary& summary, int64_t now_ms) {
  const ModelId& model = summary.model;
  SKERRY_ASSIGN(auto before, database.select(
                                 "SELECT counts FROM model_totals WHERE model = :model AND "
                                 "version = :version AND thing = :thing",
                                 [](const Row& row) { return row.text("counts"); }, model.name,
                                 model.version, thing.str()));
  if (before.empty()) {
    SKERRY_TRY(make_room(database, thing, now_ms));
    SKERRY_TRY(database.execute(
        "INSERT INTO model_totals (model, version, thing, first_ms, last_ms, counts) "
        "VALUES (:model, :version, :thing, :first, :last, :counts)",
        model.name, model.version, thing.str(), now_ms, now_ms, formats::pack(summary.counts)));
    return {};
  }
  SKERRY_ASSIGN(ModelCounts sum, unpacked(before.front()));
  sum.add(summary.counts);
  SKERRY_TRY(
      database.execute("UPDATE model_totals SET last_ms = :last, counts = :counts WHERE "
                       "model = :model AND version = :version AND thing = :thing",
                       now_ms, formats::pack(sum), model.name, model.version, thing.str()));
  return {};
}

Result<void> add_to_hour(Database& database, const formats::ModelSummary& summary,
                         int64_t hour_ms) {
  const ModelId& model = summary.model;
  SKERRY_ASSIGN(auto before, database.select(
                                 "SELECT counts FROM model_hours WHERE model = :model AND "
                                 "version = :version AND hour_ms = :hour",
                                 [](const Row& row) { return row.text("counts"); }, model.name,
                                 model.version, hour_ms));
  ModelCounts sum;
  if (!before.empty()) {
    SKERRY_ASSIGN(sum, unpacked(before.front()));
  }
  sum.add(summary.counts);
  SKERRY_TRY(
      database.execute("INSERT INTO model_hours (model, version, hour_ms, counts) VALUES (:model, "
                       ":version, :hour, :counts) ON CONFLICT (model, version, hour_ms) DO UPDATE "
                       "SET counts = excluded.counts",
                       model.name, model.version, hour_ms, formats::pack(sum)));
  return {};
}

// When it was, as far as the device's clock can be believed.
int64_t hour_of(const InferenceSummary& summary, int64_t now_ms) {
  const bool is_likely = summary.end_ms <= now_ms && summary.end_ms > now_ms - 30 * kMetricDayMs;
  const int64_t time_ms = is_likely ? summary.end_ms : now_ms;
  return time_ms - time_ms % kHourMs;
}

void add_to_spreads(CohortMetrics& metrics, const ModelTotals& thing) {
  ++metrics.things;
  if (thing.requests + thing.errors > 0) metrics.error_rate.add(thing.error_rate());
  if (thing.requests > 0) metrics.mean_latency_us.add(thing.mean_latency_us());
  if (thing.predictions > 0) metrics.mean_confidence.add(thing.mean_confidence());
}

}  // namespace

Result<bool> take_summary(Store& store, const ThingName& thing, const InferenceSummary& summary,
                          int64_t now_ms) {
  Database& database = store.database();
  bool taken = false;
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    SKERRY_TRY(store.find_thing(thing));
    SKERRY_ASSIGN(taken, take_sequence(database, thing, summary.run, summary.sequence, now_ms));
    if (!taken) return {};
    for (const formats::ModelSummary& model : summary.models) {
      SKERRY_TRY(add_to_thing(database, thing, model, now_ms));
      SKERRY_TRY(add_to_hour(database, model, hour_of(summary, now_ms)));
    }
    return {};
  }));
  return taken;
}

Result<CohortMetrics> cohort_metrics(Store& store, const ModelId& model, const Cohort& cohort) {
  CohortMetrics metrics;
  bool is_whole = true;
  const std::array<std::string_view, 2> parameters = {model.name, model.version};
  SKERRY_TRY(store.database().scan(
      "SELECT thing, counts FROM model_totals WHERE model = ? AND version = ? ORDER BY thing",
      parameters, [&](std::string_view thing, std::string_view counts) {
        if (!cohort(thing)) return;
        ModelTotals totals;
        is_whole = formats::add_packed(counts, metrics.counts, totals) && is_whole;
        add_to_spreads(metrics, totals);
      }));
  if (is_whole) return metrics;
  return fail(Code::kCorrupt, "control-plane database: counts of a model are damaged");
}

Result<std::vector<ThingModel>> models_of_thing(Store& store, const ThingName& thing) {
  SKERRY_ASSIGN(auto rows, store.database().select(
                               "SELECT model, version, first_ms, last_ms, counts FROM model_totals "
                               "WHERE thing = :thing ORDER BY model, version",
                               [](const Row& row) -> Result<ThingModel> {
                                 SKERRY_ASSIGN(auto counts, unpacked(row.text("counts")));
                                 return ThingModel{{row.text("model"), row.text("version")},
                                                   row.number("first_ms"),
                                                   row.number("last_ms"),
                                                   counts};
                               },
                               thing.str()));
  std::vector<ThingModel> models;
  for (auto& row : rows) {
    if (!row) return fail(std::move(row.error()));
    models.push_back(std::move(*row));
  }
  return models;
}

Result<std::vector<ModelHour>> model_history(Store& store, const ModelId& model, int64_t from_ms,
                                             int64_t until_ms) {
  SKERRY_ASSIGN(auto rows,
                store.database().select(
                    "SELECT hour_ms, counts FROM model_hours WHERE model = :model AND "
                    "version = :version AND hour_ms >= :from AND hour_ms < :until ORDER BY hour_ms",
                    [](const Row& row) -> Result<ModelHour> {
                      SKERRY_ASSIGN(auto counts, unpacked(row.text("counts")));
                      return ModelHour{row.number("hour_ms"), counts};
                    },
                    model.name, model.version, from_ms, until_ms));
  std::vector<ModelHour> hours;
  for (auto& row : rows) {
    if (!row) return fail(std::move(row.error()));
    hours.push_back(*row);
  }
  return hours;
}

Result<int64_t> prune_metrics(Store& store, int64_t oldest_ms, int64_t limit) {
  Database& database = store.database();
  int64_t gone = 0;
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(
        const int64_t totals,
        database.execute("DELETE FROM model_totals WHERE (model, version, thing) IN (SELECT model, "
                         "version, thing FROM model_totals WHERE last_ms < :oldest LIMIT :limit)",
                         oldest_ms, limit));
    SKERRY_ASSIGN(const int64_t hours,
                  database.execute(
                      "DELETE FROM model_hours WHERE (model, version, hour_ms) IN (SELECT model, "
                      "version, hour_ms FROM model_hours WHERE hour_ms < :oldest LIMIT :limit)",
                      oldest_ms, limit));
    SKERRY_ASSIGN(
        const int64_t runs,
        database.execute("DELETE FROM summary_runs WHERE (thing, run) IN (SELECT thing, run FROM "
                         "summary_runs WHERE seen_ms < :oldest LIMIT :limit)",
                         oldest_ms, limit));
    gone = totals + hours + runs;
    return {};
  }));
  return gone;
}

}  // namespace skerry::fleet
