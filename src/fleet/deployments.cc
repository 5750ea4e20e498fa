// Creating, superseding and ending deployments. Each change is one transaction; devices are told of
// it afterwards, so that what they then ask for is stored.
#include "fleet/deployments.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/deployment.h"

namespace skerry::fleet {
namespace {

using nlohmann::json;

// Components that every nucleus brings along: a deployment may configure them, the fleet has no
// recipe for them.
bool is_built_in(std::string_view component) {
  return component.starts_with("aws.greengrass.");
}

bool succeeded(ExecutionStatus status) {
  return status == ExecutionStatus::kSucceeded;
}

}  // namespace

Result<void> Deployments::check_components(const json& request) {
  auto components = request.find("components");
  if (components == request.end()) return {};
  for (const auto& [name, component] : components->items()) {
    if (is_built_in(name)) continue;
    const std::string version = component.value("componentVersion", "");
    auto found = store_.find_component(ComponentName(name), version);
    if (!found && found.error().code() == Code::kNotFound) {
      return fail(Code::kNotFound, found.error().message() + ": publish it first");
    }
    if (!found) return fail(found.error());
  }
  return {};
}

Result<std::vector<ThingName>> Deployments::things_of(const formats::Target& target) {
  if (target.kind == formats::Target::Kind::kThingGroup) {
    const ThingGroupName group(target.name);
    SKERRY_TRY(store_.find_group(group));
    return store_.things_in_group(group);
  }
  const ThingName thing(target.name);
  SKERRY_TRY(store_.find_thing(thing));
  return std::vector{thing};
}

Result<void> Deployments::supersede(const std::string& target_arn,
                                    std::vector<ThingName>& changed) {
  auto former = store_.latest_deployment(target_arn);
  if (!former && former.error().code() == Code::kNotFound) return {};
  if (!former) return fail(former.error());
  if (former->status == DeploymentStatus::kActive) {
    SKERRY_TRY(store_.set_deployment_status(former->id, DeploymentStatus::kInactive));
  }
  SKERRY_ASSIGN(auto ended, store_.end_queued(former->job_id, ExecutionStatus::kCanceled,
                                              env_.clock.wall_ms()));
  changed.insert(changed.end(), ended.begin(), ended.end());
  return {};
}

Result<Deployment> Deployments::create(const json& request, const Also& in_same_transaction) {
  SKERRY_ASSIGN(auto target, formats::parse_target_arn(request.value("targetArn", "")));
  SKERRY_ASSIGN(auto document, formats::parse_deployment(request));
  const int64_t now_ms = env_.clock.wall_ms();

  Deployment deployment;
  deployment.id = DeploymentId(env_.random.uuid());
  deployment.job_id = JobId(env_.random.uuid());
  deployment.name = request.value("deploymentName", "");
  deployment.target_arn = formats::target_arn(scope_, target);
  deployment.parent_target_arn = request.value("parentTargetArn", "");
  deployment.request_json = request.dump();
  deployment.tags_json = request.value("tags", json::object()).dump();
  deployment.created_ms = now_ms;

  std::vector<ThingName> changed;
  SKERRY_TRY(store_.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(auto things, things_of(target));
    SKERRY_TRY(check_components(request));
    SKERRY_TRY(supersede(deployment.target_arn, changed));

    SKERRY_ASSIGN(deployment.revision, store_.next_revision(deployment.target_arn));
    document.id = deployment.id;
    document.name = deployment.name;
    document.configuration_arn = formats::configuration_arn(scope_, {target, deployment.revision});
    document.creation_timestamp_ms = now_ms;
    deployment.document_json = formats::to_json(document).dump();
    SKERRY_ASSIGN(deployment, store_.create_deployment(deployment));

    for (const ThingName& thing : things) {
      SKERRY_TRY(store_.queue_execution(deployment.job_id, thing, now_ms));
    }
    changed.insert(changed.end(), things.begin(), things.end());
    return in_same_transaction ? in_same_transaction(deployment) : Result<void>();
  }));
  notify(changed);
  return deployment;
}

Result<void> Deployments::cancel(const DeploymentId& id) {
  std::vector<ThingName> changed;
  SKERRY_TRY(store_.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(auto deployment, store_.find_deployment(id));
    if (deployment.status != DeploymentStatus::kActive) {
      return fail(Code::kFailedPrecondition, "deployment " + id.str() + " is " +
                                                 std::string(to_string(deployment.status)) +
                                                 ", only an ACTIVE one can be cancelled");
    }
    SKERRY_TRY(store_.set_deployment_status(id, DeploymentStatus::kCanceled));
    SKERRY_ASSIGN(changed, store_.end_queued(deployment.job_id, ExecutionStatus::kCanceled,
                                             env_.clock.wall_ms()));
    return {};
  }));
  notify(changed);
  return {};
}

Result<void> Deployments::add_to_group(const ThingName& thing, const ThingGroupName& group) {
  bool queued = false;
  SKERRY_TRY(store_.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(bool joined, store_.add_to_group(thing, group));
    if (!joined) return {};
    const formats::Target target{formats::Target::Kind::kThingGroup, group.str()};
    auto latest = store_.latest_deployment(formats::target_arn(scope_, target));
    if (!latest && latest.error().code() == Code::kNotFound) return {};
    if (!latest) return fail(latest.error());
    if (latest->status != DeploymentStatus::kActive) return {};
    // It may have been a member before. What it has ended since is queued again, because leaving
    // took the group's components from it; what it is busy with is not.
    auto execution = store_.find_execution(latest->job_id, thing);
    if (!execution && execution.error().code() != Code::kNotFound) return fail(execution.error());
    if (execution && !is_terminal(execution->status)) return {};
    SKERRY_TRY(store_.queue_execution(latest->job_id, thing, env_.clock.wall_ms()));
    queued = true;
    return {};
  }));
  if (queued) notify({thing});
  return {};
}

Result<void> Deployments::remove_from_group(const ThingName& thing, const ThingGroupName& group) {
  bool removed = false;
  SKERRY_TRY(store_.transaction([&]() -> Result<void> {
    SKERRY_TRY(store_.remove_from_group(thing, group));
    const formats::Target target{formats::Target::Kind::kThingGroup, group.str()};
    const std::string group_arn = formats::target_arn(scope_, target);
    SKERRY_ASSIGN(auto pending, store_.pending_executions(thing));
    for (const JobExecution& execution : pending) {
      if (execution.status != ExecutionStatus::kQueued) continue;
      SKERRY_ASSIGN(auto deployment, store_.find_deployment_of_job(execution.job_id));
      if (deployment.target_arn != group_arn) continue;
      Store::ExecutionChange change;
      change.status = ExecutionStatus::kRemoved;
      change.now_ms = env_.clock.wall_ms();
      SKERRY_TRY(store_.update_execution(execution.job_id, thing, change));
      removed = true;
    }
    return {};
  }));
  if (removed) notify({thing});
  return {};
}

Result<JobExecution> Deployments::update_execution(const JobId& job_id, const ThingName& thing,
                                                   const Store::ExecutionChange& change) {
  JobExecution execution;
  SKERRY_TRY(store_.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(execution, store_.update_execution(job_id, thing, change));
    if (!is_terminal(execution.status)) return {};
    SKERRY_ASSIGN(auto deployment, store_.find_deployment_of_job(job_id));
    SKERRY_ASSIGN(auto target, formats::parse_target_arn(deployment.target_arn));
    // A group's deployment stays active: things may join later.
    if (target.kind == formats::Target::Kind::kThing &&
        deployment.status == DeploymentStatus::kActive) {
      SKERRY_TRY(store_.set_deployment_status(deployment.id, succeeded(execution.status)
                                                                 ? DeploymentStatus::kCompleted
                                                                 : DeploymentStatus::kFailed));
    }
    return {};
  }));
  if (is_terminal(execution.status)) notify({thing});
  return execution;
}

void Deployments::notify(const std::vector<ThingName>& things) {
  if (!notifier_) return;
  std::vector<ThingName> once = things;
  std::sort(once.begin(), once.end());
  once.erase(std::unique(once.begin(), once.end()), once.end());
  for (const ThingName& thing : once) notifier_->job_changed(thing);
}

}  // namespace skerry::fleet
