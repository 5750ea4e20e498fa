// The summary's JSON.
#include "formats/metric_summary.h"

#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "formats/summary_head.h"
#include "formats/thing_topic.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr std::string_view kMetricsTopic = "/skerry/metrics";
constexpr size_t kMaxComponentName = 128;
constexpr size_t kMaxUnit = 32;

Result<std::string> name_in(const Node& parent, const char* key, size_t most) {
  SKERRY_ASSIGN(const Node node, parent.require(key));
  SKERRY_ASSIGN(std::string name, node.as_string());
  if (name.empty() || name.size() > most) return node.wrong("is empty or too long");
  return name;
}

}  // namespace

std::string metric_summary_topic(const ThingName& thing) {
  return thing_topic(thing, kMetricsTopic);
}

std::optional<ThingName> parse_metric_summary_topic(std::string_view topic) {
  return thing_of_topic(topic, kMetricsTopic);
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
  return json_text({{"format", kSummaryFormat},
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
  SKERRY_ASSIGN(SummaryHead head, parse_summary_head(root));
  MetricSummary summary{std::move(head.run), head.sequence, head.start_ms, head.end_ms, {}};
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
