// Rollouts in the store: one record each, its history, and the set-based questions and changes that
// a rollout makes of memberships and job executions. Part of the units of work of whoever calls.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "fleet/rollout/machine.h"
#include "fleet/store.h"
#include "formats/inference_summary.h"

namespace skerry::fleet::rollout {

using ModelVersions = std::map<std::string, std::string>;  // by the model's name

// What the target ran before: what a rollback deploys, and the history that gates compare with.
struct Previous {
  DeploymentId id;  // "" where there was nothing: rolling back removes everything
  JobId job_id;
  std::string request_json;  // kept here, because deployments are forgotten
  int64_t devices = 0;       // that were asked for it, and
  int64_t failures = 0;      // that failed or never answered
  int64_t reporting = 0;     // devices of the target that had ever said how they were, and
  int64_t unhealthy = 0;     // that were not well, or
  int64_t with_errors = 0;   // had a component in error, or
  int64_t with_alerts = 0;   // an alert, when the rollout began
  ModelVersions models;      // that devices ran
  // Of releases after it that were superseded before they were proven: who has one of them goes
  // back as well.
  std::vector<JobId> unproven_jobs;
};

struct Record {
  DeploymentId id;  // of the release: a rollout has its deployment's id
  JobId job_id;
  std::string target_arn;
  std::string group;  // "" where the target is one thing
  Plan plan;
  State state;
  std::string findings_json = "[]";  // of the last look, for people
  Previous previous;
  DeploymentId rollback_id;  // "" until it is rolled back
  JobId rollback_job_id;
  int64_t release_bytes = 0;  // what one device downloads at most
  int64_t asked_to = -1;      // every member with a cohort up to here was asked
  std::string back_to;        // every thing up to here was asked back
  int64_t created_ms = 0;
  int64_t updated_ms = 0;
};

Result<void> insert_rollout(Store& store, const Record& record);
Result<void> save_rollout(Store& store, const Record& record);
Result<Record> find_rollout(Store& store, const DeploymentId& id);
Result<std::optional<Record>> rollout_of(Store& store,
                                         const DeploymentId& id);  // nothing: has none
// Whether the deployment takes a release back.
Result<bool> is_rollback(Store& store, const DeploymentId& id);
Result<std::vector<DeploymentId>> live_rollouts(Store& store);
Result<Slice<Record>> list_rollouts(Store& store, const std::string& target_arn, const Page& page);

struct HistoryLine {
  int64_t sequence = 0;
  int64_t at_ms = 0;
  std::string text;
};
Result<void> add_history(Store& store, const DeploymentId& id, int64_t now_ms,
                         const std::string& text);
Result<std::vector<HistoryLine>> history(Store& store, const DeploymentId& id);

// --- Members ---
Result<int64_t> count_members(Store& store, const std::string& group);
// Things that are in both.
Result<int64_t> count_shared(Store& store, const std::string& group, const std::string& other);
// The cohort of the group's `quota`-th member; -1 where there is none.
Result<int64_t> cohort_at(Store& store, const std::string& group, int64_t quota);
struct Candidate {
  ThingName thing;
  int64_t cohort = 0;
  std::string attributes_json;
  bool is_canary = false;
};
// Members of started stages that have no execution of the release: canaries, then by cohort.
Result<std::vector<Candidate>> waiting(Store& store, const Record& record, int64_t limit);
Result<std::vector<Candidate>> waiting_canaries(Store& store, const Record& record, int64_t limit);
Result<int64_t> count_waiting(Store& store, const Record& record, int64_t limit);
// The cohort of the last of the next `members` of started stages after record.asked_to.
Result<int64_t> cohort_after(Store& store, const Record& record, int64_t members);
Result<bool> is_in_group(Store& store, const ThingName& thing, const std::string& group);

// --- Executions ---
// Queues the release for members after record.asked_to with a cohort up to `upto`, and takes from
// them what they have not begun of the previous one. Returns those members.
Result<std::vector<ThingName>> ask_range(Store& store, const Record& record, int64_t upto,
                                         int64_t now_ms);
Result<void> ask_one(Store& store, const Record& record, const ThingName& thing, int64_t now_ms);
// The next things after `record.back_to` that were asked for the release, or have begun an unproven
// one before it, and were not asked for the rollback.
Result<std::vector<ThingName>> waiting_for_rollback(Store& store, const Record& record,
                                                    int64_t limit);
// Queues the rollback for those up to `upto`.
Result<void> ask_back(Store& store, const Record& record, const ThingName& upto, int64_t now_ms);

struct CensusCut {
  std::optional<int64_t> silence_ms;
  int64_t now_ms = 0;
  int64_t retries = 0;  // failures with so many attempts or fewer count as retrying
};
Result<Census> census(Store& store, const JobId& job, const CensusCut& cut);
Result<std::vector<ThingName>> overdue(Store& store, const JobId& job, int64_t timeout_ms,
                                       int64_t now_ms);
Result<std::vector<ThingName>> retries_due(Store& store, const JobId& job, const Retry& retry,
                                           int64_t now_ms);
// Devices that were asked within `recent_ms`, or are still at work.
struct SiteLoad {
  std::string attributes_json;
  int64_t queued_ms = 0;
  bool is_open = false;
};
Result<std::vector<SiteLoad>> site_loads(Store& store, const Record& record, int64_t silence_ms,
                                         int64_t recent_ms, int64_t now_ms);

// --- Evidence ---
// Devices on which the release succeeded, or (control) members that were not asked for it, with how
// many of them are unhealthy or have a component in error.
struct Share {
  int64_t devices = 0;
  int64_t events = 0;
};
enum class Cohort { kRelease, kControl };
Result<Share> unhealthy(Store& store, const Record& record, Cohort cohort);
Result<Share> with_errors(Store& store, const Record& record, Cohort cohort);
Result<Share> with_alerts(Store& store, const Record& record, Cohort cohort);
// The members of a target, or its only device, as they are now: into `previous`.
Result<void> count_sick(Store& store, const Record& record, const ThingName& only,
                        Previous& previous);
// Described models that some of a cohort's devices have installed, what most have first.
Result<std::vector<std::pair<std::string, std::string>>> running_models(Store& store,
                                                                        const Record& record,
                                                                        Cohort cohort);
// Every device that was asked for the release, and whether it succeeded there; every member of the
// target; and what each device said of a version of a model, packed (formats/model_counts.h).
Result<void> each_asked(Store& store, const Record& record,
                        const std::function<void(std::string_view thing, bool succeeded)>& each);
Result<void> each_member(Store& store, const Record& record,
                         const std::function<void(std::string_view thing)>& each);
Result<void> each_report(
    Store& store, const formats::ModelId& model,
    const std::function<void(std::string_view thing, std::string_view packed)>& each);

}  // namespace skerry::fleet::rollout
