// For tests: a control plane in memory, recipes for it, and a way to wait for a task.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "base/sha256.h"
#include "formats/arn.h"
#include "formats/version.h"
#include "io/task.h"
#include "nucleus/cloud.h"

namespace skerry::nucleus {

// A recipe in JSON. `dependencies`: name → range, with "!" before it for SOFT ones.
inline nlohmann::json test_recipe(const std::string& name, const std::string& version,
                                  const std::map<std::string, std::string>& dependencies = {},
                                  const nlohmann::json& lifecycle = {{"Run", "run"}}) {
  nlohmann::json recipe = {
      {"RecipeFormatVersion", "2020-01-25"},
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

// An artifact of a recipe whose bytes are `bytes`.
inline nlohmann::json test_artifact(const std::string& file, const std::string& bytes) {
  return {{"URI", "greengrass:" + file},
          {"Digest", base64_encode(sha256(bytes))},
          {"Algorithm", "SHA-256"}};
}

class TestCloud : public Cloud {
 public:
  void publish(const nlohmann::json& recipe, std::map<std::string, std::string> artifacts = {}) {
    const ComponentName name(recipe.at("ComponentName").get<std::string>());
    const std::string version = recipe.at("ComponentVersion").get<std::string>();
    versions[name][version] = recipe.dump();
    for (auto& [file, bytes] : artifacts) files[file] = std::move(bytes);
  }

  std::map<ComponentName, std::map<std::string, std::string>> versions;  // → recipe
  std::map<std::string, std::string> files;                              // artifacts by name
  Result<std::vector<std::string>> groups = std::vector<std::string>{};
  std::optional<Error> unreachable;       // the answer to every call
  bool has_ranges = true;                 // downloads continue where they are asked to
  uint64_t cut_after_bytes = UINT64_MAX;  // of one download
  std::vector<uint64_t> offsets;          // that downloads were asked for
  std::function<void()> on_download;      // before each

  io::Task<Result<std::vector<std::string>>> thing_groups() override {
    if (unreachable) co_return fail(*unreachable);
    co_return groups;
  }

  // The newest version that everyone accepts.
  io::Task<Result<Candidate>> resolve(ComponentName name,
                                      std::map<std::string, std::string> requirements) override {
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

  io::Task<Result<std::string>> artifact_url(std::string, std::string artifact) override {
    if (unreachable) co_return fail(*unreachable);
    co_return artifact;
  }

  io::Task<Result<void>> download(std::string url, uint64_t offset, DownloadSink* sink) override {
    if (on_download) on_download();
    offsets.push_back(offset);
    auto found = files.find(url);
    if (found == files.end()) co_return fail(Code::kNotFound, "HTTP 404");
    std::string_view bytes = found->second;
    if (offset > bytes.size()) co_return fail(Code::kInvalidArgument, "HTTP 416");
    if (!has_ranges) offset = 0;
    bytes.remove_prefix(offset);
    SKERRY_CO_TRY(sink->begin(offset, bytes.size()));
    SKERRY_CO_TRY(sink->write(bytes.substr(0, cut_after_bytes)));
    if (bytes.size() > cut_after_bytes) co_return fail(Code::kUnavailable, "the connection broke");
    co_return Result<void>();
  }
};

// The task's value, once `loop` has brought it to its end.
template <class T>
T run_task(io::RealLoop& loop, io::Task<T> task) {
  struct Runner {
    static io::Task<void> run(io::Task<T> task, std::optional<T>* out) {
      out->emplace(co_await std::move(task));
    }
  };
  std::optional<T> out;
  io::TaskScope scope;
  scope.spawn(Runner::run(std::move(task), &out));
  for (int i = 0; i < 600 && !out; ++i) loop.run_for(100);
  if (!out) std::abort();  // a minute: the task hangs
  return std::move(*out);
}

}  // namespace skerry::nucleus
