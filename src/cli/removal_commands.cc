// Taking things back: members out of groups, groups, devices with their certificates, component
// versions, and deployments that are on their way.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/command.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

Result<void> remove_from_group(const Session& session, const std::string& group,
                               const std::vector<std::string>& things) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  for (const std::string& thing : things) {
    SKERRY_TRY(fleet.call({.service = "iot",
                           .method = "PUT",
                           .path = "/thing-groups/removeThingFromThingGroup",
                           .body = json{{"thingGroupName", group}, {"thingName", thing}}.dump()}));
    session.output.hint("removed " + thing + " from " + group);
  }
  if (session.output.json) session.output.print_json(json{{"group", group}, {"removed", things}});
  return {};
}

Result<void> delete_group(const Session& session, const std::string& group) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  const std::string path = "/thing-groups/" + net::percent_encode(group);
  // The API takes what is gone for deleted; a person has mistyped it.
  SKERRY_TRY(fleet.call({.service = "iot", .method = "GET", .path = path}));
  SKERRY_TRY(fleet.call({.service = "iot", .method = "DELETE", .path = path}));
  if (session.output.json) session.output.print_json(json{{"deleted", group}});
  session.output.hint("deleted group " + group + "; its devices stay");
  return {};
}

Result<void> delete_certificate(FleetClient& fleet, const std::string& thing,
                                const std::string& arn) {
  SKERRY_TRY(fleet.call({.service = "iot",
                         .method = "DELETE",
                         .path = "/things/" + net::percent_encode(thing) + "/principals",
                         .headers = {{"x-amzn-principal", arn}}}));
  const std::string path = "/certificates/" + arn.substr(arn.rfind('/') + 1);
  SKERRY_TRY(fleet.call(
      {.service = "iot", .method = "PUT", .path = path, .query = {{"newStatus", "INACTIVE"}}}));
  SKERRY_TRY(fleet.call({.service = "iot", .method = "DELETE", .path = path}));
  return {};
}

Result<void> remove_device(const Session& session, const std::string& thing) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  const std::string path = "/things/" + net::percent_encode(thing);
  SKERRY_ASSIGN(
      const json principals,
      fleet.list({.service = "iot", .method = "GET", .path = path + "/principals"}, "principals"));
  for (const json& arn : principals) {
    SKERRY_TRY(delete_certificate(fleet, thing, arn.get<std::string>()));
  }
  auto core = fleet.call({.service = "greengrass",
                          .method = "DELETE",
                          .path = "/greengrass/v2/coreDevices/" + net::percent_encode(thing)});
  if (!core && core.error().code() != Code::kNotFound) return fail(core.error());
  SKERRY_TRY(fleet.call({.service = "iot", .method = "DELETE", .path = path}));
  if (session.output.json) session.output.print_json(json{{"removed", thing}});
  session.output.hint("removed " + thing +
                      " and its certificates; what it runs, it goes on running");
  return {};
}

// The targets whose current deployment names this version; the API would delete it all the same,
// and devices that are still to get it would fail.
Result<std::vector<std::string>> targets_that_use(FleetClient& fleet, const std::string& name,
                                                  const std::string& version) {
  SKERRY_ASSIGN(const json deployments, fleet.list({.service = "greengrass",
                                                    .method = "GET",
                                                    .path = "/greengrass/v2/deployments",
                                                    .query = {{"historyFilter", "LATEST_ONLY"}}},
                                                   "deployments"));
  std::vector<std::string> targets;
  for (const json& each : deployments) {
    if (each.value("deploymentStatus", "") == "CANCELED") continue;
    SKERRY_ASSIGN(const json deployment,
                  fleet.call({.service = "greengrass",
                              .method = "GET",
                              .path = "/greengrass/v2/deployments/" +
                                      net::percent_encode(each.value("deploymentId", ""))}));
    const json& components = deployment.value("components", json::object());
    if (components.contains(name) && components[name].value("componentVersion", "") == version)
      targets.push_back(deployment.value("targetArn", ""));
  }
  return targets;
}

Result<void> delete_component(const Session& session, const std::string& name,
                              const std::string& version, bool force) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  const std::string arn =
      formats::component_arn(fleet.scope(), ComponentName(name)) + ":versions:" + version;
  const std::string path = "/greengrass/v2/components/" + net::percent_encode(arn);
  SKERRY_TRY(fleet.call({.service = "greengrass", .method = "GET", .path = path + "/metadata"}));
  if (!force) {
    SKERRY_ASSIGN(const auto targets, targets_that_use(fleet, name, version));
    if (!targets.empty()) {
      const size_t more = targets.size() - 1;
      return fail(Code::kFailedPrecondition,
                  name + " " + version + " is in the current deployment of " + targets.front() +
                      (more > 0 ? " and of " + std::to_string(more) + " more targets" : "") +
                      ": deploy another version there first, or give --force");
    }
  }
  SKERRY_TRY(fleet.call({.service = "greengrass", .method = "DELETE", .path = path}));
  if (session.output.json) session.output.print_json(json{{"deleted", arn}});
  session.output.hint("deleted " + name + " " + version + "; devices that have it keep it");
  return {};
}

Result<void> cancel(const Session& session, const std::string& id, bool force) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json deployment,
                fleet.call({.service = "greengrass",
                            .method = "GET",
                            .path = "/greengrass/v2/deployments/" + net::percent_encode(id)}));
  ApiCall call{.service = "iot",
               .method = "PUT",
               .path = "/jobs/" + net::percent_encode(deployment.value("iotJobId", "")) + "/cancel",
               .body = "{}"};
  if (force) call.query = {{"force", "true"}};
  SKERRY_TRY(fleet.call(std::move(call)));
  if (session.output.json) session.output.print_json(json{{"cancelled", id}, {"force", force}});
  session.output.hint(force ? "cancelled " + id + ", also where a device had begun it"
                            : "cancelled " + id + " for devices that have not begun it");
  return {};
}

void add_group_removals(CLI::App& group, Session& session) {
  auto name = std::make_shared<std::string>();
  auto things = std::make_shared<std::vector<std::string>>();
  CLI::App* remove = group.add_subcommand("remove", "Take devices out of a group");
  remove->add_option("GROUP", *name)->required();
  remove->add_option("THING", *things, "One or more thing names")->required();
  remove->footer("\nExample:\n  skerry group remove plant press-7");
  remove->callback([&session, name, things] {
    session.action = [&session, name, things] {
      return remove_from_group(session, *name, *things);
    };
  });

  CLI::App* whole = group.add_subcommand("delete", "Delete a group; its devices stay");
  whole->add_option("GROUP", *name)->required();
  whole->footer("\nExample:\n  skerry group delete plant");
  whole->callback([&session, name] {
    session.action = [&session, name] { return delete_group(session, *name); };
  });
}

}  // namespace

void add_removal_commands(CLI::App& app, Session& session) {
  add_group_removals(*app.get_subcommand("group"), session);

  auto name = std::make_shared<std::string>();
  auto version = std::make_shared<std::string>();
  CLI::App* device = app.get_subcommand("device")->add_subcommand(
      "remove", "Delete a device and its certificates; it can never connect again");
  device->add_option("THING", *name)->required();
  device->footer("\nExample:\n  skerry device remove press-7");
  device->callback([&session, name] {
    session.action = [&session, name] { return remove_device(session, *name); };
  });

  CLI::App* component =
      app.get_subcommand("component")
          ->add_subcommand("delete",
                           "Delete a version of a component; devices that have it keep it");
  component->add_option("COMPONENT", *name)->required();
  component->add_option("VERSION", *version)->required();
  auto force = std::make_shared<bool>(false);
  component->add_flag("--force", *force, "Also where a target's current deployment names it");
  component->footer("\nExample:\n  skerry component delete com.example.Hello 1.0.0");
  component->callback([&session, name, version, force] {
    session.action = [&session, name, version, force] {
      return delete_component(session, *name, *version, *force);
    };
  });

  CLI::App* cancel_command = app.add_subcommand("cancel", "Cancel a deployment");
  cancel_command->add_option("DEPLOYMENT", *name, "Its id")->required();
  cancel_command->add_flag("--force", *force, "Also where a device has begun it, and hangs");
  cancel_command->footer("\nExample:\n  skerry cancel 7f0c… --force");
  cancel_command->callback([&session, name, force] {
    session.action = [&session, name, force] { return cancel(session, *name, *force); };
  });
}

}  // namespace skerry::cli
