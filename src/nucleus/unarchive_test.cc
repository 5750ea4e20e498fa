// Archives from testdata/ (made by make_archives.py there), good and hostile, on a file system in
// memory.
#include "nucleus/unarchive.h"

#include <gtest/gtest.h>

#include "io/test_env.h"
#include "nucleus/test_cloud.h"
#include "test_paths.h"

namespace skerry::nucleus {
namespace {

class UnarchiveTest : public ::testing::Test, protected io::TestEnv {
 protected:
  Result<void> unarchive(const std::string& name, UnarchiveLimits limits = {}) {
    io::RealFiles real;
    auto bytes =
        io::read_file(real, std::string(SKERRY_SOURCE_DIR) + "/src/nucleus/testdata/" + name);
    if (!bytes) return fail(bytes.error());
    return unarchive_bytes(*bytes, limits);
  }
  Result<void> unarchive_bytes(const std::string& bytes, UnarchiveLimits limits = {}) {
    SKERRY_TRY(io::write_file_atomic(files, "/archive.zip", bytes));
    return run_task(loop, unarchive_zip(&env, "/archive.zip", "/out", 0440, limits));
  }
  std::string contents(const std::string& path) {
    return io::read_file(files, path).value_or("(absent)");
  }
  uint32_t mode(const std::string& path) { return files.stat(path).value().mode; }
};

TEST_F(UnarchiveTest, FoldersFilesAndTheExecutableBit) {
  auto done = unarchive("nested.zip");
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(contents("/out/top.txt"), "top\n");
  EXPECT_EQ(contents("/out/a/b/größe.txt"), "data\n");
  EXPECT_TRUE(files.stat("/out/empty")->is_directory);
  EXPECT_EQ(mode("/out/top.txt"), 0440u);
  EXPECT_EQ(mode("/out/a/b/run.sh"), 0540u);
}

TEST_F(UnarchiveTest, WhatWasThereIsReplaced) {
  ASSERT_TRUE(io::make_directories(files, "/out/old"));
  ASSERT_TRUE(io::write_file_atomic(files, "/out/old/file", "x"));
  ASSERT_TRUE(unarchive("nested.zip"));
  EXPECT_FALSE(io::exists(files, "/out/old"));
}

TEST_F(UnarchiveTest, SurvivesAPowerCut) {
  ASSERT_TRUE(unarchive("nested.zip"));
  ASSERT_TRUE(files.sync_directory("/"));
  files.crash_now();
  files.reboot(io::CrashPolicy::kDropUnsynced);
  EXPECT_EQ(contents("/out/top.txt"), "top\n");
  EXPECT_EQ(contents("/out/a/b/run.sh"), "#!/bin/sh\n");
  EXPECT_TRUE(io::exists(files, "/out/empty"));
}

TEST_F(UnarchiveTest, NothingOutsideTheTarget) {
  for (const char* name : {"traversal.zip", "absolute.zip", "backslash.zip", "symlink.zip"}) {
    auto done = unarchive(name);
    ASSERT_FALSE(done) << name;
    EXPECT_EQ(done.error().code(), Code::kInvalidArgument) << name;
    EXPECT_NE(done.error().message().find("is not a plain file or folder below it"),
              std::string::npos)
        << done.error().message();
    EXPECT_FALSE(io::exists(files, "/evil.txt"));
    EXPECT_FALSE(io::exists(files, "/tmp"));
    EXPECT_FALSE(io::exists(files, "/out/link"));
  }
}

TEST_F(UnarchiveTest, Limits) {
  UnarchiveLimits limits;
  limits.entries = 20;
  EXPECT_TRUE(unarchive("many.zip", limits));
  limits.entries = 19;
  auto many = unarchive("many.zip", limits);
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code(), Code::kResourceExhausted);

  limits = {};
  limits.total_bytes = 2 << 20;
  EXPECT_TRUE(unarchive("bomb.zip", limits));
  limits.total_bytes -= 1;
  auto large = unarchive("bomb.zip", limits);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code(), Code::kResourceExhausted);
}

TEST_F(UnarchiveTest, LeavesTheReserveOfTheDiskAlone) {
  files.set_capacity(kDiskReserveBytes + (1 << 20));
  auto done = unarchive("bomb.zip");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kResourceExhausted);
  EXPECT_NE(done.error().message().find("free some and deploy again"), std::string::npos);
  EXPECT_GE(files.free_bytes("/").value(), kDiskReserveBytes);
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
