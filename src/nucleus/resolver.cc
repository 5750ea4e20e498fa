// Worklist resolution: choose a version under all requirements known so far; when a new requirement
// excludes it, take back what it asked for and choose again.
#include "nucleus/resolver.h"

#include <deque>

#include "formats/public_components.h"
#include "nucleus/housekeeper.h"

namespace skerry::nucleus {
namespace {

constexpr int kMaxChoices = 2'000;
constexpr size_t kMaxComponents = 500;

std::string describe(const std::map<std::string, std::string>& wants) {
  std::string text;
  for (const auto& [who, range] : wants)
    text += (text.empty() ? "" : ", ") + who + " wants " + range;
  return text;
}

Result<bool> satisfies(const formats::Version& version,
                       const std::map<std::string, std::string>& wants) {
  for (const auto& [who, text] : wants) {
    auto range = formats::VersionRange::parse(text);
    if (!range) return fail(range.error().with_context(who));
    if (!range->matches(version)) return false;
  }
  return true;
}

// Components may ask for a nucleus that can what they need. A target may list one of any version up
// to this: that is how its configuration is deployed.
Result<void> check_built_in(const ComponentName& name,
                            const std::map<std::string, std::string>& wants,
                            const Requirements& roots) {
  const auto provided = formats::Version::parse(kNucleusVersion).value();
  const auto listed = roots.find(name);
  for (const auto& [who, text] : wants) {
    SKERRY_ASSIGN(const auto range, formats::VersionRange::parse(text));
    bool fits = range.matches(provided);
    if (!fits && listed != roots.end() && listed->second.contains(who)) {
      auto version = formats::Version::parse(text.starts_with('=') ? text.substr(1) : text);
      fits = version && *version < provided;
    }
    if (fits) continue;
    return fail(Code::kFailedPrecondition, who + " wants " + name.str() + " " + text +
                                               ", and this nucleus is " + kNucleusVersion);
  }
  return {};
}

// Forgets the choice of `name`, and what only that choice asked for.
void take_back(const ComponentName& name, Resolution& chosen, Requirements& wanted) {
  auto choice = chosen.extract(name);
  if (choice.empty()) return;
  for (const auto& [dependency, requirement] : choice.mapped().recipe.dependencies) {
    auto& wants = wanted[dependency];
    wants.erase(name.str());
    if (wants.empty()) take_back(dependency, chosen, wanted);
  }
}

// Removes what `roots` do not lead to, and finds cycles.
Result<void> check_graph(Resolution& chosen, const Requirements& roots) {
  enum class Mark { kOpen, kDone };
  std::map<ComponentName, Mark> marks;
  std::function<Result<void>(const ComponentName&, const std::string&)> visit =
      [&](const ComponentName& name, const std::string& path) -> Result<void> {
    if (formats::is_built_in(name)) return {};
    auto mark = marks.find(name);
    if (mark != marks.end() && mark->second == Mark::kDone) return {};
    if (mark != marks.end()) {
      return fail(Code::kFailedPrecondition,
                  "components depend on each other in a circle: " + path + name.str());
    }
    marks[name] = Mark::kOpen;
    for (const auto& [dependency, requirement] : chosen.at(name).recipe.dependencies) {
      SKERRY_TRY(visit(dependency, path + name.str() + " → "));
    }
    marks[name] = Mark::kDone;
    return {};
  };
  for (const auto& [name, wants] : roots) SKERRY_TRY(visit(name, ""));
  std::erase_if(chosen, [&](const auto& entry) { return !marks.contains(entry.first); });
  return {};
}

}  // namespace

io::Task<Outcome<Resolution>> Resolver::resolve(Requirements roots) {
  Resolution chosen;
  Requirements wanted = roots;
  std::deque<ComponentName> queue;
  for (const auto& [name, wants] : roots) queue.push_back(name);

  for (int choices = 0; !queue.empty();) {
    ComponentName name = std::move(queue.front());
    queue.pop_front();
    const auto& wants = wanted[name];
    if (wants.empty()) continue;  // whoever wanted it was replaced
    if (formats::is_built_in(name)) {
      SKERRY_CO_TRY_OR_BLAME(Cause::kVersions, check_built_in(name, wants, roots));
      continue;
    }
    if (auto found = chosen.find(name); found != chosen.end()) {
      SKERRY_CO_ASSIGN_OR_BLAME(bool fits, Cause::kVersions,
                                satisfies(found->second.recipe.version, wants));
      if (fits) continue;
      take_back(name, chosen, wanted);
    }
    if (++choices > kMaxChoices || chosen.size() > kMaxComponents) {
      co_return std::unexpected(Fault{
          Cause::kVersions,
          Error(Code::kFailedPrecondition, "no set of versions found after " +
                                               std::to_string(choices) + " choices, last for " +
                                               name.str() + ": " + describe(wants))});
    }
    auto choice = co_await choose(name, wants);
    if (!choice) co_return std::unexpected(std::move(choice.error()));
    ResolvedComponent component = std::move(*choice);
    component.is_root = roots.contains(name);
    for (const auto& [dependency, requirement] : component.recipe.dependencies) {
      wanted[dependency][name.str()] = requirement.requirement.str();
      queue.push_back(dependency);
    }
    chosen.emplace(name, std::move(component));
  }
  for (auto it = roots.begin(); it != roots.end();)
    it = formats::is_built_in(it->first) ? roots.erase(it) : std::next(it);
  SKERRY_CO_TRY_OR_BLAME(Cause::kCircle, check_graph(chosen, roots));
  co_return chosen;
}

// What takes precedence over the control plane's choice.
Result<std::optional<Candidate>> Resolver::local_version(
    const ComponentName& name, const std::map<std::string, std::string>& wants) {
  if (inbox_) {
    SKERRY_ASSIGN(auto brought, inbox_->find(name, wants));
    if (brought) return brought;
  }
  const auto running = state_.components().find(name);
  if (running == state_.components().end()) return std::optional<Candidate>();
  const bool is_local = running->second.arn.empty() && wants.contains(std::string(kLocalTarget));
  if (!inbox_ && !is_local) return std::optional<Candidate>();
  SKERRY_ASSIGN(const auto version, formats::Version::parse(running->second.version));
  SKERRY_ASSIGN(const bool fits, satisfies(version, wants));
  auto candidate = running_version(name);
  if (!fits || !candidate) return std::optional<Candidate>();
  return std::move(*candidate);
}

// What the control plane names: chosen by it, or what runs here while it cannot choose.
io::Task<Outcome<Candidate>> Resolver::candidate(ComponentName name,
                                                 std::map<std::string, std::string> wants) {
  SKERRY_CO_ASSIGN_OR_BLAME(auto here, Cause::kVersions, local_version(name, wants));
  if (here) co_return std::move(*here);
  auto chosen = co_await cloud_.resolve(name, wants);
  if (chosen) co_return std::move(*chosen);
  const Error& error = chosen.error();
  auto local = running_version(name);
  if (local && (error.retryable() || error.code() == Code::kNotFound)) {
    SKERRY_CO_ASSIGN_OR_BLAME(auto version, Cause::kRecipe,
                              formats::Version::parse(local->version));
    SKERRY_CO_ASSIGN_OR_BLAME(bool fits, Cause::kVersions, satisfies(version, wants));
    if (fits) co_return std::move(*local);
  }
  const Cause cause = error.code() == Code::kNotFound ? Cause::kVersions : Cause::kCloud;
  co_return std::unexpected(
      Fault{cause, error.with_context("component " + name.str() + " (" + describe(wants) + ")")});
}

io::Task<Outcome<ResolvedComponent>> Resolver::choose(ComponentName name,
                                                      std::map<std::string, std::string> wants) {
  auto found = co_await candidate(name, wants);
  if (!found) co_return std::unexpected(std::move(found.error()));
  auto recipe = formats::parse_recipe(found->recipe);
  if (!recipe) {
    co_return std::unexpected(
        Fault{Cause::kRecipe,
              recipe.error().with_context("recipe of " + name.str() + " " + found->version)});
  }
  if (recipe->name != name || recipe->version.str() != found->version) {
    co_return std::unexpected(
        Fault{Cause::kCloud,
              Error(Code::kCorrupt, "the control plane answered for " + name.str() + " " +
                                        found->version + " with the recipe of " +
                                        recipe->name.str() + " " + recipe->version.str())});
  }
  SKERRY_CO_ASSIGN_OR_BLAME(bool fits, Cause::kVersions, satisfies(recipe->version, wants));
  if (!fits) {
    co_return std::unexpected(
        Fault{Cause::kVersions,
              Error(Code::kFailedPrecondition,
                    "no version of " + name.str() + " satisfies everyone: " + describe(wants))});
  }
  SKERRY_CO_ASSIGN_OR_BLAME(auto manifest, Cause::kPlatform, manifest_for(info_, *recipe));
  co_return ResolvedComponent{std::move(*found), std::move(*recipe), std::move(manifest), false};
}

Result<Candidate> Resolver::running_version(const ComponentName& name) {
  auto found = state_.components().find(name);
  if (found == state_.components().end())
    return fail(Code::kNotFound, name.str() + " does not run here");
  SKERRY_ASSIGN(std::string recipe, packages_.recipe(name, found->second));
  return Candidate{found->second.arn, name, found->second.version, std::move(recipe)};
}

}  // namespace skerry::nucleus
