// What the metrics of one device were in a stretch of time: one line in the device's ring of
// metrics, and the same text to the fleet (docs/data/device-metrics.md). `run` and `sequence` say
// which one it is; whoever merges every summary once has all.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/named_type.h"
#include "formats/distribution.h"
#include "formats/node.h"

namespace skerry::formats {

inline constexpr size_t kMaxMetricSummaryBytes = 128 << 10;
inline constexpr size_t kMaxSeries = 256;  // of a device
inline constexpr size_t kMaxMetricName = 32;

struct SeriesId {
  std::string component;  // or a namespace of the nucleus: "SystemMetrics", "GreengrassComponents"
  std::string name;
  std::string unit;  // of the service model: COUNT, BYTES, …, or PERCENT, CELSIUS
  auto operator<=>(const SeriesId&) const = default;
};
using SeriesMap = std::map<SeriesId, Distribution>;

struct MetricSummary {
  std::string run;        // another one for each ring that a device begins: 8 to 32 of a-z 0-9
  uint64_t sequence = 0;  // from 1 in a run
  int64_t start_ms = 0;   // since 1970, by the device's clock, which may be wrong
  int64_t end_ms = 0;
  SeriesMap series;
  bool operator==(const MetricSummary&) const = default;
};

std::string metric_summary_topic(const ThingName& thing);
std::optional<ThingName> parse_metric_summary_topic(std::string_view topic);

// One line, without its end.
std::string to_text(const MetricSummary& summary);
// Untrusted.
Result<MetricSummary> parse_metric_summary(std::string_view text);

nlohmann::json to_json(const SeriesMap& series);
Result<SeriesMap> parse_series(const Node& list, size_t most);

// For people and programs: one object a series, with its points in the order of time. What the
// device's own command and the fleet's API answer with.
using SeriesHistory = std::map<SeriesId, std::map<int64_t, Distribution>>;
nlohmann::json describe(const SeriesHistory& history);

}  // namespace skerry::formats
