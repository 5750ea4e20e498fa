// Uploads to a temporary file, then one rename.
#include "fleet/artifacts.h"

#include "base/encoding.h"

namespace skerry::fleet {
namespace {

// Synced as it grows, so that no single fsync holds the loop for long.
constexpr uint64_t kSyncEveryBytes = 8 << 20;

}  // namespace

Result<std::unique_ptr<ArtifactStore>> ArtifactStore::open(io::Env& env, std::string directory) {
  SKERRY_TRY(io::make_directories(env.files, directory, 0700));
  SKERRY_TRY(env.files.make_directory(directory + "/sha256", 0700));
  SKERRY_TRY(io::remove_all(env.files, directory + "/tmp"));
  SKERRY_TRY(env.files.make_directory(directory + "/tmp", 0700));
  SKERRY_TRY(env.files.sync_directory(directory));
  SKERRY_TRY(env.files.sync_directory(io::parent_of(directory)));
  return std::unique_ptr<ArtifactStore>(new ArtifactStore(env, std::move(directory)));
}

Result<std::unique_ptr<ArtifactStore::Upload>> ArtifactStore::begin_upload() {
  std::string path = directory_ + "/tmp/" + env_.random.uuid();
  SKERRY_ASSIGN(auto file, env_.files.open(path, io::OpenMode::kTruncate, 0600));
  return std::unique_ptr<Upload>(new Upload(*this, std::move(path), std::move(file)));
}

std::string ArtifactStore::path_of(std::string_view sha256) const {
  return directory_ + "/sha256/" + std::string(sha256);
}

bool ArtifactStore::contains(std::string_view sha256) const {
  return io::exists(env_.files, path_of(sha256));
}

Result<uint64_t> ArtifactStore::size_of(std::string_view sha256) const {
  SKERRY_ASSIGN(auto info, env_.files.stat(path_of(sha256)));
  return info.size_bytes;
}

ArtifactStore::Upload::~Upload() {
  if (!file_) return;
  file_.reset();
  // Best effort: open() removes what stays.
  (void)store_.env_.files.remove(path_);
}

Result<void> ArtifactStore::Upload::write(std::string_view bytes) {
  SKERRY_TRY(file_->write(bytes));
  sha256_.update(bytes);
  size_bytes_ += bytes.size();
  unsynced_bytes_ += bytes.size();
  if (unsynced_bytes_ < kSyncEveryBytes) return {};
  unsynced_bytes_ = 0;
  return file_->sync();
}

Result<std::string> ArtifactStore::Upload::finish(std::string_view expected_sha256) {
  std::string sha256 = hex_encode(sha256_.finish());
  if (!expected_sha256.empty() && expected_sha256 != sha256) {
    return fail(Code::kInvalidArgument, "the content has SHA-256 " + sha256 + ", " +
                                            std::string(expected_sha256) + " was announced");
  }
  SKERRY_TRY(file_->sync());
  SKERRY_TRY(store_.env_.files.rename(path_, store_.path_of(sha256)));
  file_.reset();
  SKERRY_TRY(store_.env_.files.sync_directory(store_.directory_ + "/sha256"));
  return sha256;
}

}  // namespace skerry::fleet
