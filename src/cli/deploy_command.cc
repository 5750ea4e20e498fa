// skerry deploy: says what a group or a thing should run, and waits until it does.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/command.h"
#include "cli/deploy.h"
#include "cli/local_files.h"
#include "formats/json_ptr.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr int64_t kFirstPollMs = 40, kLastPollMs = 1'000;

std::pair<std::string, std::string> split_at_equals(const std::string& text) {
  const size_t equals = text.find('=');
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::string check_assignment(const std::string& text) {
  const auto [name, value] = split_at_equals(text);
  const bool fine = text.find('=') != std::string::npos && !name.empty() && !value.empty();
  return fine ? "" : "'" + text + "' is not of the form NAME=…";
}

// What CreateDeployment takes: {"reset": ["/a"], "merge": "{\"b\":1}"}; plain JSON is all merge.
Result<json> configuration_update(const std::string& component, const std::string& text) {
  auto given = formats::parse_json(text);
  if (!given) return fail(given.error().with_context("--config " + component));
  if (!given->is_object())
    return fail(Code::kInvalidArgument, "--config " + component + ": must be a JSON object");
  bool is_update = !given->empty();
  for (const auto& member : given->items())
    is_update &= member.key() == "merge" || member.key() == "reset";
  if (!is_update) given = json{{"merge", *given}};
  if (given->contains("merge") && !(*given)["merge"].is_string())
    (*given)["merge"] = (*given)["merge"].dump();
  return given;
}

Result<json> current_components(FleetClient& fleet, const std::string& target_arn) {
  SKERRY_ASSIGN(const json latest,
                fleet.list({.service = "greengrass",
                            .method = "GET",
                            .path = "/greengrass/v2/deployments",
                            .query = {{"targetArn", target_arn}, {"historyFilter", "LATEST_ONLY"}}},
                           "deployments"));
  if (latest.empty()) return json::object();
  SKERRY_ASSIGN(const json deployment, fleet.call({.service = "greengrass",
                                                   .method = "GET",
                                                   .path = "/greengrass/v2/deployments/" +
                                                           latest[0].value("deploymentId", "")}));
  return deployment.value("components", json::object());
}

Result<json> request_of(FleetClient& fleet, const DeployOptions& options) {
  json request = json::object();
  if (!options.file.empty()) {
    SKERRY_ASSIGN(const std::string text, read_local_file(options.file));
    auto document = formats::parse_json(text);
    if (!document) return fail(document.error().with_context(options.file));
    if (!document->is_object())
      return fail(Code::kInvalidArgument, options.file + ": must be a JSON object");
    request = std::move(*document);
  }
  if (!options.group.empty() || !options.thing.empty()) {
    const bool is_group = !options.group.empty();
    request["targetArn"] = formats::target_arn(
        fleet.scope(),
        {is_group ? formats::Target::Kind::kThingGroup : formats::Target::Kind::kThing,
         is_group ? options.group : options.thing});
  }
  if (request.value("targetArn", "").empty()) {
    return fail(Code::kInvalidArgument,
                "no target: give --group or --thing, or targetArn in " + options.file);
  }
  if (!options.name.empty()) request["deploymentName"] = options.name;
  json& components = request["components"];
  if (options.keep) {
    SKERRY_ASSIGN(json current, current_components(fleet, request["targetArn"].get<std::string>()));
    current.update(components.is_object() ? components : json::object());
    components = std::move(current);
  }
  for (const std::string& assignment : options.components) {
    const auto [name, version] = split_at_equals(assignment);
    components[name]["componentVersion"] = version;
  }
  for (const std::string& assignment : options.configs) {
    const auto [name, text] = split_at_equals(assignment);
    if (!components.contains(name)) {
      return fail(Code::kInvalidArgument,
                  "--config " + name + ": the deployment has no such component; add --component " +
                      name + "=VERSION");
    }
    SKERRY_ASSIGN(components[name]["configurationUpdate"], configuration_update(name, text));
  }
  if (components.is_null()) components = json::object();
  if (components.empty() && !options.empty) {
    return fail(Code::kInvalidArgument,
                "no component is named, which would remove everything from the target: give "
                "--component NAME=VERSION, or --empty to remove everything");
  }
  if (!components.empty() && options.empty)
    return fail(Code::kInvalidArgument, "--empty and components exclude each other");
  return request;
}

// {"thing", "status"} of every device that has the job.
Result<json> states_of(FleetClient& fleet, const std::string& job_id) {
  SKERRY_ASSIGN(
      const json summaries,
      fleet.list({.service = "iot", .method = "GET", .path = "/jobs/" + job_id + "/things"},
                 "executionSummaries"));
  json states = json::array();
  for (const json& each : summaries) {
    SKERRY_ASSIGN(const auto target, formats::parse_target_arn(each.value("thingArn", "")));
    const std::string status =
        each.value("jobExecutionSummary", json::object()).value("status", "");
    states.push_back({{"thing", target.name}, {"status", status}});
  }
  return states;
}

bool is_open(const json& state) {
  return state["status"] == "QUEUED" || state["status"] == "IN_PROGRESS";
}

// The states of all devices once none is open.
Result<json> wait_for(FleetClient& fleet, const Output& output, int64_t timeout_s,
                      const std::string& job_id) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(timeout_s);
  for (int64_t poll_ms = kFirstPollMs;; poll_ms = std::min(poll_ms * 5 / 4, kLastPollMs)) {
    SKERRY_ASSIGN(json states, states_of(fleet, job_id));
    const auto open = std::count_if(states.begin(), states.end(), is_open);
    if (open == 0) {
      output.progress("");
      return states;
    }
    output.progress("waiting for " + std::to_string(open) + " of " + std::to_string(states.size()) +
                    " devices …");
    if (std::chrono::steady_clock::now() >= deadline) {
      const auto first = std::find_if(states.begin(), states.end(), is_open);
      return fail(Code::kTimeout, std::to_string(open) + " of " + std::to_string(states.size()) +
                                      " devices have not ended the deployment within " +
                                      std::to_string(timeout_s) + " s, for example " +
                                      first->value("thing", "") +
                                      "; it goes on: see `skerry status`");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(poll_ms));
  }
}

// Adds "reason", "error_stack" and "error_types" to the devices where it did not succeed.
Result<void> add_reasons(FleetClient& fleet, const std::string& deployment_id, json& states) {
  for (json& state : states) {
    if (state["status"] == "SUCCEEDED") continue;
    const std::string path = "/greengrass/v2/coreDevices/" +
                             net::percent_encode(state.value("thing", "")) +
                             "/effectiveDeployments";
    SKERRY_ASSIGN(const json deployments,
                  fleet.list({.service = "greengrass", .method = "GET", .path = path},
                             "effectiveDeployments"));
    for (const json& each : deployments) {
      if (each.value("deploymentId", "") == deployment_id) add_failure(each, state);
    }
  }
  return {};
}

Result<void> verdict(const json& devices) {
  size_t failed = 0;
  std::string first;
  for (const json& device : devices) {
    if (device["status"] == "SUCCEEDED") continue;
    ++failed;
    if (!first.empty()) continue;
    first = device.value("thing", "") + " is " + device.value("status", "");
    if (device.contains("reason")) first += ": " + device.value("reason", "");
  }
  if (failed == 0) return {};
  return fail(Code::kFailedPrecondition, "the deployment failed on " + std::to_string(failed) +
                                             " of " + std::to_string(devices.size()) +
                                             " devices; " + first);
}

}  // namespace

Result<void> deploy(const Session& session, const DeployOptions& options) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json request, request_of(fleet, options));
  SKERRY_ASSIGN(const json created, fleet.call({.service = "greengrass",
                                                .method = "POST",
                                                .path = "/greengrass/v2/deployments",
                                                .body = request.dump()}));
  const std::string id = created.value("deploymentId", "");
  if (!options.wait) {
    if (session.output.json) {
      session.output.print_json(created);
    } else {
      session.output.print_line("deployment " + id);
      session.output.hint("Next: skerry status");
    }
    return {};
  }
  SKERRY_ASSIGN(json devices,
                wait_for(fleet, session.output, options.timeout_s, created.value("iotJobId", "")));
  SKERRY_TRY(add_reasons(fleet, id, devices));
  if (session.output.json) {
    SKERRY_ASSIGN(json deployment, fleet.call({.service = "greengrass",
                                               .method = "GET",
                                               .path = "/greengrass/v2/deployments/" + id}));
    deployment["devices"] = devices;
    session.output.print_json(deployment);
  } else {
    Table table{{"DEVICE", "STATUS", "REASON"}, {}};
    for (const json& device : devices) {
      table.rows.push_back(
          {device.value("thing", ""), device.value("status", ""), device.value("reason", "")});
    }
    session.output.print_table(table);
    if (devices.empty())
      session.output.hint("the target has no devices yet; those that join get the deployment");
  }
  return verdict(devices);
}

void add_deploy_command(CLI::App& app, Session& session) {
  auto options = std::make_shared<DeployOptions>();
  CLI::App* command = app.add_subcommand("deploy", "Say what a group or a device should run");
  auto* group = command->add_option("--group", options->group, "Target: every device of a group");
  auto* thing =
      command->add_option("--thing", options->thing, "Target: one device")->excludes(group);
  command->add_option("--component", options->components, "NAME=VERSION; repeatable")
      ->check(CLI::Validator(check_assignment, "NAME=VERSION"));
  command
      ->add_option(
          "--config", options->configs,
          R"(NAME=JSON: configuration to merge, or {"merge": {…}, "reset": ["/pointer"]}; repeatable)")
      ->check(CLI::Validator(check_assignment, "NAME=JSON"));
  auto* file = command
                   ->add_option("--file", options->file,
                                "Request of CreateDeployment as JSON; the options above add to it")
                   ->check(CLI::ExistingFile);
  command->add_option("--name", options->name, "A name for people");
  command->add_flag("--keep", options->keep,
                    "Keep the other components of the target's last deployment");
  command->add_flag("--empty", options->empty, "Remove everything from the target");
  command->add_flag(
      "--wait", options->wait,
      "Wait until every device of the target has ended it; exit code 1 where one failed");
  command->add_option("--timeout", options->timeout_s, "Seconds to wait")
      ->capture_default_str()
      ->needs("--wait");
  command->footer(R"(
A deployment is the whole of what its target runs: components of the target's last deployment that are not named
again are removed, unless --keep is given. One without any component must be asked for by --empty.
Examples:
  skerry deploy --group plant --component com.example.Hello=1.0.0 --wait
  skerry deploy --group plant --keep --component com.example.Hello=1.1.0 --config 'com.example.Hello={"message": "hi"}'
  skerry deploy --thing press-7 --file deployment.json --wait --json)");
  command->callback([&session, options, group, thing, file] {
    if (group->empty() && thing->empty() && file->empty()) {
      throw CLI::RequiredError("one of --group, --thing and --file");
    }
    session.action = [&session, options] { return deploy(session, *options); };
  });
}

}  // namespace skerry::cli
