// Requests become deployment documents, and so are checked by the rules of those.
#include "nucleus/local_request.h"

#include <nlohmann/json.hpp>

#include "formats/names.h"
#include "formats/node.h"

namespace skerry::nucleus {
namespace {

using formats::Node;
using nlohmann::json;

// Of an entry that only configures a component: what runs decides.
constexpr const char* kAnyVersion = "0.0.0";

Result<std::set<ComponentName>> names_from(const Node& node) {
  SKERRY_ASSIGN(const auto texts, node.as_string_list());
  std::set<ComponentName> names;
  for (const std::string& text : texts) {
    auto name = formats::parse_component_name(text);
    if (!name) return node.wrong(name.error().message());
    names.insert(std::move(*name));
  }
  return names;
}

json to_json(const std::set<ComponentName>& names) {
  json out = json::array();
  for (const ComponentName& name : names) out.push_back(name.str());
  return out;
}

Result<std::string> target_from(const Node& root) {
  std::string group;
  SKERRY_TRY(root.read("groupName", group));
  if (group.empty() || group == kLocalTarget) return std::string(kLocalTarget);
  auto name = formats::parse_thing_group_name(group);
  if (!name) return fail(name.error().with_context("groupName"));
  return "thinggroup/" + name->str();
}

// {"com.example.App": {"MERGE": {…}, "RESET": ["/pointer"]}}
Result<void> add_configuration(const Node& root, json& components) {
  SKERRY_ASSIGN(auto updates, root.find("componentToConfiguration"));
  if (!updates) return {};
  SKERRY_ASSIGN(const auto members, updates->members());
  for (const auto& [name, update] : members) {
    SKERRY_ASSIGN(const auto parts, update.members());
    for (const auto& [key, part] : parts) {
      const bool is_merge = formats::equal_ignoring_case(key, "MERGE");
      if (!is_merge && !formats::equal_ignoring_case(key, "RESET")) {
        return part.wrong("is neither MERGE nor RESET");
      }
      components[name]["configurationUpdate"][is_merge ? "merge" : "reset"] = part.value();
    }
  }
  return {};
}

Result<void> add_run_with(const Node& root, json& components, std::set<ComponentName>& names) {
  SKERRY_ASSIGN(auto all, root.find("componentToRunWithInfo"));
  if (!all) return {};
  SKERRY_ASSIGN(const auto members, all->members());
  for (const auto& [name, run_with] : members) {
    SKERRY_TRY(run_with.members());
    components[name]["runWith"] = run_with.value();
    names.insert(ComponentName(name));  // checked with the document
  }
  return {};
}

}  // namespace

Result<LocalRequest> parse_local_request(const json& body) {
  const Node root(body, "");
  LocalRequest request;
  SKERRY_ASSIGN(request.target, target_from(root));
  json components = json::object();
  SKERRY_ASSIGN(auto added, root.find("rootComponentVersionsToAdd"));
  if (added) {
    SKERRY_ASSIGN(const auto versions, added->members());
    for (const auto& [name, version] : versions) {
      SKERRY_ASSIGN(components[name]["version"], version.as_string());
      request.added.insert(ComponentName(name));  // checked with the document
    }
  }
  SKERRY_ASSIGN(auto removed, root.find("rootComponentsToRemove"));
  if (removed) {
    SKERRY_ASSIGN(request.removed, names_from(*removed));
  }
  for (const ComponentName& name : request.removed) {
    if (request.added.contains(name)) {
      return fail(Code::kInvalidArgument, name.str() + " is both to be added and to be removed");
    }
  }
  SKERRY_TRY(add_configuration(root, components));
  SKERRY_TRY(add_run_with(root, components, request.run_with));
  for (auto& component : components) {
    if (!component.contains("version")) component["version"] = kAnyVersion;
  }
  json document = {{"components", std::move(components)}};
  SKERRY_ASSIGN(auto policy, root.find("failureHandlingPolicy"));
  if (policy) document["failureHandlingPolicy"] = policy->value();
  SKERRY_ASSIGN(request.document, formats::parse_deployment(document));
  return request;
}

Result<LocalFolders> parse_local_folders(const json& body) {
  const Node root(body, "");
  LocalFolders folders;
  SKERRY_TRY(root.read("recipeDirectoryPath", folders.recipes));
  SKERRY_TRY(root.read("artifactsDirectoryPath", folders.artifacts));
  return folders;
}

json to_json(const LocalRequest& request) {
  return {{"target", request.target},
          {"document", formats::to_json(request.document)},
          {"added", to_json(request.added)},
          {"removed", to_json(request.removed)},
          {"runWith", to_json(request.run_with)}};
}

Result<LocalRequest> local_request_from(const json& record) {
  const Node root(record, "");
  LocalRequest request;
  SKERRY_TRY(root.read("target", request.target));
  SKERRY_ASSIGN(const Node document, root.require("document"));
  SKERRY_ASSIGN(request.document, formats::parse_deployment(document.value()));
  SKERRY_ASSIGN(const Node added, root.require("added"));
  SKERRY_ASSIGN(request.added, names_from(added));
  SKERRY_ASSIGN(const Node removed, root.require("removed"));
  SKERRY_ASSIGN(request.removed, names_from(removed));
  SKERRY_ASSIGN(const Node run_with, root.require("runWith"));
  SKERRY_ASSIGN(request.run_with, names_from(run_with));
  return request;
}

}  // namespace skerry::nucleus
