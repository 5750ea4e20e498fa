// skerry device init|deploy|deployments: a device and its deployments without any fleet.
#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/command.h"
#include "cli/device_config.h"
#include "cli/device_link.h"
#include "cli/local_files.h"
#include "formats/json_ptr.h"
#include "formats/names.h"
#include "io/files.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kPoll(100);

struct InitOptions {
  std::string directory, thing, user;
};

struct LocalDeployOptions {
  std::string root, recipes, artifacts, group, policy, update;
  std::vector<std::string> merge, remove, configs, run_with;
  bool no_wait = false;
};

struct DeploymentsOptions {
  std::string root, id;
};

Result<void> init(const Session& session, const InitOptions& options) {
  const std::string directory = absolute_path(options.directory);
  if (!options.thing.empty()) SKERRY_TRY(formats::parse_thing_name(options.thing));
  const DeviceFiles device{directory, options.thing, options.user};
  SKERRY_TRY(write_new_file(directory + "/config.yaml", fleetless_config(device), 0644));
  if (session.output.json) {
    session.output.print_json(
        json{{"directory", directory}, {"config", directory + "/config.yaml"}});
  } else {
    session.output.print_line("a device without a fleet in " + directory);
    session.output.hint("Next: skerry device run " + options.directory);
  }
  return {};
}

// "NAME=VALUE" into its two parts.
Result<std::pair<std::string, std::string>> split(const std::string& text, const char* option) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size()) {
    return fail(Code::kInvalidArgument,
                std::string(option) + ": '" + text + "' is not of the form NAME=…");
  }
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

Result<json> parse_object(const std::string& text, const std::string& what) {
  auto parsed = formats::parse_json(text);
  if (!parsed) return fail(parsed.error().with_context(what));
  if (!parsed->is_object()) return fail(Code::kInvalidArgument, what + ": must be a JSON object");
  return parsed;
}

// --update-config as the stock CLI has it (a file, or its content), then each --config.
Result<json> configuration_of(const LocalDeployOptions& options) {
  json all = json::object();
  if (!options.update.empty()) {
    std::string text = options.update;
    if (!text.starts_with('{')) {
      SKERRY_ASSIGN(text, read_local_file(options.update));
    }
    SKERRY_ASSIGN(all, parse_object(text, "--update-config"));
  }
  for (const std::string& assignment : options.configs) {
    SKERRY_ASSIGN(const auto parts, split(assignment, "--config"));
    SKERRY_ASSIGN(json given, parse_object(parts.second, "--config " + parts.first));
    bool is_update = !given.empty();
    for (const auto& member : given.items())
      is_update &= member.key() == "MERGE" || member.key() == "RESET";
    all[parts.first] = is_update ? std::move(given) : json{{"MERGE", std::move(given)}};
  }
  return all;
}

// --run-with NAME:posixUser=USER[:GROUP], :memory=KB, :cpus=N
Result<json> run_with_of(const LocalDeployOptions& options) {
  json all = json::object();
  for (const std::string& text : options.run_with) {
    SKERRY_ASSIGN(const auto parts, split(text, "--run-with"));
    const auto& [left, value] = parts;
    const size_t colon = left.rfind(':');
    const std::string key = colon == std::string::npos ? "" : left.substr(colon + 1);
    json& component = all[left.substr(0, colon)];
    if (key == "posixUser") {
      component[key] = value;
    } else if (key == "memory" || key == "cpus") {
      const json number = json::parse(value, nullptr, false);
      if (!number.is_number())
        return fail(Code::kInvalidArgument, "--run-with " + text + ": not a number");
      component["systemResourceLimits"][key] = number;
    } else {
      return fail(Code::kInvalidArgument,
                  "--run-with '" + text +
                      "' is none of NAME:posixUser=…, NAME:memory=… (KB) and "
                      "NAME:cpus=…");
    }
  }
  return all;
}

Result<json> request_of(const LocalDeployOptions& options) {
  json request = json::object();
  if (!options.recipes.empty()) request["recipeDirectoryPath"] = absolute_path(options.recipes);
  if (!options.artifacts.empty())
    request["artifactsDirectoryPath"] = absolute_path(options.artifacts);
  if (!options.group.empty()) request["groupName"] = options.group;
  if (!options.policy.empty()) request["failureHandlingPolicy"] = options.policy;
  for (const std::string& assignment : options.merge) {
    SKERRY_ASSIGN(const auto parts, split(assignment, "--merge"));
    request["rootComponentVersionsToAdd"][parts.first] = parts.second;
  }
  if (!options.remove.empty()) request["rootComponentsToRemove"] = options.remove;
  SKERRY_ASSIGN(const json configuration, configuration_of(options));
  if (!configuration.empty()) request["componentToConfiguration"] = configuration;
  SKERRY_ASSIGN(const json run_with, run_with_of(options));
  if (!run_with.empty()) request["componentToRunWithInfo"] = run_with;
  return request;
}

Result<json> status_of(const std::string& root, const std::string& id) {
  SKERRY_ASSIGN(const json answer,
                ask_device(root, "GetLocalDeploymentStatus", {{"deploymentId", id}}));
  return answer.value("deployment", json::object());
}

std::string cause_of(const json& deployment) {
  return deployment.value("deploymentStatusDetails", json::object())
      .value("deploymentFailureCause", "");
}

void print_end(const Session& session, const json& deployment) {
  if (session.output.json) return session.output.print_json(deployment);
  session.output.print_line("deployment " + deployment.value("deploymentId", "") + " " +
                            deployment.value("status", ""));
}

Result<void> deploy(const Session& session, const LocalDeployOptions& options) {
  SKERRY_ASSIGN(const json request, request_of(options));
  SKERRY_ASSIGN(const json answer, ask_device(options.root, "CreateLocalDeployment", request));
  const std::string id = answer.value("deploymentId", "");
  if (options.no_wait) {
    session.output.json ? session.output.print_json(answer) : session.output.print_line(id);
    return {};
  }
  for (;;) {
    SKERRY_ASSIGN(const json deployment, status_of(options.root, id));
    const std::string status = deployment.value("status", "");
    if (status == "QUEUED" || status == "IN_PROGRESS") {
      session.output.progress("deployment " + id + " " + status + " …");
      std::this_thread::sleep_for(kPoll);
      continue;
    }
    session.output.progress("");
    if (status != "SUCCEEDED") {
      return fail(Code::kFailedPrecondition,
                  "deployment " + id + " " + status + ": " + cause_of(deployment));
    }
    print_end(session, deployment);
    return {};
  }
}

Result<void> list(const Session& session, const DeploymentsOptions& options) {
  SKERRY_ASSIGN(const json answer,
                ask_device(options.root, "ListLocalDeployments", json::object()));
  if (session.output.json) {
    session.output.print_json(answer);
    return {};
  }
  Table table{{"deployment", "created", "status", "reason"}, {}};
  for (const json& each : answer.value("localDeployments", json::array())) {
    table.rows.push_back({each.value("deploymentId", ""), each.value("createdOn", ""),
                          each.value("status", ""), cause_of(each)});
  }
  session.output.print_table(table);
  return {};
}

Result<void> show(const Session& session, const DeploymentsOptions& options) {
  SKERRY_ASSIGN(const json deployment, status_of(options.root, options.id));
  print_end(session, deployment);
  if (const std::string cause = cause_of(deployment); !session.output.json && !cause.empty())
    session.output.print_line(cause);
  return {};
}

Result<void> cancel(const Session& session, const DeploymentsOptions& options) {
  SKERRY_ASSIGN(const json answer,
                ask_device(options.root, "CancelLocalDeployment", {{"deploymentId", options.id}}));
  session.output.json ? session.output.print_json(answer)
                      : session.output.print_line(answer.value("message", ""));
  return {};
}

constexpr const char* kRootHelp = "The device's root folder, or its directory";

void add_init(CLI::App& device, Session& session) {
  auto options = std::make_shared<InitOptions>();
  CLI::App* command = device.add_subcommand("init", "Make a device that has no fleet");
  command->add_option("DIR", options->directory, "Where to write config.yaml")->required();
  command->add_option("--thing", options->thing, "Its name (default: that of the machine)");
  command->add_option("--user", options->user, "USER[:GROUP] that components run as");
  command->footer(R"(
It takes local deployments only. `device provision NAME --out DIR` gives it a fleet later; what runs on it stays.
Example:
  skerry device init ./press-9 && skerry device run ./press-9)");
  command->callback([&session, options] {
    session.action = [&session, options] { return init(session, *options); };
  });
}

void add_deploy(CLI::App& device, Session& session) {
  auto options = std::make_shared<LocalDeployOptions>();
  CLI::App* command = device.add_subcommand("deploy", "Deploy to a device here, without its fleet");
  command->add_option("ROOT", options->root, kRootHelp)->required();
  command->add_option("--recipe-dir,--recipeDir", options->recipes, "Recipes: *.yaml, *.json")
      ->check(CLI::ExistingDirectory);
  command->add_option("--artifact-dir,--artifactDir", options->artifacts, "NAME/VERSION/FILE")
      ->check(CLI::ExistingDirectory);
  command->add_option("--merge,-m", options->merge, "NAME=VERSION to run; repeatable");
  command->add_option("--remove", options->remove, "NAME not to run any more; repeatable");
  command->add_option(
      "--config", options->configs,
      R"(NAME=JSON to merge, or {"MERGE": {…}, "RESET": ["/pointer"]}; repeatable)");
  command->add_option("--update-config,-c", options->update,
                      "The same for several components: a file, or JSON");
  command->add_option("--run-with,--runWith", options->run_with,
                      "NAME:posixUser=USER, NAME:memory=KB, NAME:cpus=N; repeatable");
  command->add_option("--group,--groupId", options->group,
                      "Instead of the local deployment change that of this group");
  command->add_option("--failure-handling-policy", options->policy, "ROLLBACK or DO_NOTHING")
      ->check(CLI::IsMember({"ROLLBACK", "DO_NOTHING"}));
  command->add_flag("--no-wait", options->no_wait, "Do not wait for its end; print its id");
  command->footer(R"(
Adds to what runs; the folders are copied before the command goes on. Options have the stock CLI's spellings as well.
Examples:
  skerry device deploy ./press-9 --recipe-dir recipes --artifact-dir artifacts --merge com.example.Hello=1.0.0
  skerry device deploy ./press-9 --config 'com.example.Hello={"message": "hi"}'
  skerry device deploy ./press-9 --remove com.example.Hello)");
  command->callback([&session, options] {
    session.action = [&session, options] { return deploy(session, *options); };
  });
}

using DeploymentsAction = Result<void> (*)(const Session&, const DeploymentsOptions&);

void add_deployments(CLI::App& device, Session& session) {
  CLI::App* group =
      device.add_subcommand("deployments", "Local deployments of a device here, newest first");
  group->require_subcommand(1);
  group->footer(R"(
Examples:
  skerry device deployments list ./press-9
  skerry device deployments show ./press-9 2f8e9f0c-…
  skerry device deployments cancel ./press-9 2f8e9f0c-…)");
  const auto add = [&](const char* name, const char* help, DeploymentsAction action, bool has_id) {
    auto options = std::make_shared<DeploymentsOptions>();
    CLI::App* command = group->add_subcommand(name, help);
    command->add_option("ROOT", options->root, kRootHelp)->required();
    if (has_id) command->add_option("ID", options->id, "What `device deploy` printed")->required();
    command->footer(std::string("\nExample:\n  skerry device deployments ") + name + " ./press-9" +
                    (has_id ? " 2f8e9f0c-…" : ""));
    command->callback([&session, options, action] {
      session.action = [&session, options, action] { return action(session, *options); };
    });
  };
  add("list", "Those that wait or run, and the last few", list, false);
  add("show", "How one goes, or ended", show, true);
  add("cancel", "End one; where it has switched already it is rolled back", cancel, true);
}

}  // namespace

void add_device_local_commands(CLI::App& app, Session& session) {
  CLI::App& device = *app.get_subcommand("device");
  add_init(device, session);
  add_deploy(device, session);
  add_deployments(device, session);
}

}  // namespace skerry::cli
