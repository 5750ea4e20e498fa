// Archives from testdata/ (made by make_archives.py there), good and hostile; how the device writes
// what is in them: nucleus/unarchive_test.cc.
#include "formats/zip.h"

#include <gtest/gtest.h>

#include "test_paths.h"

namespace skerry::formats {
namespace {

Result<std::unique_ptr<ZipReader>> open_bytes(std::string bytes, ZipLimits limits = {}) {
  const uint64_t size = bytes.size();
  return ZipReader::open(
      [bytes = std::move(bytes)](uint64_t offset, size_t most) -> Result<std::string> {
        return offset < bytes.size() ? bytes.substr(offset, most) : "";
      },
      size, "the archive a.zip", limits);
}

std::string bytes_of(const std::string& file) {
  io::RealFiles files;
  return io::read_file(files, SKERRY_SOURCE_DIR "/src/formats/testdata/" + file).value();
}

Result<void> check(const std::string& bytes, ZipCheck how, ZipLimits limits = {}) {
  SKERRY_ASSIGN(auto reader, open_bytes(bytes, limits));
  return check_zip(*reader, how);
}

TEST(Zip, HarmlessFormsAreTaken) {
  for (const char* file : {"nested.zip", "harmless.zip", "empty.zip", "many.zip", "bomb.zip"}) {
    for (const ZipCheck how : {ZipCheck::kNames, ZipCheck::kContent}) {
      const auto done = check(bytes_of(file), how);
      EXPECT_TRUE(done) << file << ": " << done.error().message();
    }
  }
}

TEST(Zip, RefusalsNameTheArchiveTheEntryAndTheReason) {
  const struct {
    const char* file;
    const char* entry;
    const char* reason;
  } refusals[] = {
      {"traversal.zip", "'a/../../evil.txt'", "leads out of its folder"},
      {"absolute.zip", "'/tmp/evil.txt'", "absolute"},
      {"backslash.zip", "'a/../evil.txt'", "leads out of its folder"},  // as the library reads it
      {"symlink.zip", "'link'", "symbolic link"},
      {"newline.zip", "'a?b'", "control character"},
      {"twice.zip", "'./a'", "twice"},
      {"below_file.zip", "'a/b'", "below a file"},
      {"file_and_folder.zip", "'a'", "a folder and a file at once"},
      {"long_name.zip", "'xxxx", "too long"},
      {"encrypted.zip", "'secret.txt'", "encrypted"},
  };
  for (const auto& [file, entry, reason] : refusals) {
    for (const ZipCheck how : {ZipCheck::kNames, ZipCheck::kContent}) {
      const auto done = check(bytes_of(file), how);
      ASSERT_FALSE(done) << file;
      EXPECT_EQ(done.error().code(), Code::kInvalidArgument) << file;
      for (const char* part : {"the archive a.zip", entry, reason})
        EXPECT_NE(done.error().message().find(part), std::string::npos) << done.error().message();
    }
  }
}

TEST(Zip, WhatAnArchiveClaimsIsEnoughToRefuseIt) {
  const std::string bomb = bytes_of("bomb.zip");  // 2 MiB of zeros in 2 KiB
  ZipLimits limits;
  limits.total_bytes = (2 << 20) - 1;
  const auto large = check(bomb, ZipCheck::kNames, limits);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code(), Code::kInvalidArgument);
  EXPECT_NE(large.error().message().find("2097151 bytes"), std::string::npos);
  limits = {};
  limits.ratio_from_bytes = 1 << 20;
  EXPECT_FALSE(check(bomb, ZipCheck::kNames, limits));
  limits.ratio = 2000;
  EXPECT_TRUE(check(bomb, ZipCheck::kContent, limits));
  limits = {};
  limits.entries = 19;
  const auto many = check(bytes_of("many.zip"), ZipCheck::kNames, limits);
  ASSERT_FALSE(many);
  EXPECT_NE(many.error().message().find("more than 19 entries"), std::string::npos);
}

TEST(Zip, AnArchiveThatClaimsLessThanItHoldsIsStoppedAtTheLimit) {
  std::string bomb = bytes_of("bomb.zip");
  const std::string real("\x00\x00\x20\x00", 4), claimed("\x01\x00\x00\x00", 4);
  for (size_t at = 0; (at = bomb.find(real, at)) != std::string::npos; ++at)
    bomb.replace(at, claimed.size(), claimed);
  ZipLimits limits;
  limits.total_bytes = 1 << 20;
  EXPECT_FALSE(check(bomb, ZipCheck::kContent, limits));
}

TEST(Zip, DamageIsToldApart) {
  for (const std::string& bytes :
       {bytes_of("truncated.zip"), std::string("no archive at all"), std::string()}) {
    const auto done = check(bytes, ZipCheck::kNames);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), Code::kCorrupt);
    EXPECT_NE(done.error().message().find("is not a usable ZIP archive: "), std::string::npos)
        << done.error().message();
  }
  const auto done = check(bytes_of("damaged.zip"), ZipCheck::kContent);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kCorrupt);
}

// A publisher's tool and stock nuclei read the last directory of the file.
TEST(Zip, AnEmptyDirectoryAtTheFrontHidesNothing) {
  const std::string empty = bytes_of("empty.zip");
  for (const std::string& bytes :
       {empty + bytes_of("symlink.zip"), empty + empty + bytes_of("twice.zip"),
        empty + bytes_of("traversal.zip"), empty + "x"}) {
    EXPECT_FALSE(check(bytes, ZipCheck::kNames));
  }
  auto reader = open_bytes(empty + bytes_of("nested.zip"));
  if (!reader) return;  // refused as a whole
  const auto first = (*reader)->next();
  EXPECT_TRUE(!first || first->has_value());
}

TEST(Zip, AFaultOfTheSourceIsNotTheArchives) {
  auto reader = ZipReader::open(
      [](uint64_t, size_t) -> Result<std::string> {
        return fail(Code::kUnavailable, "the disk is away");
      },
      100, "a.zip");
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace skerry::formats
