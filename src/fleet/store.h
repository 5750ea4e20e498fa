// The control plane's memory: one SQLite database (WAL, synchronous=FULL, foreign keys), reached
// through SOCI, in SQL that PostgreSQL understands too. What a function has returned without an
// error survives a power cut.
//
// A Store is one session, for one thread at a time; StorePool (store_pool.h) has threads with some.
// A record that is not there is kNotFound; one that is there already is kAlreadyExists.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/effects.h"
#include "fleet/records.h"

namespace skerry::fleet {

class Database;  // store_sql.h

class Store {
 public:
  // Made where absent (mode 0600), brought forward where old; a newer one is kFailedPrecondition.
  static Result<std::unique_ptr<Store>> open(const std::string& path);
  static constexpr std::string_view kInMemory = ":memory:";  // a path: gone with the session
  static Result<std::unique_ptr<Store>> open_reader(const std::string& path);  // cannot write
  ~Store();

  // All of what `work` does, or nothing where it returns an error; nested calls likewise.
  Result<void> transaction(const std::function<Result<void>()>& work);
  Database& database() { return *database_; }  // for tables in headers of their own

  // What is to happen after the commit. For StorePool: with what became of changed certificates.
  Effects& effects() { return effects_; }
  Result<Effects> take_effects();
  void drop_effects();

  // Values of the installation, for example the key of temporary credentials; "" where absent.
  Result<std::string> setting(const std::string& name);
  Result<void> set_setting(const std::string& name, const std::string& value);
  Result<std::string> setting_or(const std::string& name, const std::string& fresh);  // stores it

  // Answers to requests with a client token, so that a repeated one does nothing twice.
  struct RememberedAnswer {
    std::string request_sha256, response_json;
  };
  Result<std::optional<RememberedAnswer>> find_answer(const std::string& operation,
                                                      const std::string& client_token);
  // Forgets answers older than a day.
  Result<void> remember_answer(const std::string& operation, const std::string& client_token,
                               const RememberedAnswer& answer, int64_t now_ms);
  // --- store_things.cc: things and groups ---
  Result<void> create_thing(const Thing& thing);
  Result<Thing> find_thing(const ThingName& name);
  Result<Slice<Thing>> list_things(const Page& page);
  Result<void> update_thing(const ThingName& name, const std::string& attributes_json);
  Result<void> delete_thing(const ThingName& name);  // certificates must be detached
  Result<void> create_group(const ThingGroup& group);
  Result<ThingGroup> find_group(const ThingGroupName& name);
  Result<void> update_group(const ThingGroup& group);
  Result<void> delete_group(const ThingGroupName& name);  // with its memberships
  Result<Slice<ThingGroup>> list_groups(const std::string& name_prefix, const Page& page);
  Result<bool> add_to_group(const ThingName& thing, const ThingGroupName& group);  // false: was in
  Result<void> remove_from_group(const ThingName& thing, const ThingGroupName& group);
  Result<Slice<ThingName>> list_things_in_group(const ThingGroupName& group, const Page& page);
  Result<Slice<ThingGroupName>> list_groups_of_thing(const ThingName& thing, const Page& page);
  Result<std::vector<ThingName>> things_in_group(const ThingGroupName& group);  // all of them
  Result<bool> is_in_group(const ThingName& thing, const ThingGroupName& group);

  // --- store_things.cc: certificates ---
  Result<void> add_certificate(const Certificate& certificate);
  Result<Certificate> find_certificate(const std::string& id);
  Result<Slice<Certificate>> list_certificates(const Page& page);
  Result<std::vector<Certificate>> certificates_of_thing(const ThingName& thing);
  Result<void> attach_certificate(const std::string& id, const ThingName& thing);
  Result<void> detach_certificate(const std::string& id);
  Result<void> delete_certificate(const std::string& id);
  Result<void> set_certificate_status(const std::string& id, CertificateStatus status);
  Result<std::vector<CertificateChange>> usable_certificates();  // active and attached

  // --- store_components.cc ---
  Result<void> create_component(const ComponentVersion& component);
  Result<ComponentVersion> find_component(const ComponentName& name, const std::string& version);
  // In no order; empty where the component is unknown.
  Result<std::vector<ComponentVersion>> component_versions(const ComponentName& name);
  Result<Slice<ComponentName>> list_component_names(const Page& page);
  Result<std::string> components_stamp();  // another text whenever a version came or went
  Result<void> set_component_tags(const ComponentName& name, const std::string& version,
                                  const std::string& tags_json);
  Result<void> delete_component(const ComponentName& name, const std::string& version);
  // kAlreadyExists where the version was deleted once and had another recipe or other artifacts.
  Result<void> check_same_as_deleted(const ComponentVersion& component);

  // --- store_objects.cc: the names of artifacts ---
  Result<void> put_object(const ArtifactObject& object);  // replaces; makes its bucket
  Result<ArtifactObject> find_object(const std::string& bucket, const std::string& key);
  Result<bool> delete_object(const std::string& bucket, const std::string& key);  // false: absent
  // By key.
  Result<std::vector<ArtifactObject>> list_objects(const std::string& bucket,
                                                   const std::string& prefix, const Page& page);
  Result<bool> create_bucket(const ArtifactBucket& bucket);  // false: it was there
  Result<ArtifactBucket> find_bucket(const std::string& name);
  Result<std::vector<ArtifactBucket>> list_buckets();
  Result<void> delete_bucket(const std::string& name);  // kFailedPrecondition: not empty
  // Those modified before `before_ms`, unless a recipe or a younger object names their content.
  Result<void> expire_objects(int64_t before_ms);
  // Those of `digests` that no component's recipe and no object names.
  Result<std::vector<std::string>> unused_content(const std::vector<std::string>& digests);

  // --- store_deployments.cc ---
  // Given once, even where that deployment is deleted.
  Result<int64_t> next_revision(const std::string& target_arn);
  // Sets sequence; the target's former latest one stops being it.
  Result<Deployment> create_deployment(Deployment deployment);
  Result<Deployment> find_deployment(const DeploymentId& id);
  Result<Deployment> find_deployment_of_job(const JobId& job_id);
  Result<Deployment> latest_deployment(const std::string& target_arn);
  struct DeploymentFilter {
    std::string target_arn, parent_target_arn;  // "" for every one
    bool latest_only = false;
  };
  Result<void> delete_deployment(const DeploymentId& id);  // with its executions
  // Newest first.
  Result<Slice<Deployment>> list_deployments(const DeploymentFilter& filter, const Page& page);
  Result<void> set_deployment_status(const DeploymentId& id, DeploymentStatus status);
  Result<void> set_deployment_tags(const DeploymentId& id, const std::string& tags_json);
  // --- store_jobs.cc ---
  // QUEUED, version 1; not before what the thing has already.
  Result<JobExecution> queue_execution(const JobId& job_id, const ThingName& thing, int64_t now_ms);
  // The same for every thing of the group, in one statement.
  Result<void> queue_executions_of_group(const JobId& job_id, const ThingGroupName& group,
                                         int64_t now_ms);
  Result<JobExecution> find_execution(const JobId& job_id, const ThingName& thing);
  // QUEUED and IN_PROGRESS ones: IN_PROGRESS first, then by queued_ms.
  Result<std::vector<JobExecution>> pending_executions(const ThingName& thing);
  Result<std::optional<JobExecution>> next_pending(const ThingName& thing);  // the first one
  // After `after`, of executions that are pending or have changed since.
  Result<std::vector<ThingName>> things_to_notify(int64_t since_ms, const ThingName& after,
                                                  size_t limit);
  struct ExecutionChange {
    ExecutionStatus status = ExecutionStatus::kQueued;
    std::optional<std::string> status_details_json;  // unset: as it was
    std::optional<int64_t> expected_version;         // another one: kFailedPrecondition
    int64_t now_ms = 0;
  };
  // Returns the execution as it is then. A terminal one does not change: kFailedPrecondition.
  Result<JobExecution> update_execution(const JobId& job_id, const ThingName& thing,
                                        const ExecutionChange& change);
  // In the order of rollout/cohort.h.
  Result<Slice<JobExecution>> list_executions_of_job(const JobId& job_id,
                                                     std::optional<ExecutionStatus> status,
                                                     const Page& page);
  // Newest first, terminal ones too.
  Result<Slice<JobExecution>> list_executions_of_thing(const ThingName& thing, const Page& page);
  Result<void> delete_execution(const JobId& job_id, const ThingName& thing);
  // Forgets what retention.h says, at most `limit` of each kind; how many went.
  Result<int64_t> prune(int64_t oldest_ms, int64_t limit);
  // How many executions of the job are in each status.
  Result<std::vector<std::pair<ExecutionStatus, int64_t>>> count_executions(const JobId& job_id);
  // --- store_devices.cc ---
  Result<void> upsert_core_device(const CoreDevice& device);
  Result<CoreDevice> find_core_device(const ThingName& thing);
  Result<void> set_core_device_tags(const ThingName& thing, const std::string& tags_json);
  Result<void> delete_core_device(const ThingName& thing);  // with what is installed on it
  struct CoreDeviceFilter {
    std::optional<bool> healthy;
    ThingGroupName group;  // "" for every device
    std::string runtime;   // likewise
  };
  Result<Slice<CoreDevice>> list_core_devices(const CoreDeviceFilter& filter, const Page& page);
  // COMPLETE status: these and no others.
  Result<void> replace_installed_components(const ThingName& thing,
                                            const std::vector<InstalledComponent>& components);
  // PARTIAL status: these, beside what is known. Keeps changed_ms and installed_ms where state and
  // version are as before.
  Result<void> merge_installed_components(const ThingName& thing,
                                          const std::vector<InstalledComponent>& components);
  Result<void> remove_installed_component(const ThingName& thing, const ComponentName& name);
  Result<Slice<InstalledComponent>> list_installed_components(const ThingName& thing,
                                                              bool roots_only, const Page& page);

 private:
  explicit Store(std::unique_ptr<Database> database);
  static Result<std::unique_ptr<Store>> open_database(const std::string& path);

  std::unique_ptr<Database> database_;
  Effects effects_;
  std::set<std::string> changed_certificates_;  // since the effects were taken
};

}  // namespace skerry::fleet
