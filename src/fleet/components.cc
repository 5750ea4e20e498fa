// Recipes in, component versions out.
#include "fleet/components.h"

#include <algorithm>
#include <deque>
#include <nlohmann/json.hpp>
#include <set>

#include "base/encoding.h"
#include "fleet/artifacts.h"
#include "fleet/remote_artifacts.h"
#include "fleet/store.h"
#include "formats/public_components.h"
#include "formats/zip.h"

namespace skerry::fleet {
namespace {

constexpr std::string_view kS3Scheme = "s3://";
constexpr std::string_view kDocker = "docker:";
// A deployment that can lead to more versions than this is a mistake.
constexpr size_t kMaxClosure = 10'000;
Result<ArtifactName> stored_artifact(Store& store, std::string_view uri) {
  uri.remove_prefix(kS3Scheme.size());
  const size_t slash = uri.find('/');
  const size_t last = uri.rfind('/');
  if (slash == std::string_view::npos || slash == 0 || last + 1 == uri.size()) {
    return fail(Code::kInvalidArgument, "must be s3://BUCKET/KEY with a file name at its end");
  }
  const std::string bucket(uri.substr(0, slash)), key(uri.substr(slash + 1));
  const std::string file(uri.substr(last + 1));
  auto object = store.find_object(bucket, key);
  if (object) return ArtifactName{object->sha256, file};
  if (object.error().code() != Code::kNotFound) return fail(object.error());
  if (auto remote = find_remote_object(store, bucket, key)) {
    return ArtifactName{remote->sha256, file};
  }
  return fail(object.error());
}

// Devices would refuse it. Its names and claims only: it may be large.
Result<void> check_archive(ArtifactStore& artifacts, const formats::Artifact& artifact,
                           const std::string& sha256) {
  if (artifact.unarchive != formats::Unarchive::kZip) return {};
  if (!artifacts.contains(sha256))
    return {};  // it lies on another S3 service: the device checks it
  SKERRY_ASSIGN(const std::shared_ptr<io::File> file,
                artifacts.env().files.open(artifacts.path_of(sha256), io::OpenMode::kRead));
  SKERRY_ASSIGN(const uint64_t size, file->size());
  const auto read = [file](uint64_t offset, size_t most) { return file->read_at(offset, most); };
  auto reader = formats::ZipReader::open(read, size, "the archive " + artifact.uri);
  auto checked = reader ? formats::check_zip(**reader, formats::ZipCheck::kNames)
                        : Result<void>(fail(reader.error()));
  // Damage and size are the client's to mend, not faults in here.
  if (!checked) return fail(Code::kInvalidArgument, checked.error().message());
  return {};
}

// Where devices find the artifact; nothing for what they fetch by themselves.
Result<std::optional<formats::ArtifactPlace>> place_of(Store& store, ArtifactStore& artifacts,
                                                       const formats::Artifact& artifact) {
  if (artifact.uri.starts_with(kDocker)) return std::optional<formats::ArtifactPlace>();
  ArtifactName name;
  if (artifact.uri.starts_with(kS3Scheme)) {
    auto stored = stored_artifact(store, artifact.uri);
    if (!stored && stored.error().code() == Code::kNotFound) {
      return fail(Code::kInvalidArgument, stored.error().message() + ": upload it first");
    }
    if (!stored) return fail(stored.error());
    name = std::move(*stored);
  } else if (artifact.uri.starts_with(ArtifactName::kScheme)) {
    SKERRY_ASSIGN(name, parse_artifact_name(artifact.uri.substr(ArtifactName::kScheme.size())));
    if (!artifacts.contains(name.sha256)) {
      return fail(Code::kInvalidArgument,
                  artifact.uri + " does not exist in this artifact store: upload it first");
    }
  } else {
    return fail(Code::kInvalidArgument,
                "devices fetch artifacts from s3://BUCKET/KEY of this control plane only");
  }
  const std::string digest = base64_of_hex(name.sha256);
  if (!artifact.digest.empty() && artifact.digest != digest) {
    return fail(Code::kInvalidArgument, "the recipe's digest is " + artifact.digest + ", " +
                                            artifact.uri + " has " + digest);
  }
  SKERRY_TRY(check_archive(artifacts, artifact, name.sha256));
  return std::optional(formats::ArtifactPlace{name.uri(), digest});
}

std::string not_available(const ComponentName& name, const std::string& range,
                          const std::string& by) {
  const std::string what = "component " + name.str() + (by.empty() ? " version " : " ") + range +
                           (by.empty() ? "" : ", which " + by + " depends on,");
  const std::string_view elsewhere = formats::known_elsewhere(name);
  if (!elsewhere.empty()) return what + " " + std::string(elsewhere);
  const auto provided = formats::provided_versions(name);
  if (!provided.empty()) return what + " is not what nuclei provide: " + provided.front().str();
  return what + " does not exist: publish it first";
}

}  // namespace

std::string base64_of_hex(std::string_view hex) {
  return base64_encode(hex_decode(hex).value_or(""));
}

Result<ArtifactName> parse_artifact_name(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view hex = text.substr(0, slash);
  const bool is_hex = hex.size() == 64 && std::ranges::all_of(hex, [](char c) {
                        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                      });
  if (slash == std::string_view::npos || !is_hex || slash + 1 == text.size() ||
      text.find('/', slash + 1) != std::string_view::npos) {
    return fail(Code::kInvalidArgument,
                "an artifact's name must be SHA256/FILENAME, it is '" + std::string(text) + "'");
  }
  return ArtifactName{std::string(hex), std::string(text.substr(slash + 1))};
}

Result<ComponentVersion> component_from_recipe(Store& store, ArtifactStore& artifacts,
                                               std::string_view text) {
  SKERRY_ASSIGN(auto recipe, formats::parse_recipe(text));
  for (const auto& manifest : recipe.manifests)
    SKERRY_TRY(formats::check_artifacts_apart(manifest));
  ComponentVersion component;
  component.name = recipe.name;
  component.version = recipe.version.str();
  component.description = recipe.description;
  component.publisher = recipe.publisher;
  SKERRY_ASSIGN(component.recipe_json,
                formats::rewrite_artifacts(text, [&](const formats::Artifact& artifact) {
                  return place_of(store, artifacts, artifact);
                }));
  return component;
}

Result<std::vector<ComponentVersion>> versions_of(Store& store, const ComponentName& name) {
  SKERRY_ASSIGN(auto components, store.component_versions(name));
  std::vector<std::pair<formats::Version, ComponentVersion>> ordered;
  for (ComponentVersion& component : components) {
    SKERRY_ASSIGN(auto version, formats::Version::parse(component.version));
    ordered.emplace_back(std::move(version), std::move(component));
  }
  std::ranges::sort(ordered, [](const auto& a, const auto& b) { return a.first > b.first; });
  components.clear();
  for (auto& [version, component] : ordered) components.push_back(std::move(component));
  return components;
}

Result<Closure> closure_of(Store& store, const Roots& roots) {
  Closure closure;
  std::deque<std::pair<ComponentName, formats::VersionRange>> open;
  for (const auto& [name, version] : roots) {
    open.emplace_back(name, formats::VersionRange::exactly(version));
  }
  std::set<std::pair<ComponentName, std::string>> expanded;
  while (!open.empty()) {
    const auto [name, range] = std::move(open.front());
    open.pop_front();
    if (formats::is_provided(name)) continue;
    auto& ranges = closure[name];
    if (std::ranges::find(ranges, range) != ranges.end()) continue;
    ranges.push_back(range);
    SKERRY_ASSIGN(const auto versions, store.component_versions(name));
    for (const ComponentVersion& component : versions) {
      SKERRY_ASSIGN(const auto version, formats::Version::parse(component.version));
      if (!range.matches(version) || !expanded.emplace(name, component.version).second) continue;
      if (expanded.size() > kMaxClosure) {
        return fail(Code::kResourceExhausted, "the deployment can lead to more than " +
                                                  std::to_string(kMaxClosure) +
                                                  " component versions: narrow its dependencies");
      }
      SKERRY_ASSIGN(const auto recipe, formats::parse_recipe(component.recipe_json));
      for (const auto& [dependency, wanted] : recipe.dependencies) {
        open.emplace_back(dependency, wanted.requirement);
      }
    }
  }
  return closure;
}

Result<void> check_available(Store& store, const Roots& roots) {
  struct Wanted {
    ComponentName name;
    formats::VersionRange range;
    std::string by;
  };
  std::deque<Wanted> open;
  for (const auto& [name, version] : roots) {
    open.push_back({name, formats::VersionRange::exactly(version), ""});
  }
  std::set<std::pair<ComponentName, std::string>> seen;
  for (; !open.empty(); open.pop_front()) {
    const Wanted wanted = open.front();
    if (formats::is_built_in(wanted.name)) continue;
    SKERRY_ASSIGN(const auto versions, versions_of(store, wanted.name));
    const auto fits = [&](const formats::Version& one) { return wanted.range.matches(one); };
    const auto found = std::ranges::find_if(versions, [&](const ComponentVersion& one) {
      const auto version = formats::Version::parse(one.version);
      return version && fits(*version);
    });
    if (found == versions.end()) {
      if (std::ranges::any_of(formats::provided_versions(wanted.name), fits)) continue;
      return fail(Code::kNotFound, not_available(wanted.name, wanted.range.str(), wanted.by));
    }
    if (!seen.emplace(wanted.name, found->version).second) continue;
    SKERRY_ASSIGN(const auto recipe, formats::parse_recipe(found->recipe_json));
    for (const auto& [dependency, needed] : recipe.dependencies) {
      open.push_back({dependency, needed.requirement, found->name.str() + " " + found->version});
    }
  }
  return {};
}

Result<ComponentVersion> resolve(Store& store, const ComponentName& name,
                                 const std::map<std::string, formats::VersionRange>& requirements,
                                 const formats::PlatformAttributes& platform,
                                 std::span<const formats::VersionRange> within) {
  SKERRY_ASSIGN(auto versions, versions_of(store, name));
  if (versions.empty()) {
    return fail(Code::kNotFound, "component " + name.str() + " does not exist");
  }
  std::string wanted;
  for (const auto& [dependent, range] : requirements) {
    wanted += (wanted.empty() ? "" : ", ") + range.str() + " by " + dependent;
  }
  std::string no_manifest;  // of the newest version that fits
  for (ComponentVersion& component : versions) {
    SKERRY_ASSIGN(auto version, formats::Version::parse(component.version));
    const bool is_within =
        std::ranges::any_of(within, [&](const auto& range) { return range.matches(version); });
    if (!is_within || !std::ranges::all_of(requirements, [&](const auto& one) {
          return one.second.matches(version);
        })) {
      continue;
    }
    SKERRY_ASSIGN(auto recipe, formats::parse_recipe(component.recipe_json));
    if (formats::choose_manifest(recipe, platform)) return std::move(component);
    if (no_manifest.empty()) no_manifest = formats::no_manifest_text(recipe, platform);
  }
  if (!no_manifest.empty()) return fail(Code::kNotFound, "component " + no_manifest);
  return fail(Code::kNotFound,
              "component " + name.str() + " has no version that fits: wanted " + wanted);
}

Result<DownloadSize> download_size(Store& store, const formats::Manifest& manifest) {
  DownloadSize size;
  for (const formats::Artifact& artifact : manifest.artifacts) {
    std::optional<int64_t> bytes;
    if (artifact.uri.starts_with(ArtifactName::kScheme)) {
      SKERRY_ASSIGN(const ArtifactName name,
                    parse_artifact_name(artifact.uri.substr(ArtifactName::kScheme.size())));
      SKERRY_ASSIGN(bytes, content_bytes(store, name.sha256));
    }
    size.bytes += bytes.value_or(0);
    size.is_known = size.is_known && bytes.has_value();
  }
  return size;
}

std::string component_version_arn(const formats::ArnScope& scope,
                                  const ComponentVersion& component) {
  // The version was checked when it came in, so this is the text that formats would make of it.
  return formats::component_arn(scope, component.name) + ":versions:" + component.version;
}

}  // namespace skerry::fleet
