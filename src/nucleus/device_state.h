// What the device must never lose: which component versions run, their configuration, the
// deployment that is being switched to or rolled back, and job results not yet reported. One
// journal; every change is one record, durable when the call returns; those that components make to
// their configuration are written by a thread and durable when they are answered. After a crash the
// device is in the state before the record or after it. The records are described in
// docs/data/journal.md.
//
//   idle ──switch_to──► activating ──commit──────────────────► idle (new versions)
//                           └──begin_rollback──► rolling back ──finish_rollback──► idle (old
//                           versions)
//
// Where records were lost (damage to both copies of the journal) the newest good state is used, and
// the device is to be repaired: needs_repair() says why until the control plane has deployed again
// what its targets say.
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
#include "io/task.h"
#include "nucleus/config_store.h"
#include "nucleus/job_result.h"
#include "nucleus/local_records.h"

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

enum class Phase { kIdle, kActivating, kRollingBack };

class DeviceState {
 public:
  // `directory` holds the journal and is made where absent. Something in `packages` without any
  // journal means that it was lost. Fails where the disk does, never for damage.
  static Result<std::unique_ptr<DeviceState>> open(io::Env& env, const std::string& directory,
                                                   const std::string& packages);

  Phase phase() const { return phase_; }
  const ComponentSet& components() const { return components_; }
  const Targets& targets() const { return targets_; }
  ConfigStore& config() { return *config_; }
  // Every change of configuration that was asked for is made, or refused, when this returns.
  void settle();
  const ConfigStore& config() const { return *config_; }
  // The job being switched to or rolled back, with reason and codes of a roll-back; not in kIdle.
  const JobResult& pending_job() const { return pending_job_; }
  bool roll_back_on_failure() const { return roll_back_on_failure_; }
  // Starts of the program since switch_to.
  int boots_in_phase() const { return boots_; }
  const std::vector<JobResult>& unreported() const { return unreported_; }
  const std::optional<JobResult>& last_result() const { return last_result_; }
  // Oldest first: those that have not ended, and the last few that have.
  const std::vector<LocalDeployment>& local_deployments() const { return local_.all(); }
  const LocalDeployment* find_local(const DeploymentId& id) const { return local_.find(id); }
  // In kActivating what is returned to if the deployment fails, in kRollingBack what has failed;
  // empty in kIdle. What it has and the current generation has not is leaving: until its Uninstall
  // has run its packages and its configuration are kept.
  const Generation& previous() const { return previous_; }
  // Why records are missing; empty: none are.
  const std::string& needs_repair() const { return repair_; }
  // All of it, as a snapshot record says it.
  nlohmann::json to_json() const;

  // From kIdle. The new generation is current from here on, the old one kept.
  Result<void> switch_to(Generation next, JobResult job, bool roll_back_on_failure);
  Result<void> commit(JobResult result);
  // The old generation is current again, the failed one kept.
  Result<void> begin_rollback(std::string reason, FaultCodes codes = {});
  Result<void> finish_rollback(JobResult result);
  // A job, or a local deployment, that ended without a change of the running set.
  Result<void> record_result(JobResult result);
  Result<void> queue_local(const LocalDeployment& deployment);
  // That somebody wants it to end; for one that has switched.
  Result<void> cancel_local(const DeploymentId& id);
  Result<void> forget_result(const JobId& job);
  Result<void> note_boot();
  // All that was deployed again for it succeeded, or there was nothing.
  Result<void> note_repaired();

  bool is_installed(const ComponentName& name, const std::string& package) const;
  Result<void> mark_installed(const ComponentName& name, const std::string& package);
  // Its Bootstrap has ended and wants a restart, which does not count as one that failed.
  bool is_bootstrapped(const ComponentName& name, const std::string& package) const;
  // `boot`: of the machine now, where it is the device that is to be restarted; "": it does not
  // say.
  Result<void> mark_bootstrapped(const ComponentName& name, const std::string& package,
                                 const std::string& boot = "");
  // Whether the device was to be rebooted and has not been since: it is still in `boot`.
  bool awaits_reboot(const ComponentName& name, const std::string& package,
                     const std::string& boot) const;
  // There was no restart: it is to run again.
  Result<void> forget_bootstrapped(const ComponentName& name, const std::string& package);
  // Of a component that an earlier release installed, once its package is there.
  Result<void> set_digest(const ComponentName& name, const std::string& version,
                          const std::string& digest);

  ~DeviceState();

 private:
  struct Writing;
  explicit DeviceState(io::Env& env);
  Result<void> append(const nlohmann::json& record);
  Result<void> mend(const std::string& record, Result<void> appended);
  void write_config(std::string change, std::function<void(Result<void>)> done);
  static io::Task<void> write(DeviceState* self, std::shared_ptr<Writing> writing);
  void finish_writing();
  Result<void> apply(const nlohmann::json& record);
  Result<void> apply_in_order(const std::string& type, const nlohmann::json& record);
  Result<void> change(const nlohmann::json& record);
  Result<void> note_loss(const io::JournalRecovery& recovery, bool has_packages);
  void keep_for_rollback(std::string_view config_change);
  void compact_where_long();
  static io::Task<void> compact(DeviceState* self);
  void adopt(Generation generation);
  void finish(JobResult result);
  void keep(JobResult result);
  void drop_bootstrap(const std::string& name, const std::string& package);
  void drop_stale_installs();
  void drop_stale_configuration();
  void adopt_digest(const std::string& name, const std::string& version, const std::string& digest);
  Result<void> restore(const nlohmann::json& snapshot);

  io::Env& env_;
  std::optional<io::Journal> journal_;  // unset while it is replayed; see writing_
  // A record on its way to the disk. Until it is there, the journal is not this thread's.
  std::shared_ptr<Writing> writing_;
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
  std::optional<JobResult> last_result_;  // of a job
  LocalRecords local_;
  std::set<std::pair<std::string, std::string>> installed_;  // name, package
  std::string repair_;
  bool told_of_lost_copy_ = false;
  io::TaskScope writes_, compacting_;
};

}  // namespace skerry::nucleus
