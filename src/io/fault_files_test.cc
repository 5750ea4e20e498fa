// What FaultFiles keeps at a power cut, and how it fails on order.
#include "io/fault_files.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>

namespace skerry::io {
namespace {

std::string content(FaultFiles& files, const std::string& path) {
  auto bytes = read_file(files, path);
  return bytes ? *bytes : std::string(code_name(bytes.error().code()));
}

std::unique_ptr<File> create(FaultFiles& files, const std::string& path, std::string_view bytes) {
  auto file = files.open(path, OpenMode::kTruncate, 0600);
  EXPECT_TRUE(file);
  EXPECT_TRUE((*file)->write(bytes));
  return std::move(*file);
}

TEST(FaultFiles, ContentNeedsASyncAndANameNeedsOneOfItsDirectory) {
  FaultFiles files;
  {
    ASSERT_TRUE(create(files, "/synced", "data")->sync());
  }
  files.reboot(CrashPolicy::kDropUnsynced);
  EXPECT_EQ(content(files, "/synced"), "not_found");

  {
    create(files, "/named", "data");
  }
  ASSERT_TRUE(files.sync_directory("/"));
  files.reboot(CrashPolicy::kDropUnsynced);
  EXPECT_EQ(content(files, "/named"), "");

  {
    ASSERT_TRUE(create(files, "/both", "data")->sync());
  }
  ASSERT_TRUE(files.sync_directory("/"));
  files.reboot(CrashPolicy::kDropUnsynced);
  EXPECT_EQ(content(files, "/both"), "data");

  ASSERT_TRUE(files.remove("/both"));
  files.reboot(CrashPolicy::kDropUnsynced);
  EXPECT_EQ(content(files, "/both"), "data");
  ASSERT_TRUE(files.remove("/both"));
  files.reboot(CrashPolicy::kKeepAll);
  EXPECT_EQ(content(files, "/both"), "not_found");
}

TEST(FaultFiles, ASeededCrashTearsContentButNeverARename) {
  std::set<std::string> contents;
  std::set<std::string> places;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    FaultFiles files;
    auto file = create(files, "/a", std::string(600, 'o'));
    ASSERT_TRUE(file->sync());
    ASSERT_TRUE(files.sync_directory("/"));
    ASSERT_TRUE(file->write(std::string(1000, 'n')));
    ASSERT_TRUE(files.rename("/a", "/b"));
    files.reboot(CrashPolicy::kSeeded, seed);
    const bool a = exists(files, "/a"), b = exists(files, "/b");
    EXPECT_NE(a, b) << "seed " << seed;
    places.insert(a ? "a" : "b");
    const std::string bytes = content(files, a ? "/a" : "/b");
    EXPECT_EQ(bytes.substr(0, 600), std::string(600, 'o')) << "seed " << seed;  // it was synced
    contents.insert(bytes);
  }
  EXPECT_EQ(places.size(), 2u);
  EXPECT_GT(contents.size(), 20u);
  EXPECT_TRUE(contents.contains(std::string(600, 'o')));
  EXPECT_TRUE(contents.contains(std::string(600, 'o') + std::string(1000, 'n')));
}

TEST(FaultFiles, CrashesAtTheChosenOperationAndStaysDown) {
  FaultFiles files;
  files.crash_at(2);
  auto file = files.open("/a", OpenMode::kAppend, 0600);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write("kept?"));
  EXPECT_EQ((*file)->sync().error().message(), "crashed");
  EXPECT_TRUE(files.crashed());
  EXPECT_EQ(files.stat("/").error().message(), "crashed");
  EXPECT_EQ((*file)->read_at(0, 1).error().message(), "crashed");
  ASSERT_EQ(files.operations().size(), 3u);
  EXPECT_EQ(files.operations()[2].text(), "sync /a");
  files.reboot(CrashPolicy::kKeepAll);
  EXPECT_EQ(content(files, "/a"), "kept?");
  EXPECT_FALSE((*file)->write("by a dead process"));
}

TEST(FaultFiles, AFailedSyncLosesItsDataForGood) {
  FaultFiles files;
  auto file = create(files, "/a", "first");
  ASSERT_TRUE(files.sync_directory("/"));
  files.fail_at(files.operations().size(), EIO);
  EXPECT_FALSE(file->sync());
  EXPECT_EQ(content(files, "/a"), "first");  // still in the page cache
  ASSERT_TRUE(file->write("second"));
  ASSERT_TRUE(file->sync());
  files.reboot(CrashPolicy::kKeepAll);
  EXPECT_EQ(content(files, "/a"), std::string(5, '\0') + "second");
}

TEST(FaultFiles, FailsOnceOrFromThenOn) {
  FaultFiles files;
  files.fail_at(0, ENOSPC);
  EXPECT_EQ(files.make_directory("/a", 0755).error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(files.make_directory("/a", 0755));
  files.fail_from(files.operations().size() + 1, EIO);
  EXPECT_TRUE(files.make_directory("/b", 0755));
  EXPECT_FALSE(files.make_directory("/c", 0755));
  EXPECT_FALSE(files.remove("/a"));
  files.stop_failing();
  EXPECT_TRUE(files.remove("/a"));
}

TEST(FaultFiles, ADiskThatFillsUpTakesAPartOfTheWrite) {
  FaultFiles files;
  files.set_capacity(10);
  auto file = create(files, "/a", "12345678");
  EXPECT_EQ(files.free_bytes("/").value(), 2u);
  EXPECT_EQ(file->write("9abc").error().code(), Code::kResourceExhausted);
  EXPECT_EQ(content(files, "/a"), "123456789a");
  ASSERT_TRUE(file->truncate(0));
  EXPECT_TRUE(file->write("9abc"));
}

TEST(FaultFiles, WriteFileAtomicIsAtomic) {
  for (size_t crash = 0;; ++crash) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      FaultFiles files;
      ASSERT_TRUE(write_file_atomic(files, "/a", std::string(2000, 'o')));
      const size_t before = files.operations().size();
      files.crash_at(before + crash);
      const bool done = write_file_atomic(files, "/a", std::string(3000, 'n')).has_value();
      files.reboot(CrashPolicy::kSeeded, seed);
      const std::string bytes = content(files, "/a");
      EXPECT_TRUE(bytes == std::string(3000, 'n') || (!done && bytes == std::string(2000, 'o')))
          << "crash at " << files.operations().back().text() << ", seed " << seed;
      if (done) return;
    }
  }
}

}  // namespace
}  // namespace skerry::io
