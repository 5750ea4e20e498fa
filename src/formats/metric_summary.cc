// The summary's JSON.
#include "formats/metric_summary.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "formats/names.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr int64_t kFormat = 1;
constexpr std::string_view kTopicPrefix = "$aws/things/";
constexpr std::string_view kTopicSuffix = "/skerry/metrics";
constexpr int64_t kMaxTimeMs = int64_t{1} << 53;
constexpr int64_t kMaxSequence = int64_t{1} << 40;
constexpr size_t kMaxComponentName = 128;
constexpr size_t kMaxUnit = 32;

Result<std::string> name_in(const Node& parent, const char* key, size_t most) {
  SKERRY_ASSIGN(const Node node, parent.require(key));
  SKERRY_ASSIGN(std::string name, node.as_string());
  if (name.empty() || name.size() > most) return node.wrong("is empty or too long");
  return name;
}

Result<int64_t> time_in(const Node& root, const char* key) {
  SKERRY_ASSIGN(const Node node, root.require(key));
  SKERRY_ASSIGN(const int64_t time, node.as_integer());
  if (time < 0 || time > kMaxTimeMs) return node.wrong("is no time");
  return time;
}

Result<void> read_identity(const Node& root, MetricSummary& summary) {
  SKERRY_ASSIGN(const Node run, root.require("run"));
  SKERRY_ASSIGN(summary.run, run.as_string());
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (summary.run.size() < 8 || summary.run.size() > 32 ||
      !std::ranges::all_of(summary.run, is_letter)) {
    return run.wrong("must be 8 to 32 of a-z and 0-9");
  }
  SKERRY_ASSIGN(const Node sequence, root.require("sequence"));
  SKERRY_ASSIGN(const int64_t number, sequence.as_integer());
  if (number < 1 || number > kMaxSequence) return sequence.wrong("must be 1 to 2^40");
  summary.sequence = static_cast<uint64_t>(number);
  SKERRY_ASSIGN(summary.start_ms, time_in(root, "startMs"));
  SKERRY_ASSIGN(summary.end_ms, time_in(root, "endMs"));
  return {};
}

}  // namespace

std::string metric_summary_topic(const ThingName& thing) {
  return std::string(kTopicPrefix) + thing.str() + std::string(kTopicSuffix);
}

std::optional<ThingName> parse_metric_summary_topic(std::string_view topic) {
  if (topic.size() < kTopicPrefix.size() + kTopicSuffix.size() ||
      !topic.starts_with(kTopicPrefix) || !topic.ends_with(kTopicSuffix)) {
    return std::nullopt;
  }
  topic.remove_prefix(kTopicPrefix.size());
  topic.remove_suffix(kTopicSuffix.size());
  auto thing = parse_thing_name(topic);
  if (!thing) return std::nullopt;
  return *std::move(thing);
}

json to_json(const SeriesMap& series) {
  json list = json::array();
  for (const auto& [id, distribution] : series) {
    json one = to_json(distribution);
    one["component"] = id.component;
    one["name"] = id.name;
    one["unit"] = id.unit;
    list.push_back(std::move(one));
  }
  return list;
}

Result<SeriesMap> parse_series(const Node& list, size_t most) {
  SKERRY_ASSIGN(const auto nodes, list.elements());
  if (nodes.size() > most) return list.wrong("has more than " + std::to_string(most) + " series");
  SeriesMap series;
  for (const Node& node : nodes) {
    SeriesId id;
    SKERRY_ASSIGN(id.component, name_in(node, "component", kMaxComponentName));
    SKERRY_ASSIGN(id.name, name_in(node, "name", kMaxMetricName));
    SKERRY_ASSIGN(id.unit, name_in(node, "unit", kMaxUnit));
    SKERRY_ASSIGN(Distribution distribution, parse_distribution(node));
    if (!series.try_emplace(std::move(id), std::move(distribution)).second) {
      return node.wrong("this series stands here twice");
    }
  }
  return series;
}

std::string to_text(const MetricSummary& summary) {
  return json_text({{"format", kFormat},
                    {"run", summary.run},
                    {"sequence", summary.sequence},
                    {"startMs", summary.start_ms},
                    {"endMs", summary.end_ms},
                    {"series", to_json(summary.series)}});
}

Result<MetricSummary> parse_metric_summary(std::string_view text) {
  auto document = parse_json(text, {.size_bytes = kMaxMetricSummaryBytes, .depth = 8});
  if (!document) return fail(document.error().with_context("summary of metrics"));
  const Node root(*document, "");
  if (!root.is_object()) {
    return fail(Code::kInvalidArgument, "summary of metrics: must be an object");
  }
  SKERRY_ASSIGN(const Node format, root.require("format"));
  SKERRY_ASSIGN(const int64_t number, format.as_integer());
  if (number != kFormat) {
    return format.wrong(std::to_string(number) + " is not supported, only " +
                        std::to_string(kFormat));
  }
  MetricSummary summary;
  SKERRY_TRY(read_identity(root, summary));
  SKERRY_ASSIGN(const Node list, root.require("series"));
  SKERRY_ASSIGN(summary.series, parse_series(list, kMaxSeries));
  return summary;
}

json describe(const SeriesHistory& history) {
  json list = json::array();
  for (const auto& [id, points] : history) {
    json one = {{"component", id.component},
                {"name", id.name},
                {"unit", id.unit},
                {"points", json::array()}};
    const auto values = [](const Distribution& d) -> json {
      return {{"count", d.count},
              {"sum", d.total()},
              {"mean", d.mean()},
              {"min", static_cast<double>(d.min) / Distribution::kUnit},
              {"max", static_cast<double>(d.max) / Distribution::kUnit},
              {"last", static_cast<double>(d.last) / Distribution::kUnit},
              {"p50", d.quantile(0.5)},
              {"p90", d.quantile(0.9)},
              {"p99", d.quantile(0.99)}};
    };
    Distribution all;
    for (const auto& [at_ms, distribution] : points) {
      all.merge(distribution);
      json point = values(distribution);
      point["atMs"] = at_ms;
      one["points"].push_back(std::move(point));
    }
    one.update(values(all));
    list.push_back(std::move(one));
  }
  return list;
}

}  // namespace skerry::formats
