// Deployments that this device's operator asks of the device itself, with or without a fleet: taken
// durably, run one at a time between the fleet's, remembered for whoever asks how they went.
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "io/env.h"
#include "io/task.h"
#include "nucleus/deployment_engine.h"
#include "nucleus/device_state.h"
#include "nucleus/local_inbox.h"
#include "nucleus/nucleus_info.h"

namespace skerry::nucleus {

class LocalDeployments {
 public:
  struct Hooks {
    // Nothing else is deployed until give_back(). False where that is not possible now:
    // run_next() is then called when it is.
    std::function<bool()> take_turn;
    std::function<void()> give_back;
    std::function<void()> on_finished;
    std::function<void(const Error&)> on_fatal;  // the state could not be written
  };
  LocalDeployments(io::Env& env, const NucleusInfo& info, DeviceState& state,
                   DeploymentEngine& engine, Hooks hooks)
      : env_(env), info_(info), state_(state), engine_(engine), hooks_(std::move(hooks)) {}

  // Before anything is deployed: what a crash has left behind is seen to.
  void start();
  // Runs what waits, where nothing else is deployed.
  void run_next();

  // Whose fault a refusal is; `kNeither` is the request's, or the device's.
  enum class Blame { kNeither, kRecipes, kArtifacts };
  struct Refusal {
    Blame blame;
    Error error;
  };
  using Created = std::function<void(std::expected<DeploymentId, Refusal>)>;
  // Durable when it answers, with copies of what the folders hold. No answer where the device stops
  // before that: nothing was accepted then.
  void create(LocalRequest request, LocalFolders folders, Created answer) {
    arrivals_.spawn(arrive(std::move(request), std::move(folders), std::move(answer)));
  }
  // It ends, and where it has switched already it is rolled back. kNotFound; kFailedPrecondition
  // where it has ended.
  Result<void> cancel(const DeploymentId& id);

  // Oldest first; see LocalRecords.
  const std::vector<LocalDeployment>& all() const { return state_.local_deployments(); }
  // "QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED" or "CANCELED".
  std::string_view status_of(const LocalDeployment& deployment) const;

 private:
  io::Task<void> arrive(LocalRequest request, LocalFolders folders, Created answer);
  io::Task<std::expected<DeploymentId, Refusal>> accept(LocalRequest request, LocalFolders folders);
  std::string inbox_of(const DeploymentId& id) const;
  bool is_past_switch(const DeploymentId& id) const;
  io::Task<void> run(LocalDeployment deployment);
  io::Task<Result<void>> deploy(const LocalDeployment* deployment);
  Result<void> end_cancelled(const DeploymentId& id);
  void ended(const DeploymentId& id);
  void sweep_soon();
  io::Task<void> sweep();

  io::Env& env_;
  const NucleusInfo& info_;
  DeviceState& state_;
  DeploymentEngine& engine_;
  Hooks hooks_;
  std::optional<DeploymentId> running_;
  std::set<std::string> arriving_;  // their folders are being copied
  io::TaskScope arrivals_, work_, sweeping_;
};

}  // namespace skerry::nucleus
