// What a folder under someone else's control may hold, and what is read of it.
#include "io/regular_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "io/test_directory.h"

namespace skerry::io {
namespace {

using testing::HasSubstr;

class RegularFileTest : public testing::Test {
 protected:
  RegularFileTest() {
    std::filesystem::create_directories(dir_ + "/sub/deep");
    std::ofstream(dir_ + "/plain") << "hello";
    std::ofstream(dir_ + "/sub/deep/file") << "below";
  }

  std::string read(const std::string& path) {
    auto file = RegularFile::open(dir_, path, 1000);
    if (!file) return file.error().message();
    std::array<std::byte, 100> bytes{};
    const auto size = file->read(bytes);
    EXPECT_EQ(*size, file->size_bytes());
    return {reinterpret_cast<const char*>(bytes.data()), *size};
  }

  const ScratchDirectory scratch_;
  const std::string dir_ = scratch_.path();
};

TEST_F(RegularFileTest, ReadsFilesBelowTheFolder) {
  EXPECT_EQ(read("plain"), "hello");
  EXPECT_EQ(read("sub/deep/file"), "below");
  std::filesystem::create_directory_symlink(dir_, dir_ + "/sub/self");
  EXPECT_TRUE(RegularFile::open(dir_ + "/sub/self", "plain", 1000));
}

TEST_F(RegularFileTest, NeverLeavesTheFolderNorFollowsLinks) {
  for (const std::string& path : {std::string("../plain"), std::string("sub/../plain"),
                                  std::string("/etc/passwd"), std::string(), std::string("."),
                                  std::string("sub//deep/file"), std::string("plain\0x", 7)}) {
    EXPECT_THAT(read(path), HasSubstr("must name a file below")) << path;
  }
  std::filesystem::create_symlink("/etc/passwd", dir_ + "/link");
  std::filesystem::create_symlink(dir_ + "/sub", dir_ + "/folder-link");
  EXPECT_THAT(read("link"), HasSubstr("symbolic link"));
  EXPECT_THAT(read("folder-link/deep/file"), HasSubstr("symbolic link"));
}

TEST_F(RegularFileTest, WhatWouldBlockOrNeverEndIsRefusedAtOnce) {
  ASSERT_EQ(mkfifo((dir_ + "/fifo").c_str(), 0600), 0);
  EXPECT_THAT(read("fifo"), HasSubstr("no regular file"));
  EXPECT_THAT(read("sub"), HasSubstr("no regular file"));
  EXPECT_THAT(RegularFile::open("/dev", "zero", 1000).error().message(),
              HasSubstr("no regular file"));
}

TEST_F(RegularFileTest, ALargeFileIsRefusedBeforeItIsRead) {
  std::filesystem::resize_file(dir_ + "/plain", uint64_t{1} << 40);
  EXPECT_EQ(RegularFile::open(dir_, "plain", 1000).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(RegularFile::open(dir_, "absent", 1000).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace skerry::io
