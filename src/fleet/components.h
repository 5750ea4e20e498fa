// Component versions: from a recipe that an operator gives to a record whose artifacts devices can
// fetch and check, and from a device's requirements back to the version that fits.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/records.h"
#include "formats/arn.h"
#include "formats/recipe.h"

namespace skerry::fleet {

class ArtifactStore;
class Store;

// The URI that the fleet gives an artifact: greengrass:SHA256HEX/FILENAME.
struct ArtifactName {
  std::string sha256;
  std::string file_name;

  std::string uri() const { return std::string(kScheme) + sha256 + "/" + file_name; }
  static constexpr std::string_view kScheme = "greengrass:";
};
// Of SHA256HEX/FILENAME; kInvalidArgument on anything else.
Result<ArtifactName> parse_artifact_name(std::string_view text);

// A SHA-256 as recipes have it.
std::string base64_of_hex(std::string_view hex);

// Checks the recipe, gives artifacts at s3://BUCKET/KEY of our store their name and digest, and
// refuses those that devices could not fetch. `tags_json` and `created_ms` are the caller's.
Result<ComponentVersion> component_from_recipe(Store& store, ArtifactStore& artifacts,
                                               std::string_view recipe);

// Every version of the component, highest first; empty where it is unknown.
Result<std::vector<ComponentVersion>> versions_of(Store& store, const ComponentName& name);

// What a deployment's roots can lead to on some device: for each component the ranges of versions
// that were asked of it. Provided components (formats/public_components.h) are not in it.
using Closure = std::map<ComponentName, std::vector<formats::VersionRange>>;
using Roots = std::map<ComponentName, formats::Version>;
Result<Closure> closure_of(Store& store, const Roots& roots);

// Fails, kNotFound, where a root or something that the roots depend on is neither published nor
// provided by nuclei; says what to publish.
Result<void> check_available(Store& store, const Roots& roots);

// The highest version in `within` that every requirement matches and that has a manifest for the
// platform; kNotFound says which of the three is missing: component, version or platform.
Result<ComponentVersion> resolve(Store& store, const ComponentName& name,
                                 const std::map<std::string, formats::VersionRange>& requirements,
                                 const formats::PlatformAttributes& platform,
                                 std::span<const formats::VersionRange> within);

// What a device downloads for a manifest; `is_known` is false where something of it is not in this
// store, such as an image of a registry.
struct DownloadSize {
  int64_t bytes = 0;
  bool is_known = true;
};
Result<DownloadSize> download_size(Store& store, const formats::Manifest& manifest);

std::string component_version_arn(const formats::ArnScope& scope,
                                  const ComponentVersion& component);

}  // namespace skerry::fleet
