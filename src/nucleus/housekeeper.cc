// Mending is fetching what is installed already; cleaning up is removing what is not.
#include "nucleus/housekeeper.h"

#include <algorithm>
#include <set>

namespace skerry::nucleus {
namespace {

using Names = std::set<std::string>;

Result<void> remove_folders(io::Files& files, const std::string& above, const Names& kept) {
  auto names = files.list(above);
  if (!names) return {};  // nothing ever ran
  for (const std::string& name : *names) {
    if (!kept.contains(name)) SKERRY_TRY(io::remove_all(files, above + "/" + name));
  }
  return {};
}

// "NAME.log" and "NAME.log.1".
std::string component_of_log(const std::string& file) {
  return file.substr(0, file.rfind(".log"));
}

Result<void> remove_old_logs(io::Files& files, const std::string& logs, const Names& kept) {
  auto names = files.list(logs);
  if (!names) return {};
  std::vector<std::pair<int64_t, std::string>> gone;  // when it was written, which
  for (const std::string& name : *names) {
    if (kept.contains(component_of_log(name))) continue;
    auto info = files.stat(logs + "/" + name);
    if (info && info->is_regular) gone.emplace_back(info->modified_ns, name);
  }
  std::ranges::sort(gone, std::greater<>());
  for (size_t i = kKeptLogs; i < gone.size(); ++i)
    SKERRY_TRY(files.remove(logs + "/" + gone[i].second));
  return {};
}

}  // namespace

Result<formats::Manifest> manifest_for(const NucleusInfo& info, const formats::Recipe& recipe) {
  const formats::PlatformAttributes platform = info.platform.attributes();
  if (const auto* manifest = formats::choose_manifest(recipe, platform)) return *manifest;
  return fail(Code::kFailedPrecondition, formats::no_manifest_text(recipe, platform));
}

io::Task<Result<void>> Housekeeper::mend(Cloud* cloud, ComponentName name) {
  const auto found = state_.components().find(name);
  if (found == state_.components().end()) co_return Result<void>();
  const InstalledComponent installed = found->second;
  if (!installed.digest.empty()) {
    SKERRY_CO_ASSIGN(const bool whole, co_await packages_.is_whole(name, installed.package()));
    if (whole) co_return Result<void>();
  }
  SKERRY_CO_ASSIGN(const Candidate candidate, co_await candidate_of(cloud, name, installed));
  SKERRY_CO_ASSIGN(const auto recipe, formats::parse_recipe(candidate.recipe));
  SKERRY_CO_ASSIGN(const auto manifest, manifest_for(info_, recipe));
  SKERRY_CO_TRY(co_await packages_.fetch(cloud, candidate, &manifest, installed.digest.empty()));
  if (!installed.digest.empty()) co_return Result<void>();
  co_return state_.set_digest(name, installed.version, formats::package_digest(candidate.recipe));
}

io::Task<Result<Candidate>> Housekeeper::candidate_of(Cloud* cloud, ComponentName name,
                                                      InstalledComponent installed) {
  auto recipe = packages_.recipe(name, installed);
  if (recipe) co_return Candidate{installed.arn, name, installed.version, std::move(*recipe)};
  if (!cloud) co_return fail(recipe.error());
  SKERRY_CO_ASSIGN(Candidate candidate,
                   co_await cloud->resolve(name, {{"what is installed", "=" + installed.version}}));
  if (!installed.digest.empty() && formats::package_digest(candidate.recipe) != installed.digest) {
    co_return fail(Code::kFailedPrecondition,
                   name.str() + " " + installed.version +
                       " was published again with other content: deploy it");
  }
  co_return candidate;
}

io::Task<Result<void>> Housekeeper::clean_up() {
  // What is to be deployed again may be there, and its work.
  if (!state_.needs_repair().empty()) co_return Result<void>();
  PackageStore::Needed needed;
  Names kept;
  bool any_in_old_layout = false;
  for (const ComponentSet* generation : {&state_.components(), &state_.previous().components}) {
    for (const auto& [name, component] : *generation) {
      kept.insert(name.str());
      needed[name].insert(component.package());
      any_in_old_layout |= component.digest.empty();
    }
  }
  // What is still in the old layout has no package to be kept by.
  if (!any_in_old_layout) SKERRY_CO_TRY(co_await packages_.collect_garbage(std::move(needed)));
  co_return co_await io::run_on(env_.pool, env_.loop,
                                [&files = env_.files, root = info_.root, kept]() -> Result<void> {
                                  SKERRY_TRY(remove_folders(files, root + "/work", kept));
                                  SKERRY_TRY(remove_folders(files, root + "/tmp", kept));
                                  return remove_old_logs(files, root + "/logs", kept);
                                });
}

}  // namespace skerry::nucleus
