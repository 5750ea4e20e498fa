// skerry alert: what fires in the fleet, who is told of it, and whether a file of rules is right.
#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/iso_time.h"
#include "cli/command.h"
#include "cli/local_files.h"
#include "cli/metric_commands.h"
#include "formats/metric_ring.h"
#include "io/files.h"
#include "monitor/alert_replay.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

struct AlertOptions {
  std::string file, replay, rule, device, group, duration, reason, end, sink;
  int64_t wait_s = 20;
};

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Result<json> ask_alerts(const Session& session) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  return fleet.call({.service = "skerry", .method = "GET", .path = "/skerry/v1/alerts"});
}

Result<void> list_alerts(const Session& session) {
  SKERRY_ASSIGN(const json answer, ask_alerts(session));
  const Output& output = session.output;
  if (output.json) {
    output.print_json(answer);
    return {};
  }
  const double now_s = wall_seconds();
  Table table{{"RULE", "SUBJECT", "STATE", "VALUE", "SINCE"}, {}};
  for (const json& alert : answer.at("alerts")) {
    const bool silenced = alert.value("silenced", false);
    char value[32];
    std::snprintf(value, sizeof value, "%.6g", alert.value("value", 0.0));
    table.rows.push_back({alert.value("rule", ""), alert.value("subject", ""),
                          silenced ? "SILENCED" : alert.value("state", ""), value,
                          age(alert.value("since", 0.0), now_s)});
  }
  output.print_table(table);
  for (const json& silence : answer.at("silences")) {
    const auto or_all = [&](const char* member) {
      const std::string text = silence.value(member, "");
      return text.empty() ? "all" : text;
    };
    output.hint("silence " + silence.value("silenceId", "") + ": rule " + or_all("rule") + ", " +
                or_all("subject") + ", until " +
                iso_time(static_cast<int64_t>(silence.value("until", 0.0) * 1'000)));
  }
  for (const json& notice : answer.at("waiting")) {
    if (notice.value("error", "").empty()) continue;
    output.hint("sink " + notice.value("sink", "") + " was not reached " +
                notice.at("attempts").dump() + " times: " + notice.value("error", ""));
  }
  const json& rules = answer.at("rules");
  if (!rules.value("error", "").empty()) {
    output.hint(rules.value("file", "") +
                " is wrong, and the rules before are in use: " + rules.value("error", ""));
  } else if (rules.value("file", "").empty()) {
    output.hint("this fleet has no alert rules: skerry up --alerts FILE");
  }
  return {};
}

// --- A file of rules ----------------------------------------------------------------------------

Result<json> replayed(const AlertOptions& options, const monitor::AlertRules& rules) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string directory, metric_ring_of(files, options.replay));
  formats::SeriesHistory history;
  SKERRY_TRY(
      formats::read_metric_ring(files, directory, [&](const formats::MetricSummary& summary) {
        for (const auto& [id, distribution] : summary.series) {
          history[id][summary.end_ms].merge(distribution);
        }
      }));
  json events = json::array();
  for (const auto& each : monitor::replay_alerts(rules, history, "device")) {
    events.push_back({{"atMs", each.at_ms},
                      {"rule", each.event.alert.key.rule},
                      {"state", each.event.is_resolved ? "RESOLVED" : "FIRING"},
                      {"value", each.event.alert.value}});
  }
  return events;
}

Result<void> check_rules(const Session& session, const AlertOptions& options) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string text,
                io::read_file(files, options.file, monitor::kMaxAlertFileBytes));
  const monitor::AlertReading reading = monitor::read_alert_rules(text);
  json complaints = json::array();
  for (const auto& complaint : reading.complaints) {
    complaints.push_back({{"line", complaint.line}, {"message", complaint.message}});
    if (!session.output.json) {
      session.output.print_line(options.file + ":" + std::to_string(complaint.line) + ": " +
                                complaint.message);
    }
  }
  json answer = {{"rules", reading.rules.rules.size()},
                 {"sinks", reading.rules.sinks.size()},
                 {"complaints", complaints}};
  if (complaints.empty() && !options.replay.empty()) {
    SKERRY_ASSIGN(answer["events"], replayed(options, reading.rules));
  }
  if (session.output.json) session.output.print_json(answer);
  if (!complaints.empty()) {
    return fail(Code::kInvalidArgument, options.file + ": " + std::to_string(complaints.size()) +
                                            (complaints.size() == 1 ? " error" : " errors"));
  }
  if (session.output.json) return {};
  if (answer.contains("events")) {
    Table table{{"TIME", "RULE", "STATE", "VALUE"}, {}};
    for (const json& event : answer.at("events")) {
      table.rows.push_back({iso_time(event.value("atMs", int64_t{0})), event.value("rule", ""),
                            event.value("state", ""), event.at("value").dump()});
    }
    session.output.print_table(table);
  } else {
    for (const auto& rule : reading.rules.rules) {
      session.output.print_line(rule.name + ": " + rule.text());
    }
  }
  return {};
}

// --- Silences and sinks
// ----------------------------------------------------------------------------

Result<void> silence(const Session& session, const AlertOptions& options) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  if (!options.end.empty()) {
    SKERRY_TRY(
        fleet.call({.service = "skerry",
                    .method = "DELETE",
                    .path = "/skerry/v1/alertSilences/" + net::percent_encode(options.end)}));
    if (session.output.json) session.output.print_json({{"ended", options.end}});
    return {};
  }
  if (options.rule.empty() && options.device.empty() && options.group.empty()) {
    return fail(Code::kInvalidArgument,
                "name what is silenced: --rule, --device or --group, or --end ID of a silence");
  }
  const auto duration = monitor::parse_alert_duration(options.duration);
  if (!duration)
    return fail(Code::kInvalidArgument, "--for: a duration, such as 90s, 15m, 2h or 7d");
  const std::string subject = options.group.empty() ? options.device : "group/" + options.group;
  SKERRY_ASSIGN(const json answer, fleet.call({.service = "skerry",
                                               .method = "POST",
                                               .path = "/skerry/v1/alertSilences",
                                               .body = json{{"rule", options.rule},
                                                            {"subject", subject},
                                                            {"reason", options.reason},
                                                            {"seconds", *duration / 1'000}}
                                                           .dump()}));
  if (session.output.json) {
    session.output.print_json(answer);
  } else {
    session.output.print_line(answer.value("silenceId", ""));
  }
  return {};
}

// Until the sink has taken it, or has refused it once.
Result<void> test_sink(const Session& session, const AlertOptions& options) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(
      const json answer,
      fleet.call({.service = "skerry",
                  .method = "POST",
                  .path = "/skerry/v1/alertSinks/" + net::percent_encode(options.sink) + "/test"}));
  const std::string id = answer.value("noticeId", "");
  const double until_s = wall_seconds() + static_cast<double>(options.wait_s);
  while (wall_seconds() < until_s) {
    SKERRY_ASSIGN(const json now, ask_alerts(session));
    const json& waiting = now.at("waiting");
    const auto found = std::ranges::find_if(
        waiting, [&](const json& each) { return each.value("noticeId", "") == id; });
    if (found == waiting.end()) {
      if (session.output.json) session.output.print_json({{"sink", options.sink}, {"sent", true}});
      session.output.hint("sink " + options.sink + " has taken it");
      return {};
    }
    if (found->value("attempts", int64_t{0}) > 0) {
      return fail(Code::kFailedPrecondition,
                  "sink " + options.sink + ": " + found->value("error", ""));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return fail(Code::kTimeout, "sink " + options.sink + " has not answered yet: skerry alert list");
}

}  // namespace

void add_alert_commands(CLI::App& app, Session& session) {
  auto options = std::make_shared<AlertOptions>();
  CLI::App* alert = app.add_subcommand("alert", "Alerts: rules, what fires, silences, sinks");
  alert->footer(R"(
A fleet looks at the rules of one file: skerry up --alerts rules.yaml. docs/alerts.md says what can stand in it.
Examples:
  skerry alert check rules.yaml
  skerry alert list
  skerry alert silence --rule Hot --device press-7 --for 2h --reason "fan is being changed"
  skerry alert test ops)");
  alert->require_subcommand(1);

  CLI::App* list = alert->add_subcommand("list", "What is pending and what fires");
  list->footer(
      "\nSilences, sinks that were not reached and a file that is wrong are named below the "
      "table.\nExample:\n  skerry alert list --json");
  list->callback([&session] { session.action = [&session] { return list_alerts(session); }; });

  CLI::App* check = alert->add_subcommand("check", "Whether a file of rules is right");
  check->add_option("FILE", options->file, "The file")->required()->check(CLI::ExistingFile);
  check->add_option(
      "--replay", options->replay,
      "A device's root folder, or what `device provision` wrote: when the rules would "
      "have fired, by the metrics on its disk");
  check->footer(R"(
Every error is a line FILE:LINE: FIELD: what is wrong, and the exit code is then 1. Neither a fleet nor a network is
needed, nor for --replay, which says what the rules make of the minutes that the device keeps.
Examples:
  skerry alert check rules.yaml
  skerry alert check rules.yaml --replay ./press-7 --json)");
  check->callback([&session, options] {
    session.action = [&session, options] { return check_rules(session, *options); };
  });

  CLI::App* quiet = alert->add_subcommand("silence", "Tell nobody of some alerts for a while");
  quiet->add_option("--rule", options->rule, "Of this rule (default: every one)");
  auto* device = quiet->add_option("--device", options->device, "Of this device (default: all)");
  quiet->add_option("--group", options->group, "Of a rule whose subject is this group")
      ->excludes(device);
  auto* duration = quiet->add_option("--for", options->duration, "For so long: 90s, 15m, 2h, 7d");
  quiet->add_option("--reason", options->reason, "For others who see it in the list");
  quiet->add_option("--end", options->end, "Ends the silence of this id instead")
      ->excludes(duration);
  quiet->footer(R"(
Prints the silence's id. What still fires when it ends is told then; what ended meanwhile is not.
Examples:
  skerry alert silence --rule Hot --for 2h --reason "the hall is heated"
  skerry alert silence --device press-7 --for 1d
  skerry alert silence --end 5f0c…)");
  quiet->callback([&session, options] {
    session.action = [&session, options] { return silence(session, *options); };
  });

  CLI::App* test = alert->add_subcommand("test", "Send a test alert to a sink of the fleet's file");
  test->add_option("SINK", options->sink, "Its name in the file")->required();
  test->add_option("--wait", options->wait_s, "Seconds to wait for it")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
  test->footer(
      "\nFails with the sink's own words where it refuses.\nExample:\n  skerry alert test ops");
  test->callback([&session, options] {
    session.action = [&session, options] { return test_sink(session, *options); };
  });
}

}  // namespace skerry::cli
