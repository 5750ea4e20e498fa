// What is remembered of packages: proofs, crashes, and when a package is not loaded any more.
#include "serve/model_trials.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "serve/model_loader.h"
#include "serve/test_runtimes.h"
#include "serve/test_support.h"

namespace skerry::serve {
namespace {

using testing::HasSubstr;

class ModelTrialsTest : public testing::Test {
 protected:
  ModelTrialsTest() { restart(); }

  void restart() {
    trials_.reset();
    trials_ = *ModelTrials::open(files_, path_);
  }

  // A process that dies while it runs the package's model.
  void die() {
    trials_.reset();
    const pid_t child = fork();
    if (child == 0) {
      const auto trials = *ModelTrials::open(files_, path_);
      const auto slot = trials->begin(id_);
      const Activity::Scope running(slot.get(), Activity::Doing::kRunning);
      raise(SIGSEGV);
    }
    waitpid(child, nullptr, 0);
    restart();
  }

  io::ScratchDirectory dir_;
  io::RealFiles files_;
  const std::string path_ = dir_.path("models.json.trials");
  const PackageId id_{std::string(64, 'a'), "echo", "1.2"};
  std::shared_ptr<ModelTrials> trials_;
};

TEST_F(ModelTrialsTest, ProofsOutliveTheProcess) {
  EXPECT_FALSE(trials_->is_proved(id_));
  trials_->prove(id_);
  restart();
  EXPECT_TRUE(trials_->is_proved(id_));
  EXPECT_FALSE(trials_->is_proved({std::string(64, 'b'), "echo", "1.2"}));
}

TEST_F(ModelTrialsTest, WhatAModelTakesOutlivesTheProcess) {
  EXPECT_EQ(trials_->measured(id_).model_memory_bytes, 0u);
  trials_->prove(id_, {9 << 20, 5 << 20, 3 << 20});
  trials_.reset();
  trials_ = *ModelTrials::open(files_, path_);
  EXPECT_EQ(trials_->measured(id_).model_memory_bytes, 5u << 20);
  EXPECT_EQ(trials_->measured(id_).runtime_memory_bytes, 3u << 20);
}

TEST_F(ModelTrialsTest, ACrashTakesTheProofAndTheThirdOneThePackage) {
  trials_->prove(id_);
  for (int crash = 1; crash < ModelTrials::kMaxCrashes; ++crash) {
    die();
    EXPECT_FALSE(trials_->is_proved(id_));
    EXPECT_TRUE(trials_->admit(id_, false));
    trials_->prove(id_);
  }
  die();
  const auto refused = trials_->admit(id_, false);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("died 3 times of model 'echo' version 1.2"));
  EXPECT_THAT(refused.error().message(), HasSubstr("load --retry"));
  EXPECT_TRUE(trials_->admit({std::string(64, 'b'), "echo", "1.3"}, false));
  EXPECT_TRUE(trials_->admit(id_, true));
  restart();
  EXPECT_TRUE(trials_->admit(id_, false));
}

TEST_F(ModelTrialsTest, WhatHasServedForLongIsNoSuspectAnyMore) {
  for (int i = 1; i < ModelTrials::kMaxCrashes; ++i) die();
  trials_->settle(id_.key);
  die();
  EXPECT_TRUE(trials_->admit(id_, false));
}

TEST_F(ModelTrialsTest, RecordsThatCannotBeReadAreNone) {
  for (const char* text : {"{", "[]", R"({"trials": 1})", R"({"trials": [{"key": "a"}]})"}) {
    std::ofstream(path_, std::ios::trunc) << text;
    restart();
    EXPECT_FALSE(trials_->is_proved(id_)) << text;
  }
  trials_->prove(id_);
  restart();
  EXPECT_TRUE(trials_->is_proved(id_));
}

TEST_F(ModelTrialsTest, TheOldestWithoutCrashesIsForgotten) {
  die();
  for (int i = 0; i < 300; ++i) {
    trials_->prove({fmt::format("{:064}", i), "other", "1"});
  }
  EXPECT_FALSE(trials_->is_proved({fmt::format("{:064}", 0), "other", "1"}));
  EXPECT_TRUE(trials_->is_proved({fmt::format("{:064}", 299), "other", "1"}));
  for (int i = 1; i < ModelTrials::kMaxCrashes; ++i) die();
  EXPECT_FALSE(trials_->admit(id_, false));
}

// The loader: what is tried when.
class ModelLoaderTest : public ModelTrialsTest {
 protected:
  ModelLoader loader() {
    return {runtimes_, trials_, {.trial = [this](const TrialRequest& request, const auto&) {
              tried_.push_back(request.model);
              return answer_;
            }}};
  }

  std::string load(const test::Package& package) {
    const std::string directory = package.write(dir_.path("package"));
    const auto loaded = loader().load("echo", directory, false, {});
    return loaded ? "" : loaded.error().message();
  }

  std::shared_ptr<runtime::Runtimes> runtimes_ = test::runtimes(std::make_shared<test::Gate>());
  std::vector<std::string> tried_;
  Result<TrialReport> answer_ = TrialReport{};
};

TEST_F(ModelLoaderTest, APackageIsTriedOnceAndAgainWhenItChanged) {
  EXPECT_EQ(load(test::Package("1")), "");
  EXPECT_EQ(load(test::Package("1")), "");
  restart();
  EXPECT_EQ(load(test::Package("1")), "");
  EXPECT_EQ(tried_.size(), 1u);
  EXPECT_EQ(load(test::Package("1").shape({3})), "");
  EXPECT_EQ(tried_.size(), 2u);
}

TEST_F(ModelLoaderTest, WhatFailedItsTrialIsNotLoadedAndTriedAgain) {
  answer_ = fail(Code::kCorrupt, "it crashed");
  EXPECT_EQ(load(test::Package("1")), "it crashed");
  EXPECT_EQ(load(test::Package("1")), "it crashed");
  EXPECT_EQ(tried_.size(), 2u);
  answer_ = fail(Code::kResourceExhausted, "there is not enough memory for the model");
  EXPECT_THAT(load(test::Package("1")), HasSubstr("--trial-memory-mb"));
}

}  // namespace
}  // namespace skerry::serve
