// Artifact content on the local disk, named by its SHA-256: DIR/sha256/HEX. Content is written to
// DIR/tmp, synced and renamed, so that a name always stands for whole content. Parts of multipart
// uploads wait in DIR/uploads (multipart.h).
//
// Large file work runs on env.pool. Everything else here is small and may run on any one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/sha256.h"
#include "fleet/checksums.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::fleet {

// What has been written, by its digests.
struct SealedContent {
  std::string sha256;  // lower-case hex
  uint64_t size_bytes = 0;
  std::vector<std::pair<ChecksumKind, std::string>> checksums;  // raw, those that were asked for
};

// A file below DIR/tmp that grows and is then either given its name or removed. On env.pool, one
// call at a time.
class ContentWriter {
 public:
  ContentWriter(io::Files& files, std::string path, const std::vector<ChecksumKind>& kinds);
  ~ContentWriter();  // removes what has no name yet
  ContentWriter(const ContentWriter&) = delete;
  ContentWriter& operator=(const ContentWriter&) = delete;

  Result<void> write(std::string_view bytes);
  // Everything is on the disk; nothing can be written any more.
  Result<SealedContent> seal();
  // The sealed file is `path` from here on, across a power cut, too.
  Result<void> commit(const std::string& path);

 private:
  io::Files& files_;
  std::string path_;
  std::unique_ptr<io::File> file_;  // opened by the first write
  bool exists_ = false;
  Sha256 sha256_;
  std::vector<Checksum> checksums_;
  uint64_t size_bytes_ = 0;
  uint64_t unsynced_bytes_ = 0;
};

// Of one artifact, wherever it lies; the most that S3 takes in one upload.
inline constexpr uint64_t kMaxArtifactBytes = uint64_t{5} << 30;

class ArtifactStore {
 public:
  // Makes the directories and removes what unfinished uploads left behind. No more than
  // `quota_bytes` of content are kept.
  static Result<std::unique_ptr<ArtifactStore>> open(io::Env& env, std::string directory,
                                                     uint64_t quota_bytes = UINT64_MAX);

  // One upload; destroying it unfinished leaves nothing behind. write() keeps bytes in memory until
  // drain() has the pool write them.
  class Upload {
   public:
    ~Upload();
    void write(std::string_view bytes) { pending_.append(bytes); }
    // Awaited often enough it keeps no more than 1 MiB and what came since.
    io::Task<Result<void>> drain();
    io::Task<Result<SealedContent>> seal();
    // After seal(): the content has its name.
    io::Task<Result<void>> commit();
    io::Task<Result<void>> commit_as(std::string path);

   private:
    friend class ArtifactStore;
    Upload(ArtifactStore& store, std::shared_ptr<ContentWriter> writer)
        : store_(store), writer_(std::move(writer)) {}
    io::Task<Result<void>> flush();

    ArtifactStore& store_;
    std::shared_ptr<ContentWriter> writer_;  // with the pool while it works
    std::string pending_;
    SealedContent sealed_;
  };
  // `bytes`: how many are to come. kResourceExhausted where the quota has no room for them.
  Result<std::unique_ptr<Upload>> begin_upload(uint64_t bytes = 0,
                                               const std::vector<ChecksumKind>& kinds = {});
  // The same for work that is on the pool already.
  std::shared_ptr<ContentWriter> begin_content(const std::vector<ChecksumKind>& kinds);
  // For the pool, where it may outlive this: gives sealed content its name.
  std::function<Result<void>(ContentWriter&, const SealedContent&)> committer() const;

  static bool is_digest(std::string_view text);  // 64 of 0-9 a-f
  std::string path_of(std::string_view sha256) const;
  bool contains(std::string_view sha256) const;
  Result<uint64_t> size_of(std::string_view sha256) const;  // kNotFound, too, for what is no digest
  std::string uploads_directory() const { return directory_ + "/uploads"; }

  // Names of content, in order.
  Result<std::vector<std::string>> list() const;
  Result<void> remove(std::string_view sha256);

  io::Env& env() const { return env_; }

 private:
  ArtifactStore(io::Env& env, std::string directory, uint64_t quota_bytes)
      : env_(env), directory_(std::move(directory)), quota_bytes_(quota_bytes) {}

  io::Env& env_;
  std::string directory_;
  uint64_t quota_bytes_;
  std::shared_ptr<std::atomic<uint64_t>> used_bytes_ = std::make_shared<std::atomic<uint64_t>>(0);
};

}  // namespace skerry::fleet
