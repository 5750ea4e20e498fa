// What the device must never lose: which component versions run, their configuration, the
// deployment that is being switched to or rolled back, and job results not yet reported. One
// journal; every change is one record, durable when the call returns. After a crash the device is
// in the state before the record or after it.
//
//   idle ──switch_to──► activating ──commit──────────────────► idle (new versions)
//                           └──begin_rollback──► rolling back ──finish_rollback──► idle (old
//                           versions)
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/named_type.h"
#include "formats/deployment.h"
#include "io/env.h"
#include "io/journal.h"
#include "nucleus/config_store.h"

namespace skerry::nucleus {

struct InstalledComponent {
  std::string version;
  std::string digest;  // of its package; empty where an earlier release installed it
  std::string arn;
  std::string posix_user;  // "user" or "user:group" of the deployment; empty: the device's default
  formats::ResourceLimits limits;  // of the deployment; empty: the device's default
  bool is_root = false;
  std::vector<std::string> configuration_arns;  // of the deployments that want it

  bool operator==(const InstalledComponent&) const = default;
  static std::string package_of(const std::string& version, const std::string& digest) {
    return version + "@" + digest;
  }
  // What its folder is called, and what an Install counts for.
  std::string package() const { return package_of(version, digest); }
};
using ComponentSet = std::map<ComponentName, InstalledComponent>;

// The last deployment of one target ("thinggroup/G" or "thing/T").
struct TargetDeployment {
  std::string deployment_id;
  std::string configuration_arn;
  int64_t revision = 0;
  std::map<ComponentName, std::string> roots;  // name → version requirement

  bool operator==(const TargetDeployment&) const = default;
};
using Targets = std::map<std::string, TargetDeployment>;

// All that a deployment replaces in one step.
struct Generation {
  ComponentSet components;
  Targets targets;
  ConfigTree config;
};

// How a job ended, kept until the control plane has taken it.
struct JobResult {
  JobId job;
  DeploymentId deployment;
  std::string target;  // "thinggroup/G"
  std::string configuration_arn;
  std::string status;           // "SUCCEEDED", "FAILED", "REJECTED"
  std::string detailed_status;  // "SUCCESSFUL", "FAILED_ROLLBACK_COMPLETE", …
  std::string reason;           // for people; empty when it succeeded
};

enum class Phase { kIdle, kActivating, kRollingBack };

class DeviceState {
 public:
  // `directory` holds the journal and is made where absent.
  static Result<std::unique_ptr<DeviceState>> open(io::Env& env, const std::string& directory);

  Phase phase() const { return phase_; }
  const ComponentSet& components() const { return components_; }
  const Targets& targets() const { return targets_; }
  ConfigStore& config() { return *config_; }
  const ConfigStore& config() const { return *config_; }
  // The job being switched to or rolled back, with the reason of a roll-back; not in kIdle.
  const JobResult& pending_job() const { return pending_job_; }
  bool roll_back_on_failure() const { return roll_back_on_failure_; }
  // Starts of the program since switch_to.
  int boots_in_phase() const { return boots_; }
  const std::vector<JobResult>& unreported() const { return unreported_; }
  const std::optional<JobResult>& last_result() const { return last_result_; }
  const ComponentSet& previous() const { return previous_.components; }

  // From kIdle. The new generation is current from here on, the old one kept.
  Result<void> switch_to(Generation next, JobResult job, bool roll_back_on_failure);
  Result<void> commit(JobResult result);
  // The old generation is current again.
  Result<void> begin_rollback(std::string reason);
  Result<void> finish_rollback(JobResult result);
  // A job that ended without a change of the running set.
  Result<void> record_result(JobResult result);
  Result<void> forget_result(const JobId& job);
  Result<void> note_boot();

  bool is_installed(const ComponentName& name, const std::string& package) const;
  Result<void> mark_installed(const ComponentName& name, const std::string& package);
  // Of a component that an earlier release installed, once its package is there.
  Result<void> set_digest(const ComponentName& name, const std::string& version,
                          const std::string& digest);

 private:
  DeviceState();
  Result<void> append(const nlohmann::json& record);
  Result<void> apply(const nlohmann::json& record);
  void adopt(Generation generation);
  void drop_stale_installs();
  void adopt_digest(const std::string& name, const std::string& version, const std::string& digest);
  nlohmann::json snapshot() const;
  Result<void> restore(const nlohmann::json& snapshot);

  std::optional<io::Journal> journal_;  // unset while it is replayed
  uint64_t compact_above_bytes_;
  std::unique_ptr<ConfigStore> config_;
  ComponentSet components_;
  Targets targets_;
  Phase phase_ = Phase::kIdle;
  Generation previous_;
  JobResult pending_job_;
  bool roll_back_on_failure_ = true;
  int boots_ = 0;
  std::vector<JobResult> unreported_;
  std::optional<JobResult> last_result_;
  std::set<std::pair<std::string, std::string>> installed_;  // name, package
};

}  // namespace skerry::nucleus
