// skerry component: publishing versions and listing them.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/local_files.h"
#include "cli/publisher.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

Result<void> publish_recipes(const Session& session, const std::vector<std::string>& recipes,
                             bool force) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  for (const std::string& path : recipes) {
    SKERRY_ASSIGN(const std::string text, read_local_file(path));
    const auto source = [&](const std::string& file) {
      return UploadContent::of_file((std::filesystem::path(path).parent_path() / file).string());
    };
    auto created = publish(fleet, session.output, text, source, force);
    if (!created) return fail(created.error().with_context(path));
    if (session.output.json) {
      session.output.print_json(*created);
    } else {
      session.output.print_line("published " + created->value("componentName", "") + " " +
                                created->value("componentVersion", ""));
    }
  }
  return {};
}

std::string name_in_arn(const FleetClient& fleet, const std::string& name) {
  return net::percent_encode(formats::component_arn(fleet.scope(), ComponentName(name)));
}

Result<void> list_components(const Session& session, const std::string& name) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  if (name.empty()) {
    SKERRY_ASSIGN(
        const json components,
        fleet.list({.service = "greengrass", .method = "GET", .path = "/greengrass/v2/components"},
                   "components"));
    Table table{{"COMPONENT", "LATEST"}, {}};
    for (const json& each : components) {
      table.rows.push_back(
          {each.value("componentName", ""),
           each.value("latestVersion", json::object()).value("componentVersion", "")});
    }
    if (!session.output.json) {
      session.output.print_table(table);
    } else {
      session.output.print_json(json{{"components", components}});
    }
    return {};
  }
  SKERRY_ASSIGN(const json versions, fleet.list({.service = "greengrass",
                                                 .method = "GET",
                                                 .path = "/greengrass/v2/components/" +
                                                         name_in_arn(fleet, name) + "/versions"},
                                                "componentVersions"));
  Table table{{"COMPONENT", "VERSION"}, {}};
  for (const json& each : versions) {
    table.rows.push_back({each.value("componentName", ""), each.value("componentVersion", "")});
  }
  if (!session.output.json) {
    session.output.print_table(table);
  } else {
    session.output.print_json(json{{"versions", versions}});
  }
  return {};
}

}  // namespace

void add_component_commands(CLI::App& app, Session& session) {
  CLI::App* component = app.add_subcommand("component", "Component versions of the fleet");
  component->footer(R"(
Examples:
  skerry component publish recipe.yaml
  skerry component list com.example.Hello
  skerry component delete com.example.Hello 1.0.0)");

  auto recipes = std::make_shared<std::vector<std::string>>();
  CLI::App* publish_command =
      component->add_subcommand("publish", "Upload artifacts and create component versions");
  publish_command->add_option("RECIPE", *recipes, "Recipe files (YAML or JSON)")
      ->required()
      ->check(CLI::ExistingFile);
  auto force = std::make_shared<bool>(false);
  publish_command->add_flag("--force", *force,
                            "Also where this version was deleted and had other content");
  publish_command->footer(R"(
Artifacts with URI `file:PATH`, relative to the recipe, are uploaded; others stay as they are. A version cannot be
published twice.
Example:
  skerry component publish detector/recipe.yaml)");
  publish_command->callback([&session, recipes, force] {
    session.action = [&session, recipes, force] {
      return publish_recipes(session, *recipes, *force);
    };
  });

  auto name = std::make_shared<std::string>();
  CLI::App* list = component->add_subcommand(
      "list", "Components with their latest version, or one with all of them");
  list->add_option("COMPONENT", *name);
  list->footer("\nExamples:\n  skerry component list\n  skerry component list com.example.Hello");
  list->callback([&session, name] {
    session.action = [&session, name] { return list_components(session, *name); };
  });
}

}  // namespace skerry::cli
