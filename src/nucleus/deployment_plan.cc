// Deciding what will run: the part of a deployment before anything is fetched.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "formats/json_pointer.h"
#include "formats/public_components.h"
#include "nucleus/component_spec.h"
#include "nucleus/deployment_engine.h"

namespace skerry::nucleus {
namespace {

// Values that are newer than the deployment stay; whoever deployed others wants to know.
void tell_what_stayed(const ConfigTree& config, const ComponentName& name, const KeyPath& path,
                      const nlohmann::json& wanted) {
  if (wanted.is_object() && !wanted.empty()) {
    for (const auto& [key, value] : wanted.items()) {
      KeyPath below = path;
      below.push_back(key);
      tell_what_stayed(config, name, below, value);
    }
    return;
  }
  auto value = config.get(name, path);
  if (value && *value == wanted) return;
  log::warn("deployment", "configuration not applied: a newer value stands",
            {{"component", name.str()}, {"key", formats::json_pointer(path)}});
}

// What a deployment may ask of a nucleus (requiredCapabilities).
Result<void> check_capabilities(const formats::Deployment& document) {
  for (const std::string& wanted : document.required_capabilities) {
    if (wanted == "LARGE_CONFIGURATION" || wanted == "LINUX_RESOURCE_LIMITS") continue;
    return fail(Code::kUnsupported, "the deployment requires the capability " + wanted +
                                        ", which this nucleus does not have: it has "
                                        "LARGE_CONFIGURATION and LINUX_RESOURCE_LIMITS");
  }
  return {};
}

}  // namespace

// An older revision of what a target already has arrives late: it must not undo the newer one.
Result<void> DeploymentEngine::check_revision(const DeploymentOrder& order) const {
  const auto known = state_.targets().find(order.target);
  if (order.local || known == state_.targets().end()) return {};
  const int64_t revision = known->second.revision;
  if (order.document.configuration_id().value().revision >= revision) return {};
  return fail(Code::kFailedPrecondition, "revision " + std::to_string(revision) + " of " +
                                             order.target + " is deployed already");
}

io::Task<Outcome<DeploymentEngine::Plan>> DeploymentEngine::plan(const DeploymentOrder* order) {
  SKERRY_CO_TRY_OR_BLAME(Cause::kCapabilities, check_capabilities(order->document));
  Plan plan;
  SKERRY_CO_ASSIGN_OR_BLAME(plan.next.targets, Cause::kCloud, co_await next_targets(order));
  Requirements roots;
  for (const auto& [name, deployment] : plan.next.targets) {
    for (const auto& [component, requirement] : deployment.roots)
      roots[component][name] = requirement;
  }
  auto resolved = co_await resolve(order, std::move(roots));
  if (!resolved) co_return std::unexpected(std::move(resolved.error()));
  plan.resolution = std::move(*resolved);
  SKERRY_CO_ASSIGN_OR_BLAME(plan.next.components, Cause::kDocument,
                            next_components(*order, plan.next.targets, plan.resolution));
  SKERRY_CO_ASSIGN_OR_BLAME(plan.next.config, Cause::kConfiguration,
                            next_config(order->document, plan.resolution));
  // What cannot be run (no such user, no privilege) is found before anything is downloaded.
  for (const auto& [name, component] : plan.resolution) {
    auto spec = make_component_spec(info_, packages_, plan.next.components, plan.next.config,
                                    component.recipe, component.manifest);
    if (!spec) co_return std::unexpected(Fault{Cause::kRunWith, spec.error()});
  }
  co_return plan;
}

// A job waits for the control plane as long as it takes; whoever deploys locally wants an answer.
io::Task<Outcome<Resolution>> DeploymentEngine::resolve(const DeploymentOrder* order,
                                                        Requirements roots) {
  Resolver resolver(cloud_, packages_, state_, info_, order->local ? order->local->inbox : nullptr);
  for (int attempt = 0;; ++attempt) {
    auto resolved = co_await resolver.resolve(roots);
    if (resolved || order->local || !is_worth_waiting_for(resolved.error().error))
      co_return resolved;
    co_await wait_before_retry(attempt, &resolved.error().error);
  }
}

Result<ComponentSet> DeploymentEngine::next_components(const DeploymentOrder& order,
                                                       const Targets& targets,
                                                       const Resolution& resolution) const {
  ComponentSet components;
  for (const auto& [name, component] : resolution) {
    InstalledComponent installed;
    installed.version = component.candidate.version;
    installed.digest = formats::package_digest(component.candidate.recipe);
    if (!LocalInbox::brought(component.candidate)) installed.arn = component.candidate.arn;
    installed.is_root = component.is_root;
    for (const auto& [target_name, deployment] : targets) {
      if (deployment.roots.contains(name) && !deployment.configuration_arn.empty())
        installed.configuration_arns.push_back(deployment.configuration_arn);
    }
    auto running = state_.components().find(name);
    if (running != state_.components().end()) {
      installed.posix_user = running->second.posix_user;
      installed.limits = running->second.limits;
    }
    auto listed = order.document.components.find(name);
    if (listed != order.document.components.end() &&
        (!order.local || order.local->run_with.contains(name))) {
      const formats::RunWith& run_with = listed->second.run_with;
      installed.posix_user = run_with.posix_user;
      installed.limits = run_with.limits;
    }
    components[name] = std::move(installed);
  }
  for (const auto& [name, component] : order.document.components) {
    if (components.contains(name) || formats::is_built_in(name)) continue;
    return fail(Code::kInvalidArgument, name.str() +
                                            " is to be configured, and neither runs nor is it "
                                            "part of this deployment");
  }
  return components;
}

// The deployments that stay in force: this one, the thing's own, local ones, and those of groups
// it is still in.
io::Task<Result<Targets>> DeploymentEngine::next_targets(const DeploymentOrder* order) {
  Targets targets = state_.targets();
  if (order->local) {
    TargetDeployment& target = targets[order->target];
    target.deployment_id = order->document.id.str();
    for (const ComponentName& name : order->local->removed) target.roots.erase(name);
    for (const ComponentName& name : order->local->added)
      target.roots[name] = "=" + order->document.components.at(name).version.str();
    if (target.roots.empty() && target.configuration_arn.empty()) targets.erase(order->target);
    co_return targets;
  }
  auto groups = co_await cloud_.thing_groups();
  if (groups) {
    std::erase_if(targets, [&](const auto& entry) {
      return entry.first.starts_with("thinggroup/") &&
             std::find(groups->begin(), groups->end(), entry.first) == groups->end();
    });
  } else if (!is_worth_waiting_for(groups.error()) &&
             groups.error().code() != Code::kPermissionDenied) {
    co_return fail(groups.error());
  } else {
    log::warn("deployment", "groups unknown, keeping all", {{"reason", groups.error().message()}});
  }
  TargetDeployment deployment;
  deployment.deployment_id = order->document.id.str();
  deployment.configuration_arn = order->document.configuration_arn;
  deployment.revision = order->document.configuration_id().value().revision;
  for (const auto& [name, component] : order->document.components) {
    deployment.roots[name] = "=" + component.version.str();
  }
  targets[order->target] = std::move(deployment);
  co_return targets;
}

// RESET, then the recipe's defaults under everything, then MERGE with the deployment's time.
Result<ConfigTree> DeploymentEngine::next_config(const formats::Deployment& document,
                                                 const Resolution& resolution) const {
  ConfigTree config = state_.config().tree();
  for (const ComponentName& name : config.components()) {
    if (!resolution.contains(name) && !formats::is_built_in(name)) config.remove(name);
  }
  // Neither the fleet's clock nor one that this device had may be ahead of now: what was stamped
  // so would win over everything for as long.
  const int64_t now_ms = env_.clock.wall_ms();
  const int64_t timestamp_ms = document.creation_timestamp_ms > 0
                                   ? std::min(document.creation_timestamp_ms, now_ms)
                                   : now_ms;
  config.take_back_times(now_ms, timestamp_ms);
  auto update = [&](const ComponentName& name, const nlohmann::json* defaults) -> Result<void> {
    auto listed = document.components.find(name);
    if (listed != document.components.end()) {
      SKERRY_TRY(config.reset(name, listed->second.configuration.reset));
    }
    if (defaults) SKERRY_TRY(config.apply_defaults(name, *defaults));
    if (listed != document.components.end() && listed->second.configuration.merge) {
      SKERRY_TRY(config.merge(name, {}, *listed->second.configuration.merge, timestamp_ms));
      tell_what_stayed(config, name, {}, *listed->second.configuration.merge);
    }
    return {};
  };
  for (const auto& [name, component] : resolution) {
    if (auto done = update(name, component.recipe.default_configuration.get()); !done) {
      return fail(done.error().with_context("configuration of " + name.str()));
    }
  }
  for (const auto& [name, component] : document.components) {
    if (formats::is_built_in(name)) SKERRY_TRY(update(name, nullptr));
  }
  return config;
}

}  // namespace skerry::nucleus
