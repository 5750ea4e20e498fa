// Recipes and the control plane of the tests.
#include "nucleus/test_cloud.h"

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "formats/arn.h"
#include "formats/version.h"

namespace skerry::nucleus {

using nlohmann::json;

json test_recipe(const std::string& name, const std::string& version,
                 const std::map<std::string, std::string>& dependencies) {
  return test_recipe(name, version, dependencies, {{"Run", "run"}});
}

json test_recipe(const std::string& name, const std::string& version,
                 const std::map<std::string, std::string>& dependencies, const json& lifecycle) {
  json recipe = {{"RecipeFormatVersion", "2020-01-25"},
                 {"ComponentName", name},
                 {"ComponentVersion", version},
                 {"Manifests", {{{"Platform", {{"os", "linux"}}}, {"Lifecycle", lifecycle}}}}};
  for (const auto& [dependency, range] : dependencies) {
    const bool soft = range.starts_with('!');
    recipe["ComponentDependencies"][dependency] = {
        {"VersionRequirement", range.substr(soft ? 1 : 0)},
        {"DependencyType", soft ? "SOFT" : "HARD"}};
  }
  return recipe;
}

json test_artifact(const std::string& file, const std::string& bytes) {
  return {{"URI", "greengrass:" + file},
          {"Digest", base64_encode(sha256(bytes))},
          {"Algorithm", "SHA-256"}};
}

void TestCloud::publish(const json& recipe, std::map<std::string, std::string> artifacts) {
  const ComponentName name(recipe.at("ComponentName").get<std::string>());
  const std::string version = recipe.at("ComponentVersion").get<std::string>();
  versions[name][version] = recipe.dump();
  for (auto& [file, bytes] : artifacts) files[file] = std::move(bytes);
}

io::Task<Result<std::vector<std::string>>> TestCloud::thing_groups() {
  if (unreachable) co_return fail(*unreachable);
  co_return groups;
}

io::Task<Result<Candidate>> TestCloud::resolve(ComponentName name,
                                               std::map<std::string, std::string> requirements) {
  if (unreachable) co_return fail(*unreachable);
  std::optional<Candidate> best;
  for (const auto& [text, recipe] : versions[name]) {
    const auto version = formats::Version::parse(text).value();
    bool fits = true;
    for (const auto& [who, range] : requirements)
      fits = fits && formats::VersionRange::parse(range).value().matches(version);
    if (fits && (!best || formats::Version::parse(best->version).value() < version))
      best = Candidate{formats::component_version_arn({}, {name, version}), name, text, recipe};
  }
  if (!best) co_return fail(Code::kNotFound, "no version fits");
  co_return *best;
}

io::Task<Result<std::string>> TestCloud::artifact_url(std::string, std::string artifact) {
  if (unreachable) co_return fail(*unreachable);
  co_return artifact;
}

io::Task<Result<void>> TestCloud::download(std::string url, uint64_t offset, DownloadSink* sink) {
  if (download_error) co_return fail(*download_error);
  if (on_download) on_download();
  offsets.push_back(offset);
  auto found = files.find(url);
  if (found == files.end()) co_return fail(Code::kNotFound, "HTTP 404");
  std::string_view bytes = found->second;
  if (offset > bytes.size()) co_return fail(Code::kInvalidArgument, "HTTP 416");
  if (!has_ranges) offset = 0;
  bytes.remove_prefix(offset);
  SKERRY_CO_TRY(co_await sink->begin(offset, bytes.size()));
  SKERRY_CO_TRY(co_await sink->write(std::string(bytes.substr(0, cut_after_bytes))));
  if (bytes.size() > cut_after_bytes) co_return fail(Code::kUnavailable, "the connection broke");
  co_return Result<void>();
}

}  // namespace skerry::nucleus
