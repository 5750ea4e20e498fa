// Devices that are alike to a release (the same platform, the same other deployments) are looked at
// once: a fleet of a million has a handful of kinds.
#include "fleet/rollout/preflight.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>

#include "fleet/components.h"
#include "fleet/rollout/rollouts.h"
#include "formats/json_ptr.h"
#include "formats/node.h"
#include "formats/public_components.h"

namespace skerry::fleet::rollout {
namespace {

using Kind = Concern::Kind;
using Wants = std::map<std::string, formats::VersionRange>;  // by who wants it

constexpr formats::EnumNames<Kind, 4> kKinds = {{{Kind::kPlatform, "platform"},
                                                 {Kind::kCapability, "capability"},
                                                 {Kind::kDependency, "dependency"},
                                                 {Kind::kDisk, "disk"}}};
constexpr int64_t kMembersAtOnce = 1'000;
constexpr size_t kMaxChoices = 2'000;
// What skerryd keeps free for a roll-back (nucleus/part_file.h).
constexpr int64_t kReserveBytes = 16 << 20;

struct Published {
  formats::Version version;
  formats::Recipe recipe;
};

struct Chosen {
  const Published* published = nullptr;
  int64_t bytes = 0;
};

// What a kind of device makes of the release.
struct Verdict {
  std::vector<Concern> refuses;
  std::vector<Concern> unknown;
  std::map<ComponentName, Chosen> components;
  int64_t bytes = 0;
};

std::string described(const Wants& wants) {
  std::string text;
  for (const auto& [who, range] : wants) {
    text += fmt::format("{}{} wants {}", text.empty() ? "" : ", ", who, range.str());
  }
  return text;
}

class Judge {
 public:
  Judge(Store& store, const formats::Deployment& document) : store_(store), document_(document) {}

  Result<const Verdict*> verdict(const Member& member) {
    std::string key = member.platform + '\n' + member.architecture + '\n' + member.runtime + '\n' +
                      member.nucleus_version;
    for (const std::string& each : member.targets) key += '\n' + each;
    if (auto known = verdicts_.find(key); known != verdicts_.end()) return &known->second;
    SKERRY_ASSIGN(Verdict made, judge(member));
    return &verdicts_.emplace(std::move(key), std::move(made)).first->second;
  }

 private:
  Result<Verdict> judge(const Member& member) {
    Verdict verdict;
    check_capabilities(member, verdict);
    SKERRY_ASSIGN(auto wanted, roots_of(member));
    SKERRY_TRY(choose_all(member, std::move(wanted), verdict));
    return verdict;
  }

  void check_capabilities(const Member& member, Verdict& verdict) const {
    std::set<std::string> needed(document_.required_capabilities.begin(),
                                 document_.required_capabilities.end());
    for (const auto& [name, component] : document_.components) {
      if (component.run_with.limits != formats::ResourceLimits()) {
        needed.insert("LINUX_RESOURCE_LIMITS");
      }
    }
    for (const std::string& capability : needed) {
      const bool is_known =
          capability == "LARGE_CONFIGURATION" || capability == "LINUX_RESOURCE_LIMITS";
      if (member.runtime == formats::kOurRuntime && is_known) continue;
      auto& into = member.runtime == formats::kOurRuntime ? verdict.refuses : verdict.unknown;
      into.push_back({Kind::kCapability,
                      fmt::format("the deployment requires the capability {}, {}", capability,
                                  member.runtime == formats::kOurRuntime
                                      ? "which skerryd does not have"
                                      : "and the device does not say what it has")});
    }
  }

  // The roots of the release and of what else is deployed to the device.
  Result<std::map<ComponentName, Wants>> roots_of(const Member& member) {
    std::map<ComponentName, Wants> wanted;
    for (const auto& [name, component] : document_.components) {
      wanted[name].emplace("this release", formats::VersionRange::exactly(component.version));
    }
    for (const std::string& arn : member.targets) {
      SKERRY_ASSIGN(const auto* others, deployed_to(arn));
      const std::string who = arn.substr(arn.rfind(':') + 1);
      for (const auto& [name, version] : *others) {
        wanted[name].emplace(who, formats::VersionRange::exactly(version));
      }
    }
    return wanted;
  }

  Result<const Roots*> deployed_to(const std::string& arn) {
    if (auto known = deployed_.find(arn); known != deployed_.end()) return &known->second;
    Roots roots;
    SKERRY_ASSIGN(const auto good, last_known_good(store_, arn));
    if (good) {
      SKERRY_ASSIGN(const auto document, formats::parse_deployment_text(good->document_json));
      for (const auto& [name, component] : document.components) {
        roots.emplace(name, component.version);
      }
    }
    return &deployed_.emplace(arn, std::move(roots)).first->second;
  }

  Result<const std::vector<Published>*> published(const ComponentName& name) {
    if (auto known = published_.find(name); known != published_.end()) return &known->second;
    std::vector<Published> all;
    SKERRY_ASSIGN(const auto versions, versions_of(store_, name));
    for (const ComponentVersion& each : versions) {
      SKERRY_ASSIGN(auto recipe, formats::parse_recipe(each.recipe_json));
      formats::Version version = recipe.version;
      all.push_back({std::move(version), std::move(recipe)});
    }
    return &published_.emplace(name, std::move(all)).first->second;
  }

  // As the device's own resolver does it (nucleus/resolver.cc): the highest version under all that
  // is wanted so far, chosen again where a later choice wants something else.
  Result<void> choose_all(const Member& member, std::map<ComponentName, Wants> wanted,
                          Verdict& verdict) {
    std::deque<ComponentName> open;
    for (const auto& [name, wants] : wanted) open.push_back(name);
    std::set<ComponentName> hopeless;
    for (size_t choices = 0; !open.empty() && choices < kMaxChoices; ++choices) {
      const ComponentName name = open.front();
      open.pop_front();
      const Wants& wants = wanted[name];
      if (wants.empty() || hopeless.contains(name)) continue;
      if (formats::is_provided(name)) {
        check_provided(member, name, wants, verdict);
        continue;
      }
      const auto former = verdict.components.find(name);
      if (former != verdict.components.end()) {
        const auto& version = former->second.published->version;
        if (fits(version, wants)) continue;
        take_back(name, verdict, wanted);
      }
      SKERRY_ASSIGN(const auto chosen, choose(member, name, wants, verdict));
      if (!chosen) {
        hopeless.insert(name);
        continue;
      }
      verdict.components.emplace(name, *chosen);
      for (const auto& [dependency, wish] : chosen->published->recipe.dependencies) {
        wanted[dependency].insert_or_assign(name.str(), wish.requirement);
        open.push_back(dependency);
      }
    }
    for (const auto& [name, chosen] : verdict.components) verdict.bytes += chosen.bytes;
    return {};
  }

  static bool fits(const formats::Version& version, const Wants& wants) {
    return std::ranges::all_of(wants, [&](const auto& one) { return one.second.matches(version); });
  }

  static void take_back(const ComponentName& name, Verdict& verdict,
                        std::map<ComponentName, Wants>& wanted) {
    const auto former = verdict.components.extract(name);
    if (former.empty()) return;
    for (const auto& [dependency, wish] : former.mapped().published->recipe.dependencies) {
      wanted[dependency].erase(name.str());
      if (wanted[dependency].empty()) take_back(dependency, verdict, wanted);
    }
  }

  void check_provided(const Member& member, const ComponentName& name, const Wants& wants,
                      Verdict& verdict) const {
    std::vector<formats::Version> versions = formats::provided_versions(name);
    if (formats::is_built_in(name)) {
      auto own = formats::Version::parse(member.nucleus_version);
      if (!own) {
        verdict.unknown.push_back({Kind::kDependency, fmt::format("{}, and the device does not say "
                                                                  "which version its nucleus has",
                                                                  described(wants))});
        return;
      }
      // A target may name its nucleus in an older version: that is how it is configured.
      for (const auto& [who, range] : wants) {
        const bool is_listed = document_.components.contains(name);
        if (range.matches(*own) || is_listed) continue;
        verdict.refuses.push_back(
            {Kind::kDependency, fmt::format("{} wants {} {}, the device has {}", who, name.str(),
                                            range.str(), own->str())});
      }
      return;
    }
    if (!formats::is_provided_by(member.runtime, name)) {
      verdict.refuses.push_back(
          {Kind::kDependency, name.str() +
                                  ", which skerryd provides and the device's nucleus does "
                                  "not: " +
                                  described(wants)});
      return;
    }
    if (std::ranges::any_of(versions, [&](const auto& one) { return fits(one, wants); })) return;
    verdict.refuses.push_back(
        {Kind::kDependency, "no version of " + name.str() +
                                " that nuclei provide satisfies everyone: " + described(wants)});
  }

  Result<std::optional<Chosen>> choose(const Member& member, const ComponentName& name,
                                       const Wants& wants, Verdict& verdict) {
    formats::PlatformAttributes platform;
    if (!member.platform.empty()) platform["os"] = member.platform;
    if (!member.architecture.empty()) platform["architecture"] = member.architecture;
    if (!member.runtime.empty()) platform["runtime"] = member.runtime;
    SKERRY_ASSIGN(const auto* versions, published(name));
    std::string no_manifest;
    bool may_fit = false;
    for (const Published& each : *versions) {
      if (!fits(each.version, wants)) continue;
      if (const auto* manifest = formats::choose_manifest(each.recipe, platform)) {
        SKERRY_ASSIGN(const int64_t bytes, size_of(name, *manifest, verdict));
        return std::optional(Chosen{&each, bytes});
      }
      if (no_manifest.empty()) no_manifest = formats::no_manifest_text(each.recipe, platform);
      may_fit = may_fit || could_fit(member, each.recipe, platform);
    }
    if (no_manifest.empty()) {
      verdict.refuses.push_back(
          {Kind::kDependency,
           "no version of " + name.str() + " satisfies everyone: " + described(wants)});
    } else {
      (may_fit ? verdict.unknown : verdict.refuses).push_back({Kind::kPlatform, no_manifest});
    }
    return std::optional<Chosen>();
  }

  // Where a manifest asks for attributes that a stock nucleus does not report. Of skerryd all are
  // known.
  static bool could_fit(const Member& member, const formats::Recipe& recipe,
                        const formats::PlatformAttributes& platform) {
    if (member.runtime == formats::kOurRuntime) return false;
    return std::ranges::any_of(recipe.manifests, [&](formats::Manifest manifest) {
      std::erase_if(manifest.platform,
                    [&](const auto& label) { return !platform.contains(label.first); });
      return formats::matches_platform(manifest, platform);
    });
  }

  Result<int64_t> size_of(const ComponentName& name, const formats::Manifest& manifest,
                          Verdict& verdict) {
    SKERRY_ASSIGN(const DownloadSize size, download_size(store_, manifest));
    if (size.is_known) return size.bytes;
    Concern concern{Kind::kDisk, "the size of an artifact of " + name.str() + " is not known here"};
    if (std::ranges::find(verdict.unknown, concern) == verdict.unknown.end()) {
      verdict.unknown.push_back(std::move(concern));
    }
    return size.bytes;
  }

  Store& store_;
  const formats::Deployment& document_;
  std::map<std::string, Verdict> verdicts_;
  std::map<std::string, Roots> deployed_;
  std::map<ComponentName, std::vector<Published>> published_;
};

// What the device has of it already need not be fetched.
Result<int64_t> missing_bytes(Store& store, const ThingName& thing, const Verdict& verdict) {
  int64_t bytes = verdict.bytes;
  Page page;
  do {
    SKERRY_ASSIGN(const auto installed, store.list_installed_components(thing, false, page));
    for (const InstalledComponent& each : installed.items) {
      const auto chosen = verdict.components.find(each.name);
      if (chosen == verdict.components.end()) continue;
      if (chosen->second.published->version.str() == each.version) bytes -= chosen->second.bytes;
    }
    page.after = installed.next;
  } while (!page.after.empty());
  return bytes;
}

Result<void> check_disk(Store& store, const Member& member, const Verdict& verdict,
                        Outlook& outlook) {
  if (verdict.bytes == 0) return {};
  if (member.free_disk_bytes < 0) {
    outlook.unknown.push_back(
        {Kind::kDisk,
         fmt::format("it downloads up to {} bytes, and the device does not say how much "
                     "is free",
                     verdict.bytes)});
    return {};
  }
  if (member.free_disk_bytes >= verdict.bytes + kReserveBytes) return {};
  SKERRY_ASSIGN(const int64_t missing, missing_bytes(store, member.thing, verdict));
  if (missing == 0 || member.free_disk_bytes >= missing + kReserveBytes) return {};
  outlook.refuses.push_back(
      {Kind::kDisk, fmt::format("it downloads {} bytes, and {} were free when it last reported, of "
                                "which {} are kept for roll-back",
                                missing, member.free_disk_bytes, kReserveBytes)});
  return {};
}

Result<Outlook> outlook_of(Store& store, Judge& judge, const Member& member) {
  Outlook outlook{member.thing, {}, {}};
  if (!member.has_reported) {
    outlook.unknown.push_back({Kind::kPlatform, "the device has never reported what it is"});
    return outlook;
  }
  SKERRY_ASSIGN(const Verdict* verdict, judge.verdict(member));
  outlook.refuses = verdict->refuses;
  outlook.unknown = verdict->unknown;
  SKERRY_TRY(check_disk(store, member, *verdict, outlook));
  return outlook;
}

}  // namespace

std::string_view name_of(Concern::Kind kind) {
  return formats::enum_name(kKinds, kind);
}

Result<Preflight> preflight(Store& store, const formats::ArnScope& scope,
                            const formats::Target& target, const formats::Deployment& document) {
  Preflight result;
  std::vector<Outlook> unknown;
  Judge judge(store, document);
  ThingName after;
  for (;;) {
    SKERRY_ASSIGN(const auto members, members_after(store, scope, target, after, kMembersAtOnce));
    if (members.empty()) break;
    for (const Member& member : members) {
      SKERRY_ASSIGN(Outlook outlook, outlook_of(store, judge, member));
      const bool refuses = !outlook.refuses.empty(), is_unknown = !outlook.unknown.empty();
      ++(refuses ? result.refusing : is_unknown ? result.unknown : result.ready);
      if (!refuses && !is_unknown) continue;
      auto& list = refuses ? result.listed : unknown;
      if (list.size() < Preflight::kListed) list.push_back(std::move(outlook));
    }
    after = members.back().thing;
  }
  std::ranges::move(unknown, std::back_inserter(result.listed));
  return result;
}

}  // namespace skerry::fleet::rollout
