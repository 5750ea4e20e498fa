// Recipes: the published examples, real ML components, and each rule of the format.
#include "formats/recipe.h"
#include "test_paths.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

namespace skerry::formats {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using std::chrono::seconds;

const fs::path kData = fs::path(SKERRY_SOURCE_DIR) / "tests/data/recipes";
const PlatformAttributes kLinux = {{"os", "linux"}, {"architecture", "amd64"}};

std::string read(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  std::string result = text.str();
  // The ML recipes are templates.
  constexpr std::string_view kVersion = "{COMPONENT_VERSION}";
  for (size_t at; (at = result.find(kVersion)) != std::string::npos;) {
    result.replace(at, kVersion.size(), "2.1.0");
  }
  return result;
}

std::vector<fs::path> files_in(const char* folder) {
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(kData / folder)) files.insert(entry.path());
  EXPECT_FALSE(files.empty()) << folder;
  return {files.begin(), files.end()};
}

// A recipe with `rest` after its identity.
std::string yaml(const std::string& rest) {
  return "RecipeFormatVersion: 2020-01-25\nComponentName: com.example.A\nComponentVersion: "
         "1.0.0\n" +
         rest;
}

Recipe parse(const std::string& text) {
  auto recipe = parse_recipe(text);
  EXPECT_TRUE(recipe) << recipe.error().message();
  return recipe.value_or(Recipe());
}

std::string error_of(const std::string& text) {
  auto recipe = parse_recipe(text);
  return recipe ? "no error" : recipe.error().message();
}

Step step(const std::string& rest, StepKind kind) {
  const Recipe recipe = parse(yaml(rest));
  const Step* found = recipe.manifests.at(0).lifecycle.find(kind);
  EXPECT_NE(found, nullptr);
  return found == nullptr ? Step() : *found;
}

TEST(RecipeFilesTest, ValidOnesParseAndSurvivePrinting) {
  for (const char* folder : {"valid", "ml"}) {
    for (const fs::path& path : files_in(folder)) {
      const std::string text = read(path);
      const Recipe recipe = parse(text);
      EXPECT_FALSE(recipe.manifests.empty()) << path;
      auto printed = recipe_to_json(text);
      ASSERT_TRUE(printed) << path;
      EXPECT_EQ(*recipe_to_json(*printed), *printed) << path;
      EXPECT_EQ(parse(*printed).name, recipe.name);
    }
  }
}

// REC-1
TEST(RecipeFilesTest, YamlAndJsonOfOneRecipeAreTheSameDocument) {
  for (const char* name : {"sample-recipe-with-all-fields", "wrapper-component-recipe"}) {
    EXPECT_EQ(*recipe_to_json(read(kData / "valid" / (std::string(name) + ".yaml"))),
              *recipe_to_json(read(kData / "valid" / (std::string(name) + ".json"))));
  }
}

TEST(RecipeFilesTest, InvalidOnesNameThePlace) {
  const std::map<std::string, std::string> expected = {
      {"error-recipe-contains-null-element-in-artifacts.json",
       "Manifests[0].Artifacts[0]: is empty"},
      {"error-recipe-contains-null-element-in-artifacts.yaml",
       "Manifests[0].Artifacts[0]: is empty"},
      {"error-recipe-contains-null-element-in-manifests.json", "Manifests[0]: is empty"},
      {"error-recipe-contains-null-element-in-manifests.yaml", "Manifests[0]: is empty"},
      {"sample-recipe-fail-missing-uri.yaml", "Manifests[0].Artifacts[0].URI: is missing"},
      {"sample-recipe-fail-missing-versionRequirement.yaml",
       "ComponentDependencies.abc.VersionRequirement: is missing"},
      {"sample-recipe-with-illegal-component-name.yaml",
       "ComponentName: 'aws.greengrass.foo bar service'"},
      {"sample-recipe-with-long-component-version.yaml", "longer than 64 characters"},
  };
  for (const fs::path& path : files_in("invalid")) {
    const auto message = error_of(read(path));
    ASSERT_TRUE(expected.contains(path.filename())) << path;
    EXPECT_NE(message.find(expected.at(path.filename())), std::string::npos)
        << path << ": " << message;
  }
}

TEST(RecipeFilesTest, AllFields) {
  const Recipe recipe = parse(read(kData / "valid/sample-recipe-with-all-fields.yaml"));
  EXPECT_EQ(recipe.name.str(), "FooService");
  EXPECT_EQ(recipe.version.str(), "1.0.0");
  EXPECT_EQ(recipe.type, ComponentType::kPlugin);
  EXPECT_EQ(recipe.description, "Test recipe for Greengrass packages");
  EXPECT_EQ(recipe.publisher, "Me");
  EXPECT_EQ(recipe.default_configuration->at("SecondItem").at("message"), "goodbye");
  const Dependency* soft = recipe.find_dependency(ComponentName("BarService"));
  ASSERT_NE(soft, nullptr);
  EXPECT_EQ(soft->type, DependencyType::kSoft);
  EXPECT_EQ(soft->requirement.str(), "^1.1");
  EXPECT_EQ(recipe.find_dependency(ComponentName("BazService"))->type, DependencyType::kHard);
  EXPECT_EQ(recipe.find_dependency(ComponentName("none")), nullptr);

  const Manifest& windows = recipe.manifests.at(0);
  EXPECT_EQ(windows.name, "Platform 1");
  ASSERT_EQ(windows.artifacts.size(), 2u);
  const Artifact& artifact = windows.artifacts[0];
  EXPECT_EQ(artifact.file_name(), "hello_world.py");
  EXPECT_EQ(artifact.unarchive, Unarchive::kZip);
  EXPECT_EQ(artifact.read, Access::kAll);
  EXPECT_EQ(artifact.execute, Access::kAll);
  EXPECT_EQ(artifact.algorithm, "SHA-256");
  EXPECT_EQ(windows.artifacts[1].execute, Access::kOwner);
  EXPECT_EQ(windows.artifacts[1].unarchive, Unarchive::kNone);

  // Selections one, two, three, four: "one" is there, and stands for the whole lifecycle.
  const Step* install = windows.lifecycle.find(StepKind::kInstall);
  ASSERT_NE(install, nullptr);
  EXPECT_EQ(install->script, "sudo apt-get install git");
  EXPECT_EQ(install->skip_if->argument, "git");
  // The other manifest selects nothing, and there is no "all".
  EXPECT_TRUE(recipe.manifests.at(1).lifecycle.steps.empty());
}

// REC-18
TEST(RecipeFilesTest, PermissionsDefaultToTheOwnerReading) {
  const Recipe recipe = parse(read(kData / "valid/sample-recipe-missing-permission-fields.yaml"));
  EXPECT_EQ(recipe.manifests.at(0).artifacts.at(0).read, Access::kOwner);
  EXPECT_EQ(recipe.manifests.at(0).artifacts.at(0).execute, Access::kNone);
}

TEST(RecipeFilesTest, RealMlComponentWithLowerCaseKeysAndStringScalars) {
  const Recipe recipe = parse(read(kData / "ml/variant.DLR.json"));
  const Manifest* manifest = choose_manifest(recipe, kLinux);
  ASSERT_NE(manifest, nullptr);
  EXPECT_EQ(manifest, &recipe.manifests[1]);
  const Step* install = manifest->lifecycle.find(StepKind::kInstall);
  ASSERT_NE(install, nullptr);
  EXPECT_TRUE(install->requires_privilege);
  EXPECT_EQ(install->timeout, seconds(900));
  EXPECT_EQ(install->setenv.at("LC_ALL"), "en_US.UTF-8");
  EXPECT_EQ(recipe.default_configuration->at("UseInstaller"), "true");
  EXPECT_EQ(choose_manifest(recipe, {{"os", "darwin"}, {"architecture", "amd64"}}), nullptr);
  EXPECT_EQ(choose_manifest(recipe, {{"os", "windows"}, {"architecture", "x86"}}),
            &recipe.manifests[3]);
}

// REC-1
TEST(RecipeTest, UnknownKeysAreIgnoredAndKept) {
  const std::string text =
      yaml("Future: {a: 1}\nManifests: [{Later: 2, Lifecycle: {Start: x, run: y}}]\n");
  const Recipe recipe = parse(text);
  EXPECT_EQ(recipe.manifests.at(0).lifecycle.find(StepKind::kRun)->script, "y");
  const json printed = json::parse(*recipe_to_json(text));
  EXPECT_EQ(printed["Future"]["a"], 1);
  EXPECT_EQ(printed["Manifests"][0]["Lifecycle"]["Start"], "x");
}

// REC-1
TEST(RecipeTest, KeysAndEnumsHaveNoCase) {
  const Recipe recipe = parse(
      "recipeformatversion: '2020-01-25'\ncomponentname: a\ncomponentversion: 1.0.0\n"
      "componenttype: AWS.Greengrass.Generic\n"
      "componentdependencies: {b: {versionrequirement: '*', dependencytype: soft}}\n"
      "manifests: [{artifacts: [{uri: 's3://b/f.zip', unarchive: zip, permission: {read: "
      "all}}]}]\n");
  EXPECT_EQ(recipe.find_dependency(ComponentName("b"))->type, DependencyType::kSoft);
  EXPECT_EQ(recipe.manifests.at(0).artifacts.at(0).unarchive, Unarchive::kZip);
  EXPECT_EQ(recipe.manifests.at(0).artifacts.at(0).read, Access::kAll);
}

TEST(RecipeTest, ManifestsWithoutArtifactsOrLifecycle) {
  const Recipe recipe = parse(yaml("Manifests: [{}]\n"));
  EXPECT_TRUE(recipe.manifests.at(0).artifacts.empty());
  EXPECT_TRUE(recipe.manifests.at(0).lifecycle.steps.empty());
  EXPECT_EQ(recipe.default_configuration, nullptr);
}

// REC-2
TEST(RecipeTest, ErrorsNameThePlace) {
  const std::string manifest = "Manifests: [{}]\n";
  const std::map<std::string, std::string> cases = {
      {"Manifests: []\n", "Manifests: is empty: a recipe has one manifest at least"},
      {"", "Manifests: is missing"},
      {"ComponentType: robot\n" + manifest,
       "ComponentType: 'robot' is not one of aws.greengrass.generic, aws.greengrass.lambda, "
       "aws.greengrass.plugin, aws.greengrass.nucleus"},
      {"ComponentDependencies: {b: {VersionRequirement: latest}}\n" + manifest,
       "ComponentDependencies.b.VersionRequirement: 'latest' is not a version range: 'latest' is "
       "not "
       "MAJOR[.MINOR[.PATCH]], each a number or x"},
      {"ComponentDependencies: {../b: {VersionRequirement: '*'}}\n" + manifest,
       "ComponentDependencies.../b: '../b' is not a component name: 1 to 128 letters, digits and "
       "-_."},
      {"ComponentConfiguration: {DefaultConfiguration: [1]}\n" + manifest,
       "ComponentConfiguration.DefaultConfiguration: must be an object"},
      {"Manifests: [{Lifecycle: {Run: {Script: [a]}}}]\n",
       "Manifests[0].Lifecycle.Run.Script: must be a string"},
      {"Manifests: [{Lifecycle: {Run: 7}}]\n",
       "Manifests[0].Lifecycle.Run: must be a script or an object with a Script"},
      {"Manifests: [{Lifecycle: {Install: {Script: a, Timeout: 0}}}]\n",
       "Manifests[0].Lifecycle.Install.Timeout: must be 1 to 31536000 seconds"},
      {"Manifests: [{Lifecycle: {Install: {Script: a, Skipif: maybe}}}]\n",
       "Manifests[0].Lifecycle.Install.Skipif: 'maybe' is not of the form [!]onpath PROGRAM or "
       "[!]exists FILE"},
      {"Manifests: [{Lifecycle: {Install: {Script: a, Setenv: {'A=B': c}}}}]\n",
       "Manifests[0].Lifecycle.Install.Setenv: 'A=B' cannot be the name of an environment "
       "variable"},
      {"Manifests: [{Artifacts: [{URI: 's3://b/..'}]}]\n",
       "Manifests[0].Artifacts[0].URI: 's3://b/..' must end in a file name"},
      {"Manifests: [{Artifacts: [{URI: 's3://b/a', Permission: {Read: everyone}}]}]\n",
       "Manifests[0].Artifacts[0].Permission.Read: 'everyone' is not one of NONE, OWNER, ALL"},
      {"Lifecycle: {all: {Run: 7}}\n" + manifest,
       "Lifecycle.Run: must be a script or an object with a Script"},
  };
  for (const auto& [rest, message] : cases) EXPECT_EQ(error_of(yaml(rest)), message);
  EXPECT_EQ(error_of("[]"), "recipe: the document must be an object");
  EXPECT_EQ(error_of(""), "recipe: the document must be an object");
  EXPECT_EQ(error_of("RecipeFormatVersion: 2030-01-01\n"),
            "RecipeFormatVersion: '2030-01-01' is not supported, only 2020-01-25");
  EXPECT_NE(error_of("{\"a\": }").find("recipe: not JSON"), std::string::npos);
}

TEST(RecipeTest, JsonIsTakenForJsonWhateverItStartsWith) {
  EXPECT_EQ(error_of("\n// my recipe\n{}"),
            "recipe: line 2: a comment: JSON has none, take it out, or write the recipe in YAML, "
            "where a comment begins with #");
  EXPECT_TRUE(error_of("/* mine */ {}").starts_with("recipe: line 1: a comment: JSON has none"));
  const std::string within = error_of("{\n  // mine\n  \"a\": 1\n}");
  EXPECT_TRUE(within.contains("not JSON") && within.contains("line 2")) << within;
  EXPECT_TRUE(error_of("[1,\n 2,,]").contains("not JSON"));
  EXPECT_EQ(error_of("\xEF\xBB\xBF{}"), error_of("{}"));
  EXPECT_EQ(error_of("\xEF\xBB\xBF" + yaml("Manifests: []\n")), error_of(yaml("Manifests: []\n")));
}

TEST(RecipeTest, OneRuleForKeysThatStandTwiceInBothSyntaxes) {
  EXPECT_TRUE(error_of("{\"ComponentName\": \"a\", \"ComponentName\": \"b\"}")
                  .contains("the key 'ComponentName' stands here twice"));
  EXPECT_TRUE(error_of("ComponentName: a\nComponentName: b\n")
                  .contains("the key 'ComponentName' stands here twice"));
  EXPECT_TRUE(error_of(yaml("Manifests: [{Lifecycle: {Run: a, RUN: b}}]\n"))
                  .contains("Lifecycle.Run: stands here twice"));
}

TEST(LifecycleTest, BooleansInEveryFormThatRecipesUse) {
  for (const char* written : {"yes", "Yes", "on", "true", "True", "'true'", "\"TRUE\""}) {
    const Recipe recipe =
        parse(yaml("Manifests: [{Lifecycle: {Run: {Script: a, RequiresPrivilege: " +
                   std::string(written) + "}}}]\n"));
    EXPECT_TRUE(recipe.manifests[0].lifecycle.find(StepKind::kRun)->requires_privilege) << written;
  }
  for (const char* written : {"no", "off", "False", "'false'"}) {
    const Recipe recipe =
        parse(yaml("Manifests: [{Lifecycle: {Run: {Script: a, RequiresPrivilege: " +
                   std::string(written) + "}}}]\n"));
    EXPECT_FALSE(recipe.manifests[0].lifecycle.find(StepKind::kRun)->requires_privilege) << written;
  }
}

TEST(RecipeTest, LimitsOnWhatASmallRecipeCanAskFor) {
  EXPECT_NE(
      error_of(yaml("x: '" + std::string(kMaxRecipeBytes, 'x') + "'")).find("bytes, at most 65536"),
      std::string::npos);
  std::string manifests = "Manifests:\n";
  for (int i = 0; i < 101; ++i) manifests += "- {}\n";
  EXPECT_EQ(error_of(yaml(manifests)), "Manifests: holds more than 100 manifests");
  std::string selections = "Manifests: [{Selections: [a";
  for (int i = 0; i < 100; ++i) selections += ",a";
  EXPECT_NE(error_of(yaml(selections + "]}]\n")).find("more than 100 Selections"),
            std::string::npos);
}

// REC-5
TEST(LifecycleTest, DefaultTimeouts) {
  const Recipe recipe =
      parse(yaml("Manifests: [{Lifecycle: {Bootstrap: a, Install: b, Startup: c, Shutdown: d, "
                 "Recover: e, Uninstall: f}}]"));
  const std::map<StepKind, int> expected = {
      {StepKind::kBootstrap, 120}, {StepKind::kInstall, 120}, {StepKind::kStartup, 120},
      {StepKind::kShutdown, 15},   {StepKind::kRecover, 60},  {StepKind::kUninstall, 120}};
  for (const auto& [kind, timeout] : expected) {
    EXPECT_EQ(recipe.manifests[0].lifecycle.find(kind)->timeout, seconds(timeout)) << name_of(kind);
  }
  EXPECT_EQ(step("Manifests: [{Lifecycle: {Run: a}}]", StepKind::kRun).timeout, std::nullopt);
}

// REC-6
TEST(LifecycleTest, StartupWinsOverRun) {
  const Recipe recipe = parse(yaml("Manifests: [{Lifecycle: {Run: a, Startup: b}}]"));
  EXPECT_NE(recipe.manifests[0].lifecycle.find(StepKind::kStartup), nullptr);
  EXPECT_EQ(recipe.manifests[0].lifecycle.find(StepKind::kRun), nullptr);
}

TEST(LifecycleTest, AStepWithoutAScriptIsNotThere) {
  const Recipe recipe = parse(yaml("Manifests: [{Lifecycle: {Run: '', Install: {Timeout: 5}}}]"));
  EXPECT_TRUE(recipe.manifests[0].lifecycle.steps.empty());
}

// REC-8
TEST(LifecycleTest, StepsOverrideTheSharedEnvironment) {
  const Step run = step(
      "Manifests: [{Lifecycle: {setEnv: {A: 1, B: shared}, Run: {Script: x, Setenv: {B: own, C: "
      "true}}}}]",
      StepKind::kRun);
  EXPECT_EQ(run.setenv,
            (std::map<std::string, std::string>{{"A", "1"}, {"B", "own"}, {"C", "true"}}));
}

// REC-7
TEST(LifecycleTest, SkipIf) {
  const auto skip_if = [](const std::string& text) {
    return *step("Manifests: [{Lifecycle: {Install: {Script: x, Skipif: '" + text + "'}}}]",
                 StepKind::kInstall)
                .skip_if;
  };
  EXPECT_EQ(skip_if("onpath git").kind, SkipIf::Kind::kOnPath);
  EXPECT_EQ(skip_if("onpath git").argument, "git");
  EXPECT_FALSE(skip_if("onpath git").negated);
  EXPECT_EQ(skip_if("!exists /a b/c ").kind, SkipIf::Kind::kExists);
  EXPECT_EQ(skip_if("!exists /a b/c ").argument, "/a b/c");
  EXPECT_TRUE(skip_if(" ! exists /a").negated);
}

// REC-4
TEST(LifecycleTest, TheManifestsOwnLifecycleHidesTheSharedOne) {
  const std::string shared = "Lifecycle: {Install: shared, Run: shared}\n";
  const Recipe own =
      parse(yaml(shared + "Manifests: [{Lifecycle: {Run: own}}, {Lifecycle: {}}, {}]\n"));
  EXPECT_EQ(own.manifests[0].lifecycle.steps.size(), 1u);
  EXPECT_EQ(own.manifests[0].lifecycle.find(StepKind::kRun)->script, "own");
  EXPECT_EQ(own.manifests[1].lifecycle.steps.size(), 2u);
  EXPECT_EQ(own.manifests[2].lifecycle.find(StepKind::kRun)->script, "shared");
}

// REC-4
TEST(LifecycleTest, SelectionsAtEveryLevelInTheirOrder) {
  const Recipe recipe = parse(yaml(R"(
Lifecycle:
  Setenv: {all: {MODE: plain}, gpu: {MODE: fast}}
  Install: {arm: arm install, all: any install}
  Run:
    Script: {gpu: run on gpu, arm: run on arm}
    RequiresPrivilege: true
Manifests:
  - Selections: [gpu, arm]
  - Selections: [arm, gpu]
  - Selections: arm
  - {}
)"));
  const auto script = [&](size_t manifest, StepKind kind) {
    const Step* found = recipe.manifests[manifest].lifecycle.find(kind);
    return found == nullptr ? "" : found->script;
  };
  EXPECT_EQ(script(0, StepKind::kRun), "run on gpu");
  EXPECT_EQ(script(1, StepKind::kRun), "run on arm");
  EXPECT_EQ(script(2, StepKind::kRun), "run on arm");
  EXPECT_EQ(script(3, StepKind::kRun), "") << "nothing selected, no 'all'";
  EXPECT_EQ(script(0, StepKind::kInstall), "arm install");
  EXPECT_EQ(script(3, StepKind::kInstall), "any install");
  EXPECT_EQ(recipe.manifests[0].lifecycle.find(StepKind::kRun)->setenv.at("MODE"), "fast");
  EXPECT_EQ(recipe.manifests[2].lifecycle.find(StepKind::kRun)->setenv.at("MODE"), "plain");
}

bool fits(const std::string& label, const PlatformAttributes& platform) {
  const Recipe recipe =
      parse(yaml("Manifests: [{Platform: {os: linux, kind: '" + label + "'}}]\n"));
  return choose_manifest(recipe, platform) != nullptr;
}

// REC-3
TEST(PlatformTest, Labels) {
  const PlatformAttributes device = {{"os", "linux"}, {"kind", "armv7l"}};
  EXPECT_TRUE(fits("armv7l", device));
  EXPECT_FALSE(fits("armv7", device));
  EXPECT_TRUE(fits("*", device));
  EXPECT_TRUE(fits("*", kLinux)) << "the device lacks the attribute";
  EXPECT_FALSE(fits("armv7l", kLinux));
  EXPECT_TRUE(fits("/armv[67]l?/", device));
  EXPECT_TRUE(fits("/x86|armv7l/", device));
  EXPECT_FALSE(fits("/armv7/", device)) << "an expression has to fit the whole value";
  EXPECT_FALSE(fits("/.*/", kLinux));
  EXPECT_TRUE(fits("armv7l", {{"OS", "linux"}, {"Kind", "armv7l"}}));
}

TEST(PlatformTest, ExpressionsCannotStallOrOverflow) {
  const PlatformAttributes device = {{"os", "linux"}, {"kind", std::string(256, 'a')}};
  EXPECT_FALSE(fits("/(a*)*b/", device)) << "exponential for a matcher that backtracks";
  EXPECT_FALSE(fits("/((a|aa)+)+c/", device));
  EXPECT_FALSE(fits("/a*/", {{"os", "linux"}, {"kind", std::string(100'000, 'a')}}));
  const auto refuse = [](const std::string& label) {
    return error_of(yaml("Manifests: [{Platform: {kind: '" + label + "'}}]\n"));
  };
  EXPECT_NE(refuse("/a{9999}/").find("Manifests[0].Platform.kind: "), std::string::npos);
  EXPECT_NE(refuse("/(/").find("is not valid"), std::string::npos);
  EXPECT_NE(refuse("/(a)\\1/").find("is not valid"), std::string::npos);
  EXPECT_NE(refuse("/" + std::string(300, 'a') + "/").find("longer than 256"), std::string::npos);
}

TEST(RewriteTest, ReplacesWhatTheCallerGives) {
  const std::string text = yaml(R"(
Extra: kept
manifests:
  - artifacts: [{uri: s3://b/a, digest: old, More: kept}, {Uri: s3://b/b}]
  - {}
  - Artifacts: [{URI: s3://b/c}]
)");
  std::vector<std::string> seen;
  auto rewritten = rewrite_artifacts(
      text, [&](const Artifact& artifact) -> Result<std::optional<ArtifactPlace>> {
        seen.push_back(artifact.uri);
        if (artifact.file_name() == "b") return std::nullopt;
        if (artifact.file_name() == "c") return ArtifactPlace{"greengrass:2/c", ""};
        return ArtifactPlace{"greengrass:1/a", "c2hh"};
      });
  ASSERT_TRUE(rewritten) << rewritten.error().message();
  EXPECT_EQ(seen, (std::vector<std::string>{"s3://b/a", "s3://b/b", "s3://b/c"}));
  const json document = json::parse(*rewritten);
  EXPECT_EQ(document["Extra"], "kept");
  EXPECT_EQ(document["manifests"][0]["artifacts"][0], (json{{"uri", "greengrass:1/a"},
                                                            {"digest", "c2hh"},
                                                            {"Algorithm", "SHA-256"},
                                                            {"More", "kept"}}));
  EXPECT_EQ(document["manifests"][0]["artifacts"][1], (json{{"Uri", "s3://b/b"}}));
  EXPECT_EQ(document["manifests"][2]["Artifacts"][0], (json{{"URI", "greengrass:2/c"}}));
  const Recipe recipe = parse(*rewritten);
  EXPECT_EQ(recipe.manifests[0].artifacts[0].digest, "c2hh");
}

TEST(RewriteTest, PassesErrorsOnWithTheirPlace) {
  auto failed = rewrite_artifacts(yaml("Manifests: [{}, {Artifacts: [{URI: s3://b/a}]}]\n"),
                                  [](const Artifact&) -> Result<std::optional<ArtifactPlace>> {
                                    return fail(Code::kNotFound, "no such artifact");
                                  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kNotFound);
  EXPECT_EQ(failed.error().message(), "Manifests[1].Artifacts[0]: no such artifact");
}

TEST(Recipe, ArtifactsThatWouldLieOnOneAnotherAreFound) {
  const auto check = [](const std::vector<std::pair<const char*, Unarchive>>& artifacts) {
    Manifest manifest;
    for (const auto& [uri, unarchive] : artifacts) {
      manifest.artifacts.emplace_back();
      manifest.artifacts.back().uri = uri;
      manifest.artifacts.back().unarchive = unarchive;
    }
    return check_artifacts_apart(manifest);
  };
  constexpr auto kNone = Unarchive::kNone, kZip = Unarchive::kZip;
  EXPECT_TRUE(check({{"file:a/x", kNone}, {"file:a/y", kNone}, {"file:x.zip", kZip}}));
  EXPECT_TRUE(check({{"file:data.zip", kZip}, {"file:data.tar", kNone}}));
  EXPECT_FALSE(check({{"file:amd64/app", kNone}, {"file:arm64/app", kNone}}));
  EXPECT_FALSE(check({{"s3://b/app", kNone}, {"file:APP", kNone}}));
  EXPECT_FALSE(check({{"file:data.zip", kZip}, {"file:data.jar", kZip}}));
}

}  // namespace
}  // namespace skerry::formats
