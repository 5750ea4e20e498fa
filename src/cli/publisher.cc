// Uploading artifacts and creating component versions.
#include "cli/publisher.h"

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "formats/recipe.h"
#include "formats/zip.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr std::string_view kLocal = "file:";

// What is done with the bytes of an artifact that goes to `key`.
using Deliver = std::function<Result<void>(const formats::Artifact& artifact,
                                           const std::string& key, const UploadContent& content)>;

// What a device would not unpack is not uploaded.
Result<void> check_archive(const formats::Artifact& artifact, const UploadContent& content) {
  if (artifact.unarchive != formats::Unarchive::kZip) return {};
  SKERRY_ASSIGN(auto reader,
                formats::ZipReader::open(
                    [&](uint64_t offset, size_t size) { return content.read(offset, size); },
                    content.size_bytes(), "the archive " + artifact.uri));
  return formats::check_zip(*reader, formats::ZipCheck::kContent);
}

// The recipe with every local artifact replaced by its place in the fleet's store, after `deliver`.
Result<std::string> replace_local(std::string_view text, const ArtifactSource& source,
                                  const Deliver& deliver) {
  SKERRY_ASSIGN(const auto recipe, formats::parse_recipe(text));
  for (const auto& manifest : recipe.manifests)
    SKERRY_TRY(formats::check_artifacts_apart(manifest));
  const std::string folder = recipe.name.str() + "/" + recipe.version.str() + "/";
  return formats::rewrite_artifacts(
      text,
      [&](const formats::Artifact& artifact) -> Result<std::optional<formats::ArtifactPlace>> {
        if (!artifact.uri.starts_with(kLocal)) return std::optional<formats::ArtifactPlace>();
        // file:amd64/app and file:arm64/app are not one object.
        const std::string path = artifact.uri.substr(kLocal.size());
        const std::string key =
            folder + hex_encode(sha256(path)).substr(0, 16) + "/" + artifact.file_name();
        SKERRY_ASSIGN(const UploadContent content, source(path));
        SKERRY_TRY(deliver(artifact, key, content));
        return formats::ArtifactPlace{
            .uri = std::string("s3://") + formats::kArtifactBucket + "/" + key,
            .sha256_base64 = ""};
      });
}

}  // namespace

Result<json> publish(FleetClient& fleet, const Output& output, std::string_view recipe,
                     const ArtifactSource& source, bool force) {
  // Once without sending: what is missing or wrong is found before the first one is uploaded.
  SKERRY_TRY(
      replace_local(recipe, source,
                    [](const formats::Artifact& artifact, const std::string&,
                       const UploadContent& content) { return check_archive(artifact, content); }));
  const auto upload = [&](const formats::Artifact&, const std::string& key,
                          const UploadContent& content) {
    output.progress("uploading " + key + ", " + std::to_string(content.size_bytes() / 1024) +
                    " KiB …");
    auto put = fleet.put_object(formats::kArtifactBucket, key, content);
    output.progress("");
    return put;
  };
  SKERRY_ASSIGN(const std::string rewritten, replace_local(recipe, source, upload));
  return fleet.call({.service = "greengrass",
                     .method = "POST",
                     .path = "/greengrass/v2/createComponentVersion",
                     .query = force ? Query{{"skerry-force", "true"}} : Query{},
                     .body = json{{"inlineRecipe", base64_encode(rewritten)}}.dump()});
}

}  // namespace skerry::cli
