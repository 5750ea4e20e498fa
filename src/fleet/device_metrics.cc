// Merging summaries into rows: one of each device and minute, hour and day, with all its series.
#include "fleet/device_metrics.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "fleet/store.h"
#include "fleet/store_sql.h"
#include "fleet/summary_runs.h"
#include "formats/json_ptr.h"

namespace skerry::fleet {
namespace {

using formats::SeriesMap;

constexpr int64_t kBelievedMs = 30 * kDayOfMetricsMs;
constexpr size_t kMaxRowBytes = 4 << 20;

Result<SeriesMap> series_in(const std::string& text) {
  auto document = formats::parse_json(text, {.size_bytes = kMaxRowBytes, .depth = 8});
  if (document) {
    if (auto series = formats::parse_series(formats::Node(*document, "series"), kSeriesOfDay)) {
      return series;
    }
  }
  return fail(Code::kCorrupt, "control-plane database: metrics of a device are damaged");
}

Result<void> merge_row(Database& database, const ThingName& thing, const MetricLevel& level,
                       int64_t time_ms, const SeriesMap& series) {
  const int64_t at_ms = time_ms - time_ms % level.length_ms;
  SKERRY_ASSIGN(const auto before, database.select(
                                       "SELECT series FROM device_metrics WHERE thing = :thing AND "
                                       "length_ms = :length AND at_ms = :at",
                                       [](const Row& row) { return row.text("series"); },
                                       thing.str(), level.length_ms, at_ms));
  SeriesMap sum;
  if (!before.empty()) {
    SKERRY_ASSIGN(sum, series_in(before.front()));
  }
  for (const auto& [id, distribution] : series) sum[id].merge(distribution);
  if (sum.size() > kSeriesOfDay) {
    return fail(Code::kFailedPrecondition, thing.str() + " has more than " +
                                               std::to_string(kSeriesOfDay) +
                                               " series of metrics in a " + level.name);
  }
  SKERRY_TRY(database.execute(
      "INSERT INTO device_metrics (thing, length_ms, at_ms, series) VALUES (:thing, :length, :at, "
      ":series) ON CONFLICT (thing, length_ms, at_ms) DO UPDATE SET series = excluded.series",
      thing.str(), level.length_ms, at_ms, formats::json_text(formats::to_json(sum))));
  return {};
}

}  // namespace

Result<bool> take_metrics(Store& store, const ThingName& thing,
                          const formats::MetricSummary& summary, int64_t now_ms) {
  Database& database = store.database();
  const bool is_likely = summary.end_ms <= now_ms && summary.end_ms > now_ms - kBelievedMs;
  const int64_t time_ms = is_likely ? summary.end_ms : now_ms;
  bool taken = false;
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    SKERRY_TRY(store.find_thing(thing));
    SKERRY_ASSIGN(taken, take_sequence(database, thing, summary.run, summary.sequence, now_ms));
    if (!taken) return {};
    for (const MetricLevel& level : kMetricLevels) {
      // What would be forgotten at once is in the longer levels.
      if (time_ms < now_ms - level.kept_ms) continue;
      SKERRY_TRY(merge_row(database, thing, level, time_ms, summary.series));
    }
    return {};
  }));
  return taken;
}

Result<formats::SeriesHistory> metric_history(Store& store, const std::vector<ThingName>& things,
                                              const MetricLevel& level, int64_t from_ms,
                                              int64_t until_ms) {
  struct Point {
    int64_t at_ms;
    std::string series;
  };
  formats::SeriesHistory history;
  for (const ThingName& thing : things) {
    SKERRY_ASSIGN(
        const auto rows,
        store.database().select(
            "SELECT at_ms, series FROM device_metrics WHERE thing = :thing AND length_ms = :length "
            "AND at_ms > :before AND at_ms < :until ORDER BY at_ms",
            [](const Row& row) { return Point{row.number("at_ms"), row.text("series")}; },
            thing.str(), level.length_ms, from_ms - level.length_ms, until_ms));
    for (const Point& point : rows) {
      SKERRY_ASSIGN(const SeriesMap series, series_in(point.series));
      for (const auto& [id, distribution] : series) {
        history[id][point.at_ms].merge(distribution);
      }
    }
  }
  return history;
}

Result<void> scan_metrics(Store& store, const MetricLevel& level, int64_t from_ms, int64_t until_ms,
                          const std::set<std::string>& names, const WantedSeries& wanted,
                          const EachMetrics& each) {
  const std::string length = std::to_string(level.length_ms);
  const std::string before = std::to_string(from_ms - level.length_ms);
  const std::string until = std::to_string(until_ms);
  const std::string_view parameters[] = {length, before, until};
  Result<void> outcome;
  // The names of things have no spaces.
  SKERRY_TRY(store.database().scan(
      "SELECT thing || ' ' || at_ms, series FROM device_metrics WHERE length_ms = ? AND at_ms > ? "
      "AND at_ms < ? ORDER BY at_ms",
      parameters, [&](std::string_view point, std::string_view text) {
        const bool may_have_one = std::ranges::any_of(names, [&](const std::string& name) {
          return text.find(name) != std::string_view::npos;
        });
        if (!outcome || !may_have_one) return;
        auto series = series_in(std::string(text));
        if (!series) {
          outcome = fail(std::move(series.error()));
          return;
        }
        std::erase_if(*series, [&](const auto& one) { return !wanted(one.first); });
        if (series->empty()) return;
        const size_t space = point.find(' ');
        int64_t at_ms = 0;
        std::from_chars(point.data() + space + 1, point.data() + point.size(), at_ms);
        each(std::string(point.substr(0, space)), at_ms, *series);
      }));
  return outcome;
}

Result<int64_t> prune_device_metrics(Store& store, int64_t now_ms, int64_t limit) {
  int64_t gone = 0;
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    for (const MetricLevel& level : kMetricLevels) {
      SKERRY_ASSIGN(const int64_t rows,
                    store.database().execute(
                        "DELETE FROM device_metrics WHERE (thing, length_ms, at_ms) IN (SELECT "
                        "thing, length_ms, at_ms FROM device_metrics WHERE length_ms = :length AND "
                        "at_ms < :oldest LIMIT :limit)",
                        level.length_ms, now_ms - level.kept_ms - level.length_ms, limit));
      gone += rows;
    }
    return {};
  }));
  return gone;
}

DeviceMetricsService::DeviceMetricsService(io::Env& env, StorePool& stores, DeviceLink& link)
    : inbox_(env, stores,
             {.module = "device-metrics",
              // A device that was offline for days brings its minutes as fast as they are taken.
              .burst = 3'000,
              .per_second = 20,
              .held = 60,
              .read = [](const ThingName& sender, std::string_view payload,
                         int64_t heard_ms) -> Result<ThingInbox::Put> {
                SKERRY_ASSIGN(auto summary, formats::parse_metric_summary(payload));
                return
                    [sender, summary = std::move(summary), heard_ms](Store& store) -> Result<void> {
                      SKERRY_TRY(take_metrics(store, sender, summary, heard_ms));
                      return {};
                    };
              }}) {
  link.route(formats::metric_summary_topic(ThingName("+")),
             [this](const net::MqttMessage& message) {
               const auto sender = formats::parse_metric_summary_topic(message.topic);
               if (sender) inbox_.receive(*sender, message.payload);
             });
}

}  // namespace skerry::fleet
