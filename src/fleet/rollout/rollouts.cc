// Each rule of rollouts.h is one function here.
#include "fleet/rollout/rollouts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fleet/components.h"
#include "fleet/endings.h"
#include "fleet/rollout/cohort.h"
#include "fleet/rollout/model_evidence.h"
#include "formats/arn.h"
#include "formats/json_ptr.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;

constexpr size_t kMostUnproven = 32;

void tell_things(Store& store, const std::vector<ThingName>& things) {
  auto& told = store.effects().jobs;
  told.insert(told.end(), things.begin(), things.end());
}

// `event` ends the rollout; its effects are what the caller does anyway.
Result<void> end(Store& store, Record record, const Event& event, int64_t now_ms) {
  SKERRY_ASSIGN(Step made, step(record.plan, record.state, event));
  record.state = std::move(made.state);
  record.updated_ms = now_ms;
  for (const Effect& effect : made.effects) {
    if (effect.kind != Effect::Kind::kNote) continue;
    SKERRY_TRY(add_history(store, record.id, now_ms, effect.text));
  }
  return save_rollout(store, record);
}

Result<std::optional<Deployment>> latest_of(Store& store, const std::string& target_arn) {
  auto latest = store.latest_deployment(target_arn);
  if (latest) return std::optional<Deployment>(std::move(*latest));
  if (latest.error().code() == Code::kNotFound) return std::optional<Deployment>();
  return fail(std::move(latest.error()));
}

// The rollout whose release or rollback is the target's latest deployment.
Result<std::optional<Record>> rollout_on(Store& store, const std::string& target_arn) {
  SKERRY_ASSIGN(auto rollouts, list_rollouts(store, target_arn, {.limit = 1}));
  if (rollouts.items.empty()) return std::optional<Record>();
  SKERRY_ASSIGN(auto latest, latest_of(store, target_arn));
  Record& newest = rollouts.items.front();
  const bool is_its = latest && (latest->id == newest.id || latest->id == newest.rollback_id);
  if (!is_its) return std::optional<Record>();
  return std::optional<Record>(std::move(newest));
}

Result<void> end_queued(Store& store, const JobId& job, int64_t now_ms) {
  if (job.empty()) return {};
  SKERRY_TRY(end_executions(store, job, Ends::kQueued, ExecutionStatus::kCanceled, now_ms));
  return {};
}

// How the previous revision fared: who never answered counts as failed, as it will for the release.
Result<void> count_history(Store& store, Previous& previous) {
  SKERRY_ASSIGN(Census before,
                census(store, previous.job_id, {.silence_ms = 0, .now_ms = INT64_MAX}));
  previous.failures = before.failures() + before.silent;
  previous.devices = previous.failures + before.succeeded;
  return {};
}

// A release that was superseded before it was proven, and those before it that were: a rollback of
// the next one returns to the same revision, and whoever has one of them does.
Result<std::vector<JobId>> unproven_since(Store& store, const std::string& target_arn,
                                          const Previous& previous) {
  SKERRY_ASSIGN(auto rollouts, list_rollouts(store, target_arn, {.limit = 1}));
  if (rollouts.items.empty()) return std::vector<JobId>();
  const Record& last = rollouts.items.front();
  const bool is_unproven = last.state.phase == Phase::kSuperseded && !last.state.is_proven &&
                           last.previous.id == previous.id;
  if (!is_unproven) return std::vector<JobId>();
  std::vector<JobId> jobs = last.previous.unproven_jobs;
  jobs.push_back(last.job_id);
  // Every rollout asks the same devices first: who has the oldest ones has a later one by now.
  if (jobs.size() > kMostUnproven) jobs.erase(jobs.begin());
  return jobs;
}

// What a device downloads for the release at most: the artifacts of its components, of each for the
// platform that has most; their dependencies left out.
Result<int64_t> size_of(Store& store, const Deployment& release) {
  int64_t size = 0;
  SKERRY_ASSIGN(const json request, formats::parse_json(release.request_json));
  for (const auto& [name, component] : request.value("components", json::object()).items()) {
    auto found = store.find_component(ComponentName(name), component.value("componentVersion", ""));
    if (!found) continue;  // of the nucleus itself
    SKERRY_ASSIGN(const auto recipe, formats::parse_recipe(found->recipe_json));
    int64_t most = 0;
    for (const formats::Manifest& manifest : recipe.manifests) {
      SKERRY_ASSIGN(const DownloadSize one, download_size(store, manifest));
      most = std::max(most, one.bytes);
    }
    size += most;
  }
  return size;
}

}  // namespace

Result<std::optional<Deployment>> last_known_good(Store& store, const std::string& target_arn) {
  Page page;
  do {
    SKERRY_ASSIGN(auto slice, store.list_deployments({.target_arn = target_arn}, page));
    for (Deployment& each : slice.items) {
      if (each.status == DeploymentStatus::kCanceled) continue;
      SKERRY_ASSIGN(auto its, rollout_of(store, each.id));
      const bool unproven = its && !its->state.is_proven;
      // Of the AWS fields there is no proof to wait for: no gate, nothing to bake.
      const bool is_judged = its && !gates_of(its->plan, its->plan.stages.size()).empty();
      if (unproven && is_judged) continue;
      return std::optional<Deployment>(std::move(each));
    }
    page.after = slice.next;
  } while (!page.after.empty());
  return std::optional<Deployment>();
}

Result<void> make_way(Store& store, const std::string& target_arn, bool staged, int64_t now_ms) {
  SKERRY_ASSIGN(auto running, rollout_on(store, target_arn));
  if (!running) return {};
  if (running->state.phase == Phase::kRollingBack && staged) {
    return fail(Code::kFailedPrecondition,
                "rollout: the target is on its way back from deployment " + running->id.str() +
                    ": wait until that has ended, or deploy without stages");
  }
  SKERRY_TRY(end_queued(store, running->job_id, now_ms));
  if (!staged) SKERRY_TRY(end_queued(store, running->previous.job_id, now_ms));
  return end(store, std::move(*running), Superseded{}, now_ms);
}

Result<void> begin(Store& store, const Deployment& release, const Plan& plan,
                   const std::optional<Deployment>& previous, int64_t now_ms) {
  Record record;
  record.id = release.id;
  record.job_id = release.job_id;
  record.target_arn = release.target_arn;
  SKERRY_ASSIGN(const auto target, formats::parse_target_arn(release.target_arn));
  const bool is_group = target.kind == formats::Target::Kind::kThingGroup;
  if (is_group) record.group = target.name;
  if (!plan.canary_group.empty()) {
    if (!is_group) {
      return fail(Code::kInvalidArgument, "rollout.canaryGroup: the target is one thing");
    }
    if (auto group = store.find_group(plan.canary_group); !group) {
      return fail(group.error().with_context("rollout.canaryGroup"));
    }
  }
  record.plan = plan;
  if (previous) {
    record.previous.id = previous->id;
    record.previous.job_id = previous->job_id;
    record.previous.request_json = previous->request_json;
    SKERRY_TRY(count_history(store, record.previous));
    SKERRY_ASSIGN(record.previous.models, models_before(store, record));
  }
  SKERRY_ASSIGN(record.previous.unproven_jobs,
                unproven_since(store, record.target_arn, record.previous));
  if (plan.site.max_bytes_per_second > 0) {
    SKERRY_ASSIGN(record.release_bytes, size_of(store, release));
  }
  SKERRY_TRY(count_sick(store, record, ThingName(is_group ? "" : target.name), record.previous));
  record.created_ms = record.updated_ms = now_ms;
  SKERRY_TRY(insert_rollout(store, record));
  return add_history(store, record.id, now_ms, "the rollout begins");
}

Result<void> on_canceled(Store& store, const DeploymentId& id, int64_t now_ms) {
  SKERRY_ASSIGN(auto its, rollout_of(store, id));
  const bool goes_on = its && !is_over(its->state.phase) && its->state.phase != Phase::kRollingBack;
  if (!goes_on) return {};
  return end(store, std::move(*its), Abort{}, now_ms);
}

Result<void> check_removable(Store& store, const DeploymentId& id) {
  SKERRY_ASSIGN(auto its, rollout_of(store, id));
  if (!its || is_over(its->state.phase)) return {};
  return fail(Code::kFailedPrecondition, "deployment " + id.str() + " has a rollout that is " +
                                             std::string(name_of(its->state.phase)) +
                                             ": abort it first, or wait until it is back");
}

Result<void> on_target_gone(Store& store, const std::string& target_arn, int64_t now_ms) {
  SKERRY_ASSIGN(auto running, rollout_on(store, target_arn));
  if (!running) return {};
  for (const JobId* job :
       {&running->job_id, &running->previous.job_id, &running->rollback_job_id}) {
    SKERRY_TRY(end_queued(store, *job, now_ms));
  }
  return end(store, std::move(*running), TargetGone{}, now_ms);
}

Result<bool> on_joined(Store& store, const Deployment& latest, const ThingName& thing,
                       int64_t now_ms) {
  SKERRY_ASSIGN(auto its, rollout_of(store, latest.id));
  if (!its || is_over(its->state.phase)) return false;
  // It was asked before it left: it is asked again, like anybody who comes back.
  auto former = store.find_execution(its->job_id, thing);
  if (former) return false;
  if (former.error().code() != Code::kNotFound) return fail(std::move(former.error()));
  const int64_t cohort = cohort_of(thing);
  if (cohort <= its->asked_to) {
    its->asked_to = cohort - 1;
    SKERRY_TRY(save_rollout(store, *its));
  }
  if (its->previous.id.empty()) return true;
  auto previous = store.find_deployment(its->previous.id);
  if (!previous && previous.error().code() == Code::kNotFound) return true;
  if (!previous) return fail(std::move(previous.error()));
  SKERRY_TRY(store.queue_execution(previous->job_id, thing, now_ms));
  tell_things(store, {thing});
  return true;
}

}  // namespace skerry::fleet::rollout
