// Takes the device from one generation of components to the next, or back. The main path of the
// device: read deploy() in the .cc first; deployment_plan.cc is its first step.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>

#include "formats/deployment.h"
#include "nucleus/cloud.h"
#include "nucleus/deployment_fault.h"
#include "nucleus/device_state.h"
#include "nucleus/housekeeper.h"
#include "nucleus/local_inbox.h"
#include "nucleus/nucleus_info.h"
#include "nucleus/package_store.h"
#include "nucleus/resolver.h"
#include "nucleus/supervisor.h"
#include "nucleus/update_consent.h"

namespace skerry::nucleus {

// What a local deployment says beyond its document.
struct LocalChange {
  std::set<ComponentName> added, removed;  // of the target's roots; the others stay
  std::set<ComponentName> run_with;        // whose runWith it says; that of others stays
  LocalInbox* inbox = nullptr;             // what it brought along
};

struct DeploymentOrder {
  JobId job;
  formats::Deployment document;
  std::string target;  // "thinggroup/G"; of a job "": its document's configuration ARN says it
  std::optional<LocalChange> local;  // of a job nothing
};

class DeploymentEngine {
 public:
  DeploymentEngine(io::Env& env, const NucleusInfo& info, DeviceState& state,
                   PackageStore& packages, Cloud& cloud, Supervisor& supervisor,
                   UpdateConsent& consent)
      : env_(env),
        info_(info),
        state_(state),
        packages_(packages),
        cloud_(cloud),
        supervisor_(supervisor),
        consent_(consent),
        keeper_(env, info, state, packages) {}

  // Runs the job to its end; the result is in the state's unreported results when it returns.
  // Before the switch (state.phase() == kIdle) destroying the task cancels the job; after it
  // cancel() does.
  // An error means that the state itself could not be written: restart the program.
  io::Task<Result<void>> deploy(DeploymentOrder order);

  // The deployment that is past its switch is not wanted any more: it rolls back, whatever step it
  // is in and whatever its failure policy says, and does not wait for what it rolls back to.
  void cancel(std::string reason);

  // At start: brings up what runs here and ends a switch or roll-back that a crash interrupted.
  // Components that cannot be prepared (a user is gone, a file is damaged) are left out; damaged
  // ones are downloaded again once the control plane can be reached.
  io::Task<Result<void>> resume();

  // Ends a job without running it; cancelling and errors as in deploy().
  io::Task<Result<void>> end_without_change(JobResult result);

  // Mends what is damaged and removes what is not needed, in the background until the next
  // deployment. In kIdle only, and when none may want to continue its downloads.
  void tend();
  // While a job that was put off wants to continue its downloads, nothing is removed.
  void keep_downloads(bool keep) { keep_downloads_ = keep; }
  // Ends that; for the shutdown.
  void stop_tending() { background_.cancel_all(); }

 private:
  struct Plan {
    Generation next;
    Resolution resolution;
  };
  io::Task<Outcome<Plan>> prepare_switch(const DeploymentOrder* order);
  io::Task<Outcome<Plan>> plan(const DeploymentOrder* order);
  Result<void> check_revision(const DeploymentOrder& order) const;
  io::Task<Result<Targets>> next_targets(const DeploymentOrder* order);
  Result<ComponentSet> next_components(const DeploymentOrder& order, const Targets& targets,
                                       const Resolution& resolution) const;
  io::Task<Outcome<Resolution>> resolve(const DeploymentOrder* order, Requirements roots);
  io::Task<Result<void>> fetch(const DeploymentOrder* order, const Resolution* resolution);
  io::Task<Outcome<>> consult(const formats::Deployment* document, const Generation* next);
  Result<ConfigTree> next_config(const formats::Deployment& document,
                                 const Resolution& resolution) const;
  io::Task<Outcome<>> activate();
  io::Task<void> bring_up(io::Completion<Outcome<>> up);
  io::Task<Outcome<>> bring_up_current();
  io::Task<Result<void>> finish_activation();
  io::Task<Result<void>> roll_back(std::string reason, FaultCodes codes);
  Fault fault_of_health(Error error) const;
  io::Task<Result<void>> persist(std::function<Result<void>()> write);
  Result<ComponentSpec> spec_of(const ComponentName& name, const ComponentSet& components,
                                const ConfigTree& config);
  std::vector<ComponentSpec> leavers(const Generation& other);
  io::Task<Result<ComponentSpec>> prepare(ComponentName name);
  io::Task<void> apply_what_can_run();
  io::Task<void> mend_damaged();
  io::Task<void> mend_and_clean_up();
  io::Task<void> wait_before_retry(int attempt, const Error* error);

  io::Env& env_;
  const NucleusInfo& info_;
  DeviceState& state_;
  PackageStore& packages_;
  Cloud& cloud_;
  Supervisor& supervisor_;
  UpdateConsent& consent_;
  Housekeeper keeper_;
  std::optional<Error> cancelled_;               // why
  std::optional<io::Completion<Outcome<>>> up_;  // while a generation is brought up
  bool keep_downloads_ = false;
  std::set<ComponentName> damaged_;  // installed, and not startable for that
  io::TaskScope background_;         // of tend()
};

// Whether trying again later may succeed.
inline bool is_worth_waiting_for(const Error& error) {
  return error.code() == Code::kUnavailable || error.code() == Code::kTimeout;
}

// "thinggroup/G" of a configuration ARN; kInvalidArgument where it is not one.
Result<std::string> target_of(const formats::Deployment& document);

}  // namespace skerry::nucleus
