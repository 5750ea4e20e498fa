// From a thing to its deployments, from them to the closure of their roots.
#include "fleet/device_scope.h"

#include <algorithm>
#include <set>

#include "fleet/store.h"
#include "formats/deployment.h"

namespace skerry::fleet {
namespace {

constexpr size_t kGroupsPerPage = 100;
// How far back the last success of a target is looked for.
constexpr size_t kMaxHistory = 100;

Result<std::vector<std::string>> targets_of(Store& store, const formats::ArnScope& scope,
                                            const ThingName& thing) {
  std::vector<std::string> arns = {
      formats::target_arn(scope, {formats::Target::Kind::kThing, thing.str()})};
  Page page{kGroupsPerPage, ""};
  do {
    SKERRY_ASSIGN(const auto groups, store.list_groups_of_thing(thing, page));
    for (const ThingGroupName& group : groups.items) {
      arns.push_back(formats::target_arn(scope, {formats::Target::Kind::kThingGroup, group.str()}));
    }
    page.after = groups.next;
  } while (!page.after.empty());
  return arns;
}

Result<Closure> closure_of_all(Store& store, const std::vector<Roots>& deployments) {
  Closure all;
  for (const Roots& roots : deployments) {
    SKERRY_ASSIGN(const Closure closure, closure_of(store, roots));
    for (const auto& [name, ranges] : closure) {
      auto& known = all[name];
      known.insert(known.end(), ranges.begin(), ranges.end());
    }
  }
  return all;
}

}  // namespace

Result<DeviceScope::Targeting> DeviceScope::targeting(Store& store, const ThingName& thing) const {
  SKERRY_ASSIGN(const auto targets, targets_of(store, scope_, thing));
  std::map<std::string, Deployment> counted;  // by id
  for (const std::string& target : targets) {
    auto latest = store.latest_deployment(target);
    if (!latest && latest.error().code() == Code::kNotFound) continue;
    if (!latest) return fail(latest.error());
    counted.emplace(latest->id.str(), *latest);
  }
  SKERRY_ASSIGN(const auto history, store.list_executions_of_thing(thing, {kMaxHistory, ""}));
  std::set<std::string> succeeded;  // targets whose last success was seen
  for (const JobExecution& execution : history.items) {
    const bool success = execution.status == ExecutionStatus::kSucceeded;
    if (!success && is_terminal(execution.status)) continue;
    SKERRY_ASSIGN(auto deployment, store.find_deployment_of_job(execution.job_id));
    const bool is_targeted = std::ranges::find(targets, deployment.target_arn) != targets.end();
    if (success && !(is_targeted && succeeded.insert(deployment.target_arn).second)) continue;
    counted.emplace(deployment.id.str(), std::move(deployment));
  }
  Targeting result;
  SKERRY_ASSIGN(result.key, store.components_stamp());
  for (const auto& [id, deployment] : counted) {
    SKERRY_ASSIGN(const auto document, formats::parse_deployment_text(deployment.document_json));
    Roots roots;
    for (const auto& [name, component] : document.components) {
      roots.emplace(name, component.version);
    }
    result.key += " " + id;
    result.roots.push_back(std::move(roots));
  }
  return result;
}

Result<std::vector<formats::VersionRange>> DeviceScope::ranges(Store& store, const ThingName& thing,
                                                               const ComponentName& component) {
  SKERRY_ASSIGN(const Targeting now, targeting(store, thing));
  std::shared_ptr<const Closure> closure;
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = cache_.find(now.key); known != cache_.end()) closure = known->second;
  }
  if (!closure) {
    SKERRY_ASSIGN(Closure computed, closure_of_all(store, now.roots));
    closure = std::make_shared<const Closure>(std::move(computed));
    const std::lock_guard lock(mutex_);
    if (cache_.size() >= kMaxCached) cache_.clear();
    cache_[now.key] = closure;
  }
  const auto found = closure->find(component);
  return found == closure->end() ? std::vector<formats::VersionRange>() : found->second;
}

Result<bool> DeviceScope::includes(Store& store, const ThingName& thing,
                                   const ComponentName& component,
                                   const formats::Version& version) {
  SKERRY_ASSIGN(const auto allowed, ranges(store, thing, component));
  return std::ranges::any_of(allowed, [&](const auto& range) { return range.matches(version); });
}

}  // namespace skerry::fleet
