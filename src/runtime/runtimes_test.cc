// Which runtimes a program has, and whose code it lets in.
#include "runtime/runtimes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "io/test_directory.h"
#include "runtime/library_file.h"
#include "runtime/null/null_runtime.h"
#include "test_paths.h"

namespace skerry::runtime {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class LibraryFile : public testing::Test {
 protected:
  LibraryFile() {
    fs::copy_file(SKERRY_BIN_DIR "/libcopy_runtime.so", library_);
    ::chmod(library_.c_str(), 0644);
  }

  std::string refusal(const std::string& path) {
    const auto checked = check_library_file(path);
    return checked ? "accepted" : checked.error().message();
  }

  const io::ScratchDirectory scratch_;
  const fs::path dir_ = scratch_.path();
  const std::string library_ = dir_ / "libcopy_runtime.so";
};

TEST_F(LibraryFile, IsNamedWithoutLinks) {
  fs::create_symlink(library_, dir_ / "link.so");
  EXPECT_EQ(*check_library_file(library_), library_);
  EXPECT_EQ(*check_library_file(dir_ / "link.so"), library_);
  fs::create_directory(dir_ / "x");
  EXPECT_EQ(*check_library_file(dir_ / "x/../libcopy_runtime.so"), library_);
}

TEST_F(LibraryFile, IsARegularFileWithAnAbsolutePath) {
  EXPECT_THAT(refusal("libcopy_runtime.so"), HasSubstr("must be absolute"));
  EXPECT_THAT(refusal(""), HasSubstr("must be absolute"));
  EXPECT_THAT(refusal(library_ + std::string("\0x", 2)), HasSubstr("must be absolute"));
  EXPECT_THAT(refusal("/" + std::string(5000, 'x')), HasSubstr("must be absolute"));
  EXPECT_THAT(refusal(dir_), HasSubstr("not a regular file"));
  EXPECT_THAT(refusal("/dev/zero"), HasSubstr("not a regular file"));
  ::mkfifo((dir_ / "fifo").c_str(), 0600);
  EXPECT_THAT(refusal(dir_ / "fifo"), HasSubstr("not a regular file"));
  EXPECT_EQ(check_library_file(dir_ / "absent").error().code(), Code::kNotFound);
  fs::create_symlink("loop", dir_ / "loop");
  EXPECT_NE(refusal(dir_ / "loop"), "accepted");
}

TEST_F(LibraryFile, NobodyElseCanWriteItOrPutAnotherInItsPlace) {
  for (const mode_t mode : {0664, 0646, 0777}) {
    ::chmod(library_.c_str(), mode);
    EXPECT_THAT(refusal(library_), HasSubstr("libcopy_runtime.so can be written by others"));
  }
  ::chmod(library_.c_str(), 0555);
  ::chmod(dir_.c_str(), 0777);
  EXPECT_THAT(refusal(library_), HasSubstr("can be written by others"));
  ::chmod(dir_.c_str(), 01777);  // as /tmp
  EXPECT_EQ(refusal(library_), "accepted");
  ::chmod(dir_.c_str(), 0700);
  if (::geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  ::chown(library_.c_str(), 12345, 0);
  EXPECT_THAT(refusal(library_), HasSubstr("belongs to user 12345"));
  ::chown(library_.c_str(), 0, 0);
  ::chown(dir_.c_str(), 12345, 0);
  EXPECT_THAT(refusal(library_), HasSubstr("belongs to user 12345"));
}

TEST_F(LibraryFile, OfARegisteredRuntimeIsLookedAtBeforeEachLoad) {
  Runtimes runtimes;
  ASSERT_TRUE(runtimes.put({.name = "copy", .library = library_, .component = "com.example.Copy"}));
  ASSERT_TRUE(runtimes.find("copy"));
  EXPECT_EQ((*(*runtimes.find("copy"))->open())->name(), "copy");
  ::chmod(library_.c_str(), 0666);
  EXPECT_EQ(runtimes.find("copy").error().code(), Code::kPermissionDenied);
  fs::remove(library_);
  EXPECT_THAT(runtimes.find("copy").error().message(),
              HasSubstr("deploy com.example.Copy, which brings it"));
}

TEST_F(LibraryFile, ANewOneIsForTheModelsThatComeNext) {
  Runtimes runtimes;
  const auto first = *runtimes.put({.name = "copy", .library = library_});
  const std::string other = dir_ / "other.so";
  fs::copy_file(library_, other);
  const auto second = *runtimes.put({.name = "copy", .library = other});
  EXPECT_EQ((*first->open())->version(), "1.0.0");
  EXPECT_EQ((*runtimes.find("copy"))->origin().library, other);
  EXPECT_EQ(*runtimes.find("copy"), second);
  ASSERT_TRUE(runtimes.remove("copy"));
  EXPECT_EQ(runtimes.remove("copy").error().code(), Code::kNotFound);
  EXPECT_EQ((*second->open())->name(), "copy");  // whoever has it keeps it
}

TEST(Runtimes, WhatTheOperatorGivesStays) {
  Runtimes runtimes;
  ASSERT_TRUE(runtimes.add("copy", SKERRY_BIN_DIR "/libcopy_runtime.so"));
  runtimes.add(std::make_unique<NullRuntime>());
  EXPECT_EQ(runtimes.add("copy", SKERRY_BIN_DIR "/libcopy_runtime.so").error().code(),
            Code::kAlreadyExists);
  EXPECT_THAT(runtimes.put({.name = "copy", .library = "/x.so"}).error().message(),
              HasSubstr("start it without"));
  EXPECT_THAT(runtimes.put({.name = "null", .library = "/x.so"}).error().message(),
              HasSubstr("built in"));
  EXPECT_EQ(runtimes.remove("copy").error().code(), Code::kNotFound);
}

TEST(Runtimes, AMissingOneNamesTheComponentToDeploy) {
  const Runtimes runtimes;
  const auto said = [&](std::string_view name, std::string_view component = "") {
    return runtimes.find(name, component).error().message();
  };
  EXPECT_EQ(
      said("onnxruntime"),
      "runtime 'onnxruntime' is not there; deploy skerry.runtime.OnnxRuntime, which brings it, "
      "or start skerry-infer with --runtime onnxruntime=PATH");
  EXPECT_THAT(said("dlr"), HasSubstr("deploy skerry.runtime.Dlr, which brings it"));
  EXPECT_THAT(said("tpu", "com.example.Tpu"), HasSubstr("deploy com.example.Tpu, which brings it"));
  EXPECT_THAT(said("tpu"), HasSubstr("skerry-infer runtime add"));
  EXPECT_EQ(said("null"), "runtime 'null' is not there; start skerry-infer with --runtime null");
}

}  // namespace
}  // namespace skerry::runtime
