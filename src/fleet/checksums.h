// The checksums that S3 clients send with what they upload.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace skerry::fleet {

enum class ChecksumKind { kCrc32, kCrc32c, kCrc64Nvme, kSha1, kSha256, kMd5 };

// Of "crc32", "crc32c", "crc64nvme", "sha1", "sha256", whatever the case, as in the headers
// x-amz-checksum-NAME; nothing for others.
std::optional<ChecksumKind> checksum_kind(std::string_view name);
// "CRC32", …, as in XML.
std::string_view checksum_name(ChecksumKind kind);

// One checksum of bytes that arrive in pieces.
class Checksum {
 public:
  explicit Checksum(ChecksumKind kind);
  ~Checksum();
  Checksum(Checksum&&) noexcept;
  Checksum& operator=(Checksum&&) noexcept;

  ChecksumKind kind() const { return kind_; }
  void update(std::string_view bytes);
  // The raw bytes, numbers with the high byte first; call once.
  std::string finish();

 private:
  struct Digest;
  ChecksumKind kind_;
  uint64_t crc_ = 0;
  std::unique_ptr<Digest> digest_;  // of the kinds that are no CRC
};

}  // namespace skerry::fleet
