// skerry device metrics: what a device's ring of metrics holds, from its disk, with no network;
// skerry metrics: the history that the fleet keeps.
#include "cli/metric_commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/local_files.h"
#include "formats/metric_ring.h"
#include "io/clock.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr int64_t kMinuteMs = 60'000;
constexpr size_t kChartWidth = 72, kChartHeight = 8;

struct MetricOptions {
  std::string root, thing, group;
  std::string per = "minute";
  int64_t hours = 1;
  MetricView view;
};

int64_t length_of(const std::string& per) {
  if (per == "day") return 1440 * kMinuteMs;
  return per == "hour" ? 60 * kMinuteMs : kMinuteMs;
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.5g", value);
  return text;
}

std::string clock_text(int64_t time_ms) {
  const std::time_t seconds = time_ms / 1'000;
  std::tm parts{};
  char text[32];
  std::strftime(text, sizeof text, "%m-%d %H:%M", gmtime_r(&seconds, &parts));
  return text;
}

std::string title_of(const json& series) {
  return series.value("component", "") + " " + series.value("name", "");
}

void print_chart(const Output& output, const json& series, const std::string& value) {
  const json& points = series.at("points");
  std::vector<double> values;
  for (const json& point : points) values.push_back(point.value(value, 0.0));
  output.print_line(title_of(series) + ", " + value + ", " + series.value("unit", ""));
  if (values.empty()) return;
  for (const std::string& line : chart(values, kChartWidth, kChartHeight)) output.print_line(line);
  const std::string from = clock_text(points.front().value("atMs", int64_t{0}));
  output.print_line("            " + from + " to " +
                    clock_text(points.back().value("atMs", int64_t{0})) + " UTC, " +
                    std::to_string(values.size()) + " points");
}

Result<void> device_metrics(const Session& session, const MetricOptions& options) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string directory, metric_ring_of(files, options.root));
  const int64_t length = length_of(options.per);
  formats::SeriesHistory history;
  int64_t newest_ms = 0;
  SKERRY_ASSIGN(
      const size_t damaged,
      formats::read_metric_ring(files, directory, [&](const formats::MetricSummary& summary) {
        newest_ms = std::max(newest_ms, summary.end_ms);
        for (const auto& [id, distribution] : summary.series) {
          history[id][summary.end_ms - summary.end_ms % length].merge(distribution);
        }
      }));
  // Of the device's clock, which may be wrong: what is new is near its last word.
  const int64_t from_ms = newest_ms - options.hours * 60 * kMinuteMs;
  for (auto& [id, points] : history) {
    std::erase_if(points, [&](const auto& point) { return point.first + length <= from_ms; });
  }
  std::erase_if(history, [](const auto& series) { return series.second.empty(); });
  const json series = chosen(formats::describe(history), options.view);
  if (session.output.json) {
    session.output.print_json({{"series", series}, {"damagedLines", damaged}});
    return {};
  }
  print_metrics(session.output, series, options.view);
  if (damaged > 0) session.output.hint(std::to_string(damaged) + " damaged lines are left out");
  return {};
}

Result<void> fleet_metrics(const Session& session, const MetricOptions& options) {
  if (options.thing.empty() == options.group.empty()) {
    return fail(Code::kInvalidArgument, "name one device, or a group with --group");
  }
  Query query = {{"per", options.per}, {"hours", std::to_string(options.hours)}};
  query.emplace_back(options.group.empty() ? "thing" : "group",
                     options.group.empty() ? options.thing : options.group);
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json answer, fleet.call({.service = "skerry",
                                               .method = "GET",
                                               .path = "/skerry/v1/deviceMetrics",
                                               .query = std::move(query)}));
  const json series = chosen(answer.value("series", json::array()), options.view);
  if (session.output.json) {
    session.output.print_json({{"series", series}});
  } else {
    print_metrics(session.output, series, options.view);
  }
  return {};
}

void add_view(CLI::App& command, MetricOptions& options) {
  command.add_option("--hours", options.hours, "How far back from the newest")
      ->check(CLI::Range(1, 24 * 730))
      ->capture_default_str();
  command.add_option("--per", options.per, "minute, hour or day: what one point is")
      ->check(CLI::IsMember({"minute", "hour", "day"}))
      ->capture_default_str();
  command.add_option("--component", options.view.component, "Only this component's");
  command.add_option("--metric", options.view.name, "Only metrics of this name");
  command.add_flag("--plot", options.view.plot, "A chart of each over time");
  command.add_option("--value", options.view.value, "What the chart shows")
      ->check(CLI::IsMember({"mean", "sum", "count", "min", "max", "last", "p50", "p90", "p99"}))
      ->capture_default_str();
}

}  // namespace

Result<std::string> metric_ring_of(io::Files& files, const std::string& root) {
  const std::string absolute = absolute_path(root);
  for (const char* below : {"/metrics", "/root/metrics"}) {
    if (io::exists(files, absolute + below)) return absolute + below;
  }
  return fail(Code::kNotFound, root +
                                   " has no metrics: name a device's root folder, or what "
                                   "`device provision` wrote, once it has run for a minute");
}

std::vector<std::string> chart(const std::vector<double>& values, size_t width, size_t height) {
  constexpr const char* kBlocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  constexpr double kSteps = 8;
  const size_t columns = std::min(width, values.size());
  std::vector<double> means(columns, 0);
  for (size_t column = 0; column < columns; ++column) {
    const size_t from = column * values.size() / columns;
    const size_t to = (column + 1) * values.size() / columns;
    for (size_t i = from; i < to; ++i) means[column] += values[i] / static_cast<double>(to - from);
  }
  const auto [low, high] = std::ranges::minmax(means);
  const double bottom = std::min(low, 0.0);
  const double range = high > bottom ? high - bottom : 1;
  std::vector<std::string> lines;
  for (size_t line = height; line-- > 0;) {
    char label[32];
    const bool labelled = line + 1 == height || line == 0;
    std::snprintf(label, sizeof label, "%10s ┤",
                  labelled ? short_number(line == 0 ? bottom : high).c_str() : "");
    std::string text = label;
    for (const double mean : means) {
      const double filled =
          (mean - bottom) / range * static_cast<double>(height) - static_cast<double>(line);
      text += kBlocks[static_cast<size_t>(std::lround(std::clamp(filled, 0.0, 1.0) * kSteps))];
    }
    lines.push_back(text);
  }
  return lines;
}

json chosen(const json& series, const MetricView& view) {
  json all = json::array();
  for (const json& one : series) {
    const bool wanted = (view.component.empty() || one.value("component", "") == view.component) &&
                        (view.name.empty() || one.value("name", "") == view.name);
    if (wanted) all.push_back(one);
  }
  return all;
}

void print_metrics(const Output& output, const json& series, const MetricView& view) {
  if (view.plot) {
    for (const json& one : series) print_chart(output, one, view.value);
    return;
  }
  Table table{
      {"COMPONENT", "METRIC", "UNIT", "COUNT", "SUM", "MEAN", "MIN", "P50", "P99", "MAX", "LAST"},
      {}};
  for (const json& one : series) {
    std::vector<std::string> row = {one.value("component", ""), one.value("name", ""),
                                    one.value("unit", ""), one.at("count").dump()};
    for (const char* value : {"sum", "mean", "min", "p50", "p99", "max", "last"}) {
      row.push_back(short_number(one.value(value, 0.0)));
    }
    table.rows.push_back(std::move(row));
  }
  output.print_table(table);
}

void add_metric_commands(CLI::App& app, Session& session) {
  auto options = std::make_shared<MetricOptions>();
  CLI::App* device =
      app.get_subcommand("device")->add_subcommand("metrics", "What a device's metrics were");
  device->add_option("ROOT", options->root, "Its root folder, or what `device provision` wrote")
      ->required();
  add_view(*device, *options);
  device->footer(R"(
Reads the device's files: no network and no fleet is needed, and the device may run or not. The machine's own metrics
and those of components (PutComponentMetric), a minute a point, as long as the ring on the disk reaches back.
Examples:
  skerry device metrics ./press-7
  skerry device metrics ./press-7 --metric CpuUsage --plot --hours 24
  skerry device metrics ./press-7 --component com.example.Vision --per hour --json)");
  device->callback([&session, options] {
    session.action = [&session, options] { return device_metrics(session, *options); };
  });

  CLI::App* metrics = app.add_subcommand("metrics", "What devices' metrics were, from the fleet");
  metrics->add_option("DEVICE", options->thing, "One device");
  metrics->add_option("--group", options->group, "All devices of a group, merged");
  add_view(*metrics, *options);
  metrics->footer(R"(
Minutes are kept for 2 days, hours for 90 days, days for 2 years. What a device brings late is merged where it belongs.
Examples:
  skerry metrics press-7
  skerry metrics --group plant --per hour --hours 168 --metric SystemMemUsage --plot --value p99)");
  metrics->callback([&session, options] {
    session.action = [&session, options] { return fleet_metrics(session, *options); };
  });
}

}  // namespace skerry::cli
