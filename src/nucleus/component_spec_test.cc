// From recipes to specs: variables, environment, users, dependencies.
#include "nucleus/component_spec.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/test_env.h"
#include "nucleus/run_with.h"
#include "nucleus/test_cloud.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

class ComponentSpecTest : public ::testing::Test, protected io::TestEnv {
 protected:
  ComponentSpecTest() {
    info_.root = "/gg";
    info_.ipc_address = "/gg/ipc.socket";
    info_.thing = ThingName("press-7");
    info_.region = "eu-west-1";
    info_.ca_file = "/etc/ca.pem";
    info_.find_user = [](const std::string& text) -> Result<UserId> {
      if (text == "ggc") return UserId{500, 501};
      return fail(Code::kNotFound, "the user '" + text + "' does not exist");
    };
    components_[ComponentName("app")].version = "1.0.0";
    components_[ComponentName("app")].digest = "abc";
  }

  Result<ComponentSpec> spec(const json& recipe) {
    auto parsed = formats::parse_recipe(recipe.dump());
    if (!parsed) return fail(parsed.error());
    return make_component_spec(info_, packages_, components_, config_, *parsed,
                               parsed->manifests[0]);
  }
  // What `script` becomes as the Run of app 1.0.0.
  std::string filled(const std::string& script,
                     const std::map<std::string, std::string>& dependencies = {}) {
    auto made = spec(test_recipe("app", "1.0.0", dependencies, {{"Run", script}}));
    return made ? made->run->script : made.error().message();
  }

  NucleusInfo info_;
  PackageStore packages_{env, info_};
  ComponentSet components_;
  ConfigTree config_;
};

// REC-9
TEST_F(ComponentSpecTest, Variables) {
  ASSERT_TRUE(config_.merge(ComponentName("app"), {},
                            {{"port", 80}, {"name", "a b"}, {"list", {1, "x"}}}, 5));
  EXPECT_EQ(filled("{artifacts:path}/x"), "/gg/packages/app/1.0.0@abc/artifacts/x");
  EXPECT_EQ(filled("{artifacts:decompressedPath}"), "/gg/packages/app/1.0.0@abc/unarchived");
  EXPECT_EQ(filled("{work:path} {kernel:rootPath} {iot:thingName}"), "/gg/work/app /gg press-7");
  EXPECT_EQ(filled("{configuration:/port} '{configuration:/name}' {configuration:/list}"),
            R"(80 'a b' [1,"x"])");
}

// REC-9
TEST_F(ComponentSpecTest, VariablesOfDirectDependenciesOnly) {
  components_[ComponentName("lib")].version = "2.0.0";
  components_[ComponentName("stranger")].version = "3.0.0";
  ASSERT_TRUE(config_.merge(ComponentName("lib"), {}, {{"key", "value"}}, 5));
  const std::map<std::string, std::string> lib = {{"lib", "!*"}};
  EXPECT_EQ(filled("{lib:artifacts:path}", lib), "/gg/packages/lib/2.0.0@/artifacts");
  EXPECT_EQ(filled("{lib:work:path} {lib:configuration:/key}", lib), "/gg/work/lib value");
  EXPECT_EQ(filled("{lib:iot:thingName}", lib), "{lib:iot:thingName}");
  EXPECT_EQ(filled("{stranger:artifacts:path}", lib), "{stranger:artifacts:path}");
}

// REC-9
TEST_F(ComponentSpecTest, WhatHasNoValueStaysAsItIsWritten) {
  EXPECT_EQ(filled("${HOME} {configuration:/absent} {artifacts:other} {x} {lib:artifacts:path}"),
            "${HOME} {configuration:/absent} {artifacts:other} {x} {lib:artifacts:path}");
  // A dependency that is not part of the generation (a SOFT one may be absent).
  EXPECT_EQ(filled("{gone:artifacts:path}", {{"gone", "!*"}}), "{gone:artifacts:path}");
}

// REC-19
TEST_F(ComponentSpecTest, TheEnvironmentThatComponentsRelyOn) {
  auto made = spec(test_recipe("app", "1.0.0", {},
                               {{"Run", {{"Script", "x"}, {"Setenv", {{"AT", "{work:path}"}}}}}}));
  ASSERT_TRUE(made);
  const std::map<std::string, std::string> environment(made->environment.begin(),
                                                       made->environment.end());
  const std::map<std::string, std::string> expected = {
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
      {"HOME", "/gg/work/app"},
      {"LANG", "C.UTF-8"},
      {"AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", "/gg/ipc.socket"},
      {"AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH", "/gg/ipc.socket"},
      {"AWS_IOT_THING_NAME", "press-7"},
      {"AWS_REGION", "eu-west-1"},
      {"AWS_DEFAULT_REGION", "eu-west-1"},
      {"GGC_VERSION", kNucleusVersion},
      {"GG_ROOT_CA_PATH", "/etc/ca.pem"}};
  EXPECT_EQ(environment, expected);
  EXPECT_EQ(made->run->environment,
            (std::vector<std::pair<std::string, std::string>>{{"AT", "/gg/work/app"}}));
}

TEST_F(ComponentSpecTest, CredentialsAreWhereTheDeviceHasSome) {
  info_.credentials_url = "http://localhost:1/c";
  const auto made = spec(test_recipe("app", "1.0.0", {}, {{"Run", "x"}}));
  ASSERT_TRUE(made);
  const std::map<std::string, std::string> environment(made->environment.begin(),
                                                       made->environment.end());
  EXPECT_EQ(environment.at("AWS_CONTAINER_CREDENTIALS_FULL_URI"), "http://localhost:1/c");
}

TEST_F(ComponentSpecTest, EveryStepWithItsConditionAndTimeout) {
  const json step = {{"Script", "s"}, {"Skipif", "!exists {work:path}/done"}, {"Timeout", 7}};
  auto made = spec(test_recipe("app", "1.0.0", {},
                               {{"Bootstrap", "b"},
                                {"Install", step},
                                {"Startup", "u"},
                                {"Shutdown", "d"},
                                {"Recover", "r"},
                                {"Uninstall", "x"}}));
  ASSERT_TRUE(made);
  EXPECT_EQ(made->bootstrap->script, "b");
  EXPECT_EQ(made->install->skip_if,
            (formats::SkipIf{formats::SkipIf::Kind::kExists, true, "/gg/work/app/done"}));
  EXPECT_EQ(made->install->timeout_ms, 7'000);
  EXPECT_EQ(made->startup->script, "u");
  EXPECT_EQ(made->startup->timeout_ms, 120'000);
  EXPECT_FALSE(made->run);
  EXPECT_EQ(made->shutdown->timeout_ms, 15'000);
  EXPECT_EQ(made->recover->timeout_ms, 60'000);
  EXPECT_EQ(made->uninstall->script, "x");
  EXPECT_EQ(made->uninstall->timeout_ms, 120'000);
}

// REC-11
TEST_F(ComponentSpecTest, OnlyHardDependenciesThatAreThereHoldItBack) {
  components_[ComponentName("hard")].version = "1.0.0";
  components_[ComponentName("soft")].version = "1.0.0";
  auto made = spec(test_recipe(
      "app", "1.0.0", {{"hard", "*"}, {"soft", "!*"}, {"aws.greengrass.Nucleus", ">=2.0.0"}}));
  ASSERT_TRUE(made);
  EXPECT_EQ(made->hard_dependencies, std::vector<ComponentName>{ComponentName("hard")});
}

TEST_F(ComponentSpecTest, UnprivilegedComponentsRunAsTheNucleusOrNotAtAll) {
  info_.own_user = {1000, 1000};
  auto made = spec(test_recipe("app", "1.0.0"));
  ASSERT_TRUE(made);
  EXPECT_FALSE(made->user);
  components_[ComponentName("app")].posix_user = "ggc";
  auto other = spec(test_recipe("app", "1.0.0"));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code(), Code::kPermissionDenied);
  EXPECT_EQ(other.error().message(),
            "runWith.posixUser of app is 'ggc', and skerryd does not run as root, so it cannot "
            "become that user: leave it out, or run skerryd as root");
  info_.own_user = {500, 501};  // its own name changes nothing
  made = spec(test_recipe("app", "1.0.0"));
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_FALSE(made->user);
  components_[ComponentName("app")].posix_user = "";
  info_.default_user = "ghost";
  EXPECT_FALSE(spec(test_recipe("app", "1.0.0")));
}

// REC-16
TEST_F(ComponentSpecTest, LimitsAreSetOrRefused) {
  components_[ComponentName("app")].limits = {.memory_kb = 2048, .cpus = {}};
  auto refused = spec(test_recipe("app", "1.0.0"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  EXPECT_TRUE(refused.error().message().starts_with(
      "runWith.systemResourceLimits.memory of app cannot be enforced on this device (no control "
      "groups): "))
      << refused.error().message();
  info_.limits_memory = true;
  EXPECT_EQ(spec(test_recipe("app", "1.0.0"))->limits.memory_bytes, 2048u * 1024);
  components_[ComponentName("app")].limits = {.memory_kb = {}, .cpus = 0.5};
  EXPECT_FALSE(spec(test_recipe("app", "1.0.0")));
  info_.limits_cpus = info_.limits_processes = true;
  EXPECT_EQ(spec(test_recipe("app", "1.0.0"))->limits,
            (io::GroupLimits{.processes = 1024, .memory_bytes = {}, .cpus = 0.5}));
  // The device's own default, where the deployment says nothing.
  components_[ComponentName("app")].limits = {};
  info_.default_limits.memory_kb = 1;
  EXPECT_EQ(spec(test_recipe("app", "1.0.0"))->limits.memory_bytes, 1024u);
}

TEST(LimitsOfAll, LeaveSomethingForTheNucleus) {
  const io::GroupLimits large = limits_of_all({16ULL << 30, 32'768});
  EXPECT_EQ(large.memory_bytes, (16ULL << 30) - (256ULL << 20));
  EXPECT_EQ(large.processes, 16'384u);
  EXPECT_EQ(limits_of_all({512ULL << 20, 32'768}).memory_bytes, 480ULL << 20);
  EXPECT_FALSE(limits_of_all({48ULL << 20, 32'768}).memory_bytes);  // too small to share
}

// REC-16
TEST_F(ComponentSpecTest, PrivilegeThatIsNotThereIsRefused) {
  const json lifecycle = {{"Install", {{"Script", "apt"}, {"RequiresPrivilege", true}}}};
  auto refused = spec(test_recipe("app", "1.0.0", {}, lifecycle));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kPermissionDenied);
  EXPECT_EQ(refused.error().message(),
            "app: its Install requires privilege, and skerryd does not run as root");
  info_.privileged = true;
  info_.default_user = "ggc";
  auto made = spec(test_recipe("app", "1.0.0", {}, lifecycle));
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->install->requires_privilege);
}

TEST_F(ComponentSpecTest, UsersAsRoot) {
  info_.privileged = true;
  info_.allocate_user = [](const ComponentName& name) -> Result<uint32_t> {
    if (name.str() == "lost") return fail(Code::kResourceExhausted, "no user id is left");
    return name.str() == "app" ? 70'000 : 70'001;
  };
  auto own = spec(test_recipe("app", "1.0.0"));
  ASSERT_TRUE(own && own->user);
  EXPECT_EQ(own->user->first, 70'000u);
  EXPECT_EQ(spec(test_recipe("app", "1.0.0"))->user, own->user);
  components_[ComponentName("app2")].version = "1.0.0";
  auto other = spec(test_recipe("app2", "1.0.0"));
  EXPECT_NE(other->user->first, own->user->first);
  // One group for all of them, for the sockets that they share.
  EXPECT_EQ(other->user->second, own->user->second);

  info_.default_user = "ggc";
  EXPECT_EQ(spec(test_recipe("app", "1.0.0"))->user, (std::pair<uint32_t, uint32_t>(500, 501)));
  components_[ComponentName("app")].posix_user = "ghost";  // the deployment's word counts more
  auto ghost = spec(test_recipe("app", "1.0.0"));
  ASSERT_FALSE(ghost);
  EXPECT_EQ(ghost.error().message(), "posixUser of app: the user 'ghost' does not exist");
}

TEST_F(ComponentSpecTest, TypesThatNeedAnotherHostAreRefused) {
  for (const char* type :
       {"aws.greengrass.plugin", "aws.greengrass.lambda", "aws.greengrass.nucleus"}) {
    json recipe = test_recipe("app", "1.0.0");
    recipe["ComponentType"] = type;
    auto refused = spec(recipe);
    ASSERT_FALSE(refused) << type;
    EXPECT_EQ(refused.error().code(), Code::kUnsupported);
    EXPECT_TRUE(refused.error().message().contains(type)) << refused.error().message();
    recipe["Manifests"][0]["Lifecycle"] = json::object();  // stands for a part of the nucleus
    recipe["Manifests"][0].erase("Artifacts");
    EXPECT_TRUE(spec(recipe)) << type;
  }
}

TEST_F(ComponentSpecTest, EqualInputsMakeEqualSpecs) {
  EXPECT_EQ(*spec(test_recipe("app", "1.0.0")), *spec(test_recipe("app", "1.0.0")));
  EXPECT_FALSE(*spec(test_recipe("app", "1.0.0")) ==
               *spec(test_recipe("app", "1.0.0", {}, {{"Run", "other"}})));
}

}  // namespace
}  // namespace skerry::nucleus
