// The queue is the device's state: what has no result yet waits, oldest first.
#include "nucleus/local_deployments.h"

#include <algorithm>

#include "base/log.h"
#include "formats/jobs.h"

namespace skerry::nucleus {
namespace {

// More would be somebody's loop that went wrong.
constexpr size_t kMaxWaiting = 20;

constexpr std::string_view kCancelledStatus = "CANCELED";

}  // namespace

std::string LocalDeployments::inbox_of(const DeploymentId& id) const {
  return info_.root + "/local/" + id.str();
}

bool LocalDeployments::is_past_switch(const DeploymentId& id) const {
  return state_.phase() != Phase::kIdle && state_.pending_job().job.str() == id.str();
}

void LocalDeployments::start() {
  for (const LocalDeployment& each : all()) {
    if (each.cancelled && is_past_switch(each.id)) engine_.cancel("cancelled");
  }
  sweep_soon();
}

void LocalDeployments::run_next() {
  if (running_) return;
  const auto next =
      std::ranges::find_if(all(), [](const LocalDeployment& each) { return !each.result; });
  if (next == all().end()) return sweep_soon();
  if (!hooks_.take_turn()) return;
  running_ = next->id;
  work_.spawn(run(*next));
}

io::Task<std::expected<DeploymentId, LocalDeployments::Refusal>> LocalDeployments::accept(
    LocalRequest request, LocalFolders folders) {
  const auto waiting =
      std::ranges::count_if(all(), [](const LocalDeployment& each) { return !each.result; });
  if (static_cast<size_t>(waiting) + arriving_.size() >= kMaxWaiting) {
    co_return std::unexpected(
        Refusal{Blame::kNeither,
                Error(Code::kResourceExhausted, std::to_string(waiting) +
                                                    " local deployments wait already: wait for "
                                                    "them, or cancel some")});
  }
  const DeploymentId id(env_.random.uuid());
  arriving_.insert(id.str());
  LocalInbox inbox(env_, inbox_of(id));
  LocalInbox::Folder folder = LocalInbox::Folder::kRecipes;
  Blame blame = Blame::kNeither;
  auto taken = co_await inbox.take(std::move(folders), &folder);
  if (!taken && taken.error().code() != Code::kResourceExhausted) {
    blame = folder == LocalInbox::Folder::kRecipes ? Blame::kRecipes : Blame::kArtifacts;
  }
  if (taken) {
    request.document.id = id;
    request.document.creation_timestamp_ms = env_.clock.wall_ms();
    taken = state_.queue_local(
        {id, request.document.creation_timestamp_ms, std::move(request), false, {}});
  }
  arriving_.erase(id.str());
  if (!taken) {
    sweep_soon();
    co_return std::unexpected(Refusal{blame, std::move(taken.error())});
  }
  log::info("local", "deployment accepted", {{"deployment", id.str()}});
  co_return id;
}

io::Task<void> LocalDeployments::arrive(LocalRequest request, LocalFolders folders,
                                        Created answer) {
  auto accepted = co_await accept(std::move(request), std::move(folders));
  const bool is_new = accepted.has_value();
  answer(std::move(accepted));
  if (is_new) run_next();
}

io::Task<void> LocalDeployments::run(LocalDeployment deployment) {
  auto done = co_await deploy(&deployment);
  if (!done) {
    hooks_.on_fatal(done.error());
    co_return;
  }
  ended(deployment.id);
}

io::Task<Result<void>> LocalDeployments::deploy(const LocalDeployment* deployment) {
  if (deployment->cancelled) co_return end_cancelled(deployment->id);
  LocalInbox inbox(env_, inbox_of(deployment->id));
  const JobId job(deployment->id.str());
  if (auto opened = co_await inbox.open(); !opened) {
    co_return co_await engine_.end_without_change(
        {job, deployment->id, deployment->request.target, "",
         std::string(name_of(formats::JobStatus::kFailed)), "FAILED_NO_STATE_CHANGE",
         opened.error().message(), codes_of({Cause::kRecipe, opened.error()})});
  }
  co_return co_await engine_.deploy(
      {job, deployment->request.document, deployment->request.target,
       LocalChange{deployment->request.added, deployment->request.removed,
                   deployment->request.run_with, &inbox}});
}

void LocalDeployments::ended(const DeploymentId& id) {
  running_.reset();
  hooks_.on_finished();
  const LocalDeployment* known = state_.find_local(id);  // null where later ones have ended before
  log::info("local", "deployment ended",
            {{"deployment", id.str()}, {"status", known ? std::string(status_of(*known)) : ""}});
  hooks_.give_back();
  run_next();
}

Result<void> LocalDeployments::cancel(const DeploymentId& id) {
  const LocalDeployment* known = state_.find_local(id);
  if (!known) return fail(Code::kNotFound, "there is no local deployment " + id.str());
  if (known->result) {
    return fail(Code::kFailedPrecondition,
                "the deployment has ended: " + std::string(status_of(*known)));
  }
  if (is_past_switch(id)) {
    SKERRY_TRY(state_.cancel_local(id));
    engine_.cancel("cancelled");
    return {};
  }
  SKERRY_TRY(end_cancelled(id));
  if (running_ != id) {
    sweep_soon();
    return {};
  }
  work_.cancel_all();
  ended(id);
  return {};
}

// Before its switch: nothing has changed.
Result<void> LocalDeployments::end_cancelled(const DeploymentId& id) {
  const Error error(Code::kCancelled, "cancelled");
  return state_.record_result({JobId(id.str()), id, "", "", std::string(kCancelledStatus),
                               "FAILED_NO_STATE_CHANGE", error.message(),
                               codes_of({Cause::kCancelled, error})});
}

std::string_view LocalDeployments::status_of(const LocalDeployment& deployment) const {
  if (!deployment.result) {
    return running_ == deployment.id || is_past_switch(deployment.id) ? "IN_PROGRESS" : "QUEUED";
  }
  const std::string& status = deployment.result->status;
  if (status == name_of(formats::JobStatus::kSucceeded)) return "SUCCEEDED";
  return status == kCancelledStatus || deployment.cancelled ? kCancelledStatus
                                                            : std::string_view("FAILED");
}

void LocalDeployments::sweep_soon() {
  if (sweeping_.size() == 0) sweeping_.spawn(sweep());
}

// Removes what deployments brought along that have ended, or were never accepted.
io::Task<void> LocalDeployments::sweep() {
  auto folders = env_.files.list(info_.root + "/local");
  if (!folders) co_return;  // there never was one
  for (const std::string& folder : *folders) {
    const LocalDeployment* known = state_.find_local(DeploymentId(folder));
    if (arriving_.contains(folder) || (known && !known->result)) continue;
    const std::string path = inbox_of(DeploymentId(folder));
    auto removed = co_await io::run_on(
        env_.pool, env_.loop, [&files = env_.files, path] { return io::remove_all(files, path); });
    if (!removed) log::warn("local", "not removed", {{"reason", removed.error().message()}});
  }
}

}  // namespace skerry::nucleus
