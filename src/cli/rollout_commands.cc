// skerry rollout: plans, starts, shows and steers rollouts.
#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/command.h"
#include "cli/deploy_request.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr int64_t kWatchMs = 500;
constexpr int64_t kPatienceMs = 600'000;
const std::string kRollouts = "/skerry/v1/rollouts";

ApiCall get(const std::string& path) {
  return {.service = "skerry", .method = "GET", .path = path};
}
ApiCall post(const std::string& path, const json& body) {
  return {.service = "skerry", .method = "POST", .path = path, .body = body.dump()};
}

std::string rollout_path(const std::string& id) {
  return kRollouts + "/" + net::percent_encode(id);
}

bool is_over(const std::string& phase) {
  return phase == "completed" || phase == "canceled" || phase == "rolledBack" ||
         phase == "superseded" || phase == "targetGone";
}

std::string duration(int64_t seconds) {
  if (seconds >= 3'600 && seconds % 3'600 == 0) return std::to_string(seconds / 3'600) + " h";
  if (seconds >= 60 && seconds % 60 == 0) return std::to_string(seconds / 60) + " min";
  return std::to_string(seconds) + " s";
}

std::string size_of(const json& stage) {
  if (stage.contains("canary")) return "canary group";
  if (stage.contains("devices"))
    return stage["devices"] == 1 ? "1 device"
                                 : std::to_string(stage["devices"].get<int64_t>()) + " devices";
  std::string percent = std::to_string(stage.value("percent", 0.0));
  percent.erase(percent.find_last_not_of('0') + 1);
  if (percent.ends_with('.')) percent.pop_back();
  return percent + " %";
}

std::string gates_of(const json& stage) {
  std::string names;
  for (const json& gate : stage.value("gates", json::array())) {
    names += (names.empty() ? "" : ", ") + gate.value("metric", "");
  }
  return names.empty() ? "none" : names;
}

Table stage_table(const json& stages) {
  Table table{{"STAGE", "SIZE", "DEVICES", "BAKE", "APPROVAL", "GATES"}, {}};
  for (size_t i = 0; i < stages.size(); ++i) {
    const json& stage = stages[i];
    table.rows.push_back({std::to_string(i + 1), size_of(stage),
                          std::to_string(stage.value("devicesSoFar", int64_t{0})),
                          duration(stage.value("bakeSeconds", int64_t{0})),
                          stage.value("approval", false) ? "yes" : "no", gates_of(stage)});
  }
  return table;
}

// One bar for each stage: how much of the target it reaches.
Result<void> draw(const json& stages, int64_t members, const std::string& path) {
  const int64_t all = std::max<int64_t>(members, 1);
  const int row = 34;
  std::ofstream svg(path);
  svg << "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 720 "
      << 20 + row * static_cast<int>(stages.size())
      << "' font-family='sans-serif' font-size='13'>\n";
  int y = 10;
  for (const json& stage : stages) {
    const int64_t devices = stage.value("devicesSoFar", int64_t{0});
    const int64_t width = std::max<int64_t>(2, 400 * devices / all);
    svg << "<text x='120' y='" << y + 17 << "' text-anchor='end'>" << size_of(stage)
        << "</text><rect x='130' y='" << y
        << "' width='400' height='24' fill='#eee'/><rect x='130' y='" << y << "' width='" << width
        << "' height='24' fill='#1f77b4'/><text x='540' y='" << y + 17 << "'>" << devices
        << " devices, " << duration(stage.value("bakeSeconds", int64_t{0}))
        << (stage.value("approval", false) ? ", approval" : "") << "</text>\n";
    y += row;
  }
  svg << "</svg>\n";
  svg.flush();
  if (svg) return {};
  return fail(Code::kInternal, path + ": cannot be written");
}

std::string texts_of(const json& concerns) {
  std::string text;
  for (const json& each : concerns) {
    text += (text.empty() ? "" : "; ") + each.value("kind", "") + ": " + each.value("text", "");
  }
  return text;
}

// Which devices would not take the release, and of which that is not known.
void print_outlook(const Output& output, const json& planned) {
  const json& devices = planned["devices"];
  const auto number = [&](const char* name) {
    return std::to_string(devices.value(name, int64_t{0}));
  };
  output.print_line("");
  output.print_line("Of " + number("total") + " devices " + number("ready") +
                    " would take the release, " + number("refusing") + " would refuse it, of " +
                    number("unknown") + " the fleet does not know enough.");
  if (planned["concerns"].empty()) return;
  Table table{{"DEVICE", "OUTLOOK", "WHY"}, {}};
  for (const json& each : planned["concerns"]) {
    const std::string thing = each.value("thing", "");
    if (!each["refuses"].empty()) {
      table.rows.push_back({thing, "REFUSES", texts_of(each["refuses"])});
    }
    if (!each["unknown"].empty()) {
      table.rows.push_back({thing, "UNKNOWN", texts_of(each["unknown"])});
    }
  }
  output.print_table(table);
  const int64_t more = planned.value("concernsLeftOut", int64_t{0});
  if (more > 0) output.print_line("and " + std::to_string(more) + " more devices");
}

Result<void> plan(const Session& session, const DeployOptions& options, const std::string& svg) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json request, rollout_request_of(fleet, options));
  SKERRY_ASSIGN(const json planned, fleet.call(post(kRollouts + "/plan", request)));
  if (!svg.empty()) {
    SKERRY_TRY(draw(planned["stages"], planned.value("members", int64_t{0}), svg));
  }
  if (session.output.json) {
    session.output.print_json(planned);
    return {};
  }
  session.output.print_table(stage_table(planned["stages"]));
  print_outlook(session.output, planned);
  const bool has_previous = planned["previousDeploymentId"].is_string();
  session.output.hint(has_previous ? "A rollback returns to deployment " +
                                         planned["previousDeploymentId"].get<std::string>()
                                   : "The target has no deployment: a rollback removes everything");
  return {};
}

std::string devices_line(const json& devices) {
  std::string line;
  for (const char* name : {"asked", "succeeded", "failed", "rejected", "timedOut", "silent",
                           "inProgress", "queued", "retrying"}) {
    const int64_t number = devices.value(name, int64_t{0});
    if (number == 0 && name != std::string_view("asked")) continue;
    line += (line.empty() ? "" : ", ") + std::to_string(number) + " " + name;
  }
  return line;
}

std::string bar(int64_t part, int64_t all) {
  constexpr int64_t kBarWidth = 30;
  const int64_t full = all > 0 ? std::min(kBarWidth, kBarWidth * part / all) : 0;
  return "[" + std::string(static_cast<size_t>(full), '#') +
         std::string(static_cast<size_t>(kBarWidth - full), '.') + "]";
}

std::vector<std::string> rollout_lines(const json& rollout) {
  std::vector<std::string> lines = {"rollout " + rollout.value("rolloutId", "") + "  " +
                                    rollout.value("phase", "") + "  stage " +
                                    std::to_string(rollout.value("stage", 1)) + " of " +
                                    std::to_string(rollout.value("stages", 1))};
  if (!rollout.value("reason", "").empty()) lines.push_back("  " + rollout.value("reason", ""));
  const int64_t members = rollout.value("members", int64_t{0});
  lines.push_back("  release:  " + bar(rollout["devices"].value("succeeded", int64_t{0}), members) +
                  " " + devices_line(rollout["devices"]) + " of " + std::to_string(members));
  for (const json& gate : rollout["gates"]) {
    lines.push_back("  gate " + gate.value("metric", "") + ": " + gate.value("verdict", "") + ", " +
                    gate.value("text", ""));
  }
  if (!rollout.contains("rollback")) return lines;
  const json& back = rollout["rollback"];
  lines.push_back("  rollback: " +
                  bar(back.value("succeeded", int64_t{0}),
                      std::max(rollout["devices"].value("asked", int64_t{0}),
                               back.value("asked", int64_t{0}))) +
                  " " + devices_line(back));
  for (const json& thing : back["couldNotGoBack"]) {
    lines.push_back("    could not go back: " + thing.get<std::string>());
  }
  return lines;
}

// The id that was given, or that of the newest rollout.
Result<std::string> id_of(FleetClient& fleet, const std::string& given) {
  if (!given.empty()) return given;
  ApiCall call = get(kRollouts);
  call.query = {{"maxResults", "1"}};
  SKERRY_ASSIGN(const json answer, fleet.call(std::move(call)));
  if (answer["rollouts"].empty()) {
    return fail(Code::kNotFound, "there is no rollout: start one with skerry rollout start");
  }
  return answer["rollouts"][0].value("rolloutId", "");
}

Result<void> show_rollout(const Session& session, const std::string& given) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const std::string id, id_of(fleet, given));
  SKERRY_ASSIGN(const json rollout, fleet.call(get(rollout_path(id))));
  if (session.output.json) {
    session.output.print_json(rollout);
  } else {
    for (const std::string& line : rollout_lines(rollout)) session.output.print_line(line);
  }
  return {};
}

// Shows what changes until it is over; exit code 1 where it did not complete. A control plane that
// is away for a while is waited for: the rollout goes on when it is back.
Result<void> watch(const Session& session, const std::string& given) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const std::string id, id_of(fleet, given));
  json before;
  size_t shown = 0;
  int64_t away_ms = 0;
  for (;; std::this_thread::sleep_for(std::chrono::milliseconds(kWatchMs))) {
    auto now = fleet.call(get(rollout_path(id)));
    const bool is_away = !now && now.error().code() == Code::kUnavailable;
    if (is_away && !before.is_null() && away_ms < kPatienceMs) {
      away_ms += kWatchMs;
      session.output.progress("the control plane does not answer; waiting for it");
      continue;
    }
    if (!now) return fail(std::move(now.error()));
    if (std::exchange(away_ms, 0) > 0) session.output.progress("");
    json looks = *now;
    for (const char* member : {"updatedTimestamp", "bakedSeconds"}) looks.erase(member);
    if (looks != before) {
      if (session.output.json) {
        session.output.print_json(*now);
      } else {
        session.output.print_in_place(rollout_lines(*now), shown);
      }
      before = std::move(looks);
    }
    const std::string phase = now->value("phase", "");
    if (phase == "completed") return {};
    if (is_over(phase)) {
      return fail(Code::kFailedPrecondition,
                  "the rollout is " + phase + ": " + now->value("reason", ""));
    }
  }
}

Result<void> steer(const Session& session, const std::string& given, const std::string& command,
                   int64_t stage) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const std::string id, id_of(fleet, given));
  json body = json::object();
  if (command == "approve") body["stage"] = stage;
  SKERRY_ASSIGN(const json rollout, fleet.call(post(rollout_path(id) + "/" + command, body)));
  if (session.output.json) {
    session.output.print_json(rollout);
  } else {
    session.output.print_line("rollout " + id + "  " + rollout.value("phase", ""));
  }
  return {};
}

Result<void> history(const Session& session, const std::string& given) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const std::string id, id_of(fleet, given));
  SKERRY_ASSIGN(const json answer, fleet.call(get(rollout_path(id) + "/history")));
  if (session.output.json) {
    session.output.print_json(answer);
    return {};
  }
  const double now_s =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  Table table{{"WHEN", "WHAT"}, {}};
  for (const json& line : answer["history"]) {
    table.rows.push_back({age(line.value("timestamp", 0.0), now_s), line.value("text", "")});
  }
  session.output.print_table(table);
  return {};
}

Result<void> list_rollouts(const Session& session) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json rollouts, fleet.list(get(kRollouts), "rollouts"));
  if (session.output.json) {
    session.output.print_json(json{{"rollouts", rollouts}});
    return {};
  }
  Table table{{"ROLLOUT", "TARGET", "PHASE", "STAGE", "REASON"}, {}};
  for (const json& each : rollouts) {
    const std::string arn = each.value("targetArn", "");
    table.rows.push_back(
        {each.value("rolloutId", ""), arn.substr(arn.rfind(':') + 1), each.value("phase", ""),
         std::to_string(each.value("stage", 1)) + "/" + std::to_string(each.value("stages", 1)),
         each.value("reason", "")});
  }
  session.output.print_table(table);
  return {};
}

void add_start_commands(CLI::App& rollout, Session& session) {
  for (const bool only_plan : {true, false}) {
    auto options = std::make_shared<DeployOptions>();
    auto svg = std::make_shared<std::string>();
    CLI::App* command =
        only_plan ? rollout.add_subcommand("plan", "Say what a rollout would do; nothing changes")
                  : rollout.add_subcommand("start", "Deploy stage by stage");
    add_request_options(*command, options);
    command->add_option("--rollout", options->rollout, "Rollout document (docs/data/rollout.md)")
        ->check(CLI::ExistingFile)
        ->required();
    if (only_plan) command->add_option("--svg", *svg, "Draw the stages into this file");
    command->footer(std::string("\nExample:\n  skerry rollout ") + command->get_name() +
                    " --group plant --component com.example.Hello=1.1.0 --rollout rollout.json" +
                    (only_plan ? " --svg stages.svg" : ""));
    command->callback([&session, options, svg, command, only_plan] {
      check_target(*command);
      session.action = [&session, options, svg, only_plan] {
        return only_plan ? plan(session, *options, *svg) : start_rollout(session, *options);
      };
    });
  }
}

void add_steering_commands(CLI::App& rollout, Session& session) {
  const std::pair<const char*, const char*> kCommands[] = {
      {"pause", "Ask no further device until it is resumed"},
      {"resume", "Go on where it was paused"},
      {"approve", "Let it go on to the next stage"},
      {"abort", "Ask no further device; those that have the release keep it"},
      {"rollback", "Every device that was asked gets the previous revision"}};
  for (const auto& [name, help] : kCommands) {
    auto id = std::make_shared<std::string>();
    auto stage = std::make_shared<int64_t>(0);
    CLI::App* command = rollout.add_subcommand(name, help);
    command->add_option("rollout", *id, "Its id (default: the newest)");
    const std::string what = name;
    if (what == "approve") {
      command->add_option("--stage", *stage, "The stage that you looked at, from 1")
          ->required()
          ->check(CLI::Range(1, 1000));
    }
    command->footer("\nExample:\n  skerry rollout " + what +
                    (what == "approve" ? " --stage 2" : ""));
    command->callback([&session, id, what, stage] {
      session.action = [&session, id, what, stage] { return steer(session, *id, what, *stage); };
    });
  }
}

}  // namespace

Result<void> start_rollout(const Session& session, const DeployOptions& options) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json request, rollout_request_of(fleet, options));
  SKERRY_ASSIGN(const json started, fleet.call(post(kRollouts, request)));
  if (session.output.json) {
    session.output.print_json(started);
  } else {
    session.output.print_line("rollout " + started.value("rolloutId", ""));
    session.output.hint("Next: skerry rollout watch");
  }
  return {};
}

void add_rollout_commands(CLI::App& app, Session& session) {
  CLI::App* rollout = app.add_subcommand("rollout", "Releases by stages, judged, and taken back");
  rollout->footer(R"(
Examples:
  skerry rollout plan --group plant --component com.example.Hello=1.1.0 --rollout rollout.json
  skerry rollout start --group plant --component com.example.Hello=1.1.0 --rollout rollout.json
  skerry rollout watch
  skerry rollout rollback)");
  rollout->require_subcommand(1);
  add_start_commands(*rollout, session);
  add_steering_commands(*rollout, session);
  using Look = Result<void> (*)(const Session&, const std::string&);
  const std::tuple<const char*, const char*, Look> kLooks[] = {
      {"show", "How it stands", show_rollout},
      {"watch", "Print what changes until it is over; exit code 1 where it did not complete",
       watch},
      {"history", "What has happened", history}};
  for (const auto& [name, help, look] : kLooks) {
    auto id = std::make_shared<std::string>();
    CLI::App* command = rollout->add_subcommand(name, help);
    command->add_option("rollout", *id, "Its id (default: the newest)");
    command->footer(std::string("\nExample:\n  skerry rollout ") + name);
    command->callback([&session, id, look] {
      session.action = [&session, id, look] { return look(session, *id); };
    });
  }
  CLI::App* all = rollout->add_subcommand("list", "All rollouts, newest first");
  all->footer("\nExample:\n  skerry rollout list");
  all->callback([&session] { session.action = [&session] { return list_rollouts(session); }; });
}

}  // namespace skerry::cli
