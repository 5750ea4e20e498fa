// Archives from formats/testdata/ (made by make_archives.py there), good and hostile, on a file
// system in memory.
#include "nucleus/unarchive.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/sha256.h"
#include "io/fault_files.h"
#include "test_paths.h"

namespace skerry::nucleus {
namespace {

class UnarchiveTest : public ::testing::Test {
 protected:
  Result<void> unarchive(const std::string& name, UnarchiveLimits limits = {}) {
    io::RealFiles real;
    auto bytes =
        io::read_file(real, std::string(SKERRY_SOURCE_DIR) + "/src/formats/testdata/" + name);
    if (!bytes) return fail(bytes.error());
    return unarchive_bytes(*bytes, limits);
  }
  Result<void> unarchive_bytes(const std::string& bytes, UnarchiveLimits limits = {}) {
    SKERRY_TRY(io::write_file_atomic(files_, "/archive.zip", bytes));
    SKERRY_TRY(io::remove_all(files_, "/out"));
    SKERRY_ASSIGN(unpacker_, ZipUnpacker::open(files_, "/archive.zip", "/out", 0440, limits));
    for (bool more = true; more;) {
      SKERRY_ASSIGN(more, unpacker_->step());
    }
    return {};
  }
  std::string contents(const std::string& path) {
    return io::read_file(files_, path).value_or("(absent)");
  }
  uint32_t mode(const std::string& path) { return files_.stat(path).value().mode; }

  io::FaultFiles files_;
  std::unique_ptr<ZipUnpacker> unpacker_;
};

TEST_F(UnarchiveTest, FoldersFilesAndTheExecutableBit) {
  auto done = unarchive("nested.zip");
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(contents("/out/top.txt"), "top\n");
  EXPECT_EQ(contents("/out/a/b/größe.txt"), "data\n");
  EXPECT_TRUE(files_.stat("/out/empty")->is_directory);
  EXPECT_EQ(mode("/out/top.txt"), 0440u);
  EXPECT_EQ(mode("/out/a/b/run.sh"), 0550u);
}

TEST_F(UnarchiveTest, ListsWhatItUnpackedWithItsHashes) {
  ASSERT_TRUE(unarchive("nested.zip"));
  std::map<std::string, std::string> listed;
  for (const auto& file : unpacker_->unpacked()) listed[file.path] = file.sha256;
  EXPECT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed["top.txt"], hex_encode(sha256("top\n")));
  EXPECT_TRUE(listed.contains("a/b/größe.txt"));
}

TEST_F(UnarchiveTest, DotsAndDoubledSlashesMeanWhatTheySay) {
  auto done = unarchive("harmless.zip");
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(contents("/out/x.txt"), "x\n");
  EXPECT_EQ(contents("/out/a/b.txt"), "b\n");
  EXPECT_EQ(contents("/out/c/d.txt"), "d\n");
}

TEST_F(UnarchiveTest, AnEmptyArchiveIsAnEmptyFolder) {
  auto done = unarchive("empty.zip");
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_TRUE(files_.list("/out").value().empty());
}

TEST_F(UnarchiveTest, LargeArchivesAreUnpackedInPieces) {
  ASSERT_TRUE(unarchive("bomb.zip"));  // 2 MiB
  ASSERT_TRUE(unarchive("many.zip"));  // 20 files
  ASSERT_TRUE(io::remove_all(files_, "/out"));
  auto unpacker = ZipUnpacker::open(files_, "/archive.zip", "/out", 0440).value();
  EXPECT_TRUE(unpacker->step().value());
}

TEST_F(UnarchiveTest, SurvivesAPowerCut) {
  ASSERT_TRUE(unarchive("nested.zip"));
  ASSERT_TRUE(files_.sync_directory("/"));
  files_.crash_now();
  files_.reboot(io::CrashPolicy::kDropUnsynced);
  EXPECT_EQ(contents("/out/top.txt"), "top\n");
  EXPECT_EQ(contents("/out/a/b/run.sh"), "#!/bin/sh\n");
  EXPECT_TRUE(io::exists(files_, "/out/empty"));
}

TEST_F(UnarchiveTest, NothingOutsideTheTarget) {
  for (const char* name :
       {"traversal.zip", "absolute.zip", "backslash.zip", "symlink.zip", "newline.zip"}) {
    auto done = unarchive(name);
    ASSERT_FALSE(done) << name;
    EXPECT_EQ(done.error().code(), Code::kInvalidArgument) << name;
    EXPECT_NE(done.error().message().find("only plain files and folders"), std::string::npos)
        << done.error().message();
    EXPECT_FALSE(io::exists(files_, "/evil.txt"));
    EXPECT_FALSE(io::exists(files_, "/tmp"));
    EXPECT_FALSE(io::exists(files_, "/out/link"));
  }
}

TEST_F(UnarchiveTest, Limits) {
  UnarchiveLimits limits;
  limits.zip.entries = 20;
  EXPECT_TRUE(unarchive("many.zip", limits));
  limits.zip.entries = 19;
  auto many = unarchive("many.zip", limits);
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code(), Code::kInvalidArgument);

  limits = {};
  limits.zip.total_bytes = 2 << 20;
  EXPECT_TRUE(unarchive("bomb.zip", limits));
  limits.zip.total_bytes -= 1;
  auto large = unarchive("bomb.zip", limits);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code(), Code::kInvalidArgument);
}

TEST_F(UnarchiveTest, LeavesTheReserveOfTheDiskAlone) {
  files_.set_capacity(kDiskReserveBytes + (1 << 20));
  auto done = unarchive("bomb.zip");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kResourceExhausted);
  EXPECT_NE(done.error().message().find("free some and deploy again"), std::string::npos);
  EXPECT_GE(files_.free_bytes("/").value(), kDiskReserveBytes);
}

TEST_F(UnarchiveTest, DamagedArchives) {
  for (const char* name : {"truncated.zip", "damaged.zip"}) {
    auto done = unarchive(name);
    ASSERT_FALSE(done) << name;
    EXPECT_EQ(done.error().code(), Code::kCorrupt) << name;
    EXPECT_NE(done.error().message().find("is not a usable ZIP archive: "), std::string::npos)
        << done.error().message();
  }
  for (const std::string& bytes : {std::string("no archive at all"), std::string()}) {
    auto done = unarchive_bytes(bytes);
    ASSERT_FALSE(done) << bytes;
    EXPECT_EQ(done.error().code(), Code::kCorrupt);
  }
}

}  // namespace
}  // namespace skerry::nucleus
