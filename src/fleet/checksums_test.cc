// The checksums against published values, in pieces.
#include "fleet/checksums.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace skerry::fleet {
namespace {

std::string hex_of(ChecksumKind kind, std::string_view text, size_t step) {
  Checksum checksum(kind);
  for (size_t at = 0; at < text.size(); at += step) checksum.update(text.substr(at, step));
  return hex_encode(checksum.finish());
}

TEST(Checksum, GivesThePublishedValues) {
  const std::string_view text = "123456789";
  for (size_t step : {size_t{1}, size_t{4}, size_t{9}}) {
    EXPECT_EQ(hex_of(ChecksumKind::kCrc32, text, step), "cbf43926");
    EXPECT_EQ(hex_of(ChecksumKind::kCrc32c, text, step), "e3069283");
    EXPECT_EQ(hex_of(ChecksumKind::kCrc64Nvme, text, step), "ae8b14860a799888");
    EXPECT_EQ(hex_of(ChecksumKind::kMd5, text, step), "25f9e794323b453885f5181f1b624d0b");
    EXPECT_EQ(hex_of(ChecksumKind::kSha1, text, step), "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
  }
}

TEST(Checksum, IsTheSameHoweverTheBytesArrive) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * i >> 3);
  for (auto kind : {ChecksumKind::kCrc32, ChecksumKind::kCrc64Nvme, ChecksumKind::kSha256}) {
    const std::string whole = hex_of(kind, text, text.size());
    for (size_t step : {1, 3, 8, 13, 4096}) EXPECT_EQ(hex_of(kind, text, step), whole) << step;
  }
}

TEST(Checksum, KnowsItsNames) {
  EXPECT_EQ(checksum_kind("crc64nvme"), ChecksumKind::kCrc64Nvme);
  EXPECT_EQ(checksum_kind("SHA256"), ChecksumKind::kSha256);
  EXPECT_EQ(checksum_kind("md5"), std::nullopt);
  EXPECT_EQ(checksum_kind("xxhash"), std::nullopt);
}

}  // namespace
}  // namespace skerry::fleet
