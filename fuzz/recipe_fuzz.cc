// Recipes come from component authors: any bytes may arrive at the fleet and at the device.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/recipe.h"

namespace {

using skerry::formats::Artifact;
using skerry::formats::ArtifactPlace;

void check(bool holds) {
  if (!holds) std::abort();
}

skerry::Result<std::optional<ArtifactPlace>> to_greengrass(const Artifact& artifact) {
  return ArtifactPlace{"greengrass:0/" + artifact.file_name(), "c2hh"};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto recipe = skerry::formats::parse_recipe(text);
  const auto printed = skerry::formats::recipe_to_json(text);
  check(recipe.has_value() == printed.has_value());
  if (!recipe) return 0;

  skerry::formats::choose_manifest(*recipe, {{"os", "linux"}, {"architecture", "amd64"}});
  // Printing may lengthen a document past the limit ("\x01" becomes six characters).
  if (printed->size() > skerry::formats::kMaxRecipeBytes) return 0;
  check(skerry::formats::recipe_to_json(*printed).value() == *printed);
  const auto rewritten = skerry::formats::rewrite_artifacts(*printed, to_greengrass);
  check(rewritten.has_value());
  if (rewritten->size() > skerry::formats::kMaxRecipeBytes) return 0;
  const auto again = skerry::formats::parse_recipe(*rewritten);
  check(again && again->name == recipe->name && again->version == recipe->version &&
        again->manifests.size() == recipe->manifests.size());
  for (size_t i = 0; i < again->manifests.size(); ++i) {
    const auto& artifacts = again->manifests[i].artifacts;
    check(artifacts.size() == recipe->manifests[i].artifacts.size());
    for (const Artifact& artifact : artifacts) check(artifact.digest == "c2hh");
  }
  return 0;
}
