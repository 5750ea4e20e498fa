// Downloads with resume, digest check before anything becomes visible, atomic publication.
#include "nucleus/package_store.h"

#include "base/encoding.h"
#include "base/log.h"
#include "nucleus/part_file.h"
#include "nucleus/s3_source.h"

namespace skerry::nucleus {
namespace {

using formats::PackageChecker;

constexpr std::string_view kScheme = "greengrass:";

// Where the release before packages had a digest kept things.
std::string old_recipe_path(const NucleusInfo& info, const ComponentName& name,
                            const std::string& version) {
  return info.packages() + "/recipes/" + name.str() + "/" + version;
}
std::string old_artifacts_path(const NucleusInfo& info, const ComponentName& name,
                               const std::string& version) {
  return info.packages() + "/artifacts/" + name.str() + "/" + version;
}

Result<void> check_usable(const formats::Artifact& artifact) {
  if (!artifact.uri.starts_with(kScheme) && !artifact.uri.starts_with(S3Source::kScheme)) {
    return fail(Code::kUnsupported, "the URI " + artifact.uri +
                                        " cannot be downloaded by this nucleus; publish the "
                                        "component with its artifacts in the fleet (skerry "
                                        "component publish), or deploy it locally with the file "
                                        "as NAME/VERSION/FILE in the folder of artifacts");
  }
  if (artifact.digest.empty() || artifact.algorithm != "SHA-256") {
    return fail(Code::kInvalidArgument,
                "the recipe gives no SHA-256 digest, and nothing unverified is installed: give it "
                "one, or deploy it locally with the file as NAME/VERSION/FILE in the folder of "
                "artifacts");
  }
  return {};
}

// A removal that is cut off must not leave half a package: it loses its name first, durably.
Result<void> retire(io::Files& files, const std::string& path, const std::string& staging) {
  SKERRY_TRY(io::make_directories(files, staging, 0700));
  const std::string doomed = staging + "/removed";
  SKERRY_TRY(io::remove_all(files, doomed));
  SKERRY_TRY(files.rename(path, doomed));
  SKERRY_TRY(files.sync_directory(io::parent_of(path)));
  return files.remove_tree(doomed);
}

// Where the packages of one component are, and which of them are needed.
struct Collection {
  std::string directory, staging;
  std::set<std::string> needed;  // "VERSION@DIGEST"

  Result<void> run(io::Files& files) const {
    SKERRY_ASSIGN(const io::FileInfo info, files.stat(directory));
    if (!info.is_directory) return retire(files, directory, staging);
    SKERRY_ASSIGN(const auto packages, files.list(directory));
    for (const std::string& package : packages) {
      if (!needed.contains(package)) SKERRY_TRY(retire(files, directory + "/" + package, staging));
    }
    return needed.empty() ? files.remove(directory) : Result<void>();
  }
};

Result<void> give_tree_to_group(io::Files& files, const std::string& place, uint32_t group) {
  SKERRY_ASSIGN(const io::FileInfo top, files.stat(place));
  if (top.gid == group) return {};
  // The folder of the package last: it says that all of it is done.
  std::vector<std::string> pending = {place}, found;
  while (!pending.empty()) {
    const std::string path = std::move(pending.back());
    pending.pop_back();
    found.push_back(path);
    SKERRY_ASSIGN(const io::FileInfo info, files.stat(path));
    if (!info.is_directory) continue;
    SKERRY_ASSIGN(const auto names, files.list(path));
    for (const std::string& name : names) pending.push_back(path + "/" + name);
  }
  for (auto path = found.rbegin(); path != found.rend(); ++path)
    SKERRY_TRY(files.set_owner(*path, 0, group));
  return {};
}

}  // namespace

PackageStore::PackageStore(io::Env& env, const NucleusInfo& info) : env_(env), info_(info) {}

std::string PackageStore::place(const ComponentName& name, const std::string& package) const {
  return info_.packages() + "/" + name.str() + "/" + package;
}
std::string PackageStore::artifacts_path(const ComponentName& name,
                                         const std::string& package) const {
  return place(name, package) + "/" + formats::kPackageArtifacts;
}
std::string PackageStore::unarchived_path(const ComponentName& name,
                                          const std::string& package) const {
  return place(name, package) + "/" + formats::kPackageUnarchived;
}

Result<std::string> PackageStore::recipe(const ComponentName& name,
                                         const InstalledComponent& installed) {
  const std::string path = installed.digest.empty()
                               ? old_recipe_path(info_, name, installed.version)
                               : place(name, installed.package()) + "/" + formats::kPackageRecipe;
  SKERRY_ASSIGN(std::string text, io::read_file(env_.files, path, formats::kMaxRecipeBytes));
  if (installed.digest.empty() || formats::package_digest(text) == installed.digest) return text;
  return fail(Code::kCorrupt, path + " is damaged: deploy " + name.str() + " again");
}

io::Task<Result<PackageStore::Faults>> PackageStore::look(std::string directory,
                                                          PackageChecker::How how) {
  auto checker = std::make_shared<PackageChecker>(env_.files, directory, how);
  for (bool more = true; more;) {
    SKERRY_CO_ASSIGN(more, co_await on_pool([checker] { return checker->step(); }));
  }
  if (how == PackageChecker::How::kFull && checker->faults().empty()) {
    // Times and inodes were other ones: from a backup, or touched.
    SKERRY_CO_TRY(co_await on_pool([&files = env_.files, checker, directory] {
      return io::write_file_atomic(files, directory + "/" + formats::kPackageContents,
                                   checker->contents().text(), 0644);
    }));
  }
  co_return checker->faults();
}

io::Task<Result<bool>> PackageStore::is_whole(ComponentName name, std::string package) {
  const std::string directory = place(name, package);
  SKERRY_CO_ASSIGN(Faults faults, co_await look(directory, PackageChecker::How::kQuick));
  if (!faults.empty() && faults[0].path != formats::kPackageContents) {
    SKERRY_CO_ASSIGN(faults, co_await look(directory, PackageChecker::How::kFull));
  }
  if (faults.empty()) co_return true;
  if (io::exists(env_.files, directory)) {
    log::error("packages", "an installed package is damaged",
               {{"component", name.str()},
                {"package", package},
                {"file", faults[0].path},
                {"problem", faults[0].problem}});
  }
  co_return false;
}

io::Task<Result<void>> PackageStore::fetch(Cloud* cloud, Candidate candidate,
                                           const formats::Manifest* manifest, bool old_layout) {
  const std::string package =
      InstalledComponent::package_of(candidate.version, formats::package_digest(candidate.recipe));
  SKERRY_CO_ASSIGN(const bool whole, co_await is_whole(candidate.name, package));
  if (whole) {
    // Synced again: an earlier publication may have failed just there.
    co_return co_await on_pool([&files = env_.files, name = place(candidate.name, "")] {
      return files.sync_directory(name);
    });
  }
  SKERRY_CO_TRY(formats::check_artifacts_apart(*manifest));
  PackageBuilder::Plan plan;
  plan.staging = info_.staging();
  plan.place = place(candidate.name, package);
  if (old_layout) plan.old_artifacts = old_artifacts_path(info_, candidate.name, candidate.version);
  plan.recipe = candidate.recipe;
  plan.manifest = *manifest;
  plan.privileged = info_.privileged;
  auto builder = std::make_shared<PackageBuilder>(env_.files, std::move(plan));
  SKERRY_CO_TRY(co_await on_pool([builder] { return builder->begin(); }));
  for (const formats::Artifact& artifact : manifest->artifacts) {
    auto fetched = co_await fetch_artifact(cloud, &candidate, artifact, builder);
    if (!fetched) {
      co_return fail(fetched.error().with_context(candidate.name.str() + " " + candidate.version +
                                                  ", artifact " + artifact.file_name()));
    }
  }
  co_return co_await on_pool([builder] { return builder->publish(); });
}

io::Task<Result<void>> PackageStore::fetch_artifact(Cloud* cloud, const Candidate* candidate,
                                                    formats::Artifact artifact,
                                                    std::shared_ptr<PackageBuilder> builder) {
  SKERRY_CO_TRY(check_usable(artifact));
  SKERRY_CO_TRY(base64_decode(artifact.digest));
  SKERRY_CO_TRY(co_await download(cloud, candidate, artifact, builder->part_path(artifact)));
  using Unpacker = std::shared_ptr<ZipUnpacker>;
  SKERRY_CO_ASSIGN(const Unpacker unpacker,
                   co_await on_pool([builder, artifact]() -> Result<Unpacker> {
                     SKERRY_TRY(builder->add(artifact));
                     SKERRY_ASSIGN(auto opened, builder->unpacker(artifact));
                     return Unpacker(std::move(opened));
                   }));
  if (!unpacker) co_return Result<void>();
  for (bool more = true; more;) {
    SKERRY_CO_ASSIGN(more, co_await on_pool([unpacker] { return unpacker->step(); }));
  }
  co_return co_await on_pool(
      [builder, unpacker, artifact] { return builder->add_unpacked(artifact, *unpacker); });
}

io::Task<Result<void>> PackageStore::download(Cloud* cloud, const Candidate* candidate,
                                              formats::Artifact artifact, std::string part) {
  for (;;) {
    PartFile file(env_, part);
    SKERRY_CO_ASSIGN(const uint64_t resumed_at, co_await file.open());
    Result<void> downloaded;
    if (file.digest() != artifact.digest) {
      if (!cloud) co_return fail(Code::kUnavailable, "is not on this device");
      std::string url = artifact.uri;
      if (url.starts_with(kScheme)) {
        SKERRY_CO_ASSIGN(
            url, co_await cloud->artifact_url(candidate->arn, artifact.uri.substr(kScheme.size())));
      }
      downloaded = co_await cloud->download(url, resumed_at, &file);
    }
    if (downloaded) {
      if (auto finished = co_await file.finish(); !finished) {
        // After a failed sync the bytes may be gone however whole they look: they must not be
        // resumed.
        SKERRY_CO_TRY(co_await remove(part));
        co_return finished;
      }
      const std::string received = file.digest();
      if (received == artifact.digest) co_return Result<void>();
      downloaded =
          fail(Code::kCorrupt,
               "the SHA-256 digest is " + received + " and not the recipe's " + artifact.digest +
                   ": what was downloaded is not what was published; nothing was installed");
    } else if (downloaded.error().code() == Code::kResourceExhausted ||
               downloaded.error().retryable()) {
      co_return downloaded;  // what has arrived stays for the next try
    }
    SKERRY_CO_TRY(co_await remove(part));
    if (resumed_at == 0) co_return downloaded;
    // A power cut may have torn the part, or the server refuses the offset: once more from the
    // start.
    log::info("packages", "starting the download again",
              {{"part", part}, {"reason", downloaded.error().message()}});
  }
}

io::Task<Result<void>> PackageStore::remove(std::string path) {
  return on_pool([&files = env_.files, path = std::move(path)] { return files.remove(path); });
}

io::Task<Result<void>> PackageStore::give_to_group(ComponentName name, std::string package,
                                                   uint32_t group) {
  return on_pool([&files = env_.files, directory = place(name, package), group] {
    return give_tree_to_group(files, directory, group);
  });
}

// The folders of the old layout look like components that nobody needs.
io::Task<Result<void>> PackageStore::collect_garbage(Needed needed) {
  auto names = env_.files.list(info_.packages());
  if (names) {  // else nothing was ever installed
    for (const std::string& name : *names) {
      Collection component{info_.packages() + "/" + name, info_.staging(),
                           needed[ComponentName(name)]};
      SKERRY_CO_TRY(co_await on_pool([&files = env_.files, component = std::move(component)] {
        return component.run(files);
      }));
    }
  }
  co_return co_await on_pool(
      [&files = env_.files, staging = info_.staging()] { return io::remove_all(files, staging); });
}

}  // namespace skerry::nucleus
