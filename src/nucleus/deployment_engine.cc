// Deployments: plan, fetch, switch, watch, commit or roll back.
#include "nucleus/deployment_engine.h"

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "formats/jobs.h"
#include "formats/json_pointer.h"
#include "formats/public_components.h"
#include "nucleus/component_spec.h"

namespace skerry::nucleus {
namespace {

using formats::JobStatus;

constexpr int64_t kFirstRetryMs = 500;
constexpr int64_t kLongestRetryMs = 60'000;
constexpr int64_t kDiskRetryMs = 5'000;
constexpr int64_t kNeverMs = int64_t{10} * 365 * 86'400'000;
constexpr int kMaxFetchAttempts =
    1'000'000;  // only an operator's cancel ends a download that cannot progress
constexpr int kLocalFetchAttempts = 5;
// A generation that brings the program down this often while it is being switched to is rolled
// back.
constexpr int kMaxBootsInPhase = 3;

JobResult outcome(JobResult job, JobStatus status, std::string detailed_status,
                  std::string reason) {
  job.status = name_of(status);
  job.detailed_status = std::move(detailed_status);
  job.reason = std::move(reason);
  return job;
}

JobResult outcome(JobResult job, JobStatus status, std::string detailed_status,
                  const Fault& fault) {
  job.codes = codes_of(fault);
  return outcome(std::move(job), status, std::move(detailed_status), fault.error.message());
}

}  // namespace

Result<std::string> target_of(const formats::Deployment& document) {
  SKERRY_ASSIGN(auto id, document.configuration_id());
  return (id.target.kind == formats::Target::Kind::kThing ? "thing/" : "thinggroup/") +
         id.target.name;
}

io::Task<Result<void>> DeploymentEngine::deploy(DeploymentOrder order) {
  background_.cancel_all();
  cancelled_.reset();
  const formats::Deployment& document = order.document;
  const auto target = order.local ? Result<std::string>(order.target) : target_of(document);
  JobResult result{order.job, document.id, target.value_or(""), document.configuration_arn, "",
                   "",        ""};
  if (!target) {
    co_return co_await end_without_change(outcome(
        result, JobStatus::kFailed, "FAILED_NO_STATE_CHANGE", {Cause::kDocument, target.error()}));
  }
  order.target = *target;
  if (auto stale = check_revision(order); !stale) {
    co_return co_await end_without_change(
        outcome(result, JobStatus::kRejected, "REJECTED", {Cause::kStale, stale.error()}));
  }

  // 1. Decide what will run, and 2. have all of it on disk, verified, and accepted by those that it
  // concerns. Nothing that runs is touched; a crash, a cancel or an error up to here changes
  // nothing.
  auto planned = co_await prepare_switch(&order);
  if (!planned) {
    co_return co_await end_without_change(
        outcome(result, JobStatus::kFailed, "FAILED_NO_STATE_CHANGE", planned.error()));
  }

  // 3. The switch: one record. Before it a crash leaves the old generation, after it the new one,
  // with the old one kept.
  auto switched =
      state_.switch_to(std::move(planned->next), result,
                       document.failure_handling == formats::FailureHandling::kRollback);
  if (!switched) {  // no space, a damaged disk, a generation too large to be written
    co_return co_await end_without_change(outcome(
        result, JobStatus::kFailed, "FAILED_NO_STATE_CHANGE", {Cause::kState, switched.error()}));
  }
  log::info("deployment", "switched", {{"job", order.job.str()}});

  // 4. Stop what changed, start the new, and watch it; 5. commit, or return to the old generation.
  co_return co_await finish_activation();
}

// Up to where the switch is all that is missing.
io::Task<Outcome<DeploymentEngine::Plan>> DeploymentEngine::prepare_switch(
    const DeploymentOrder* order) {
  const formats::Deployment* document = &order->document;
  auto planned = co_await plan(order);
  if (!planned) co_return planned;
  log::info("deployment", "planned", {{"deployment", document->id.str()}});
  SKERRY_CO_TRY_OR_BLAME(Cause::kArtifact, co_await fetch(order, &planned->resolution));
  log::info("deployment", "fetched", {{"deployment", document->id.str()}});
  // Twice more: components may have changed their configuration during the download, and while
  // others took their time.
  SKERRY_CO_ASSIGN_OR_BLAME(planned->next.config, Cause::kConfiguration,
                            next_config(*document, planned->resolution));
  if (auto agreed = co_await consult(document, &planned->next); !agreed)
    co_return std::unexpected(std::move(agreed.error()));
  state_.settle();
  SKERRY_CO_ASSIGN_OR_BLAME(planned->next.config, Cause::kConfiguration,
                            next_config(*document, planned->resolution));
  co_return planned;
}

// What components have to say about it, as the deployment's policies want.
io::Task<Outcome<>> DeploymentEngine::consult(const formats::Deployment* document,
                                              const Generation* next) {
  std::map<ComponentName, std::string> changed;  // that stay what they are, and are configured anew
  for (const auto& [name, component] : next->components) {
    const auto before = state_.components().find(name);
    if (before == state_.components().end() || before->second.package() != component.package())
      continue;
    std::string configuration, old;
    if (!next->config.append_json(name, {}, configuration)) configuration = "{}";
    if (!state_.config().tree().append_json(name, {}, old)) old = "{}";
    if (configuration != old) changed.emplace(name, std::move(configuration));
  }
  using std::chrono::milliseconds;
  SKERRY_CO_TRY_OR_BLAME(Cause::kValidity, co_await consent_.validate(
                                               document->id.str(), std::move(changed),
                                               milliseconds(document->validation_timeout).count()));
  if (document->update_action == formats::UpdateAction::kNotify) {
    co_await consent_.ask(document->id.str(), milliseconds(document->update_timeout).count());
  }
  co_return Outcome<>();
}

io::Task<Result<void>> DeploymentEngine::finish_activation() {
  JobResult job = state_.pending_job();
  auto activated = co_await activate();
  if (activated) {
    // Before the commit: after a crash it is done again rather than not at all.
    co_await supervisor_.uninstall(leavers(state_.previous()));
    consent_.tell_done(job.deployment.str());
    log::info("deployment", "succeeded", {{"job", job.job.str()}});
    SKERRY_CO_TRY(co_await persist(
        [&] { return state_.commit(outcome(job, JobStatus::kSucceeded, "SUCCESSFUL", "")); }));
    damaged_.clear();  // all of it was fetched
    tend();
    co_return Result<void>();
  }
  const Fault& fault = activated.error();
  const std::string& reason = fault.error.message();
  log::warn("deployment", "failed", {{"job", job.job.str()}, {"reason", reason}});
  if (!state_.roll_back_on_failure() && !cancelled_) {
    co_await supervisor_.uninstall(leavers(state_.previous()));
    consent_.tell_done(job.deployment.str());
    SKERRY_CO_TRY(co_await persist([&] {
      return state_.commit(
          outcome(job, JobStatus::kFailed, "FAILED_ROLLBACK_NOT_REQUESTED", fault));
    }));
    damaged_.clear();
    tend();
    co_return Result<void>();
  }
  co_return co_await roll_back(reason, codes_of(fault));
}

io::Task<Result<void>> DeploymentEngine::roll_back(std::string reason, FaultCodes codes) {
  // 6. One record again: from here on the old generation is current.
  if (state_.phase() == Phase::kActivating) {
    SKERRY_CO_TRY(co_await persist([&] { return state_.begin_rollback(reason, codes); }));
  }
  JobResult job = state_.pending_job();
  auto activated = co_await activate();
  JobResult result = outcome(job, JobStatus::kFailed, "FAILED_ROLLBACK_COMPLETE", reason);
  if (cancelled_) result.reason += "; the previous versions were started and not waited for";
  if (activated) {
    log::info("deployment", "rolled back", {{"job", job.job.str()}});
  } else {
    result.detailed_status = "FAILED_UNABLE_TO_ROLLBACK";
    const std::string& why = activated.error().error.message();
    result.reason += "; and after the roll-back: " + why;
    log::error("deployment", "the previous versions do not come up either",
               {{"job", job.job.str()}, {"reason", why}});
  }
  // What failed, also where that was before a crash.
  co_await supervisor_.uninstall(leavers(state_.previous()));
  consent_.tell_done(job.deployment.str());
  SKERRY_CO_TRY(co_await persist([&] { return state_.finish_rollback(result); }));
  tend();
  co_return Result<void>();
}

io::Task<Result<void>> DeploymentEngine::end_without_change(JobResult result) {
  log::warn("deployment", "ended without a change",
            {{"job", result.job.str()}, {"status", result.status}, {"reason", result.reason}});
  co_return co_await persist([&] { return state_.record_result(result); });
}

// A disk that is full or fails is waited out while the components run on: a restart would not mend
// it. A record that can never be written is the caller's.
io::Task<Result<void>> DeploymentEngine::persist(std::function<Result<void>()> write) {
  for (;;) {
    auto written = write();
    if (written || written.error().code() == Code::kInvalidArgument) co_return written;
    log::error("deployment", "the state cannot be written, waiting for the disk",
               {{"reason", written.error().message()}});
    co_await io::sleep(env_.loop, kDiskRetryMs);
  }
}

io::Task<Result<void>> DeploymentEngine::resume() {
  if (state_.phase() == Phase::kIdle) {
    for (const auto& [name, installed] : ComponentSet(state_.components())) {
      auto whole = co_await keeper_.mend(nullptr, name);
      if (whole) continue;
      damaged_.insert(name);
      log::error("packages", "a package is damaged and cannot be mended from what is here",
                 {{"component", name.str()}, {"reason", whole.error().message()}});
    }
    co_await apply_what_can_run();
    if (!damaged_.empty()) background_.spawn(mend_damaged());
    co_return Result<void>();
  }
  SKERRY_CO_TRY(co_await persist([&] { return state_.note_boot(); }));
  log::info("deployment", "going on after a restart", {{"job", state_.pending_job().job.str()}});
  if (state_.phase() == Phase::kRollingBack)
    co_return co_await roll_back(state_.pending_job().reason, {});
  if (state_.boots_in_phase() > kMaxBootsInPhase) {
    const Error error(Code::kInternal, "the device restarted " +
                                           std::to_string(state_.boots_in_phase()) +
                                           " times while the new versions came up");
    co_return co_await roll_back(error.message(), codes_of({Cause::kRestarts, error}));
  }
  co_return co_await finish_activation();
}

io::Task<Result<void>> DeploymentEngine::fetch(const DeploymentOrder* order,
                                               const Resolution* resolution) {
  const int attempts = order->local ? kLocalFetchAttempts : kMaxFetchAttempts;
  if (order->local) order->local->inbox->read_beyond(&cloud_);
  for (const auto& [name, component] : *resolution) {
    Cloud* source = &cloud_;
    if (LocalInbox::brought(component.candidate)) source = order->local->inbox;
    for (int attempt = 1;; ++attempt) {
      auto fetched = co_await packages_.fetch(source, component.candidate, &component.manifest);
      if (fetched) break;
      if (!is_worth_waiting_for(fetched.error()) || attempt >= attempts) co_return fetched;
      co_await wait_before_retry(attempt - 1, &fetched.error());
    }
  }
  co_return Result<void>();
}

void DeploymentEngine::cancel(std::string reason) {
  if (cancelled_ || state_.phase() == Phase::kIdle) return;
  log::info("deployment", "cancelled", {{"job", state_.pending_job().job.str()}, {"why", reason}});
  cancelled_ = Error(Code::kCancelled, std::move(reason));
  if (!up_) return;
  if (state_.phase() == Phase::kActivating) {
    up_->complete(std::unexpected(Fault{Cause::kCancelled, *cancelled_}));
  } else {
    up_->complete(Outcome<>());
  }
}

// Ends early where it is cancelled.
io::Task<Outcome<>> DeploymentEngine::activate() {
  if (cancelled_ && state_.phase() == Phase::kActivating)
    co_return std::unexpected(Fault{Cause::kCancelled, *cancelled_});
  up_.emplace(env_.loop);
  io::Completion<Outcome<>> up = *up_;
  io::TaskScope work;
  work.spawn(bring_up(up));
  auto result = co_await up;
  up_.reset();
  co_return result;
}

io::Task<void> DeploymentEngine::bring_up(io::Completion<Outcome<>> up) {
  up.complete(co_await bring_up_current());
}

io::Task<Outcome<>> DeploymentEngine::bring_up_current() {
  std::vector<ComponentSpec> specs;
  std::optional<int64_t> within_ms = info_.healthy_within_ms;
  const ComponentSet components = state_.components();
  for (const auto& [name, installed] : components) {
    if (installed.digest.empty())
      SKERRY_CO_TRY_OR_BLAME(Cause::kActivation, co_await keeper_.mend(nullptr, name));
    SKERRY_CO_ASSIGN_OR_BLAME(ComponentSpec spec, Cause::kActivation, co_await prepare(name));
    // The recipes' timeouts hold; what is left of the limit is for waiting on one another.
    const auto longest_ms = longest_start_ms(spec);
    within_ms = within_ms && longest_ms ? std::optional(*within_ms + *longest_ms) : std::nullopt;
    specs.push_back(std::move(spec));
  }
  co_await supervisor_.apply(std::move(specs));
  if (cancelled_) co_return Outcome<>();
  auto healthy =
      co_await supervisor_.wait_healthy(info_.healthy_for_ms, within_ms.value_or(kNeverMs));
  if (!healthy) co_return std::unexpected(fault_of_health(std::move(healthy.error())));
  co_return Outcome<>();
}

// The components that are broken say what they failed at.
Fault DeploymentEngine::fault_of_health(Error error) const {
  for (const ComponentStatus& status : supervisor_.statuses()) {
    if (status.state != ComponentState::kBroken) continue;
    const std::string& name = status.name.str();
    if (status.code == "BOOTSTRAP_TIMEOUT")
      return {Cause::kBootstrap, Error(Code::kTimeout, error.message()), name};
    return {status.code == "BOOTSTRAP_ERROR" ? Cause::kBootstrap : Cause::kComponent,
            std::move(error), name};
  }
  return {Cause::kActivation, std::move(error)};
}

// Of a component of the generation that has these components and this configuration.
Result<ComponentSpec> DeploymentEngine::spec_of(const ComponentName& name,
                                                const ComponentSet& components,
                                                const ConfigTree& config) {
  SKERRY_ASSIGN(std::string text, packages_.recipe(name, components.at(name)));
  SKERRY_ASSIGN(auto recipe, formats::parse_recipe(text));
  if (recipe.name != name) {
    return fail(Code::kCorrupt, "the stored recipe of " + name.str() + " is that of " +
                                    recipe.name.str() + ": deploy it again");
  }
  SKERRY_ASSIGN(const auto manifest, manifest_for(info_, recipe));
  return make_component_spec(info_, packages_, components, config, recipe, manifest);
}

// What the other generation has and the current one has not. Its packages are still on the disk.
std::vector<ComponentSpec> DeploymentEngine::leavers(const Generation& other) {
  std::vector<ComponentSpec> specs;
  for (const auto& [name, installed] : other.components) {
    if (state_.components().contains(name)) continue;
    auto spec = spec_of(name, other.components, other.config);
    if (spec) {
      specs.push_back(std::move(*spec));
    } else {
      log::warn("deployment", "leaves without its Uninstall",
                {{"component", name.str()}, {"reason", spec.error().message()}});
    }
  }
  return specs;
}

// The spec of a component of the current generation, its files in place.
io::Task<Result<ComponentSpec>> DeploymentEngine::prepare(ComponentName name) {
  SKERRY_CO_ASSIGN(ComponentSpec spec, spec_of(name, state_.components(), state_.config().tree()));
  SKERRY_CO_TRY(io::make_directories(env_.files, io::parent_of(spec.log_path)));
  if (spec.user) {
    SKERRY_CO_TRY(co_await packages_.give_to_group(name, spec.package, spec.user->second));
  }
  co_return spec;
}

// Between deployments, where one that cannot be prepared must not hold up the others.
io::Task<void> DeploymentEngine::apply_what_can_run() {
  std::vector<ComponentSpec> specs;
  for (const auto& [name, installed] : ComponentSet(state_.components())) {
    if (damaged_.contains(name)) continue;
    auto spec = co_await prepare(name);
    if (spec) {
      specs.push_back(std::move(*spec));
    } else {
      // A new deployment can repair this one.
      log::error("deployment", "an installed component cannot be started",
                 {{"component", name.str()}, {"reason", spec.error().message()}});
    }
  }
  co_await supervisor_.apply(std::move(specs));
}

io::Task<void> DeploymentEngine::mend_damaged() {
  for (int attempt = 0; !damaged_.empty(); ++attempt) {
    std::optional<Error> last_error;  // that may pass
    bool any_mended = false;
    for (const ComponentName& name : std::set(damaged_)) {
      auto mended = co_await keeper_.mend(&cloud_, name);
      if (mended) {
        log::info("packages", "a damaged package is whole again", {{"component", name.str()}});
        damaged_.erase(name);
        any_mended = true;
      } else if (is_worth_waiting_for(mended.error()) ||
                 mended.error().code() == Code::kResourceExhausted ||
                 mended.error().code() == Code::kInternal) {
        last_error = mended.error();
      } else {
        log::error("packages", "a damaged package stays so until it is deployed again",
                   {{"component", name.str()}, {"reason", mended.error().message()}});
      }
    }
    if (any_mended) co_await apply_what_can_run();
    if (!last_error) co_return;
    co_await wait_before_retry(attempt, &*last_error);
  }
}

void DeploymentEngine::tend() {
  if (background_.size() == 0) background_.spawn(mend_and_clean_up());
}

// A full disk or a damaged folder must not fail a deployment that is done.
io::Task<void> DeploymentEngine::mend_and_clean_up() {
  co_await mend_damaged();
  if (keep_downloads_) co_return;
  if (auto cleaned = co_await keeper_.clean_up(); !cleaned) {
    log::warn("packages", "what is not needed could not be removed",
              {{"reason", cleaned.error().message()}});
  }
}

io::Task<void> DeploymentEngine::wait_before_retry(int attempt, const Error* error) {
  int64_t delay_ms = std::min(kLongestRetryMs, kFirstRetryMs << std::min(attempt, 10));
  delay_ms += static_cast<int64_t>(env_.random.below(static_cast<uint64_t>(delay_ms / 2 + 1)));
  log::warn("deployment", "waiting to try again",
            {{"delay_ms", std::to_string(delay_ms)}, {"reason", error->message()}});
  co_await io::sleep(env_.loop, delay_ms);
}

}  // namespace skerry::nucleus
