// skerry group: thing groups and their members.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/command.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

Result<void> create_group(const Session& session, const std::string& group) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json created,
                fleet.call({.service = "iot",
                            .method = "POST",
                            .path = "/thing-groups/" + net::percent_encode(group),
                            .body = "{}"}));
  if (session.output.json) session.output.print_json(created);
  session.output.hint("created group " + group);
  return {};
}

Result<void> add_to_group(const Session& session, const std::string& group,
                          const std::vector<std::string>& things) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  for (const std::string& thing : things) {
    SKERRY_TRY(fleet.call({.service = "iot",
                           .method = "PUT",
                           .path = "/thing-groups/addThingToThingGroup",
                           .body = json{{"thingGroupName", group}, {"thingName", thing}}.dump()}));
    session.output.hint("added " + thing + " to " + group);
  }
  if (session.output.json) session.output.print_json(json{{"group", group}, {"added", things}});
  return {};
}

Result<json> members_of(FleetClient& fleet, const std::string& group) {
  return fleet.list({.service = "iot",
                     .method = "GET",
                     .path = "/thing-groups/" + net::percent_encode(group) + "/things"},
                    "things");
}

Result<void> list_groups(const Session& session, const std::string& group) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  json names = json::array({group});
  if (group.empty()) {
    names.clear();
    SKERRY_ASSIGN(
        const json groups,
        fleet.list({.service = "iot", .method = "GET", .path = "/thing-groups"}, "thingGroups"));
    for (const json& each : groups) names.push_back(each.value("groupName", ""));
  }
  json listed = json::array();
  Table table{{"GROUP", "THINGS"}, {}};
  for (const json& name : names) {
    SKERRY_ASSIGN(const json things, members_of(fleet, name.get<std::string>()));
    listed.push_back({{"name", name}, {"things", things}});
    std::string members;
    for (const json& thing : things)
      members += (members.empty() ? "" : " ") + thing.get<std::string>();
    table.rows.push_back({name.get<std::string>(), members});
  }
  if (session.output.json) {
    session.output.print_json(json{{"groups", listed}});
  } else {
    session.output.print_table(table);
  }
  return {};
}

}  // namespace

void add_group_commands(CLI::App& app, Session& session) {
  CLI::App* group = app.add_subcommand("group", "Groups of devices, the targets of deployments");
  group->footer(R"(
Examples:
  skerry group create plant && skerry group add plant press-7 press-8
  skerry group list)");
  auto name = std::make_shared<std::string>();
  auto things = std::make_shared<std::vector<std::string>>();

  CLI::App* create = group->add_subcommand("create", "Make an empty group");
  create->add_option("GROUP", *name)->required();
  create->footer("\nExample:\n  skerry group create plant");
  create->callback([&session, name] {
    session.action = [&session, name] { return create_group(session, *name); };
  });

  CLI::App* add =
      group->add_subcommand("add", "Add devices; they get the group's current deployment");
  add->add_option("GROUP", *name)->required();
  add->add_option("THING", *things, "One or more thing names")->required();
  add->footer("\nExample:\n  skerry group add plant press-7 press-8");
  add->callback([&session, name, things] {
    session.action = [&session, name, things] { return add_to_group(session, *name, *things); };
  });

  CLI::App* list = group->add_subcommand("list", "Groups and their members");
  list->add_option("GROUP", *name, "Only this one");
  list->footer("\nExample:\n  skerry group list --json");
  list->callback([&session, name] {
    session.action = [&session, name] { return list_groups(session, *name); };
  });
}

}  // namespace skerry::cli
