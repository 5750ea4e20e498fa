// Downloads with resume, digest check before anything becomes visible, atomic publication.
#include "nucleus/package_store.h"

#include "base/encoding.h"
#include "base/log.h"
#include "base/sha256.h"
#include "nucleus/unarchive.h"

namespace skerry::nucleus {
namespace {

constexpr size_t kReadChunkBytes = 1 << 20;
constexpr std::string_view kScheme = "greengrass:";

uint32_t mode_of(const formats::Artifact& artifact) {
  uint32_t mode = 0;
  if (artifact.read != formats::Access::kNone) mode |= 0400;
  if (artifact.read == formats::Access::kAll) mode |= 0044;
  if (artifact.execute != formats::Access::kNone) mode |= 0100;
  if (artifact.execute == formats::Access::kAll) mode |= 0011;
  return mode;
}

// Adds what is in `file` to `hash`, with a turn for the loop between pieces. The file's size.
io::Task<Result<uint64_t>> hash_file(io::Loop* loop, io::File* file, Sha256* hash) {
  for (uint64_t at = 0;;) {
    SKERRY_CO_ASSIGN(std::string bytes, file->read_at(at, kReadChunkBytes));
    if (bytes.empty()) co_return at;
    hash->update(bytes);
    at += bytes.size();
    co_await io::sleep(*loop, 0);
  }
}

// Whether `path` is there with this digest (base64 SHA-256).
io::Task<Result<bool>> has_digest(io::Env* env, std::string path, std::string digest) {
  if (!io::exists(env->files, path)) co_return false;
  SKERRY_CO_ASSIGN(auto file, env->files.open(path, io::OpenMode::kRead));
  Sha256 hash;
  SKERRY_CO_TRY(co_await hash_file(&env->loop, file.get(), &hash));
  co_return base64_encode(hash.finish()) == digest;
}

// Appends to the .part file and hashes what is in it.
class PartFile : public DownloadSink {
 public:
  PartFile(io::Files& files, std::string path) : files_(files), path_(std::move(path)) {}

  // Takes up what an earlier, interrupted download left: its size.
  io::Task<Result<uint64_t>> open(io::Loop* loop) {
    SKERRY_CO_ASSIGN(file_, files_.open(path_, io::OpenMode::kAppend, 0600));
    SKERRY_CO_ASSIGN(size_bytes_, co_await hash_file(loop, file_.get(), &hash_));
    co_return size_bytes_;
  }

  Result<void> begin(uint64_t offset, uint64_t remaining_bytes) override {
    if (offset != size_bytes_) {
      SKERRY_TRY(file_->truncate(0));
      size_bytes_ = 0;
      hash_ = Sha256();
    }
    SKERRY_ASSIGN(uint64_t free, files_.free_bytes(io::parent_of(path_)));
    if (free < kDiskReserveBytes || remaining_bytes > free - kDiskReserveBytes) {
      return fail(Code::kResourceExhausted,
                  "no space for " + std::to_string(remaining_bytes) + " bytes in " +
                      io::parent_of(path_) + ": " + std::to_string(free) + " are free and " +
                      std::to_string(kDiskReserveBytes) +
                      " are kept for roll-back; free some and deploy again");
    }
    return {};
  }

  Result<void> write(std::string_view bytes) override {
    SKERRY_TRY(file_->write(bytes));
    hash_.update(bytes);
    size_bytes_ += bytes.size();
    return {};
  }

  Result<std::string> finish() {
    SKERRY_TRY(file_->sync());
    file_.reset();
    return base64_encode(hash_.finish());
  }

 private:
  io::Files& files_;
  std::string path_;
  std::unique_ptr<io::File> file_;
  uint64_t size_bytes_ = 0;
  Sha256 hash_;
};

}  // namespace

PackageStore::PackageStore(io::Env& env, const NucleusInfo& info) : env_(env), info_(info) {}

std::string PackageStore::recipe_path(const ComponentName& name, const std::string& version) const {
  return info_.packages() + "/recipes/" + name.str() + "/" + version;
}
std::string PackageStore::artifacts_path(const ComponentName& name,
                                         const std::string& version) const {
  return info_.packages() + "/artifacts/" + name.str() + "/" + version;
}
std::string PackageStore::unarchived_path(const ComponentName& name,
                                          const std::string& version) const {
  return info_.packages() + "/artifacts-unarchived/" + name.str() + "/" + version;
}

Result<std::string> PackageStore::recipe(const ComponentName& name, const std::string& version) {
  return io::read_file(env_.files, recipe_path(name, version), formats::kMaxRecipeBytes);
}

io::Task<Result<void>> PackageStore::fetch(Cloud* cloud, Candidate candidate,
                                           const formats::Manifest* manifest) {
  if (auto stored = recipe(candidate.name, candidate.version)) {
    // Synced again: an earlier publication may have failed just there.
    const std::string recipes = io::parent_of(recipe_path(candidate.name, candidate.version));
    if (*stored == candidate.recipe) co_return env_.files.sync_directory(recipes);
    // Published again under the same version: what is on disk belongs to the old recipe.
    SKERRY_CO_TRY(drop_version(candidate.name.str(), candidate.version));
  }
  SKERRY_CO_TRY(io::make_directories(env_.files, info_.staging(), 0700));
  const std::string artifacts = artifacts_path(candidate.name, candidate.version);
  SKERRY_CO_TRY(io::make_directories(env_.files, artifacts));
  for (const formats::Artifact& artifact : manifest->artifacts) {
    auto fetched = co_await fetch_artifact(cloud, &candidate, artifact);
    if (!fetched) {
      co_return fail(fetched.error().with_context(candidate.name.str() + " " + candidate.version +
                                                  ", artifact " + artifact.file_name()));
    }
  }
  co_return publish_recipe(candidate);
}

io::Task<Result<void>> PackageStore::fetch_artifact(Cloud* cloud, const Candidate* candidate,
                                                    formats::Artifact artifact) {
  if (!artifact.uri.starts_with(kScheme)) {
    co_return fail(Code::kUnsupported,
                   "the URI " + artifact.uri +
                       " cannot be downloaded by this nucleus; publish the "
                       "component with its artifacts in the fleet (skerry component publish)");
  }
  if (artifact.digest.empty() || artifact.algorithm != "SHA-256") {
    co_return fail(Code::kInvalidArgument,
                   "the recipe gives no SHA-256 digest; nothing unverified is installed");
  }
  const std::string target =
      artifacts_path(candidate->name, candidate->version) + "/" + artifact.file_name();
  // It may be there from an earlier try, and then from a recipe that has been replaced since.
  SKERRY_CO_ASSIGN(const bool there, co_await has_digest(&env_, target, artifact.digest));
  if (!there) {
    SKERRY_CO_ASSIGN(std::string digest, base64_decode(artifact.digest));
    const std::string part = info_.staging() + "/" + hex_encode(digest) + ".part";
    SKERRY_CO_TRY(co_await download(cloud, candidate, artifact, part, artifact.digest));
    SKERRY_CO_TRY(env_.files.set_mode(part, mode_of(artifact)));
    SKERRY_CO_TRY(env_.files.rename(part, target));
  }
  // Also where it was there already: that it is visible does not say that an earlier sync
  // succeeded.
  SKERRY_CO_TRY(env_.files.sync_directory(io::parent_of(target)));
  if (artifact.unarchive == formats::Unarchive::kZip) {
    std::string stem = artifact.file_name();
    if (size_t dot = stem.find_last_of('.'); dot != std::string::npos && dot > 0) stem.resize(dot);
    const std::string unarchived = unarchived_path(candidate->name, candidate->version);
    SKERRY_CO_TRY(io::make_directories(env_.files, unarchived));
    SKERRY_CO_TRY(
        co_await unarchive_zip(&env_, target, unarchived + "/" + stem, mode_of(artifact)));
  }
  co_return Result<void>();
}

io::Task<Result<void>> PackageStore::download(Cloud* cloud, const Candidate* candidate,
                                              formats::Artifact artifact, std::string part,
                                              std::string digest) {
  for (;;) {
    SKERRY_CO_ASSIGN(std::string url, co_await cloud->artifact_url(
                                          candidate->arn, artifact.uri.substr(kScheme.size())));
    PartFile file(env_.files, part);
    SKERRY_CO_ASSIGN(const uint64_t resumed_at, co_await file.open(&env_.loop));
    auto downloaded = co_await cloud->download(url, resumed_at, &file);
    if (downloaded) {
      auto received = file.finish();
      if (!received) {
        // After a failed sync the bytes may be gone however whole they look: they must not be
        // resumed.
        SKERRY_CO_TRY(env_.files.remove(part));
        co_return fail(received.error());
      }
      if (*received == digest) co_return Result<void>();
      downloaded =
          fail(Code::kCorrupt,
               "the SHA-256 digest is " + *received + " and not the recipe's " + digest +
                   ": what was downloaded is not what was published; nothing was installed");
    } else if (downloaded.error().code() == Code::kResourceExhausted ||
               downloaded.error().retryable()) {
      co_return downloaded;  // what has arrived stays for the next try
    }
    SKERRY_CO_TRY(env_.files.remove(part));
    if (resumed_at == 0) co_return downloaded;
    // A power cut may have torn the part, or the server refuses the offset: once more from the
    // start.
    log::info("packages", "starting the download again",
              {{"part", part}, {"reason", downloaded.error().message()}});
  }
}

Result<void> PackageStore::publish_recipe(const Candidate& candidate) {
  const std::string path = recipe_path(candidate.name, candidate.version);
  SKERRY_TRY(io::make_directories(env_.files, io::parent_of(path)));
  return io::write_file_atomic(env_.files, path, candidate.recipe, 0644);
}

Result<void> PackageStore::set_owner(const ComponentName& name, const std::string& version,
                                     const formats::Manifest& manifest, UserId user) {
  for (const formats::Artifact& artifact : manifest.artifacts) {
    const std::string path = artifacts_path(name, version) + "/" + artifact.file_name();
    SKERRY_TRY(env_.files.set_owner(path, user.first, user.second));
    SKERRY_TRY(env_.files.set_mode(path, mode_of(artifact)));
  }
  const std::string unarchived = unarchived_path(name, version);
  if (!io::exists(env_.files, unarchived)) return {};
  std::vector<std::string> pending = {unarchived};
  while (!pending.empty()) {
    std::string path = std::move(pending.back());
    pending.pop_back();
    SKERRY_TRY(env_.files.set_owner(path, user.first, user.second));
    SKERRY_ASSIGN(auto entry, env_.files.stat(path));
    if (!entry.is_directory) continue;
    SKERRY_ASSIGN(auto names, env_.files.list(path));
    for (const std::string& child : names) pending.push_back(path + "/" + child);
  }
  return {};
}

// The recipe first, durably: without it the version does not exist, whatever else is still there.
Result<void> PackageStore::drop_version(const std::string& name, const std::string& version) {
  ComponentName component(name);
  const std::string recipe = recipe_path(component, version);
  if (io::exists(env_.files, recipe)) {
    SKERRY_TRY(env_.files.remove(recipe));
    SKERRY_TRY(env_.files.sync_directory(io::parent_of(recipe)));
  }
  SKERRY_TRY(io::remove_all(env_.files, artifacts_path(component, version)));
  return io::remove_all(env_.files, unarchived_path(component, version));
}

Result<void> PackageStore::collect_garbage(const ComponentSet& needed) {
  for (std::string kind : {"/recipes", "/artifacts", "/artifacts-unarchived"}) {
    auto names = env_.files.list(info_.packages() + kind);
    if (!names) continue;  // nothing was ever installed
    for (const std::string& name : *names) {
      const std::string directory = info_.packages() + kind + "/" + name;
      SKERRY_ASSIGN(auto versions, env_.files.list(directory));
      size_t kept = 0;
      for (const std::string& version : versions) {
        auto found = needed.find(ComponentName(name));
        if (found != needed.end() && found->second.version == version) {
          ++kept;
        } else {
          SKERRY_TRY(drop_version(name, version));
        }
      }
      if (kept == 0) SKERRY_TRY(io::remove_all(env_.files, directory));
    }
  }
  return io::remove_all(env_.files, info_.staging());
}

}  // namespace skerry::nucleus
