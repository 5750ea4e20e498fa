// What the parser understood is printed from its values; what it did not know is copied.
#include "formats/canonical_recipe.h"

#include <array>
#include <nlohmann/json.hpp>
#include <span>

#include "formats/json_ptr.h"
#include "formats/node.h"
#include "formats/recipe.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr std::array kRecipeKeys = {std::string_view("RecipeFormatVersion"),
                                    std::string_view("ComponentName"),
                                    std::string_view("ComponentVersion"),
                                    std::string_view("ComponentType"),
                                    std::string_view("ComponentDescription"),
                                    std::string_view("ComponentPublisher"),
                                    std::string_view("ComponentSource"),
                                    std::string_view("ComponentConfiguration"),
                                    std::string_view("ComponentDependencies"),
                                    std::string_view("Manifests"),
                                    std::string_view("Lifecycle")};
constexpr std::array kManifestKeys = {std::string_view("Name"), std::string_view("Platform"),
                                      std::string_view("Lifecycle"), std::string_view("Selections"),
                                      std::string_view("Artifacts")};
constexpr std::array kArtifactKeys = {std::string_view("Uri"), std::string_view("Unarchive"),
                                      std::string_view("Digest"), std::string_view("Algorithm"),
                                      std::string_view("Permission")};
constexpr std::array kDependencyKeys = {std::string_view("VersionRequirement"),
                                        std::string_view("DependencyType")};
constexpr std::array kConfigurationKeys = {std::string_view("DefaultConfiguration")};
constexpr std::array kPlatformKeys = {std::string_view("os"), std::string_view("architecture"),
                                      std::string_view("architecture.detail"),
                                      std::string_view("runtime")};
constexpr std::array kStepNames = {std::string_view("bootstrap"), std::string_view("install"),
                                   std::string_view("startup"),   std::string_view("run"),
                                   std::string_view("shutdown"),  std::string_view("recover"),
                                   std::string_view("uninstall")};
constexpr std::array kStepKeys = {std::string_view("Script"), std::string_view("RequiresPrivilege"),
                                  std::string_view("Skipif"), std::string_view("Timeout"),
                                  std::string_view("Setenv")};
constexpr std::string_view kAll = "all";

// `key` in its canonical case; as it is where it is none of `keys`.
std::string spelled(const std::string& key, std::span<const std::string_view> keys) {
  for (const std::string_view known : keys) {
    if (equal_ignoring_case(key, known)) return std::string(known);
  }
  return key;
}

json with_keys(const json& object, std::span<const std::string_view> keys) {
  json result = json::object();
  for (const auto& [key, value] : object.items()) {
    if (!value.is_null()) result[spelled(key, keys)] = value;
  }
  return result;
}

json text_values(const json& map) {
  if (!map.is_object()) return map;
  json result = json::object();
  for (const auto& [name, value] : map.items()) {
    const auto text = Node(value, name).as_text();
    result[name] = text ? json(*text) : text_values(value);
  }
  return result;
}

// Lifecycles, where a map at any level may have selectors for keys (see select_lifecycle()).
class LifecycleSpelling {
 public:
  explicit LifecycleSpelling(std::vector<std::string> selectors)
      : selectors_(std::move(selectors)) {}

  json lifecycle(const json& value) const {
    if (!value.is_object()) return value;
    json result = json::object();
    for (const auto& [key, member] : value.items()) {
      if (member.is_null()) continue;
      if (is_selector(key)) {
        result[selector(key)] = lifecycle(member);
      } else if (equal_ignoring_case(key, "Setenv")) {
        result["Setenv"] = text_values(member);
      } else if (const std::string name = spelled(key, kStepNames); is_step(name)) {
        result[name] = step(member);
      } else {
        result[key] = member;
      }
    }
    return result;
  }

 private:
  static bool is_step(std::string_view name) {
    return std::ranges::find(kStepNames, name) != kStepNames.end();
  }
  bool is_selector(std::string_view key) const {
    return equal_ignoring_case(key, kAll) || std::ranges::any_of(selectors_, [&](const auto& one) {
             return equal_ignoring_case(one, key);
           });
  }
  static std::string selector(const std::string& key) {
    return equal_ignoring_case(key, kAll) ? std::string(kAll) : key;
  }

  json step(const json& value) const {
    if (!value.is_object()) return value;
    json result = json::object();
    for (const auto& [key, member] : value.items()) {
      if (member.is_null()) continue;
      if (is_selector(key)) {
        result[selector(key)] = step(member);
        continue;
      }
      json& place = result[spelled(key, kStepKeys)];
      place = member;
      if (equal_ignoring_case(key, "Setenv")) place = text_values(member);
      if (equal_ignoring_case(key, "RequiresPrivilege")) {
        if (const auto flag = Node(member, key).as_bool()) place = *flag;
      }
    }
    return result;
  }

  std::vector<std::string> selectors_;
};

json canonical_artifact(const json& written, const Artifact& artifact) {
  json result = with_keys(written, kArtifactKeys);
  result["Uri"] = artifact.uri;
  result["Unarchive"] = name_of(artifact.unarchive);
  result["Permission"] = {{"Read", name_of(artifact.read)}, {"Execute", name_of(artifact.execute)}};
  return result;
}

// A single selection may be written without its list.
json selections_in(const json& manifest) {
  const auto selections = manifest.find("Selections");
  if (selections == manifest.end()) return json::array();
  return selections->is_array() ? *selections : json::array({*selections});
}

json canonical_manifest(const json& written, const Manifest& manifest,
                        const LifecycleSpelling& spelling) {
  json result = with_keys(written, kManifestKeys);
  json artifacts = json::array();
  for (size_t i = 0; i < manifest.artifacts.size(); ++i) {
    artifacts.push_back(canonical_artifact(result["Artifacts"][i], manifest.artifacts[i]));
  }
  result["Artifacts"] = std::move(artifacts);
  result["Selections"] = selections_in(result);
  result["Platform"] = json::object();
  for (const auto& [attribute, label] : manifest.platform) {
    result["Platform"][spelled(attribute, kPlatformKeys)] = label;
  }
  const json lifecycle = result.value("Lifecycle", json::object());
  result["Lifecycle"] = spelling.lifecycle(lifecycle);
  return result;
}

json canonical_dependencies(const json& written, const Recipe& recipe) {
  json result = json::object();
  for (const auto& [name, dependency] : recipe.dependencies) {
    result[name.str()] = with_keys(written.at(name.str()), kDependencyKeys);
    result[name.str()]["DependencyType"] = name_of(dependency.type);
  }
  return result;
}

}  // namespace

Result<std::string> canonical_recipe(std::string_view text) {
  SKERRY_ASSIGN(const Recipe recipe, parse_recipe(text));
  SKERRY_ASSIGN(const std::string as_json, recipe_to_json(text));
  json document = with_keys(json::parse(as_json), kRecipeKeys);
  document["ComponentType"] = name_of(recipe.type);
  document["ComponentDependencies"] =
      canonical_dependencies(document["ComponentDependencies"], recipe);
  if (const auto found = document.find("ComponentConfiguration"); found != document.end()) {
    *found = with_keys(*found, kConfigurationKeys);
  }
  std::vector<std::string> selectors;
  for (json& manifest : document["Manifests"]) {
    manifest = with_keys(manifest, kManifestKeys);
    for (const json& one : selections_in(manifest)) selectors.push_back(one.get<std::string>());
  }
  const LifecycleSpelling spelling(std::move(selectors));
  for (size_t i = 0; i < recipe.manifests.size(); ++i) {
    json& manifest = document["Manifests"][i];
    manifest = canonical_manifest(manifest, recipe.manifests[i], spelling);
  }
  document["Lifecycle"] = spelling.lifecycle(document.value("Lifecycle", json::object()));
  return json_text(document);
}

}  // namespace skerry::formats
