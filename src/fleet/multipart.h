// Multipart uploads that are under way, on the disk: DIR/uploads/ID/upload.json says what it will
// be, DIR/uploads/ID/NNNNN-SHA256 are its parts. They survive a restart, and end when they are
// completed, aborted or older than a week.
//
// Everything here is file work: on env.pool.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/artifacts.h"

namespace skerry::fleet {

struct MultipartUpload {
  std::string id;
  std::string bucket;
  std::string key;
  std::string headers_json;  // of the object that it becomes
  int64_t created_ms = 0;
};

struct UploadPart {
  uint32_t number = 0;  // 1 to 10,000
  std::string sha256;   // its ETag
  uint64_t size_bytes = 0;
};

// What a client says of a part when it completes the upload.
struct ClaimedPart {
  uint32_t number = 0;
  std::string etag;                                             // without quotes
  std::vector<std::pair<ChecksumKind, std::string>> checksums;  // raw
};

class MultipartUploads {
 public:
  static constexpr uint32_t kMaxParts = 10'000;

  // `directory`: ArtifactStore::uploads_directory(). Work on a pool takes a copy.
  MultipartUploads(io::Files& files, std::string directory)
      : files_(files), directory_(std::move(directory)) {}

  Result<void> create(const MultipartUpload& upload);
  // kNotFound, too, where it is for another bucket or key.
  Result<MultipartUpload> find(const std::string& id, const std::string& bucket,
                               const std::string& key) const;
  Result<std::vector<MultipartUpload>> list() const;                   // by id
  Result<std::vector<UploadPart>> parts(const std::string& id) const;  // by number

  // Where a part's content is committed; afterwards it replaces what had the number before.
  std::string part_path(const std::string& id, uint32_t number, const std::string& sha256) const;
  Result<void> replace_part(const std::string& id, uint32_t number, const std::string& sha256);

  struct Completed {
    SealedContent content;
    // Checksums of the parts' checksums, where every part was claimed with one of that kind.
    std::vector<std::pair<ChecksumKind, std::string>> composite;
  };
  // The claimed parts in one file, of which `kinds` are calculated, too; `writer` holds it, sealed.
  // kInvalidArgument where a part is not there, not what was claimed, or out of order.
  Result<Completed> assemble(const std::string& id, const std::vector<ClaimedPart>& claimed,
                             ContentWriter& writer) const;
  Result<void> remove(const std::string& id);
  // Those that were created before `before_ms`.
  Result<void> remove_older(int64_t before_ms);

 private:
  std::string directory_of(const std::string& id) const;
  Result<void> append_part(const std::string& path, const ClaimedPart& claimed,
                           ContentWriter& writer) const;

  io::Files& files_;
  std::string directory_;
};

}  // namespace skerry::fleet
