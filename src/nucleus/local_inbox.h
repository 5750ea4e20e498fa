// What a local deployment brings along: recipes and artifacts, copied from the operator's folders
// before the deployment is accepted, so that the folders may change or go afterwards. Kept until
// the deployment has ended.
//
//   ROOT/local/ID/recipes/NAME@VERSION            with the digests of the artifacts
//   ROOT/local/ID/artifacts/NAME/VERSION/FILE
#pragma once

#include <map>
#include <optional>
#include <string>

#include "io/env.h"
#include "nucleus/cloud.h"
#include "nucleus/local_request.h"

namespace skerry::nucleus {

// As Cloud it is where its packages are downloaded from.
class LocalInbox : public Cloud {
 public:
  LocalInbox(io::Env& env, std::string directory) : env_(env), directory_(std::move(directory)) {}

  // Fills it, durably, from folders in the layout of the stock CLI: recipes as *.json, *.yaml or
  // *.yml, artifacts as NAME/VERSION/FILE. `which` of the two folders an error is about is told.
  enum class Folder { kRecipes, kArtifacts };
  io::Task<Result<void>> take(LocalFolders folders, Folder* which);
  // Reads it again; absent is empty.
  io::Task<Result<void>> open();
  // Where artifacts at s3:// are read that the folder has not; must outlive it.
  void read_beyond(Cloud* cloud) { beyond_ = cloud; }

  // The highest version that everyone accepts.
  Result<std::optional<Candidate>> find(const ComponentName& name,
                                        const std::map<std::string, std::string>& wants) const;
  // Whether this candidate came from an inbox.
  static bool brought(const Candidate& candidate);

  io::Task<Result<std::vector<std::string>>> thing_groups() override;
  io::Task<Result<Candidate>> resolve(ComponentName name,
                                      std::map<std::string, std::string> requirements) override;
  io::Task<Result<std::string>> artifact_url(std::string component_arn,
                                             std::string artifact) override;
  io::Task<Result<void>> download(std::string url, uint64_t offset, DownloadSink* sink) override;

 private:
  using Digests = std::map<std::string, std::string>;  // FILE → SHA-256 in Base64
  template <class Work>
  auto on_pool(Work work) {
    return io::run_on(env_.pool, env_.loop, std::move(work));
  }
  io::Task<Result<void>> take_recipe(std::string path, std::string artifacts, Folder* which);
  io::Task<Result<std::optional<std::string>>> take_file(std::string from, std::string to);

  io::Env& env_;
  const std::string directory_;
  std::map<ComponentName, std::map<std::string, Candidate>> candidates_;  // by version
  Cloud* beyond_ = nullptr;
};

}  // namespace skerry::nucleus
