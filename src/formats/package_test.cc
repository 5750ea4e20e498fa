// Packages in memory, whole and damaged.
#include "formats/package.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "io/fault_files.h"

namespace skerry::formats {
namespace {

constexpr const char* kRecipe = "recipe text";

class PackageTest : public ::testing::Test {
 protected:
  PackageTest() : directory_("/packages/app/1.0.0@" + package_digest(kRecipe)) {
    EXPECT_TRUE(io::make_directories(files_, directory_ + "/artifacts"));
    put("recipe", kRecipe);
    put("artifacts/data", "0123456789");
    write_contents();
  }
  void put(const std::string& path, const std::string& bytes) {
    EXPECT_TRUE(io::write_file_atomic(files_, directory_ + "/" + path, bytes));
    const auto info = files_.stat(directory_ + "/" + path).value();
    contents_.files[path] = {hex_encode(sha256(bytes)), info.size_bytes, info.modified_ns,
                             info.inode};
  }
  void write_contents() {
    EXPECT_TRUE(io::write_file_atomic(files_, directory_ + "/contents", contents_.text()));
  }
  // "path problem; …"
  std::string check(PackageChecker::How how) {
    PackageChecker checker(files_, directory_, how);
    for (;;) {
      auto more = checker.step();
      if (!more) return "cannot read: " + more.error().message();
      if (!*more) break;
    }
    std::string text;
    for (const PackageFault& fault : checker.faults())
      text += (text.empty() ? "" : "; ") + fault.path + " " + fault.problem;
    seen_ = checker.contents();
    return text;
  }
  std::string quick() { return check(PackageChecker::How::kQuick); }
  std::string full() { return check(PackageChecker::How::kFull); }

  io::FaultFiles files_;
  std::string directory_;
  PackageContents contents_, seen_;
};

TEST_F(PackageTest, WholeAsItWasPublished) {
  EXPECT_EQ(quick(), "");
  EXPECT_EQ(full(), "");
}

TEST_F(PackageTest, ContentsAreReadBackAsTheyWereWritten) {
  contents_.files["unarchived/a b/größe 1"] = {std::string(64, 'a'), UINT64_MAX, -5, 7};
  const std::string text = contents_.text();
  EXPECT_EQ(PackageContents::parse(text).value().text(), text);
  EXPECT_FALSE(PackageContents::parse(""));
  EXPECT_FALSE(PackageContents::parse("skerry package 2\n"));
  for (const char* line : {"", "x 1 2 3 path", "1 2 3 path"}) {
    EXPECT_FALSE(PackageContents::parse(std::string("skerry package 1\n") + line + "\n")) << line;
  }
  const std::string hash(64, 'a');
  EXPECT_FALSE(PackageContents::parse("skerry package 1\n" + hash + " 1 2 3 \n"));
  EXPECT_FALSE(PackageContents::parse("skerry package 1\n" + hash + " 1x 2 3 p\n"));
}

TEST_F(PackageTest, MissingAndCutFilesAreFoundQuickly) {
  put("artifacts/other", "x");
  write_contents();
  ASSERT_TRUE(files_.remove(directory_ + "/artifacts/other"));
  ASSERT_TRUE(io::write_file_atomic(files_, directory_ + "/artifacts/data", "0123"));
  EXPECT_EQ(quick(), "artifacts/data has 4 bytes instead of 10; artifacts/other is missing");
  EXPECT_EQ(full(), quick());
}

TEST_F(PackageTest, OtherBytesOfTheSameLengthAreFound) {
  ASSERT_TRUE(io::write_file_atomic(files_, directory_ + "/artifacts/data", "012345678X"));
  EXPECT_EQ(quick(), "artifacts/data was touched or replaced");
  EXPECT_EQ(full(), "artifacts/data has other bytes");
}

TEST_F(PackageTest, ARestoredCopyIsWholeAndItsContentsCanBeRenewed) {
  ASSERT_TRUE(io::write_file_atomic(files_, directory_ + "/artifacts/data", "0123456789"));
  EXPECT_NE(quick(), "");
  EXPECT_EQ(full(), "");
  contents_ = seen_;
  write_contents();
  EXPECT_EQ(quick(), "");
}

TEST_F(PackageTest, ARecipeOfAnotherPackageIsNotThisOne) {
  put("recipe", "another text");
  write_contents();
  EXPECT_EQ(quick(), "recipe is not the one that the package is named after");
}

TEST_F(PackageTest, WithoutContentsNothingIsWhole) {
  ASSERT_TRUE(files_.remove(directory_ + "/contents"));
  EXPECT_EQ(quick(), "contents is missing");
  ASSERT_TRUE(io::write_file_atomic(files_, directory_ + "/contents", "garbage"));
  EXPECT_NE(quick(), "");
}

TEST_F(PackageTest, LargeFilesAndManyFilesTakeSeveralSteps) {
  put("artifacts/data", std::string(9 << 20, 'x'));
  for (int i = 0; i < 600; ++i) put("artifacts/" + std::to_string(i), "");
  write_contents();
  PackageChecker checker(files_, directory_, PackageChecker::How::kFull);
  int steps = 1;
  while (checker.step().value()) ++steps;
  EXPECT_GT(steps, 5);
  EXPECT_TRUE(checker.faults().empty());
}

}  // namespace
}  // namespace skerry::formats
