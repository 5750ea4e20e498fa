// Resolution against a control plane in memory.
#include "nucleus/resolver.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/test_env.h"
#include "nucleus/test_cloud.h"

namespace skerry::nucleus {
namespace {

class ResolverTest : public ::testing::Test, protected io::TestEnv {
 protected:
  ResolverTest() {
    info_.root = "/device";
    info_.platform.architecture = "amd64";
    state_ = DeviceState::open(env, info_.state_directory(), info_.packages()).value();
  }

  Outcome<Resolution> resolve(Requirements roots) {
    Resolver resolver(cloud_, packages_, *state_, info_);
    return run_task(loop, resolver.resolve(std::move(roots)));
  }
  static Requirements roots(const std::map<std::string, std::string>& versions) {
    Requirements wanted;
    for (const auto& [name, range] : versions) wanted[ComponentName(name)]["thing/T"] = range;
    return wanted;
  }
  static std::string versions_of(const Outcome<Resolution>& resolution) {
    if (!resolution) return resolution.error().error.message();
    std::string text;
    for (const auto& [name, component] : *resolution) {
      text += (text.empty() ? "" : " ") + name.str() + "=" + component.candidate.version +
              (component.is_root ? "!" : "");
    }
    return text;
  }
  void run_here(const nlohmann::json& recipe) {
    const ComponentName name(recipe.at("ComponentName").get<std::string>());
    const std::string version = recipe.at("ComponentVersion").get<std::string>();
    const std::string text = recipe.dump();
    Generation next;
    next.components[name].version = version;
    next.components[name].digest = formats::package_digest(text);
    const std::string package =
        info_.packages() + "/" + name.str() + "/" + next.components[name].package();
    ASSERT_TRUE(io::make_directories(files, package));
    ASSERT_TRUE(io::write_file_atomic(files, package + "/recipe", text));
    ASSERT_TRUE(state_->switch_to(next, {}, true));
    ASSERT_TRUE(state_->commit({}));
  }

  NucleusInfo info_;
  PackageStore packages_{env, info_};
  std::unique_ptr<DeviceState> state_;
  TestCloud cloud_;
};

TEST_F(ResolverTest, RootsAndTheirDependenciesWithOneVersionForAll) {
  cloud_.publish(test_recipe("app", "1.0.0", {{"lib", ">=1.0.0"}, {"util", "^2.0.0"}}));
  cloud_.publish(test_recipe("tool", "3.1.0", {{"lib", "<2.0.0"}}));
  for (const char* version : {"0.9.0", "1.5.0", "2.0.0"}) {
    cloud_.publish(test_recipe("lib", version));
  }
  cloud_.publish(test_recipe("util", "2.4.0"));
  EXPECT_EQ(versions_of(resolve(roots({{"app", "=1.0.0"}, {"tool", "=3.1.0"}}))),
            "app=1.0.0! lib=1.5.0 tool=3.1.0! util=2.4.0");
}

TEST_F(ResolverTest, ALaterRequirementChangesAnEarlierChoice) {
  // "lib" is chosen as 2.0.0 for "a" before "z", through "m", excludes that.
  cloud_.publish(test_recipe("a", "1.0.0", {{"lib", "*"}}));
  cloud_.publish(test_recipe("z", "1.0.0", {{"m", "*"}}));
  cloud_.publish(test_recipe("m", "1.0.0", {{"lib", "<2.0.0"}}));
  cloud_.publish(test_recipe("lib", "2.0.0", {{"only-two", "*"}}));
  cloud_.publish(test_recipe("lib", "1.0.0"));
  cloud_.publish(test_recipe("only-two", "1.0.0"));
  EXPECT_EQ(versions_of(resolve(roots({{"a", "=1.0.0"}, {"z", "=1.0.0"}}))),
            "a=1.0.0! lib=1.0.0 m=1.0.0 z=1.0.0!");
}

TEST_F(ResolverTest, WhatAReplacedChoiceWantedCountsNoMore) {
  // lib 2 → helper → base =1; with lib 1 nobody but "y" wants base, and "y" wants 2.
  cloud_.publish(test_recipe("a", "1.0.0", {{"lib", "*"}}));
  cloud_.publish(test_recipe("lib", "2.0.0", {{"helper", "*"}}));
  cloud_.publish(test_recipe("lib", "1.0.0"));
  cloud_.publish(test_recipe("helper", "1.0.0", {{"base", "=1.0.0"}}));
  cloud_.publish(test_recipe("base", "1.0.0"));
  cloud_.publish(test_recipe("base", "2.0.0"));
  cloud_.publish(test_recipe("p1", "1.0.0", {{"p2", "*"}}));
  cloud_.publish(test_recipe("p2", "1.0.0", {{"p3", "*"}}));
  cloud_.publish(test_recipe("p3", "1.0.0", {{"p4", "*"}}));
  cloud_.publish(test_recipe("p4", "1.0.0", {{"lib", "<2.0.0"}, {"y", "*"}}));
  cloud_.publish(test_recipe("y", "1.0.0", {{"base", "=2.0.0"}}));
  EXPECT_EQ(versions_of(resolve(roots({{"a", "=1.0.0"}, {"p1", "=1.0.0"}}))),
            "a=1.0.0! base=2.0.0 lib=1.0.0 p1=1.0.0! p2=1.0.0 p3=1.0.0 p4=1.0.0 y=1.0.0");
}

TEST_F(ResolverTest, AConflictNamesWhoWantsWhat) {
  cloud_.publish(test_recipe("app", "1.0.0", {{"lib", "^1.0.0"}}));
  cloud_.publish(test_recipe("tool", "1.0.0", {{"lib", "^2.0.0"}}));
  cloud_.publish(test_recipe("lib", "1.0.0"));
  cloud_.publish(test_recipe("lib", "2.0.0"));
  auto resolution = resolve(roots({{"app", "=1.0.0"}, {"tool", "=1.0.0"}}));
  ASSERT_FALSE(resolution);
  EXPECT_EQ(resolution.error().error.code(), Code::kNotFound);
  const std::string message = resolution.error().error.message();
  EXPECT_NE(message.find("component lib (app wants ^1.0.0, tool wants ^2.0.0)"), std::string::npos)
      << message;
}

TEST_F(ResolverTest, AnUnknownRootNamesItsDeployment) {
  auto resolution = resolve(roots({{"ghost", "=1.0.0"}}));
  ASSERT_FALSE(resolution);
  EXPECT_EQ(resolution.error().error.message(),
            "component ghost (thing/T wants =1.0.0): no version fits");
}

// REC-12
TEST_F(ResolverTest, ACircleIsNamed) {
  cloud_.publish(test_recipe("a", "1.0.0", {{"b", "*"}}));
  cloud_.publish(test_recipe("b", "1.0.0", {{"c", "!*"}}));
  cloud_.publish(test_recipe("c", "1.0.0", {{"b", "*"}}));
  auto resolution = resolve(roots({{"a", "*"}}));
  ASSERT_FALSE(resolution);
  EXPECT_EQ(resolution.error().error.message(),
            "components depend on each other in a circle: a → b → c → b");
}

TEST_F(ResolverTest, TheNucleusIsThereInItsOwnVersion) {
  cloud_.publish(test_recipe("app", "1.0.0", {{"aws.greengrass.Nucleus", ">=2.5.0 <3.0.0"}}));
  EXPECT_EQ(versions_of(resolve(roots({{"app", "*"},
                                       {"aws.greengrass.Nucleus", "=2.12.0"},
                                       {"aws.greengrass.NucleusLite", "=2.1.0"}}))),
            "app=1.0.0!");
  for (const char* range : {">=5.0.0", "<2.0.0", "=2.12.0", "^3.0.0"}) {
    cloud_.publish(test_recipe("picky", "1.0.0", {{"aws.greengrass.Nucleus", range}}));
    auto refused = resolve(roots({{"picky", "*"}}));
    ASSERT_FALSE(refused) << range;
    EXPECT_EQ(refused.error().error.message(), std::string("picky wants aws.greengrass.Nucleus ") +
                                                   range + ", and this nucleus is 2.16.0");
  }
  EXPECT_FALSE(resolve(roots({{"aws.greengrass.Nucleus", "=99.0.0"}})));
}

TEST_F(ResolverTest, OfflineWhatRunsHereWillDoIfItFits) {
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  run_here(test_recipe("app", "1.2.0"));
  EXPECT_EQ(versions_of(resolve(roots({{"app", "^1.0.0"}}))), "app=1.2.0!");
  auto other = resolve(roots({{"app", "=1.3.0"}}));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().error.code(), Code::kUnavailable);
  EXPECT_EQ(other.error().error.message(),
            "component app (thing/T wants =1.3.0): no route to host");
}

TEST_F(ResolverTest, ARefusalIsNotReplacedByWhatRunsHere) {
  cloud_.unreachable = Error(Code::kPermissionDenied, "the certificate is revoked");
  run_here(test_recipe("app", "1.2.0"));
  auto resolution = resolve(roots({{"app", "*"}}));
  ASSERT_FALSE(resolution);
  EXPECT_EQ(resolution.error().error.code(), Code::kPermissionDenied);
}

TEST_F(ResolverTest, TheManifestHasToFitThePlatform) {
  auto recipe = test_recipe("app", "1.0.0");
  recipe["Manifests"][0]["Platform"]["architecture"] = "aarch64";
  cloud_.publish(recipe);
  EXPECT_EQ(versions_of(resolve(roots({{"app", "*"}}))),
            "app 1.0.0 has no manifest for architecture=amd64 os=linux runtime=skerry: it has "
            "manifests for "
            "architecture=aarch64 os=linux");
  info_.platform.architecture = "aarch64";
  EXPECT_EQ(versions_of(resolve(roots({{"app", "*"}}))), "app=1.0.0!");
}

TEST_F(ResolverTest, AControlPlaneThatAnswersForAnotherComponentIsRefused) {
  cloud_.versions[ComponentName("app")]["1.0.0"] = test_recipe("other", "1.0.0").dump();
  auto resolution = resolve(roots({{"app", "*"}}));
  ASSERT_FALSE(resolution);
  EXPECT_EQ(resolution.error().error.code(), Code::kCorrupt);
}

TEST_F(ResolverTest, ARecipeThatCannotBeReadIsNamed) {
  cloud_.versions[ComponentName("app")]["1.0.0"] = "{";
  auto resolution = resolve(roots({{"app", "*"}}));
  ASSERT_FALSE(resolution);
  EXPECT_EQ(resolution.error().error.message().find("recipe of app 1.0.0: "), 0u)
      << resolution.error().error.message();
}

}  // namespace
}  // namespace skerry::nucleus
