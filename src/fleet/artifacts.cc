// Uploads to a temporary file, then one rename.
#include "fleet/artifacts.h"

#include <algorithm>

#include "base/check.h"
#include "base/encoding.h"

namespace skerry::fleet {
namespace {

// Synced as it grows, so that the fsync at the end is short.
constexpr uint64_t kSyncEveryBytes = 32 << 20;
constexpr size_t kPendingBytes = 1 << 20;

}  // namespace

// --- ContentWriter ------------------------------------------------------------------------------

ContentWriter::ContentWriter(io::Files& files, std::string path,
                             const std::vector<ChecksumKind>& kinds)
    : files_(files), path_(std::move(path)) {
  for (ChecksumKind kind : kinds) checksums_.emplace_back(kind);
}

ContentWriter::~ContentWriter() {
  file_.reset();
  // Best effort: ArtifactStore::open removes what stays.
  if (exists_) (void)files_.remove(path_);
}

Result<void> ContentWriter::write(std::string_view bytes) {
  if (!file_) {
    SKERRY_ASSIGN(file_, files_.open(path_, io::OpenMode::kTruncate, 0600));
    exists_ = true;
  }
  SKERRY_TRY(file_->write(bytes));
  sha256_.update(bytes);
  for (Checksum& checksum : checksums_) checksum.update(bytes);
  size_bytes_ += bytes.size();
  unsynced_bytes_ += bytes.size();
  if (unsynced_bytes_ < kSyncEveryBytes) return {};
  unsynced_bytes_ = 0;
  return file_->sync();
}

Result<SealedContent> ContentWriter::seal() {
  SKERRY_TRY(write(""));  // of no bytes there is a file, too
  SKERRY_TRY(file_->sync());
  file_.reset();
  SealedContent sealed{hex_encode(sha256_.finish()), size_bytes_, {}};
  for (Checksum& checksum : checksums_) {
    sealed.checksums.emplace_back(checksum.kind(), checksum.finish());
  }
  return sealed;
}

Result<void> ContentWriter::commit(const std::string& path) {
  SKERRY_CHECK(exists_ && !file_, "content committed before it was sealed");
  SKERRY_TRY(files_.rename(path_, path));
  exists_ = false;
  return files_.sync_directory(io::parent_of(path));
}

// --- Upload -------------------------------------------------------------------------------------

ArtifactStore::Upload::~Upload() {
  // Removing a large file takes its time.
  store_.env_.pool.submit([writer = std::move(writer_)] {});
}

io::Task<Result<void>> ArtifactStore::Upload::flush() {
  co_return co_await io::run_on(
      store_.env_.pool, store_.env_.loop,
      [writer = writer_, bytes = std::exchange(pending_, {})] { return writer->write(bytes); });
}

io::Task<Result<void>> ArtifactStore::Upload::drain() {
  if (pending_.size() < kPendingBytes) co_return Result<void>();
  co_return co_await flush();
}

io::Task<Result<SealedContent>> ArtifactStore::Upload::seal() {
  SKERRY_CO_TRY(co_await flush());
  auto sealed = co_await io::run_on(store_.env_.pool, store_.env_.loop,
                                    [writer = writer_] { return writer->seal(); });
  if (sealed) sealed_ = *sealed;
  co_return sealed;
}

io::Task<Result<void>> ArtifactStore::Upload::commit() {
  co_return co_await io::run_on(store_.env_.pool, store_.env_.loop,
                                [commit = store_.committer(), writer = writer_, sealed = sealed_] {
                                  return commit(*writer, sealed);
                                });
}

io::Task<Result<void>> ArtifactStore::Upload::commit_as(std::string path) {
  co_return co_await io::run_on(store_.env_.pool, store_.env_.loop,
                                [writer = writer_, path] { return writer->commit(path); });
}

// --- ArtifactStore ------------------------------------------------------------------------------

Result<std::unique_ptr<ArtifactStore>> ArtifactStore::open(io::Env& env, std::string directory,
                                                           uint64_t quota_bytes) {
  SKERRY_TRY(io::make_directories(env.files, directory, 0700));
  SKERRY_TRY(env.files.make_directory(directory + "/sha256", 0700));
  SKERRY_TRY(env.files.make_directory(directory + "/uploads", 0700));
  SKERRY_TRY(io::remove_all(env.files, directory + "/tmp"));
  SKERRY_TRY(env.files.make_directory(directory + "/tmp", 0700));
  SKERRY_TRY(env.files.sync_directory(directory));
  SKERRY_TRY(env.files.sync_directory(io::parent_of(directory)));
  std::unique_ptr<ArtifactStore> store(new ArtifactStore(env, std::move(directory), quota_bytes));
  SKERRY_ASSIGN(auto names, store->list());
  for (const std::string& name : names) {
    SKERRY_ASSIGN(uint64_t size, store->size_of(name));
    *store->used_bytes_ += size;
  }
  return store;
}

std::shared_ptr<ContentWriter> ArtifactStore::begin_content(
    const std::vector<ChecksumKind>& kinds) {
  return std::make_shared<ContentWriter>(env_.files, directory_ + "/tmp/" + env_.random.uuid(),
                                         kinds);
}

Result<std::unique_ptr<ArtifactStore::Upload>> ArtifactStore::begin_upload(
    uint64_t bytes, const std::vector<ChecksumKind>& kinds) {
  if (bytes > quota_bytes_ - std::min<uint64_t>(quota_bytes_, *used_bytes_)) {
    return fail(Code::kResourceExhausted,
                "the artifact store holds " + std::to_string(*used_bytes_) + " of its " +
                    std::to_string(quota_bytes_) + " bytes and has no room for " +
                    std::to_string(bytes) +
                    " more: delete artifacts, or raise --artifact-quota-gb");
  }
  return std::unique_ptr<Upload>(new Upload(*this, begin_content(kinds)));
}

std::function<Result<void>(ContentWriter&, const SealedContent&)> ArtifactStore::committer() const {
  return [&files = env_.files, directory = path_of(""), used = used_bytes_](
             ContentWriter& writer, const SealedContent& content) -> Result<void> {
    const std::string path = directory + content.sha256;
    const bool is_new = !io::exists(files, path);
    SKERRY_TRY(writer.commit(path));
    if (is_new) *used += content.size_bytes;
    return {};
  };
}

bool ArtifactStore::is_digest(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string ArtifactStore::path_of(std::string_view sha256) const {
  return directory_ + "/sha256/" + std::string(sha256);
}

bool ArtifactStore::contains(std::string_view sha256) const {
  return is_digest(sha256) && io::exists(env_.files, path_of(sha256));
}

Result<uint64_t> ArtifactStore::size_of(std::string_view sha256) const {
  if (!is_digest(sha256)) {
    return fail(Code::kNotFound, "content is named by 64 lower-case hexadecimal digits");
  }
  SKERRY_ASSIGN(auto info, env_.files.stat(path_of(sha256)));
  return info.size_bytes;
}

Result<std::vector<std::string>> ArtifactStore::list() const {
  SKERRY_ASSIGN(auto names, env_.files.list(directory_ + "/sha256"));
  std::erase_if(names, [](const std::string& name) { return !is_digest(name); });
  return names;
}

Result<void> ArtifactStore::remove(std::string_view sha256) {
  SKERRY_ASSIGN(uint64_t size, size_of(sha256));
  SKERRY_TRY(env_.files.remove(path_of(sha256)));
  *used_bytes_ -= size;
  return {};
}

}  // namespace skerry::fleet
