// Creating, superseding and ending deployments. Each change is all or nothing; devices are told of
// it after its commit, so that what they then ask for is stored.
#include "fleet/deployments.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "fleet/components.h"
#include "fleet/endings.h"
#include "fleet/rollout/rollouts.h"
#include "formats/deployment.h"
#include "formats/json_ptr.h"
#include "formats/limits.h"

namespace skerry::fleet {
namespace {

using nlohmann::json;

Roots roots_of(const formats::Deployment& document) {
  Roots roots;
  for (const auto& [name, component] : document.components) roots.emplace(name, component.version);
  return roots;
}

// How a deployment to one thing ends with its execution.
DeploymentStatus end_of(ExecutionStatus status) {
  if (status == ExecutionStatus::kSucceeded) return DeploymentStatus::kCompleted;
  if (status == ExecutionStatus::kCanceled) return DeploymentStatus::kCanceled;
  return DeploymentStatus::kFailed;
}

// The document as it travels. One that no packet could carry would block its device.
Result<std::string> document_text(const formats::Deployment& document) {
  std::string text = formats::json_text(formats::to_json(document));
  if (text.size() <= formats::kMaxDocumentBytes) return text;
  return fail(Code::kInvalidArgument,
              "components: the deployment's document has " + std::to_string(text.size()) +
                  " bytes, at most " + std::to_string(formats::kMaxDocumentBytes) +
                  " can be sent to a device: put large configuration into an artifact");
}

void tell(Store& store, const std::vector<ThingName>& things) {
  auto& told = store.effects().jobs;
  told.insert(told.end(), things.begin(), things.end());
}

// Whether what is deployed to the target concerns the thing.
Result<bool> concerns(Store& store, const std::string& target_arn, const ThingName& thing) {
  SKERRY_ASSIGN(auto target, formats::parse_target_arn(target_arn));
  if (target.kind == formats::Target::Kind::kThing) return target.name == thing.str();
  return store.is_in_group(thing, ThingGroupName(target.name));
}

// What a thing that lost its records is to get.
struct Again {
  std::map<std::string, Deployment> last;  // by target: the newest that succeeded on the thing
  std::set<std::string> on_the_way;        // the targets for which it is queued already
};

Result<Again> find_again(Store& store, const ThingName& thing) {
  Again again;
  Page page;
  do {
    SKERRY_ASSIGN(auto slice, store.list_executions_of_thing(thing, page));
    for (const JobExecution& execution : slice.items) {
      const bool is_queued_again = !is_terminal(execution.status) && execution.execution_number > 1;
      if (execution.status != ExecutionStatus::kSucceeded && !is_queued_again) continue;
      SKERRY_ASSIGN(auto deployment, store.find_deployment_of_job(execution.job_id));
      if (is_queued_again) again.on_the_way.insert(deployment.target_arn);
      Deployment& known = again.last[deployment.target_arn];
      if (known.sequence < deployment.sequence) known = std::move(deployment);
    }
    page.after = slice.next;
  } while (!page.after.empty());
  for (const std::string& target_arn : again.on_the_way) again.last.erase(target_arn);
  return again;
}

}  // namespace

// What the target's latest deployment says is no longer what things should run that join.
Result<void> Deployments::retire(Store& store, const std::string& target_arn) const {
  auto former = store.latest_deployment(target_arn);
  if (!former && former.error().code() == Code::kNotFound) return {};
  if (!former) return fail(former.error());
  if (former->status != DeploymentStatus::kActive) return {};
  return store.set_deployment_status(former->id, DeploymentStatus::kInactive);
}

Result<void> Deployments::supersede(Store& store, const std::string& target_arn,
                                    ExecutionStatus status) const {
  auto former = store.latest_deployment(target_arn);
  if (!former && former.error().code() == Code::kNotFound) return {};
  if (!former) return fail(former.error());
  SKERRY_TRY(retire(store, target_arn));
  SKERRY_TRY(end_executions(store, former->job_id, Ends::kQueued, status, env_.clock.wall_ms()));
  return {};
}

Result<void> Deployments::queue(Store& store, const formats::Target& target,
                                const JobId& job) const {
  if (target.kind == formats::Target::Kind::kThing) {
    const ThingName thing(target.name);
    SKERRY_TRY(store.find_thing(thing));
    SKERRY_TRY(store.queue_execution(job, thing, env_.clock.wall_ms()));
    tell(store, {thing});
    return {};
  }
  const ThingGroupName group(target.name);
  SKERRY_TRY(store.find_group(group));
  SKERRY_TRY(store.queue_executions_of_group(job, group, env_.clock.wall_ms()));
  SKERRY_ASSIGN(auto things, store.things_in_group(group));
  tell(store, things);
  return {};
}

Result<Deployment> Deployments::add(Store& store, const json& request,
                                    const formats::Target& target) const {
  SKERRY_ASSIGN(auto document, formats::parse_deployment(request));
  const int64_t now_ms = env_.clock.wall_ms();
  SKERRY_TRY(check_available(store, roots_of(document)));

  Deployment deployment;
  deployment.id = DeploymentId(env_.random.uuid());
  deployment.job_id = JobId(env_.random.uuid());
  deployment.name = request.value("deploymentName", "");
  deployment.target_arn = formats::target_arn(scope_, target);
  deployment.parent_target_arn = request.value("parentTargetArn", "");
  deployment.request_json = request.dump();
  deployment.tags_json = request.value("tags", json::object()).dump();
  deployment.created_ms = now_ms;
  SKERRY_ASSIGN(deployment.revision, store.next_revision(deployment.target_arn));

  document.id = deployment.id;
  document.name = deployment.name;
  document.configuration_arn = formats::configuration_arn(scope_, {target, deployment.revision});
  document.creation_timestamp_ms = now_ms;
  SKERRY_ASSIGN(deployment.document_json, document_text(document));
  return store.create_deployment(std::move(deployment));
}

Result<Deployment> Deployments::create(Store& store, const json& request,
                                       std::optional<rollout::Plan> plan) const {
  SKERRY_ASSIGN(auto target, formats::parse_target_arn(request.value("targetArn", "")));
  const std::string target_arn = formats::target_arn(scope_, target);
  const bool is_group = target.kind == formats::Target::Kind::kThingGroup;
  const int64_t now_ms = env_.clock.wall_ms();
  if (!plan && request.contains("iotJobConfiguration")) {
    SKERRY_ASSIGN(plan, rollout::parse_job_configuration(request["iotJobConfiguration"]));
  }
  Deployment deployment;
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(auto good, rollout::last_known_good(store, target_arn));
    SKERRY_TRY(rollout::make_way(store, target_arn, plan.has_value(), now_ms));
    if (!plan && is_group) {
      SKERRY_ASSIGN(const int64_t members, rollout::count_members(store, target.name));
      if (members > rollout::kBatch) plan = rollout::everybody();
    }
    // Devices of later stages still get what was before, where they have not begun it.
    if (plan && is_group) {
      SKERRY_TRY(store.find_group(ThingGroupName(target.name)));
      SKERRY_TRY(retire(store, target_arn));
    } else {
      SKERRY_TRY(supersede(store, target_arn, ExecutionStatus::kCanceled));
    }
    SKERRY_ASSIGN(deployment, add(store, request, target));
    if (plan) SKERRY_TRY(rollout::begin(store, deployment, *plan, good, now_ms));
    if (plan && is_group) return {};
    return queue(store, target, deployment.job_id);
  }));
  return deployment;
}

Result<Deployment> Deployments::create_rollback(Store& store,
                                                const rollout::Record& rollout) const {
  SKERRY_ASSIGN(auto target, formats::parse_target_arn(rollout.target_arn));
  json request = {{"components", json::object()}};
  if (!rollout.previous.request_json.empty()) {
    SKERRY_ASSIGN(request, formats::parse_json(rollout.previous.request_json));
  }
  request["targetArn"] = rollout.target_arn;
  for (const char* member : {"iotJobConfiguration", "clientToken"}) request.erase(member);
  request["rolledBackFrom"] = rollout.id.str();
  request["tags"]["skerry:rolledBackFrom"] = rollout.id.str();
  Deployment deployment;
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    SKERRY_TRY(retire(store, rollout.target_arn));
    SKERRY_ASSIGN(deployment, add(store, request, target));
    return {};
  }));
  return deployment;
}

Result<void> Deployments::cancel(Store& store, const DeploymentId& id, Begun begun) const {
  return store.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(auto deployment, store.find_deployment(id));
    const Ends which = begun == Begun::kEnds ? Ends::kBegun : Ends::kQueued;
    SKERRY_ASSIGN(const int64_t ended,
                  end_executions(store, deployment.job_id, which, ExecutionStatus::kCanceled,
                                 env_.clock.wall_ms()));
    const bool was_active = deployment.status == DeploymentStatus::kActive;
    // A superseded one may still hang on a device.
    if (!was_active && (begun == Begun::kFinishes || ended == 0)) {
      return fail(Code::kFailedPrecondition, "deployment " + id.str() + " is " +
                                                 std::string(to_string(deployment.status)) +
                                                 ", only an ACTIVE one can be cancelled");
    }
    if (was_active) SKERRY_TRY(store.set_deployment_status(id, DeploymentStatus::kCanceled));
    return rollout::on_canceled(store, id, env_.clock.wall_ms());
  });
}

Result<void> Deployments::remove(Store& store, const Deployment& deployment) const {
  return store.transaction([&]() -> Result<void> {
    SKERRY_TRY(rollout::check_removable(store, deployment.id));
    SKERRY_TRY(end_executions(store, deployment.job_id, Ends::kBegun, ExecutionStatus::kRemoved,
                              env_.clock.wall_ms(), INT64_MAX));
    return store.delete_deployment(deployment.id);
  });
}

Result<void> Deployments::delete_thing(Store& store, const ThingName& thing) const {
  return store.transaction([&]() -> Result<void> {
    const formats::Target target{formats::Target::Kind::kThing, thing.str()};
    SKERRY_TRY(supersede(store, formats::target_arn(scope_, target), ExecutionStatus::kRemoved));
    return store.delete_thing(thing);
  });
}

Result<void> Deployments::delete_group(Store& store, const ThingGroupName& group) const {
  return store.transaction([&]() -> Result<void> {
    const std::string target_arn =
        formats::target_arn(scope_, {formats::Target::Kind::kThingGroup, group.str()});
    SKERRY_TRY(rollout::on_target_gone(store, target_arn, env_.clock.wall_ms()));
    SKERRY_TRY(supersede(store, target_arn, ExecutionStatus::kRemoved));
    return store.delete_group(group);
  });
}

Result<void> Deployments::add_to_group(Store& store, const ThingName& thing,
                                       const ThingGroupName& group) const {
  return store.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(bool joined, store.add_to_group(thing, group));
    if (!joined) return {};
    const formats::Target target{formats::Target::Kind::kThingGroup, group.str()};
    auto latest = store.latest_deployment(formats::target_arn(scope_, target));
    if (!latest && latest.error().code() == Code::kNotFound) return {};
    if (!latest) return fail(latest.error());
    if (latest->status != DeploymentStatus::kActive) return {};
    SKERRY_ASSIGN(const bool in_stages,
                  rollout::on_joined(store, *latest, thing, env_.clock.wall_ms()));
    if (in_stages) return {};
    // It may have been a member before. What it has ended since is queued again, because leaving
    // took the group's components from it; what it is busy with is not.
    auto execution = store.find_execution(latest->job_id, thing);
    if (!execution && execution.error().code() != Code::kNotFound) return fail(execution.error());
    if (execution && !is_terminal(execution->status)) return {};
    SKERRY_TRY(store.queue_execution(latest->job_id, thing, env_.clock.wall_ms()));
    tell(store, {thing});
    return {};
  });
}

Result<void> Deployments::remove_from_group(Store& store, const ThingName& thing,
                                            const ThingGroupName& group) const {
  return store.transaction([&]() -> Result<void> {
    SKERRY_TRY(store.remove_from_group(thing, group));
    const formats::Target target{formats::Target::Kind::kThingGroup, group.str()};
    const std::string group_arn = formats::target_arn(scope_, target);
    SKERRY_ASSIGN(auto pending, store.pending_executions(thing));
    for (const JobExecution& execution : pending) {
      if (execution.status != ExecutionStatus::kQueued) continue;
      SKERRY_ASSIGN(auto deployment, store.find_deployment_of_job(execution.job_id));
      if (deployment.target_arn != group_arn) continue;
      // A release that was bad is taken back from whoever has it, members or not.
      SKERRY_ASSIGN(const bool is_back, rollout::is_rollback(store, deployment.id));
      if (is_back) continue;
      Store::ExecutionChange change;
      change.status = ExecutionStatus::kRemoved;
      change.now_ms = env_.clock.wall_ms();
      SKERRY_TRY(store.update_execution(execution.job_id, thing, change));
      tell(store, {thing});
    }
    return {};
  });
}

Result<int64_t> Deployments::redeploy(Store& store, const ThingName& thing) const {
  int64_t queued = 0;
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(const Again found, find_again(store, thing));
    std::map<int64_t, JobId> again;  // in the order in which they were made
    for (const auto& [target_arn, deployment] : found.last) {
      SKERRY_ASSIGN(const bool still, concerns(store, target_arn, thing));
      if (still) again.emplace(deployment.sequence, deployment.job_id);
    }
    for (const auto& [sequence, job] : again) {
      SKERRY_TRY(store.queue_execution(job, thing, env_.clock.wall_ms()));
    }
    if (!again.empty()) tell(store, {thing});
    queued = static_cast<int64_t>(again.size() + found.on_the_way.size());
    return {};
  }));
  return queued;
}

Result<JobExecution> Deployments::update_execution(Store& store, const JobId& job_id,
                                                   const ThingName& thing,
                                                   const Store::ExecutionChange& change) const {
  JobExecution execution;
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(execution, store.update_execution(job_id, thing, change));
    if (!is_terminal(execution.status)) return {};
    tell(store, {thing});
    SKERRY_ASSIGN(auto deployment, store.find_deployment_of_job(job_id));
    SKERRY_ASSIGN(auto target, formats::parse_target_arn(deployment.target_arn));
    // A group's deployment stays active: things may join later.
    if (target.kind == formats::Target::Kind::kThing &&
        deployment.status == DeploymentStatus::kActive) {
      SKERRY_TRY(store.set_deployment_status(deployment.id, end_of(execution.status)));
    }
    return {};
  }));
  return execution;
}

}  // namespace skerry::fleet
