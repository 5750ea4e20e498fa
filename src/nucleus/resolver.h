// Which component versions a set of wanted root components needs, with all their dependencies.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "formats/recipe.h"
#include "nucleus/cloud.h"
#include "nucleus/deployment_fault.h"
#include "nucleus/device_state.h"
#include "nucleus/local_inbox.h"
#include "nucleus/package_store.h"

namespace skerry::nucleus {

struct ResolvedComponent {
  Candidate candidate;
  formats::Recipe recipe;
  formats::Manifest manifest;  // the one for this platform
  bool is_root = false;
};
using Resolution = std::map<ComponentName, ResolvedComponent>;

// component → who wants it → version range
using Requirements = std::map<ComponentName, std::map<std::string, std::string>>;

class Resolver {
 public:
  // `inbox`: of a local deployment, else null.
  Resolver(Cloud& cloud, PackageStore& packages, const DeviceState& state, const NucleusInfo& info,
           const LocalInbox* inbox = nullptr)
      : cloud_(cloud), packages_(packages), state_(state), info_(info), inbox_(inbox) {}

  // The control plane chooses; while it cannot be reached, versions that run here will do. For a
  // local deployment what it brought along comes first, then what runs here, and what an earlier
  // one has brought is the control plane's matter at no time. Errors
  // name who wants what: kNotFound (no such version), kFailedPrecondition (ranges exclude each
  // other, a cycle, no manifest for this platform), kUnavailable (try again).
  io::Task<Outcome<Resolution>> resolve(Requirements roots);

 private:
  io::Task<Outcome<ResolvedComponent>> choose(ComponentName name,
                                              std::map<std::string, std::string> wants);
  Result<std::optional<Candidate>> local_version(const ComponentName& name,
                                                 const std::map<std::string, std::string>& wants);
  io::Task<Outcome<Candidate>> candidate(ComponentName name,
                                         std::map<std::string, std::string> wants);
  Result<Candidate> running_version(const ComponentName& name);

  Cloud& cloud_;
  PackageStore& packages_;
  const DeviceState& state_;
  const NucleusInfo& info_;
  const LocalInbox* inbox_;
};

}  // namespace skerry::nucleus
