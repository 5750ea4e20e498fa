// skerry learn start|list|status|watch|stop: trainings on the devices of a fleet.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/encoding.h"
#include "base/sha256.h"
#include "cli/command.h"
#include "cli/local_files.h"
#include "cli/models/learn_layout.h"
#include "cli/models/learn_options.h"
#include "formats/json_ptr.h"
#include "formats/version.h"
#include "graph/model_file.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr int64_t kTrainingWatchMs = 1000;
const std::string kTrainings = "/skerry/v1/trainings";

struct StartOptions {
  std::string model, component, from, version, group, data, rollout, rollout_group;
  federated::TrainingPlan plan;
  bool wait = false;
};

std::string training_path(const std::string& id) {
  return kTrainings + "/" + net::percent_encode(id);
}

Result<json> describe(FleetClient& fleet, const std::string& id) {
  return fleet.call({.service = "skerry", .method = "GET", .path = training_path(id)});
}

bool is_over(const json& training) {
  const std::string state = training.value("state", "");
  return state == "done" || state == "stopped" || state == "failed";
}

std::string percent(const json& round) {
  return round.contains("accuracy") ? fmt::format("{:.2f} %", 100 * round.value("accuracy", 0.0))
                                    : "-";
}

// The one above where none is said: 1.2.3 becomes 1.3.0.
Result<std::string> version_after(const std::string& from) {
  SKERRY_ASSIGN(const auto version, formats::Version::parse(from));
  if (version.minor() == UINT32_MAX) {
    return fail(Code::kInvalidArgument, "there is none after " + from + ": say a --version");
  }
  return formats::Version(version.major(), version.minor() + 1, 0).str();
}

std::vector<std::string> training_lines(const json& training) {
  const json progress = training.value("progress", json::object());
  std::vector<double> losses, accuracies;
  size_t failed = 0;
  for (const json& round : progress.value("history", json::array())) {
    if (round.value("round", 0) == 0) {
      ++failed;
      continue;
    }
    losses.push_back(round.value("loss", 0.0));
    if (round.contains("accuracy")) accuracies.push_back(round.value("accuracy", 0.0));
  }
  std::vector<std::string> lines = {
      fmt::format("{}  {} {} -> {}, rows '{}' of group {}", training.value("state", ""),
                  training.value("component", ""), training.value("fromVersion", ""),
                  training.value("version", ""), training.value("data", ""),
                  training.value("thingGroupName", "")),
      fmt::format("rounds {}/{}, {} failed; {}: {} of {} devices have answered",
                  progress.value("rounds", 0),
                  training.value("plan", json::object()).value("rounds", 0), failed,
                  progress.value("phase", "waiting"), progress.value("answered", 0),
                  progress.value("asked", 0))};
  if (!losses.empty())
    lines.push_back(fmt::format("loss     {:8.4f}  ", losses.back()) + bars(losses));
  if (!accuracies.empty()) {
    lines.push_back(fmt::format("accuracy {:7.2f} %  ", 100 * accuracies.back()) +
                    bars(accuracies));
  }
  const double epsilon = progress.value("epsilon", 0.0);
  if (epsilon > 0) {
    lines.push_back(fmt::format("epsilon  {:8.3f}  at delta {:g}, limit {:g}", epsilon,
                                training.value("plan", json::object()).value("delta", 0.0),
                                training.value("plan", json::object()).value("epsilonLimit", 0.0)));
  }
  if (const auto reason = training.value("reason", ""); !reason.empty()) lines.push_back(reason);
  if (training.contains("rolloutId")) {
    lines.push_back("rollout " + training.value("rolloutId", ""));
  }
  return lines;
}

// Ends with the training; an error where it failed.
Result<void> watch(const Session& session, FleetClient& fleet, const std::string& id) {
  size_t shown = 0;
  json training;
  for (std::vector<std::string> before;;) {
    SKERRY_ASSIGN(training, describe(fleet, id));
    auto lines = training_lines(training);
    if (!session.output.json && lines != before) session.output.print_in_place(lines, shown);
    before = std::move(lines);
    if (is_over(training)) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(kTrainingWatchMs));
  }
  if (session.output.json) session.output.print_json(training);
  if (training.value("state", "") != "failed") return {};
  return fail(Code::kFailedPrecondition, "the training failed: " + training.value("reason", ""));
}

Result<json> rollout_of(const std::string& path) {
  SKERRY_ASSIGN(const std::string text, read_local_file(path));
  auto document = formats::parse_json(text);
  if (!document) return fail(document.error().with_context(path));
  return document;
}

Result<void> start(const Session& session, StartOptions& options) {
  SKERRY_ASSIGN(const std::string file, read_local_file(options.model));
  SKERRY_ASSIGN(const auto model, graph::read_model_file(options.model));
  SKERRY_ASSIGN(const auto layout, layout_of(file, *model.graph));
  if (options.version.empty()) {
    SKERRY_ASSIGN(options.version, version_after(options.from));
  }
  options.plan.local.clip = options.plan.rounds.clip;
  json request = {
      {"component", options.component},       {"fromVersion", options.from},
      {"version", options.version},           {"modelSha256", hex_encode(sha256(file))},
      {"thingGroupName", options.group},      {"data", options.data},
      {"layout", federated::to_json(layout)}, {"plan", federated::to_json(options.plan)}};
  if (!options.rollout.empty()) {
    SKERRY_ASSIGN(request["rollout"], rollout_of(options.rollout));
    if (!options.rollout_group.empty()) request["rolloutGroupName"] = options.rollout_group;
  }
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(
      const json training,
      fleet.call(
          {.service = "skerry", .method = "POST", .path = kTrainings, .body = request.dump()}));
  const std::string id = training.value("trainingId", "");
  if (options.wait) return watch(session, fleet, id);
  if (session.output.json) {
    session.output.print_json(training);
    return {};
  }
  session.output.print_line(id);
  session.output.hint("skerry learn watch " + id);
  return {};
}

Result<void> show_training(const Session& session, const std::string& id) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json training, describe(fleet, id));
  if (session.output.json) {
    session.output.print_json(training);
    return {};
  }
  for (const std::string& line : training_lines(training)) session.output.print_line(line);
  Table table{{"ROUND", "ASKED", "UPDATES", "REFUSED", "LOSS", "ACCURACY", "EPSILON"}, {}};
  const json progress = training.value("progress", json::object());
  for (const json& round : progress.value("history", json::array())) {
    const int number = round.value("round", 0);
    const double epsilon = round.value("epsilon", 0.0);
    table.rows.push_back(
        {number == 0 ? "failed" : std::to_string(number), std::to_string(round.value("asked", 0)),
         std::to_string(round.value("updates", 0)), std::to_string(round.value("refused", 0)),
         fmt::format("{:.4f}", round.value("loss", 0.0)), percent(round),
         epsilon > 0 ? fmt::format("{:.3f}", epsilon) : "-"});
  }
  if (!table.rows.empty()) session.output.print_table(table);
  return {};
}

Result<void> list_trainings(const Session& session) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(
      const json trainings,
      fleet.list({.service = "skerry", .method = "GET", .path = kTrainings}, "trainings"));
  if (session.output.json) {
    session.output.print_json(trainings);
    return {};
  }
  Table table{{"ID", "COMPONENT", "FROM", "VERSION", "GROUP", "ROUNDS", "STATE"}, {}};
  for (const json& one : trainings) {
    table.rows.push_back({one.value("trainingId", ""), one.value("component", ""),
                          one.value("fromVersion", ""), one.value("version", ""),
                          one.value("thingGroupName", ""), std::to_string(one.value("rounds", 0)),
                          one.value("state", "")});
  }
  session.output.print_table(table);
  return {};
}

Result<void> stop(const Session& session, const std::string& id, bool publish) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json stopped, fleet.call({.service = "skerry",
                                                .method = "POST",
                                                .path = training_path(id) + "/stop",
                                                .body = json{{"publish", publish}}.dump()}));
  session.output.json ? session.output.print_json(stopped)
                      : session.output.print_line("stopping " + id);
  return {};
}

void add_round_options(CLI::App& command, federated::Plan& plan) {
  command.add_flag("--secure", plan.secure,
                   "Updates are masked: the server learns their sum alone; devices add the noise");
  command
      .add_option("--deadline", plan.deadline_s, "Of a round, in seconds, and of its evaluation")
      ->check(CLI::Range(1.0, 2'592'000.0))
      ->capture_default_str();
  command
      .add_option("--evaluators", plan.evaluators,
                  "Devices that try a model on rows of theirs before its round counts; 0: none")
      ->capture_default_str();
  command
      .add_option("--worst-drop", plan.worst_drop,
                  "Of accuracy; a round that loses more does not count")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
}

void add_start(CLI::App& learn, Session& session) {
  auto options = std::make_shared<StartOptions>();
  CLI::App* command =
      learn.add_subcommand("start", "Have devices of a group train a published model");
  command->add_option("MODEL", options->model, "The file that was published, *.onnx")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--component", options->component, "The model's component")->required();
  command->add_option("--from", options->from, "Its version to begin with")->required();
  command->add_option("--version", options->version,
                      "Of what comes of it (default: the next minor version)");
  command->add_option("--group", options->group, "Whose devices may take part")->required();
  command->add_option("--data", options->data, "The name of the rows, as skerry-learn has it")
      ->required();
  command
      ->add_option("--rollout", options->rollout,
                   "Plan of a rollout (docs/data/rollout.md): the new version goes to the group")
      ->check(CLI::ExistingFile);
  command
      ->add_option("--rollout-group", options->rollout_group,
                   "To another group than the one that learns")
      ->needs("--rollout");
  command->add_flag("--wait", options->wait, "Watch it to its end");
  add_plan_options(*command, options->plan);
  add_round_options(*command, options->plan.rounds);
  command->footer(R"(
Devices of the group that run skerry-learn with rows of this name are asked; their rows stay where they are. What comes of
it is published as a version of the same component, with where it comes from.
Examples:
  skerry learn start parts.onnx --component com.example.parts --from 1.0.0 --group lab --data parts --rounds 20 --updates 8 \
      --quorum 5 --evaluators 4 --rate 0.05 --wait
  skerry learn start parts.onnx --component com.example.parts --from 1.1.0 --group all --data parts --rounds 50 --updates 100 \
      --clip 1 --noise 1.1 --epsilon-limit 6 --rollout plan.json
  skerry learn start parts.onnx --component com.example.parts --from 1.1.0 --group lab --data parts --rounds 20 --updates 16 \
      --quorum 12 --clip 1 --secure)");
  command->callback([&session, options] {
    session.action = [&session, options] { return start(session, *options); };
  });
}

}  // namespace

void add_fleet_learn_commands(CLI::App& learn, Session& session) {
  add_start(learn, session);
  const auto add = [&](const char* name, const char* what, auto action) {
    auto id = std::make_shared<std::string>();
    CLI::App* command = learn.add_subcommand(name, what);
    command->add_option("TRAINING", *id, "Its id")->required();
    command->footer(std::string("\nExample:\n  skerry learn ") + name + " 3f2c9a1e-…");
    command->callback([&session, id, action] {
      session.action = [&session, id, action] { return action(session, *id); };
    });
    return command;
  };
  add("status", "Show a training and its rounds", show_training);
  add("watch", "Follow a training to its end",
      [](const Session& at, const std::string& id) -> Result<void> {
        SKERRY_ASSIGN(auto fleet, at.connect());
        return watch(at, fleet, id);
      });
  auto publish = std::make_shared<bool>(false);
  add("stop", "End a training", [publish](const Session& at, const std::string& id) {
    return stop(at, id, *publish);
  })->add_flag("--publish", *publish, "Publish what the rounds so far have made");
  CLI::App* all = learn.add_subcommand("list", "Show the trainings, the newest first");
  all->footer("\nExample:\n  skerry learn list --json");
  all->callback([&session] { session.action = [&session] { return list_trainings(session); }; });
}

}  // namespace skerry::cli
