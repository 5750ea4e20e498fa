// Recipes: reading the document, choosing a manifest, rewriting artifacts.
#include "formats/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/lifecycle.h"
#include "formats/names.h"
#include "formats/node.h"
#include "formats/platform.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr std::string_view kFormatVersion = "2020-01-25";

// Every manifest gets its own copy of its part of the global Lifecycle: without limits a small
// recipe could ask for gigabytes.
constexpr size_t kMaxManifests = 100;
constexpr size_t kMaxSelections = 100;  // of all manifests together

constexpr EnumNames<ComponentType, 4> kComponentTypes = {{
    {ComponentType::kGeneric, "aws.greengrass.generic"},
    {ComponentType::kLambda, "aws.greengrass.lambda"},
    {ComponentType::kPlugin, "aws.greengrass.plugin"},
    {ComponentType::kNucleus, "aws.greengrass.nucleus"},
}};
constexpr EnumNames<DependencyType, 2> kDependencyTypes = {
    {{DependencyType::kHard, "HARD"}, {DependencyType::kSoft, "SOFT"}}};
constexpr EnumNames<Unarchive, 2> kUnarchives = {
    {{Unarchive::kNone, "NONE"}, {Unarchive::kZip, "ZIP"}}};
constexpr EnumNames<Access, 3> kAccesses = {
    {{Access::kNone, "NONE"}, {Access::kOwner, "OWNER"}, {Access::kAll, "ALL"}}};

Result<json> parse_document(std::string_view text) {
  const JsonLimits limits{.size_bytes = kMaxRecipeBytes};
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  const std::string_view content = text.substr(begin);
  if (content.starts_with("//") || content.starts_with("/*")) {
    return fail(Code::kInvalidArgument,
                fmt::format("recipe: line {}: a comment: JSON has none, take it out, or write the "
                            "recipe in YAML, where a comment begins with #",
                            1 + std::ranges::count(text.substr(0, begin), '\n')));
  }
  const bool is_json = content.starts_with('{') || content.starts_with('[');
  auto document = is_json ? parse_json(text, limits) : parse_yaml(text, limits);
  if (!document) return fail(document.error().with_context("recipe"));
  return document;
}

Result<Artifact> parse_artifact(const Node& node) {
  Artifact artifact;
  SKERRY_ASSIGN(auto uri, node.require("URI"));
  SKERRY_ASSIGN(artifact.uri, uri.as_string());
  const std::string file_name = artifact.file_name();
  if (file_name.empty() || file_name == "." || file_name == "..") {
    return uri.wrong(fmt::format("'{}' must end in a file name", artifact.uri));
  }
  SKERRY_TRY(node.read("Unarchive", kUnarchives, artifact.unarchive));
  SKERRY_TRY(node.read("Digest", artifact.digest));
  SKERRY_TRY(node.read("Algorithm", artifact.algorithm));
  SKERRY_ASSIGN(auto permission, node.find("Permission"));
  if (permission) {
    SKERRY_TRY(permission->read("Read", kAccesses, artifact.read));
    SKERRY_TRY(permission->read("Execute", kAccesses, artifact.execute));
  }
  return artifact;
}

Result<std::vector<std::string>> parse_selections(const Node& manifest) {
  SKERRY_ASSIGN(auto selections, manifest.find("Selections"));
  if (!selections) return std::vector<std::string>();
  if (!selections->is_string()) return selections->as_string_list();
  SKERRY_ASSIGN(auto only, selections->as_string());
  return std::vector<std::string>{std::move(only)};
}

Result<std::map<std::string, std::string>> parse_platform(const Node& manifest) {
  std::map<std::string, std::string> platform;
  SKERRY_ASSIGN(auto node, manifest.find("Platform"));
  if (!node) return platform;
  SKERRY_ASSIGN(auto labels, node->members());
  for (const auto& [attribute, label_node] : labels) {
    SKERRY_ASSIGN(auto label, label_node.as_text());
    if (auto checked = check_platform_label(label); !checked) {
      return label_node.wrong(checked.error().message());
    }
    platform[attribute] = std::move(label);
  }
  return platform;
}

// The recipe's Lifecycle, and every selector that some manifest uses in it.
struct SharedLifecycle {
  std::optional<Node> node;
  std::vector<std::string> selectors;
};

Result<Lifecycle> effective_lifecycle(const Node& manifest, const SharedLifecycle& shared) {
  SKERRY_ASSIGN(auto own, manifest.find("Lifecycle"));
  if (own && !(own->is_object() && own->value().empty())) return parse_lifecycle(*own);
  if (!shared.node) return Lifecycle();
  SKERRY_ASSIGN(auto selections, parse_selections(manifest));
  const json selected = select_lifecycle(shared.node->value(), shared.selectors, selections);
  if (selected.is_null()) return Lifecycle();
  return parse_lifecycle(Node(selected, shared.node->path()));
}

Result<Manifest> parse_manifest(const Node& node, const SharedLifecycle& shared) {
  if (!node.is_object()) return node.wrong("must be an object");
  Manifest manifest;
  SKERRY_TRY(node.read("Name", manifest.name));
  SKERRY_ASSIGN(manifest.platform, parse_platform(node));
  SKERRY_ASSIGN(manifest.lifecycle, effective_lifecycle(node, shared));
  SKERRY_ASSIGN(auto artifacts, node.find("Artifacts"));
  if (!artifacts) return manifest;
  SKERRY_ASSIGN(auto elements, artifacts->elements());
  for (const Node& element : elements) {
    SKERRY_ASSIGN(auto artifact, parse_artifact(element));
    manifest.artifacts.push_back(std::move(artifact));
  }
  return manifest;
}

Result<std::vector<Manifest>> parse_manifests(const Node& root) {
  SKERRY_ASSIGN(auto node, root.require("Manifests"));
  SKERRY_ASSIGN(auto elements, node.elements());
  if (elements.empty()) return node.wrong("is empty: a recipe has one manifest at least");
  if (elements.size() > kMaxManifests) {
    return node.wrong(fmt::format("holds more than {} manifests", kMaxManifests));
  }
  SharedLifecycle shared;
  SKERRY_ASSIGN(shared.node, root.find("Lifecycle"));
  for (const Node& element : elements) {
    SKERRY_ASSIGN(auto selections, parse_selections(element));
    shared.selectors.insert(shared.selectors.end(), selections.begin(), selections.end());
    if (shared.selectors.size() > kMaxSelections) {
      return element.wrong(
          fmt::format("the manifests have more than {} Selections", kMaxSelections));
    }
  }
  std::vector<Manifest> manifests;
  for (const Node& element : elements) {
    SKERRY_ASSIGN(auto manifest, parse_manifest(element, shared));
    manifests.push_back(std::move(manifest));
  }
  return manifests;
}

Result<std::map<ComponentName, Dependency>> parse_dependencies(const Node& root) {
  std::map<ComponentName, Dependency> dependencies;
  SKERRY_ASSIGN(auto node, root.find("ComponentDependencies"));
  if (!node) return dependencies;
  SKERRY_ASSIGN(auto members, node->members());
  for (const auto& [key, member] : members) {
    auto name = parse_component_name(key);
    if (!name) return member.wrong(name.error().message());
    SKERRY_ASSIGN(auto requirement_node, member.require("VersionRequirement"));
    SKERRY_ASSIGN(auto requirement, requirement_node.as_string());
    auto range = VersionRange::parse(requirement);
    if (!range) return requirement_node.wrong(range.error().message());
    Dependency dependency{*std::move(range), DependencyType::kHard};
    SKERRY_TRY(member.read("DependencyType", kDependencyTypes, dependency.type));
    dependencies.emplace(*std::move(name), std::move(dependency));
  }
  return dependencies;
}

Result<> parse_identity(const Node& root, Recipe& recipe) {
  SKERRY_ASSIGN(auto format_node, root.require("RecipeFormatVersion"));
  SKERRY_ASSIGN(auto format, format_node.as_string());
  if (format != kFormatVersion) {
    return format_node.wrong(fmt::format("'{}' is not supported, only {}", format, kFormatVersion));
  }
  SKERRY_ASSIGN(auto name_node, root.require("ComponentName"));
  SKERRY_ASSIGN(auto name_text, name_node.as_string());
  auto name = parse_component_name(name_text);
  if (!name) return name_node.wrong(name.error().message());
  recipe.name = *std::move(name);

  SKERRY_ASSIGN(auto version_node, root.require("ComponentVersion"));
  SKERRY_ASSIGN(auto version_text, version_node.as_string());
  auto version = Version::parse(version_text);
  if (!version) return version_node.wrong(version.error().message());
  recipe.version = *std::move(version);

  SKERRY_TRY(root.read("ComponentType", kComponentTypes, recipe.type));
  SKERRY_TRY(root.read("ComponentDescription", recipe.description));
  SKERRY_TRY(root.read("ComponentPublisher", recipe.publisher));
  return root.read("ComponentSource", recipe.source);
}

Result<JsonPtr> parse_default_configuration(const Node& root) {
  SKERRY_ASSIGN(auto node, root.find("ComponentConfiguration"));
  if (!node) return JsonPtr();
  SKERRY_ASSIGN(auto defaults, node->find("DefaultConfiguration"));
  if (!defaults) return JsonPtr();
  if (!defaults->is_object()) return defaults->wrong("must be an object");
  return share(defaults->value());
}

Result<Recipe> read_recipe(const json& document) {
  const Node root(document, "");
  if (!root.is_object())
    return fail(Code::kInvalidArgument, "recipe: the document must be an object");
  Recipe recipe;
  SKERRY_TRY(parse_identity(root, recipe));
  SKERRY_ASSIGN(recipe.default_configuration, parse_default_configuration(root));
  SKERRY_ASSIGN(recipe.dependencies, parse_dependencies(root));
  SKERRY_ASSIGN(recipe.manifests, parse_manifests(root));
  return recipe;
}

// The member of `object` under any spelling of `key`; made where it is missing or null.
json& member_of(json& object, std::string_view key) {
  for (auto& [name, value] : object.items()) {
    if (equal_ignoring_case(name, key) && !value.is_null()) return value;
  }
  return object[std::string(key)];
}

Result<> rewrite_artifact(json& document, const Artifact& artifact,
                          const ArtifactRewriter& rewrite) {
  SKERRY_ASSIGN(auto place, rewrite(artifact));
  if (!place) return {};
  member_of(document, "URI") = place->uri;
  if (place->sha256_base64.empty()) return {};
  member_of(document, "Digest") = place->sha256_base64;
  member_of(document, "Algorithm") = "SHA-256";
  return {};
}

}  // namespace

std::string_view name_of(ComponentType type) {
  return enum_name(kComponentTypes, type);
}
std::string_view name_of(DependencyType type) {
  return enum_name(kDependencyTypes, type);
}
std::string_view name_of(Unarchive unarchive) {
  return enum_name(kUnarchives, unarchive);
}
std::string_view name_of(Access access) {
  return enum_name(kAccesses, access);
}

std::string Artifact::file_name() const {
  if (const size_t slash = uri.rfind('/'); slash != std::string::npos) return uri.substr(slash + 1);
  return uri.substr(uri.find(':') + 1);
}

std::string Artifact::unarchived_name() const {
  std::string name = file_name();
  if (const size_t dot = name.rfind('.'); dot != std::string::npos && dot > 0) name.resize(dot);
  return name;
}

Result<void> check_artifacts_apart(const Manifest& manifest) {
  std::map<std::string, std::string> taken;  // a place in the package → whose it is
  auto take = [&](std::string place, const Artifact& artifact) -> Result<void> {
    std::ranges::transform(place, place.begin(), [](unsigned char c) { return std::tolower(c); });
    const auto [found, is_free] = taken.emplace(std::move(place), artifact.uri);
    if (is_free) return {};
    return fail(Code::kInvalidArgument,
                "the artifacts " + found->second + " and " + artifact.uri +
                    " would lie on one another on the device: give them different names");
  };
  for (const Artifact& artifact : manifest.artifacts) {
    SKERRY_TRY(take("artifacts/" + artifact.file_name(), artifact));
    if (artifact.unarchive == Unarchive::kZip)
      SKERRY_TRY(take("unarchived/" + artifact.unarchived_name(), artifact));
  }
  return {};
}

const Dependency* Recipe::find_dependency(const ComponentName& component) const {
  auto dependency = dependencies.find(component);
  return dependency == dependencies.end() ? nullptr : &dependency->second;
}

Result<Recipe> parse_recipe(std::string_view text) {
  SKERRY_ASSIGN(const json document, parse_document(text));
  return read_recipe(document);
}

bool matches_platform(const Manifest& manifest, const PlatformAttributes& platform) {
  for (const auto& [attribute, label] : manifest.platform) {
    std::optional<std::string> value;
    for (const auto& [name, device_value] : platform) {
      if (equal_ignoring_case(name, attribute)) value = device_value;
    }
    if (!label_fits(label, value)) return false;
  }
  return true;
}

const Manifest* choose_manifest(const Recipe& recipe, const PlatformAttributes& platform) {
  for (const Manifest& manifest : recipe.manifests) {
    if (matches_platform(manifest, platform)) return &manifest;
  }
  return nullptr;
}

std::string no_manifest_text(const Recipe& recipe, const PlatformAttributes& platform) {
  const auto text_of = [](const PlatformAttributes& attributes, std::string_view if_none) {
    std::string text;
    for (const auto& [name, value] : attributes)
      text += (text.empty() ? "" : " ") + name + "=" + value;
    return text.empty() ? std::string(if_none) : text;
  };
  std::string offered;
  for (const Manifest& manifest : recipe.manifests)
    offered += (offered.empty() ? "" : "; ") + text_of(manifest.platform, "any");
  return fmt::format("{} {} has no manifest for {}: it has manifests for {}", recipe.name.str(),
                     recipe.version.str(),
                     text_of(platform, "a device that does not say what it is"), offered);
}

Result<std::string> recipe_to_json(std::string_view text) {
  SKERRY_ASSIGN(const json document, parse_document(text));
  SKERRY_TRY(read_recipe(document));
  return json_text(document);
}

Result<std::string> rewrite_artifacts(std::string_view text, const ArtifactRewriter& rewrite) {
  SKERRY_ASSIGN(json document, parse_document(text));
  SKERRY_ASSIGN(const Recipe recipe, read_recipe(document));
  json& manifests = member_of(document, "Manifests");
  for (size_t i = 0; i < recipe.manifests.size(); ++i) {
    const auto& artifacts = recipe.manifests[i].artifacts;
    for (size_t j = 0; j < artifacts.size(); ++j) {
      auto done = rewrite_artifact(member_of(manifests[i], "Artifacts")[j], artifacts[j], rewrite);
      if (!done) {
        return fail(done.error().with_context(fmt::format("Manifests[{}].Artifacts[{}]", i, j)));
      }
    }
  }
  return json_text(document);
}

}  // namespace skerry::formats
