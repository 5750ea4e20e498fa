// Component versions on disk, each a package named by its content (formats/package.h), downloaded
// with resume and verified. All that may take long happens on the pool, in pieces.
//
//   packages/NAME/VERSION@DIGEST/           what generations refer to; whole once it is there
//   staging/SHA256.part                     a download that can be continued
//   staging/NAME@VERSION@DIGEST/            a package in the making, or on its way out
#pragma once

#include <map>
#include <set>
#include <string>

#include "formats/package.h"
#include "formats/recipe.h"
#include "io/env.h"
#include "nucleus/cloud.h"
#include "nucleus/device_state.h"
#include "nucleus/nucleus_info.h"
#include "nucleus/package_builder.h"

namespace skerry::nucleus {

// One call at a time of those that are tasks: the pool does file work in order, so that what a
// dropped one still has there is done before the next one's begins.
class PackageStore {
 public:
  PackageStore(io::Env& env, const NucleusInfo& info);

  // Everything of `candidate` on disk, synced. Continues where an earlier call was cut off; does
  // nothing where the package is whole; a damaged one is made again from what is good of it and of
  // `old_layout`'s files, where those are the candidate's. Without a cloud only what is here counts
  // (kUnavailable). kCorrupt: a digest is wrong; kResourceExhausted: no space.
  io::Task<Result<void>> fetch(Cloud* cloud, Candidate candidate, const formats::Manifest* manifest,
                               bool old_layout = false);

  // Whether the package is there as it was published. Quick where nothing was touched.
  io::Task<Result<bool>> is_whole(ComponentName name, std::string package);

  // The recipe of an installed version, also of one that is still in the old layout.
  Result<std::string> recipe(const ComponentName& name, const InstalledComponent& installed);
  // Lets the group read what the recipe gives to the component's user.
  io::Task<Result<void>> give_to_group(ComponentName name, std::string package, uint32_t group);
  // component → "VERSION@DIGEST"
  using Needed = std::map<ComponentName, std::set<std::string>>;
  // Removes every package that is not in `needed`, and unfinished downloads.
  io::Task<Result<void>> collect_garbage(Needed needed);

  std::string artifacts_path(const ComponentName& name, const std::string& package) const;
  std::string unarchived_path(const ComponentName& name, const std::string& package) const;

 private:
  template <class Work>
  io::Task<std::invoke_result_t<Work&>> on_pool(Work work) {
    return io::run_on(env_.pool, env_.loop, std::move(work));
  }
  using Faults = std::vector<formats::PackageFault>;
  io::Task<Result<Faults>> look(std::string directory, formats::PackageChecker::How how);
  io::Task<Result<void>> fetch_artifact(Cloud* cloud, const Candidate* candidate,
                                        formats::Artifact artifact,
                                        std::shared_ptr<PackageBuilder> builder);
  io::Task<Result<void>> download(Cloud* cloud, const Candidate* candidate,
                                  formats::Artifact artifact, std::string part);
  io::Task<Result<void>> remove(std::string path);
  std::string place(const ComponentName& name, const std::string& package) const;

  io::Env& env_;
  const NucleusInfo& info_;
};

}  // namespace skerry::nucleus
