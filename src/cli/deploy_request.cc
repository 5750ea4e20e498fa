// From options to the body of CreateDeployment.
#include "cli/deploy_request.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/local_files.h"
#include "formats/arn.h"
#include "formats/json_ptr.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

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

Result<json> read_object(const std::string& path) {
  SKERRY_ASSIGN(const std::string text, read_local_file(path));
  auto document = formats::parse_json(text);
  if (!document) return fail(document.error().with_context(path));
  if (!document->is_object()) return fail(Code::kInvalidArgument, path + ": must be a JSON object");
  return document;
}

}  // namespace

Result<json> request_of(FleetClient& fleet, const DeployOptions& options) {
  json request = json::object();
  if (!options.file.empty()) {
    SKERRY_ASSIGN(request, read_object(options.file));
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

Result<json> rollout_request_of(FleetClient& fleet, const DeployOptions& options) {
  SKERRY_ASSIGN(const json plan, read_object(options.rollout));
  SKERRY_ASSIGN(const json deployment, request_of(fleet, options));
  return json{{"deployment", deployment}, {"rollout", plan}};
}

void add_request_options(CLI::App& command, const std::shared_ptr<DeployOptions>& options) {
  auto* group = command.add_option("--group", options->group, "Target: every device of a group");
  command.add_option("--thing", options->thing, "Target: one device")->excludes(group);
  command.add_option("--component", options->components, "NAME=VERSION; repeatable")
      ->check(CLI::Validator(check_assignment, "NAME=VERSION"));
  command
      .add_option(
          "--config", options->configs,
          R"(NAME=JSON: configuration to merge, or {"merge": {…}, "reset": ["/pointer"]}; repeatable)")
      ->check(CLI::Validator(check_assignment, "NAME=JSON"));
  command
      .add_option("--file", options->file,
                  "Request of CreateDeployment as JSON; the options above add to it")
      ->check(CLI::ExistingFile);
  command.add_option("--name", options->name, "A name for people");
  command.add_flag("--keep", options->keep,
                   "Keep the other components of the target's last deployment");
  command.add_flag("--empty", options->empty, "Remove everything from the target");
}

void check_target(const CLI::App& command) {
  for (const char* option : {"--group", "--thing", "--file"}) {
    if (command.count(option) > 0) return;
  }
  throw CLI::RequiredError("one of --group, --thing and --file");
}

}  // namespace skerry::cli
