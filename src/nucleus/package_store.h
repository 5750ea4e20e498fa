// Component versions on disk: recipes and artifacts, downloaded with resume, verified, unpacked.
// A version is there once its recipe file is: everything else of it is written and synced before.
//
//   packages/recipes/NAME/VERSION                     the recipe's text
//   packages/artifacts/NAME/VERSION/FILE
//   packages/artifacts-unarchived/NAME/VERSION/STEM/  of artifacts with Unarchive: ZIP
//   staging/SHA256.part                               a download that can be continued
#pragma once

#include <map>
#include <string>

#include "formats/recipe.h"
#include "io/env.h"
#include "nucleus/cloud.h"
#include "nucleus/device_state.h"
#include "nucleus/nucleus_info.h"

namespace skerry::nucleus {

class PackageStore {
 public:
  PackageStore(io::Env& env, const NucleusInfo& info);

  // Everything of `candidate` on disk, synced. Continues where an earlier call was cut off; does
  // nothing where the version is complete. kCorrupt: a digest is wrong; kResourceExhausted: no
  // space.
  io::Task<Result<void>> fetch(Cloud* cloud, Candidate candidate,
                               const formats::Manifest* manifest);

  Result<std::string> recipe(const ComponentName& name, const std::string& version);
  // Gives the version's files to `user` with the permissions of its manifest.
  Result<void> set_owner(const ComponentName& name, const std::string& version,
                         const formats::Manifest& manifest, UserId user);
  // Removes every version that is not in `needed`, and unfinished downloads.
  Result<void> collect_garbage(const ComponentSet& needed);

  std::string artifacts_path(const ComponentName& name, const std::string& version) const;
  std::string unarchived_path(const ComponentName& name, const std::string& version) const;

 private:
  std::string recipe_path(const ComponentName& name, const std::string& version) const;
  io::Task<Result<void>> fetch_artifact(Cloud* cloud, const Candidate* candidate,
                                        formats::Artifact artifact);
  io::Task<Result<void>> download(Cloud* cloud, const Candidate* candidate,
                                  formats::Artifact artifact, std::string part, std::string digest);
  Result<void> publish_recipe(const Candidate& candidate);
  Result<void> drop_version(const std::string& name, const std::string& version);

  io::Env& env_;
  const NucleusInfo& info_;
};

}  // namespace skerry::nucleus
