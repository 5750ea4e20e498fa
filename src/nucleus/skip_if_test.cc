// Skipif on a real disk.
#include "nucleus/skip_if.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "io/test_directory.h"

namespace skerry::nucleus {
namespace {

class SkipIfTest : public testing::Test {
 protected:
  SkipIfTest() {
    std::filesystem::create_directory(directory_ + "/bin");
    make("bin/tool", 0755);
    make("bin/text", 0644);
    make("a file", 0644);
    environment_ = {{"PATH", "/nowhere::" + directory_ + "/bin"}, {"HOME", directory_}};
  }
  void make(const std::string& name, mode_t mode) {
    std::ofstream(directory_ + "/" + name) << "x";
    ::chmod((directory_ + "/" + name).c_str(), mode);
  }
  // Of a recipe's Skipif, read as recipes are.
  bool skipped(const std::string& condition) {
    auto recipe = formats::parse_recipe(
        R"({"RecipeFormatVersion":"2020-01-25","ComponentName":"a","ComponentVersion":"1.0.0",
            "Manifests":[{"Lifecycle":{"Run":{"Script":"x","Skipif":")" +
        condition + R"("}}}]})");
    EXPECT_TRUE(recipe) << recipe.error().message();
    const formats::Step* step = recipe->manifests[0].lifecycle.find(formats::StepKind::kRun);
    return holds(files_, *step->skip_if, environment_, directory_);
  }

  io::RealFiles files_;
  const io::ScratchDirectory scratch_;
  const std::string directory_ = scratch_.path();
  std::vector<std::pair<std::string, std::string>> environment_;
};

TEST_F(SkipIfTest, OnPathLooksAlongTheStepsOwnPath) {
  EXPECT_TRUE(skipped("onpath tool"));
  EXPECT_FALSE(skipped("onpath text"));  // cannot be run
  EXPECT_FALSE(skipped("onpath sh"));
  EXPECT_FALSE(skipped("onpath no-such-tool"));
  EXPECT_TRUE(skipped("!onpath no-such-tool"));
  EXPECT_FALSE(skipped("! onpath tool"));
}

TEST_F(SkipIfTest, OnPathTakesPathsAsWell) {
  EXPECT_TRUE(skipped("onpath /bin/sh"));
  EXPECT_FALSE(skipped("!onpath /bin/sh"));
  EXPECT_TRUE(skipped("onpath " + directory_ + "/bin/tool"));
  EXPECT_TRUE(skipped("onpath ./bin/tool"));
  EXPECT_TRUE(skipped("onpath ~/bin/tool"));
  EXPECT_FALSE(skipped("onpath /bin"));
  EXPECT_FALSE(skipped("onpath /etc/passwd"));
}

TEST_F(SkipIfTest, ExistsIsOfFilesAndFolders) {
  EXPECT_TRUE(skipped("exists /etc/passwd"));
  EXPECT_TRUE(skipped("exists /etc"));
  EXPECT_TRUE(skipped("exists a file"));
  EXPECT_TRUE(skipped("  exists   ~/bin/text  "));
  EXPECT_FALSE(skipped("exists bin/none"));
  EXPECT_TRUE(skipped("!exists bin/none"));
}

}  // namespace
}  // namespace skerry::nucleus
