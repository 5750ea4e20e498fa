// Deployments: plan, fetch, switch, watch, commit or roll back.
#include "nucleus/deployment_engine.h"

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "nucleus/component_spec.h"

namespace skerry::nucleus {
namespace {

constexpr int64_t kFirstRetryMs = 500;
constexpr int64_t kLongestRetryMs = 60'000;
constexpr int64_t kFullDiskRetryMs = 5'000;
constexpr int kMaxFetchAttempts =
    1'000'000;  // only an operator's cancel ends a download that cannot progress
// A generation that brings the program down this often while it is being switched to is rolled
// back.
constexpr int kMaxBootsInPhase = 3;

bool worth_waiting_for(const Error& error) {
  return error.code() == Code::kUnavailable || error.code() == Code::kTimeout;
}

JobResult outcome(JobResult job, std::string status, std::string detailed_status,
                  std::string reason) {
  job.status = std::move(status);
  job.detailed_status = std::move(detailed_status);
  job.reason = std::move(reason);
  return job;
}

}  // namespace

Result<std::string> target_of(const formats::Deployment& document) {
  SKERRY_ASSIGN(auto id, document.configuration_id());
  return (id.target.kind == formats::Target::Kind::kThing ? "thing/" : "thinggroup/") +
         id.target.name;
}

io::Task<Result<void>> DeploymentEngine::deploy(JobId job, formats::Deployment document) {
  auto target = target_of(document);
  JobResult result{job, document.id, target.value_or(""), document.configuration_arn, "", "", ""};
  if (!target) {
    co_return co_await end_without_change(
        outcome(result, "FAILED", "FAILED_NO_STATE_CHANGE", target.error().message()));
  }
  // An older revision of what this target already has arrives late: it must not undo the newer one.
  auto known = state_.targets().find(*target);
  const int64_t revision = document.configuration_id().value().revision;
  if (known != state_.targets().end() && revision < known->second.revision) {
    co_return co_await end_without_change(outcome(result, "REJECTED", "REJECTED",
                                                  "revision " +
                                                      std::to_string(known->second.revision) +
                                                      " of " + *target + " is deployed already"));
  }

  // 1. Decide what will run, and 2. have all of it on disk, verified. Nothing that runs is touched;
  // a crash, a cancel or an error up to here changes nothing.
  auto planned = co_await plan(&document);
  Result<void> ready;
  if (!planned) {
    ready = fail(planned.error());
  } else {
    log::info("deployment", "planned", {{"job", job.str()}});
    ready = co_await fetch(&planned->resolution);
  }
  if (ready) {
    // Once more: components may have changed their configuration during the download.
    auto config = next_config(document, planned->resolution);
    if (config) {
      planned->next.config = std::move(*config);
    } else {
      ready = fail(config.error());
    }
  }
  if (!ready) {
    co_return co_await end_without_change(
        outcome(result, "FAILED", "FAILED_NO_STATE_CHANGE", ready.error().message()));
  }
  log::info("deployment", "fetched", {{"job", job.str()}});

  // 3. The switch: one record. Before it a crash leaves the old generation, after it the new one,
  // with the old one kept.
  auto switched =
      state_.switch_to(std::move(planned->next), result,
                       document.failure_handling == formats::FailureHandling::kRollback);
  if (!switched && switched.error().code() == Code::kResourceExhausted) {
    co_return co_await end_without_change(
        outcome(result, "FAILED", "FAILED_NO_STATE_CHANGE", switched.error().message()));
  }
  SKERRY_CO_TRY(switched);
  log::info("deployment", "switched", {{"job", job.str()}});

  // 4. Stop what changed, start the new, and watch it; 5. commit, or return to the old generation.
  co_return co_await finish_activation();
}

io::Task<Result<void>> DeploymentEngine::finish_activation() {
  JobResult job = state_.pending_job();
  auto activated = co_await activate();
  if (activated) {
    log::info("deployment", "succeeded", {{"job", job.job.str()}});
    SKERRY_CO_TRY(co_await persist(
        [&] { return state_.commit(outcome(job, "SUCCEEDED", "SUCCESSFUL", "")); }));
    collect_garbage();
    co_return Result<void>();
  }
  std::string reason = activated.error().message();
  log::warn("deployment", "failed", {{"job", job.job.str()}, {"reason", reason}});
  if (!state_.roll_back_on_failure()) {
    SKERRY_CO_TRY(co_await persist([&] {
      return state_.commit(outcome(job, "FAILED", "FAILED_ROLLBACK_NOT_REQUESTED", reason));
    }));
    collect_garbage();
    co_return Result<void>();
  }
  co_return co_await roll_back(std::move(reason));
}

io::Task<Result<void>> DeploymentEngine::roll_back(std::string reason) {
  // 6. One record again: from here on the old generation is current.
  if (state_.phase() == Phase::kActivating) {
    SKERRY_CO_TRY(co_await persist([&] { return state_.begin_rollback(reason); }));
  }
  JobResult job = state_.pending_job();
  auto activated = co_await activate();
  JobResult result = outcome(job, "FAILED", "FAILED_ROLLBACK_COMPLETE", reason);
  if (activated) {
    log::info("deployment", "rolled back", {{"job", job.job.str()}});
  } else {
    result.detailed_status = "FAILED_UNABLE_TO_ROLLBACK";
    result.reason += "; and after the roll-back: " + activated.error().message();
    log::error("deployment", "the previous versions do not come up either",
               {{"job", job.job.str()}, {"reason", activated.error().message()}});
  }
  SKERRY_CO_TRY(co_await persist([&] { return state_.finish_rollback(result); }));
  collect_garbage();
  co_return Result<void>();
}

io::Task<Result<void>> DeploymentEngine::end_without_change(JobResult result) {
  log::warn("deployment", "ended without a change",
            {{"job", result.job.str()}, {"status", result.status}, {"reason", result.reason}});
  co_return co_await persist([&] { return state_.record_result(result); });
}

// A full disk is waited out while the components run on; any other failure is the caller's.
io::Task<Result<void>> DeploymentEngine::persist(std::function<Result<void>()> write) {
  for (;;) {
    auto written = write();
    if (written || written.error().code() != Code::kResourceExhausted) co_return written;
    log::error("deployment", "the disk is full, waiting for space",
               {{"reason", written.error().message()}});
    co_await io::sleep(env_.loop, kFullDiskRetryMs);
  }
}

io::Task<Result<void>> DeploymentEngine::resume() {
  if (state_.phase() == Phase::kIdle) {
    std::vector<ComponentSpec> specs;
    for (const auto& [name, installed] : state_.components()) {
      auto spec = prepare(name, installed);
      if (spec) {
        specs.push_back(std::move(*spec));
      } else {
        // The others run, and a new deployment can repair this one.
        log::error("deployment", "an installed component cannot be started",
                   {{"component", name.str()}, {"reason", spec.error().message()}});
      }
    }
    co_await supervisor_.apply(std::move(specs));
    co_return Result<void>();
  }
  SKERRY_CO_TRY(co_await persist([&] { return state_.note_boot(); }));
  log::info("deployment", "going on after a restart", {{"job", state_.pending_job().job.str()}});
  if (state_.phase() == Phase::kRollingBack)
    co_return co_await roll_back(state_.pending_job().reason);
  if (state_.boots_in_phase() > kMaxBootsInPhase) {
    co_return co_await roll_back("the device restarted " + std::to_string(state_.boots_in_phase()) +
                                 " times while the new versions came up");
  }
  co_return co_await finish_activation();
}

io::Task<Result<DeploymentEngine::Plan>> DeploymentEngine::plan(
    const formats::Deployment* document) {
  SKERRY_CO_ASSIGN(std::string target, target_of(*document));
  Plan plan;
  SKERRY_CO_ASSIGN(plan.next.targets, co_await next_targets(document, &target));
  Requirements roots;
  for (const auto& [name, deployment] : plan.next.targets) {
    for (const auto& [component, requirement] : deployment.roots)
      roots[component][name] = requirement;
  }
  Resolver resolver(cloud_, packages_, state_, info_);
  for (int attempt = 0;; ++attempt) {
    auto resolved = co_await resolver.resolve(roots);
    if (resolved) {
      plan.resolution = std::move(*resolved);
      break;
    }
    if (!worth_waiting_for(resolved.error())) co_return fail(resolved.error());
    co_await wait_before_retry(attempt, &resolved.error());
  }
  for (const auto& [name, component] : plan.resolution) {
    InstalledComponent installed;
    installed.version = component.candidate.version;
    installed.arn = component.candidate.arn;
    installed.is_root = component.is_root;
    for (const auto& [target_name, deployment] : plan.next.targets) {
      if (deployment.roots.contains(name))
        installed.configuration_arns.push_back(deployment.configuration_arn);
    }
    auto running = state_.components().find(name);
    if (running != state_.components().end()) {
      installed.posix_user = running->second.posix_user;
      installed.limits = running->second.limits;
    }
    auto listed = document->components.find(name);
    if (listed != document->components.end()) {
      const formats::RunWith& run_with = listed->second.run_with;
      installed.posix_user = run_with.posix_user;
      installed.limits = run_with.limits;
    }
    plan.next.components[name] = std::move(installed);
  }
  SKERRY_CO_ASSIGN(plan.next.config, next_config(*document, plan.resolution));
  // What cannot be run (no such user, no privilege) is found before anything is downloaded.
  for (const auto& [name, component] : plan.resolution) {
    auto spec = make_component_spec(info_, packages_, plan.next.components, plan.next.config,
                                    component.recipe, component.manifest);
    if (!spec) co_return fail(spec.error());
  }
  co_return plan;
}

// The deployments that stay in force: this one, the thing's own, and those of groups it is still
// in.
io::Task<Result<Targets>> DeploymentEngine::next_targets(const formats::Deployment* document,
                                                         const std::string* target) {
  Targets targets = state_.targets();
  auto groups = co_await cloud_.thing_groups();
  if (groups) {
    std::erase_if(targets, [&](const auto& entry) {
      return entry.first.starts_with("thinggroup/") &&
             std::find(groups->begin(), groups->end(), entry.first) == groups->end();
    });
  } else if (!worth_waiting_for(groups.error()) &&
             groups.error().code() != Code::kPermissionDenied) {
    co_return fail(groups.error());
  } else {
    log::warn("deployment", "groups unknown, keeping all", {{"reason", groups.error().message()}});
  }
  TargetDeployment deployment;
  deployment.deployment_id = document->id.str();
  deployment.configuration_arn = document->configuration_arn;
  deployment.revision = document->configuration_id().value().revision;
  for (const auto& [name, component] : document->components) {
    deployment.roots[name] = "=" + component.version.str();
  }
  targets[*target] = std::move(deployment);
  co_return targets;
}

// RESET, then the recipe's defaults under everything, then MERGE with the deployment's time.
Result<ConfigTree> DeploymentEngine::next_config(const formats::Deployment& document,
                                                 const Resolution& resolution) const {
  ConfigTree config = state_.config().tree();
  for (const ComponentName& name : config.components()) {
    if (!resolution.contains(name) && !is_built_in(name)) config.remove(name);
  }
  const int64_t timestamp_ms =
      document.creation_timestamp_ms > 0 ? document.creation_timestamp_ms : env_.clock.wall_ms();
  auto update = [&](const ComponentName& name, const nlohmann::json* defaults) -> Result<void> {
    auto listed = document.components.find(name);
    if (listed != document.components.end()) {
      SKERRY_TRY(config.reset(name, listed->second.configuration.reset));
    }
    if (defaults) SKERRY_TRY(config.apply_defaults(name, *defaults));
    if (listed != document.components.end() && listed->second.configuration.merge) {
      SKERRY_TRY(config.merge(name, {}, *listed->second.configuration.merge, timestamp_ms));
    }
    return {};
  };
  for (const auto& [name, component] : resolution) {
    if (auto done = update(name, component.recipe.default_configuration.get()); !done) {
      return fail(done.error().with_context("configuration of " + name.str()));
    }
  }
  for (const auto& [name, component] : document.components) {
    if (is_built_in(name)) SKERRY_TRY(update(name, nullptr));
  }
  return config;
}

io::Task<Result<void>> DeploymentEngine::fetch(const Resolution* resolution) {
  for (const auto& [name, component] : *resolution) {
    for (int attempt = 0; attempt < kMaxFetchAttempts; ++attempt) {
      auto fetched = co_await packages_.fetch(&cloud_, component.candidate, &component.manifest);
      if (fetched) break;
      if (!worth_waiting_for(fetched.error())) co_return fetched;
      co_await wait_before_retry(attempt, &fetched.error());
    }
  }
  co_return Result<void>();
}

io::Task<Result<void>> DeploymentEngine::activate() {
  auto specs = prepare_current();
  if (!specs) co_return fail(specs.error());
  co_await supervisor_.apply(std::move(*specs));
  co_return co_await supervisor_.wait_healthy(info_.healthy_for_ms, info_.healthy_within_ms);
}

// The specs of the current generation, their folders and files in place.
Result<std::vector<ComponentSpec>> DeploymentEngine::prepare_current() {
  std::vector<ComponentSpec> specs;
  for (const auto& [name, installed] : state_.components()) {
    SKERRY_ASSIGN(ComponentSpec spec, prepare(name, installed));
    specs.push_back(std::move(spec));
  }
  return specs;
}

Result<ComponentSpec> DeploymentEngine::prepare(const ComponentName& name,
                                                const InstalledComponent& installed) {
  SKERRY_ASSIGN(std::string text, packages_.recipe(name, installed.version));
  SKERRY_ASSIGN(auto recipe, formats::parse_recipe(text));
  if (recipe.name != name) {
    return fail(Code::kCorrupt, "the stored recipe of " + name.str() + " is that of " +
                                    recipe.name.str() + ": deploy it again");
  }
  const formats::Manifest* manifest =
      formats::choose_manifest(recipe, {{"os", info_.platform.os},
                                        {"architecture", info_.platform.architecture},
                                        {"runtime", "skerry"}});
  if (!manifest) {
    return fail(Code::kFailedPrecondition, name.str() + ": no manifest for this platform any more");
  }
  SKERRY_ASSIGN(ComponentSpec spec, make_component_spec(info_, packages_, state_.components(),
                                                        state_.config().tree(), recipe, *manifest));
  SKERRY_TRY(io::make_directories(env_.files, io::parent_of(spec.log_path)));
  SKERRY_TRY(io::make_directories(env_.files, spec.work_directory));
  if (spec.user) {
    SKERRY_TRY(env_.files.set_owner(spec.work_directory, spec.user->first, spec.user->second));
    SKERRY_TRY(packages_.set_owner(spec.name, spec.version, *manifest, *spec.user));
  }
  return spec;
}

io::Task<void> DeploymentEngine::wait_before_retry(int attempt, const Error* error) {
  int64_t delay_ms = std::min(kLongestRetryMs, kFirstRetryMs << std::min(attempt, 10));
  delay_ms += static_cast<int64_t>(env_.random.below(static_cast<uint64_t>(delay_ms / 2 + 1)));
  log::warn("deployment", "waiting to try again",
            {{"delay_ms", std::to_string(delay_ms)}, {"reason", error->message()}});
  co_await io::sleep(env_.loop, delay_ms);
}

// A full disk or a damaged folder must not fail a deployment that is done.
void DeploymentEngine::collect_garbage() {
  if (auto collected = packages_.collect_garbage(state_.components()); !collected) {
    log::warn("packages", "old versions could not be removed",
              {{"reason", collected.error().message()}});
  }
}

}  // namespace skerry::nucleus
