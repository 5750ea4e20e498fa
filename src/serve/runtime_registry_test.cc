// Runtimes that come while the service runs: what is checked, what a restart knows.
#include "serve/runtime_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/test_support.h"

namespace skerry::serve {
namespace {

using test::json;
using testing::HasSubstr;

class RuntimeRegistryTest : public testing::Test {
 protected:
  RuntimeRegistryTest() {
    std::filesystem::copy_file(SKERRY_BIN_DIR "/libcopy_runtime.so", library_);
    std::filesystem::permissions(library_, std::filesystem::perms(0644));
    restart();
  }

  void restart() {
    registry_.reset();
    runtimes_ = std::make_shared<runtime::Runtimes>();
    EXPECT_TRUE(runtimes_->add("null", ""));
    registry_ = std::make_unique<RuntimeRegistry>(
        loop_, files_, runtimes_,
        RuntimeRegistry::Options{
            .state_file = state_,
            .probe =
                [this](const std::string&, const std::string&, const std::stop_token& stop) {
                  ++probes_;
                  while (hangs_ && !stop.stop_requested()) std::this_thread::yield();
                  return answer_;
                },
            .probe_timeout_ms = 200});
    registry_->restore();
  }

  Result<RuntimeProbe> add(const std::string& name, const std::string& library,
                           const std::string& component = "com.example.Copy") {
    return test::run(loop_, registry_->add(name, library, component));
  }
  std::string refusal(const std::string& name, const std::string& library,
                      const std::string& component = "") {
    const auto added = add(name, library, component);
    return added ? "added" : added.error().message();
  }

  io::ScratchDirectory dir_;
  io::RealLoop loop_;
  io::RealFiles files_;
  const std::string library_ = dir_.path("libcopy_runtime.so");
  const std::string state_ = dir_.path("models.json.runtimes");
  Result<RuntimeProbe> answer_ = RuntimeProbe{"1.2", 4096};
  std::atomic<int> probes_ = 0;
  std::atomic<bool> hangs_ = false;
  std::shared_ptr<runtime::Runtimes> runtimes_;
  std::unique_ptr<RuntimeRegistry> registry_;
};

TEST_F(RuntimeRegistryTest, ARestartKnowsWhatWasAcknowledged) {
  ASSERT_TRUE(add("copy", library_));
  EXPECT_EQ((*runtimes_->find("copy"))->version(), "1.2");
  EXPECT_EQ((*runtimes_->find("copy"))->memory_bytes(), 4096u);
  ASSERT_TRUE(add("other", library_, ""));
  restart();
  const auto copy = runtimes_->find("copy");
  ASSERT_TRUE(copy) << copy.error().message();
  EXPECT_EQ((*copy)->origin().library, library_);
  EXPECT_EQ((*copy)->origin().component, "com.example.Copy");
  EXPECT_EQ((*(*copy)->open())->version(), "1.0.0");
  ASSERT_TRUE(runtimes_->find("other"));
  ASSERT_TRUE(test::run(loop_, registry_->remove("other")));
  restart();
  EXPECT_FALSE(runtimes_->find("other"));
  EXPECT_TRUE(runtimes_->find("copy"));
}

TEST_F(RuntimeRegistryTest, ALibraryThatIsGoneNamesItsComponent) {
  ASSERT_TRUE(add("copy", library_));
  std::filesystem::remove(library_);
  restart();
  EXPECT_THAT(runtimes_->find("copy").error().message(),
              HasSubstr("deploy com.example.Copy, which brings it"));
  EXPECT_TRUE(test::run(loop_, registry_->remove("copy")));
}

TEST_F(RuntimeRegistryTest, RefusesWithoutOpeningAnything) {
  EXPECT_THAT(refusal("a=b", library_), HasSubstr("no name of a runtime"));
  EXPECT_THAT(refusal("", library_), HasSubstr("no name of a runtime"));
  EXPECT_THAT(refusal("../x", library_), HasSubstr("no name of a runtime"));
  EXPECT_THAT(refusal(std::string(65, 'a'), library_), HasSubstr("no name of a runtime"));
  EXPECT_THAT(refusal("copy", "libcopy_runtime.so"), HasSubstr("must be absolute"));
  EXPECT_THAT(refusal("copy", dir_.path()), HasSubstr("not a regular file"));
  EXPECT_THAT(refusal("copy", library_, "no component"), HasSubstr("component name"));
  EXPECT_THAT(refusal("null", library_), HasSubstr("built in"));
  std::filesystem::permissions(library_, std::filesystem::perms(0666));
  EXPECT_THAT(refusal("copy", library_), HasSubstr("can be written by others"));
  EXPECT_EQ(probes_, 0);
  EXPECT_EQ(test::run(loop_, registry_->remove("null")).error().code(), Code::kNotFound);
}

TEST_F(RuntimeRegistryTest, WhatTheProbeRefusesIsNotThere) {
  answer_ = fail(Code::kCorrupt, "it took down the process that tried it");
  EXPECT_THAT(refusal("copy", library_), HasSubstr("took down"));
  EXPECT_FALSE(runtimes_->find("copy"));
  EXPECT_FALSE(std::filesystem::exists(state_));
  answer_ = fail(Code::kCancelled, "stopped");
  hangs_ = true;
  const auto added = add("copy", library_);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code(), Code::kTimeout);
}

TEST_F(RuntimeRegistryTest, RegistrationsAtOnceAllLast) {
  std::list<std::optional<Result<RuntimeProbe>>> results;
  io::TaskScope scope;
  for (int i = 0; i < 8; ++i) {
    scope.spawn(test::store(registry_->add("copy" + std::to_string(i), library_, ""),
                            &results.emplace_back()));
  }
  ASSERT_TRUE(test::run_until(loop_, [&] {
    return std::ranges::all_of(results, [](const auto& each) { return each.has_value(); });
  }));
  restart();
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(runtimes_->find("copy" + std::to_string(i)));
}

TEST_F(RuntimeRegistryTest, ADamagedFileCostsRegistrationsAndNothingElse) {
  for (const std::string text :
       {"", "{", "[]", R"({"runtimes":[{"name":1}]})", R"({"runtimes":{"a":null}})",
        R"({"runtimes":[{"name":"null","library":"/x","component":""},
                        {"name":"../x","library":"/x","component":""}]})"}) {
    std::ofstream(state_, std::ios::trunc) << text;
    restart();
    EXPECT_EQ(runtimes_->all().size(), 1u) << text;
  }
  ASSERT_TRUE(add("copy", library_));
  restart();
  EXPECT_TRUE(runtimes_->find("copy"));
}

TEST_F(RuntimeRegistryTest, WhatCannotBeRememberedIsNotAcknowledged) {
  std::filesystem::create_directory(state_);
  EXPECT_THAT(refusal("copy", library_), HasSubstr("a restart will not know of it"));
}

}  // namespace
}  // namespace skerry::serve
