// What is open to a component, by recipe and configuration.
#include "nucleus/component_sandbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/test_env.h"
#include "nucleus/component_spec.h"
#include "nucleus/test_cloud.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::Not;

class ComponentSandboxTest : public testing::Test, protected io::TestEnv {
 protected:
  ComponentSandboxTest() {
    info_.root = "/gg";
    info_.key_file = "/etc/skerry/device.key";
    info_.ca_file = "/gg/ca.pem";
    info_.privileged = true;
    info_.sandbox_support = {7, true, true};
    info_.allocate_user = [](const ComponentName&) -> Result<uint32_t> { return 70'000; };
    info_.find_user = [](const std::string&) -> Result<UserId> { return UserId{0, 0}; };
    for (const char* name : {"app", "lib", "stranger"}) {
      components_[ComponentName(name)].version = "1.0.0";
      components_[ComponentName(name)].digest = "abc";
    }
  }
  Result<std::optional<io::Sandbox>> made() {
    const auto recipe = formats::parse_recipe(
        test_recipe("app", "1.0.0", {{"lib", "!*"}}, {{"Run", "true"}}).dump());
    SKERRY_ASSIGN(
        const ComponentSpec spec,
        make_component_spec(info_, packages_, components_, config_, *recipe, recipe->manifests[0]));
    return spec.sandbox;
  }
  io::Sandbox sandbox() {
    auto sandbox = made();
    EXPECT_TRUE(sandbox && *sandbox) << (sandbox ? "no sandbox" : sandbox.error().message());
    return sandbox && *sandbox ? **sandbox : io::Sandbox();
  }
  void configure(const json& sandbox) {
    ASSERT_TRUE(config_.merge(ComponentName("app"), {}, {{"skerry", {{"sandbox", sandbox}}}}, 5));
  }

  NucleusInfo info_;
  PackageStore packages_{env, info_};
  ComponentSet components_;
  ConfigTree config_;
};

TEST_F(ComponentSandboxTest, ItsOwnAndItsDependencies) {
  const io::Sandbox sandbox = this->sandbox();
  EXPECT_THAT(sandbox.hidden,
              testing::IsSupersetOf({"/gg", "/home", "/root", "/tmp", "/etc/skerry/device.key"}));
  EXPECT_THAT(sandbox.readable,
              testing::IsSupersetOf({"/", "/gg/ca.pem", "/gg/packages/app/1.0.0@abc/artifacts",
                                     "/gg/packages/lib/1.0.0@abc/unarchived", "/gg/work/lib"}));
  EXPECT_THAT(sandbox.readable, Not(Contains(testing::HasSubstr("stranger"))));
  EXPECT_THAT(sandbox.writable, Contains("/gg/work/app"));
  EXPECT_THAT(sandbox.writable, Not(Contains("/gg/work/lib")));
  EXPECT_EQ(sandbox.temporary_folder, "/gg/tmp/app");
}

TEST_F(ComponentSandboxTest, WhatDeviceAndComponentOpen) {
  info_.sandbox.read = {"/srv/models"};
  configure({{"read", {"{kernel:rootPath}/packages"}}, {"write", {"/data"}}});
  const io::Sandbox sandbox = this->sandbox();
  EXPECT_THAT(sandbox.readable, testing::IsSupersetOf({"/srv/models", "/gg/packages"}));
  EXPECT_THAT(sandbox.writable, Contains("/data"));
  EXPECT_EQ(sandbox.temporary_folder, "/gg/tmp/app");
}

TEST_F(ComponentSandboxTest, TheMachinesTmpWhereItsOwnWouldHideWhatIsOpened) {
  configure({{"read", {"/tmp/.X11-unix"}}});
  EXPECT_EQ(sandbox().temporary_folder, "");
  EXPECT_THAT(sandbox().writable, Contains("/tmp"));
  configure({{"read", {"/tmpfiles"}}});
  EXPECT_EQ(sandbox().temporary_folder, "/gg/tmp/app");
  info_.sandbox_support.own_tmp = false;
  EXPECT_EQ(sandbox().temporary_folder, "");
}

TEST_F(ComponentSandboxTest, SwitchedOff) {
  configure({{"enabled", false}});
  EXPECT_EQ(*made(), std::nullopt);
  configure({{"enabled", true}});
  EXPECT_NE(*made(), std::nullopt);
  info_.sandbox.enabled = false;
  configure({{"read", {"/data"}}, {"enabled", nullptr}});
  EXPECT_EQ(*made(), std::nullopt);
}

TEST_F(ComponentSandboxTest, RootIsInNone) {
  info_.default_user = "root";
  EXPECT_EQ(*made(), std::nullopt);
}

TEST_F(ComponentSandboxTest, WhatIsNoPathIsRefused) {
  configure({{"write", {"data"}}});
  ASSERT_FALSE(made());
  EXPECT_EQ(made().error().code(), Code::kInvalidArgument);
  EXPECT_THAT(made().error().message(), testing::HasSubstr("'data' is no absolute path"));
  configure({{"write", "data"}});
  EXPECT_FALSE(made());
}

}  // namespace
}  // namespace skerry::nucleus
