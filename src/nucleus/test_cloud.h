// For tests: a control plane in memory, recipes for it, and a way to wait for a task.
#pragma once

#include <cstdlib>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "io/task.h"
#include "nucleus/cloud.h"

namespace skerry::nucleus {

// A recipe. `dependencies`: name → range, with "!" before it for SOFT ones. Runs "run" unless a
// lifecycle is given.
nlohmann::json test_recipe(const std::string& name, const std::string& version,
                           const std::map<std::string, std::string>& dependencies = {});
nlohmann::json test_recipe(const std::string& name, const std::string& version,
                           const std::map<std::string, std::string>& dependencies,
                           const nlohmann::json& lifecycle);

// An artifact of a recipe whose bytes are `bytes`.
nlohmann::json test_artifact(const std::string& file, const std::string& bytes);

class TestCloud : public Cloud {
 public:
  void publish(const nlohmann::json& recipe, std::map<std::string, std::string> artifacts = {});

  std::map<ComponentName, std::map<std::string, std::string>> versions;  // → recipe
  std::map<std::string, std::string> files;                              // artifacts by name
  Result<std::vector<std::string>> groups = std::vector<std::string>{};
  std::optional<Error> unreachable;       // the answer to every call
  std::optional<Error> download_error;    // of every download
  bool has_ranges = true;                 // downloads continue where they are asked to
  uint64_t cut_after_bytes = UINT64_MAX;  // of one download
  std::vector<uint64_t> offsets;          // that downloads were asked for
  std::function<void()> on_download;      // before each

  io::Task<Result<std::vector<std::string>>> thing_groups() override;
  // The newest version that everyone accepts.
  io::Task<Result<Candidate>> resolve(ComponentName name,
                                      std::map<std::string, std::string> requirements) override;
  io::Task<Result<std::string>> artifact_url(std::string component_arn,
                                             std::string artifact) override;
  io::Task<Result<void>> download(std::string url, uint64_t offset, DownloadSink* sink) override;
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
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!out && std::chrono::steady_clock::now() < end) loop.run_for(100);
  if (!out) std::abort();  // it hangs
  return std::move(*out);
}

}  // namespace skerry::nucleus
