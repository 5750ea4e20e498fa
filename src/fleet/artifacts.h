// Artifact content on the local disk, named by its SHA-256: DIR/sha256/HEX. Content is written to
// DIR/tmp, synced and renamed, so that a name always stands for whole content.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/sha256.h"
#include "io/env.h"

namespace skerry::fleet {

class ArtifactStore {
 public:
  // Makes the directories and removes what unfinished uploads left behind.
  static Result<std::unique_ptr<ArtifactStore>> open(io::Env& env, std::string directory);

  // One upload; destroying it unfinished leaves nothing behind.
  class Upload {
   public:
    ~Upload();
    Result<void> write(std::string_view bytes);
    // Everything is on the disk and has its name. Returns the SHA-256 in lower-case hex. Where
    // `expected_sha256` is not "" and another one, kInvalidArgument, and nothing is kept.
    Result<std::string> finish(std::string_view expected_sha256);
    uint64_t size_bytes() const { return size_bytes_; }

   private:
    friend class ArtifactStore;
    Upload(ArtifactStore& store, std::string path, std::unique_ptr<io::File> file)
        : store_(store), path_(std::move(path)), file_(std::move(file)) {}

    ArtifactStore& store_;
    std::string path_;
    std::unique_ptr<io::File> file_;  // null once finished
    Sha256 sha256_;
    uint64_t size_bytes_ = 0;
    uint64_t unsynced_bytes_ = 0;
  };
  Result<std::unique_ptr<Upload>> begin_upload();

  std::string path_of(std::string_view sha256) const;
  bool contains(std::string_view sha256) const;
  Result<uint64_t> size_of(std::string_view sha256) const;

 private:
  ArtifactStore(io::Env& env, std::string directory)
      : env_(env), directory_(std::move(directory)) {}

  io::Env& env_;
  std::string directory_;
};

}  // namespace skerry::fleet
