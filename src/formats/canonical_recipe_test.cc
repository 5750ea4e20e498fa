// The keys that AWS's serialiser prints and nucleus lite compares exactly.
#include "formats/canonical_recipe.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "formats/recipe.h"
#include "test_paths.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

json canonical(std::string_view text) {
  const auto result = canonical_recipe(text);
  EXPECT_TRUE(result) << result.error().message();
  return result ? json::parse(*result) : json();
}

TEST(CanonicalRecipe, KeysAndEnumsHaveOneSpellingWhateverWasWritten) {
  const json recipe = canonical(R"(
recipeFormatVersion: "2020-01-25"
COMPONENTNAME: com.example.App
componentversion: 1.0.0
componentTYPE: AWS.Greengrass.Generic
componentConfiguration: {defaultconfiguration: {Keep: {myCase: 1}}}
componentDependencies:
  com.example.Lib: {versionrequirement: ^1.0.0, dependencytype: soft}
  com.example.Other: {VERSIONREQUIREMENT: "*"}
manifests:
  - platform: {OS: linux, Architecture: AMD64, Runtime: "*", myAttribute: 5}
    lifecycle:
      SETENV: {Path_A: 1, B: true}
      Install: {script: a.sh, requiresprivilege: "True", timeout: 5, SKIPIF: onpath sh, setenv: {C: 2}}
      RUN: b.sh
      Shutdown: {SCRIPT: c.sh, RequiresPrivilege: false}
    artifacts:
      - URI: s3://bucket/key.zip
        unarchive: zip
        permission: {read: all}
        digest: abc
        algorithm: SHA-256
)");
  EXPECT_EQ(recipe["ComponentName"], "com.example.App");
  EXPECT_EQ(recipe["ComponentType"], "aws.greengrass.generic");
  EXPECT_EQ(recipe["ComponentConfiguration"],
            json::parse(R"({"DefaultConfiguration": {"Keep": {"myCase": 1}}})"));
  EXPECT_EQ(recipe["ComponentDependencies"], json::parse(R"({
    "com.example.Lib": {"VersionRequirement": "^1.0.0", "DependencyType": "SOFT"},
    "com.example.Other": {"VersionRequirement": "*", "DependencyType": "HARD"}})"));
  EXPECT_EQ(recipe["Lifecycle"], json::object());
  EXPECT_EQ(recipe["Manifests"], json::parse(R"([{
    "Platform": {"os": "linux", "architecture": "AMD64", "runtime": "*", "myAttribute": "5"},
    "Lifecycle": {
      "Setenv": {"Path_A": "1", "B": "true"},
      "install": {"Script": "a.sh", "RequiresPrivilege": true, "Timeout": 5,
                  "Skipif": "onpath sh", "Setenv": {"C": "2"}},
      "run": "b.sh",
      "shutdown": {"Script": "c.sh", "RequiresPrivilege": false}},
    "Selections": [],
    "Artifacts": [{"Uri": "s3://bucket/key.zip", "Unarchive": "ZIP", "Digest": "abc",
                   "Algorithm": "SHA-256", "Permission": {"Read": "ALL", "Execute": "NONE"}}]}])"));
}

TEST(CanonicalRecipe, ListsThatWereLeftOutAreThere) {
  const json recipe = canonical(R"({"RecipeFormatVersion": "2020-01-25", "ComponentName": "a",
    "ComponentVersion": "1.0.0", "ComponentDependencies": null, "Manifests": [{}]})");
  EXPECT_EQ(recipe["Manifests"], json::parse(R"([{"Platform": {}, "Lifecycle": {},
    "Selections": [], "Artifacts": []}])"));
  EXPECT_EQ(recipe["ComponentDependencies"], json::object());
  EXPECT_EQ(recipe["ComponentType"], "aws.greengrass.generic");
}

TEST(CanonicalRecipe, SelectorsStayAndWhatTheySelectIsSpelledRight) {
  const json recipe = canonical(R"({"RecipeFormatVersion": "2020-01-25", "ComponentName": "a",
    "ComponentVersion": "1.0.0",
    "lifecycle": {"ALL": {"Run": {"script": "x"}}, "Key1": {"INSTALL": "y"},
                  "Startup": {"Key1": {"script": "z"}, "all": "w"}, "setEnv": {"key1": {"A": 1}}},
    "Manifests": [{"Selections": "Key1"}, {"selections": ["key2"]}]})");
  EXPECT_EQ(recipe["Lifecycle"], json::parse(R"({
    "all": {"run": {"Script": "x"}}, "Key1": {"install": "y"},
    "startup": {"Key1": {"Script": "z"}, "all": "w"}, "Setenv": {"key1": {"A": "1"}}})"));
  EXPECT_EQ(recipe["Manifests"][0]["Selections"], json::parse(R"(["Key1"])"));
  EXPECT_EQ(recipe["Manifests"][1]["Selections"], json::parse(R"(["key2"])"));
}

TEST(CanonicalRecipe, UnknownKeysAreKept) {
  const json recipe = canonical(R"({"RecipeFormatVersion": "2020-01-25", "ComponentName": "a",
    "ComponentVersion": "1.0.0", "Future": {"x": [1]},
    "Manifests": [{"More": 1, "Lifecycle": {"verify": {"script": "v"}},
                   "Artifacts": [{"uri": "docker:a:1", "Size": 3}]}]})");
  EXPECT_EQ(recipe["Future"], json::parse(R"({"x": [1]})"));
  EXPECT_EQ(recipe["Manifests"][0]["More"], 1);
  EXPECT_EQ(recipe["Manifests"][0]["Lifecycle"]["verify"], json::parse(R"({"script": "v"})"));
  EXPECT_EQ(recipe["Manifests"][0]["Artifacts"][0]["Size"], 3);
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Published recipes: the canonical form says the same, and is its own canonical form.
TEST(CanonicalRecipe, PublishedRecipesKeepTheirMeaning) {
  int seen = 0;
  for (const char* folder : {"valid", "ml"}) {
    for (const auto& entry : std::filesystem::directory_iterator(
             std::filesystem::path(SKERRY_SOURCE_DIR "/tests/data/recipes") / folder)) {
      const auto recipe = parse_recipe(text_of(entry.path()));
      if (!recipe) continue;  // recipe_test.cc says which
      const auto once = canonical_recipe(text_of(entry.path()));
      ASSERT_TRUE(once) << entry.path() << once.error().message();
      EXPECT_EQ(canonical_recipe(*once).value_or(""), *once) << entry.path();
      const auto again = parse_recipe(*once);
      ASSERT_TRUE(again) << entry.path() << again.error().message();
      ASSERT_EQ(again->manifests.size(), recipe->manifests.size());
      EXPECT_EQ(again->dependencies.size(), recipe->dependencies.size());
      for (size_t i = 0; i < recipe->manifests.size(); ++i) {
        const auto &was = recipe->manifests[i].lifecycle.steps,
                   &is = again->manifests[i].lifecycle.steps;
        ASSERT_EQ(is.size(), was.size()) << entry.path();
        for (const auto& [kind, step] : was) {
          EXPECT_EQ(is.at(kind).script, step.script) << entry.path();
          EXPECT_EQ(is.at(kind).setenv, step.setenv) << entry.path();
          EXPECT_EQ(is.at(kind).requires_privilege, step.requires_privilege) << entry.path();
        }
        EXPECT_EQ(again->manifests[i].artifacts.size(), recipe->manifests[i].artifacts.size());
      }
      ++seen;
    }
  }
  EXPECT_GE(seen, 10);
}

}  // namespace
}  // namespace skerry::formats
