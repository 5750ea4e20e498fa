// What is done between deployments: damaged packages are made whole, the layout of an earlier
// release is brought forward, and what nobody needs any more is removed.
#pragma once

#include <string>

#include "io/env.h"
#include "nucleus/cloud.h"
#include "nucleus/device_state.h"
#include "nucleus/nucleus_info.h"
#include "nucleus/package_store.h"

namespace skerry::nucleus {

// Logs of components that are gone, newest first, that are kept for whoever wants to know why.
inline constexpr size_t kKeptLogs = 16;

class Housekeeper {
 public:
  Housekeeper(io::Env& env, const NucleusInfo& info, DeviceState& state, PackageStore& packages)
      : env_(env), info_(info), state_(state), packages_(packages) {}

  // The package of an installed component is whole when this succeeds. Without a cloud from what is
  // on this device alone: kUnavailable or kNotFound where that is not enough.
  io::Task<Result<void>> mend(Cloud* cloud, ComponentName name);
  // Removes packages and downloads that no generation refers to, work folders of components that
  // are not installed, and all but the newest kKeptLogs of their logs.
  io::Task<Result<void>> clean_up();

 private:
  io::Task<Result<Candidate>> candidate_of(Cloud* cloud, ComponentName name,
                                           InstalledComponent installed);

  io::Env& env_;
  const NucleusInfo& info_;
  DeviceState& state_;
  PackageStore& packages_;
};

// The manifest of a recipe for this device, or kFailedPrecondition naming the platforms of both.
Result<formats::Manifest> manifest_for(const NucleusInfo& info, const formats::Recipe& recipe);

}  // namespace skerry::nucleus
