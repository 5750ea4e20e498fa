// skerry deploy: says what a group or a thing should run, and waits until it does.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/command.h"
#include "cli/deploy.h"
#include "cli/deploy_request.h"
#include "formats/json_ptr.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr int64_t kFirstPollMs = 40, kLastPollMs = 1'000;

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
  if (!options.rollout.empty()) return start_rollout(session, options);
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
  add_request_options(*command, options);
  auto* rollout =
      command
          ->add_option("--rollout", options->rollout,
                       "Rollout document: stage by stage, with gates (docs/data/rollout.md)")
          ->check(CLI::ExistingFile);
  command
      ->add_flag("--wait", options->wait,
                 "Wait until every device of the target has ended it; exit code 1 where one failed")
      ->excludes(rollout);
  command->add_option("--timeout", options->timeout_s, "Seconds to wait")
      ->capture_default_str()
      ->needs("--wait");
  command->footer(R"(
A deployment is the whole of what its target runs: components of the target's last deployment that are not named
again are removed, unless --keep is given. One without any component must be asked for by --empty.
Examples:
  skerry deploy --group plant --component com.example.Hello=1.0.0 --wait
  skerry deploy --group plant --keep --component com.example.Hello=1.1.0 --config 'com.example.Hello={"message": "hi"}'
  skerry deploy --group plant --component com.example.Hello=1.1.0 --rollout rollout.json
  skerry deploy --thing press-7 --file deployment.json --wait --json)");
  command->callback([&session, options, command] {
    check_target(*command);
    session.action = [&session, options] { return deploy(session, *options); };
  });
}

}  // namespace skerry::cli
