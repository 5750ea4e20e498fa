// Takes the device from one generation of components to the next, or back. The main path of the
// device: read deploy() in the .cc first.
#pragma once

#include <functional>
#include <string>

#include "formats/deployment.h"
#include "nucleus/cloud.h"
#include "nucleus/device_state.h"
#include "nucleus/nucleus_info.h"
#include "nucleus/package_store.h"
#include "nucleus/resolver.h"
#include "nucleus/supervisor.h"

namespace skerry::nucleus {

class DeploymentEngine {
 public:
  DeploymentEngine(io::Env& env, const NucleusInfo& info, DeviceState& state,
                   PackageStore& packages, Cloud& cloud, Supervisor& supervisor)
      : env_(env),
        info_(info),
        state_(state),
        packages_(packages),
        cloud_(cloud),
        supervisor_(supervisor) {}

  // Runs the job to its end; the result is in the state's unreported results when it returns. Only
  // before the switch (state.phase() == kIdle) may the task be destroyed: that cancels the job.
  // An error means that the state itself could not be written: restart the program.
  io::Task<Result<void>> deploy(JobId job, formats::Deployment document);

  // At start: brings up what runs here and ends a switch or roll-back that a crash interrupted.
  // Components that cannot be prepared (a user is gone, a file is damaged) are left out.
  io::Task<Result<void>> resume();

  // Ends a job without running it; cancelling and errors as in deploy().
  io::Task<Result<void>> end_without_change(JobResult result);

  // Removes versions and downloads that do not belong to the current generation. In kIdle only, and
  // when no deployment may want to continue its downloads.
  void collect_garbage();

 private:
  struct Plan {
    Generation next;
    Resolution resolution;
  };
  io::Task<Result<Plan>> plan(const formats::Deployment* document);
  io::Task<Result<Targets>> next_targets(const formats::Deployment* document,
                                         const std::string* target);
  io::Task<Result<void>> fetch(const Resolution* resolution);
  Result<ConfigTree> next_config(const formats::Deployment& document,
                                 const Resolution& resolution) const;
  io::Task<Result<void>> activate();
  io::Task<Result<void>> finish_activation();
  io::Task<Result<void>> roll_back(std::string reason);
  io::Task<Result<void>> persist(std::function<Result<void>()> write);
  Result<std::vector<ComponentSpec>> prepare_current();
  Result<ComponentSpec> prepare(const ComponentName& name, const InstalledComponent& installed);
  io::Task<void> wait_before_retry(int attempt, const Error* error);

  io::Env& env_;
  const NucleusInfo& info_;
  DeviceState& state_;
  PackageStore& packages_;
  Cloud& cloud_;
  Supervisor& supervisor_;
};

// "thinggroup/G" of a configuration ARN; kInvalidArgument where it is not one.
Result<std::string> target_of(const formats::Deployment& document);

}  // namespace skerry::nucleus
