// Loading, switching, refusing, unloading, remembering.
#include "serve/model_repository.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "serve/test_runtimes.h"
#include "serve/test_support.h"
#include "test_paths.h"

namespace skerry::serve {
namespace {

using test::json;
using test::Package;
using testing::AllOf;
using testing::HasSubstr;

class ModelRepositoryTest : public testing::Test {
 protected:
  ModelRepositoryTest() { restart(); }
  ~ModelRepositoryTest() override { gate_->open(); }

  void restart(ModelRepository::Options options = {}) {
    repository_.reset();
    repository_ = std::make_unique<ModelRepository>(loop_, files_, runtimes_, options);
  }

  std::string write(const Package& package) {
    return package.write(dir_.path("package-" + std::to_string(packages_++)));
  }

  Result<LoadReport> load(const Package& package) {
    return test::run(loop_, repository_->load("echo", write(package)));
  }

  // The message with which the package is refused.
  std::string refusal(const Package& package) {
    const auto report = load(package);
    return report ? "was accepted" : report.error().message();
  }

  std::string served_version() {
    const auto model = repository_->find("echo");
    return model ? model->version : "";
  }

  io::ScratchDirectory dir_;
  int packages_ = 0;
  io::RealFiles files_;
  std::shared_ptr<test::Gate> gate_ = std::make_shared<test::Gate>();
  std::shared_ptr<runtime::Runtimes> runtimes_ = test::runtimes(gate_);
  io::RealLoop loop_;
  std::unique_ptr<ModelRepository> repository_;
};

TEST_F(ModelRepositoryTest, ServesAPackageAndItsSuccessor) {
  auto report = load(Package("1.0"));
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->previous_version, "");
  EXPECT_EQ(served_version(), "1.0");
  report = load(Package("1.1"));
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->previous_version, "1.0");
  EXPECT_EQ(served_version(), "1.1");
  const auto index = repository_->index();
  ASSERT_EQ(index.size(), 1u);
  EXPECT_EQ(index[0].version, "1.1");
  EXPECT_EQ(index[0].state, "READY");
}

TEST_F(ModelRepositoryTest, RefusesABrokenPackageAndSaysWhatIsWrong) {
  EXPECT_THAT(test::run(loop_, repository_->load("echo", dir_.path("absent"))).error().message(),
              HasSubstr("absent/model.json"));
  Package package;
  package.manifest["name"] = "other";
  EXPECT_THAT(refusal(package), HasSubstr("the package holds model 'other', not 'echo'"));
  package = Package();
  package.manifest["runtime"] = "tpu";
  EXPECT_THAT(refusal(package),
              HasSubstr("runtime 'tpu' is not there; deploy the component that brings it"));
  package = Package();
  package.manifest["sha256"] = std::string(64, '0');
  EXPECT_THAT(refusal(package), AllOf(HasSubstr("model.bin has SHA-256"), HasSubstr("damaged")));
  package = Package();
  package.model.erase("outputs");
  EXPECT_THAT(refusal(package), HasSubstr("is no null model"));
  package = Package();
  package.model["behaviour"] = "fail";
  EXPECT_THAT(refusal(package), HasSubstr("the trial run failed"));
  EXPECT_EQ(repository_->find("echo"), nullptr);
  EXPECT_EQ(repository_->index()[0].state, "UNAVAILABLE");
  EXPECT_THAT(repository_->index()[0].reason, HasSubstr("the trial run failed"));
}

TEST_F(ModelRepositoryTest, ComparesTheModelWithItsContract) {
  Package package;
  package.manifest["inputs"][0]["shape"] = {-1, 3};
  EXPECT_THAT(refusal(package),
              HasSubstr("model.json promises input 'x' as FP32[-1,3], the model has FP32[-1,2]"));
  package = Package();
  package.shape({4, 2});
  package.manifest["inputs"][0]["shape"] = {-1, 2};
  EXPECT_THAT(refusal(package),
              HasSubstr("model.json promises input 'x' as FP32[-1,2], the model has FP32[4,2]"));
  package = Package();
  package.manifest["outputs"][0]["datatype"] = "FP64";
  EXPECT_THAT(refusal(package), HasSubstr("promises output 'y' as FP64[-1,2]"));
  package = Package();
  package.manifest["outputs"][0]["name"] = "z";
  EXPECT_THAT(refusal(package), HasSubstr("none of that name"));
  package = Package();
  package.model["inputs"].push_back(test::tensor("extra", "INT8", {1}));
  EXPECT_THAT(refusal(package), HasSubstr("the model needs input 'extra' as INT8[1]"));
  // Allowed by the declarations, broken by what the trial run gives.
  package = Package();
  package.manifest["outputs"][0]["shape"] = {5, 2};
  EXPECT_THAT(refusal(package),
              HasSubstr("promises output 'y' as FP32[5,2], the trial run gave FP32[1,2]"));
  // A contract may promise less than the model takes.
  package = Package();
  package.manifest["inputs"][0]["shape"] = {1, 2};
  package.manifest["outputs"][0]["shape"] = {1, 2};
  EXPECT_EQ(refusal(package), "was accepted");
}

TEST_F(ModelRepositoryTest, KeepsServingWhenTheNextVersionWouldBreakCallers) {
  ASSERT_TRUE(load(Package("1").shape({1, 2})));
  EXPECT_THAT(refusal(Package("2").shape({1, 3})),
              AllOf(HasSubstr("version 2 does not fit the callers of version 1"),
                    HasSubstr("input 'x' was FP32[1,2] and is FP32[1,3]")));
  Package renamed("3");
  renamed.shape({1, 2});
  for (auto* document : {&renamed.model, &renamed.manifest}) (*document)["inputs"][0]["name"] = "w";
  EXPECT_THAT(refusal(renamed), HasSubstr("input 'x' is gone"));
  Package wider("4");
  wider.shape({1, 2});
  for (auto* document : {&wider.model, &wider.manifest}) {
    (*document)["inputs"].push_back(test::tensor("extra", "INT8", {1}));
  }
  EXPECT_THAT(refusal(wider), HasSubstr("input 'extra' is new"));
  EXPECT_EQ(served_version(), "1");
  EXPECT_THAT(repository_->index()[0].reason, HasSubstr("input 'extra' is new"));

  // More permissive inputs fit; outputs must stay within what was promised.
  Package permissive("5");
  permissive.manifest["outputs"][0]["shape"] = {1, 2};
  EXPECT_EQ(refusal(permissive), "was accepted");
  EXPECT_EQ(repository_->index()[0].reason, "");
  EXPECT_THAT(refusal(Package("6")), HasSubstr("output 'y' was FP32[1,2] and is FP32[-1,2]"));
  EXPECT_EQ(served_version(), "5");
}

TEST_F(ModelRepositoryTest, ARequestInFlightKeepsItsVersion) {
  ASSERT_TRUE(load(Package("1")));
  ServedModelPtr in_flight = repository_->find("echo");
  const std::weak_ptr<ServedModel> old = in_flight;
  ASSERT_TRUE(load(Package("2")));
  EXPECT_EQ(served_version(), "2");
  EXPECT_EQ(in_flight->version, "1");
  const std::vector<int64_t> shape = {1, 2};
  const std::array<float, 2> values = {1, 2};
  const tensor::TensorView x = {"x", tensor::DataType::kFp32, shape,
                                std::as_bytes(std::span(values))};
  EXPECT_TRUE(in_flight->model->run(std::span(&x, 1), {}));
  in_flight.reset();
  EXPECT_TRUE(old.expired());
}

Package gated(const std::string& version, const std::string& name = "echo") {
  Package package(version);
  package.manifest["runtime"] = "gated";
  package.manifest["name"] = name;
  return package;
}

TEST_F(ModelRepositoryTest, TheLastCallForANameWinsAndNoneWaitsForAnother) {
  std::array<std::optional<Result<LoadReport>>, 2> hanging;
  io::TaskScope scope;
  gate_->close();
  scope.spawn(test::store(repository_->load("echo", write(gated("1"))), &hanging[0]));
  ASSERT_TRUE(test::run_until(loop_, [&] { return gate_->waiting() == 1; }));
  EXPECT_EQ(repository_->index()[0].state, "LOADING");
  ASSERT_TRUE(load(Package("2")));
  EXPECT_EQ(served_version(), "2");
  ASSERT_TRUE(test::run_until(loop_, [&] { return hanging[0].has_value(); }));
  EXPECT_THAT((*hanging[0]).error().message(), HasSubstr("has brought version 2"));

  scope.spawn(test::store(repository_->load("echo", write(gated("3"))), &hanging[1]));
  ASSERT_TRUE(test::run_until(loop_, [&] { return gate_->waiting() == 2; }));
  EXPECT_TRUE(test::run(loop_, repository_->unload("echo")));
  EXPECT_EQ(served_version(), "");
  ASSERT_TRUE(test::run_until(loop_, [&] { return hanging[1].has_value(); }));
  EXPECT_THAT((*hanging[1]).error().message(), HasSubstr("was unloaded meanwhile"));
  gate_->open();
  ASSERT_TRUE(load(Package("4")));
  EXPECT_EQ(served_version(), "4");  // and neither 1 nor 3, which have ended by now or will
}

TEST_F(ModelRepositoryTest, LoadsThatNeverEndDoNotKeepOthersWaiting) {
  restart({.loads_at_once = 2, .slow_load_ms = 20, .load_timeout_ms = 300'000});
  io::TaskScope scope;
  gate_->close();
  std::array<std::optional<Result<LoadReport>>, 3> hanging;
  for (size_t i = 0; i < hanging.size(); ++i) {
    const std::string name = "hangs" + std::to_string(i);
    scope.spawn(test::store(repository_->load(name, write(gated("1", name))), &hanging[i]));
  }
  ASSERT_TRUE(load(Package("2")));
  EXPECT_TRUE(test::run(loop_, repository_->unload("echo")));
  EXPECT_FALSE(hanging[0] || hanging[1] || hanging[2]);
}

TEST_F(ModelRepositoryTest, ALoadThatNeverEndsIsGivenUp) {
  restart({.slow_load_ms = 20, .load_timeout_ms = 100});
  gate_->close();
  EXPECT_THAT(refusal(gated("1")), HasSubstr("did not end within"));
  EXPECT_EQ(repository_->index()[0].state, "UNAVAILABLE");
  // A trial run that can be told to end is.
  Package endless("2");
  endless.model["behaviour"] = "hang";
  EXPECT_THAT(refusal(endless), HasSubstr("did not end within"));
  ASSERT_TRUE(load(Package("3")));
}

TEST_F(ModelRepositoryTest, ReadsRegularFilesOfThePackageOnly) {
  const std::string directory = write(Package("1"));
  for (const char* target : {"/dev/zero", "/etc/passwd", "model.json"}) {
    std::filesystem::remove(directory + "/model.bin");
    std::filesystem::create_symlink(target, directory + "/model.bin");
    EXPECT_THAT(test::run(loop_, repository_->load("echo", directory)).error().message(),
                HasSubstr("symbolic link"))
        << target;
  }
  std::filesystem::remove(directory + "/model.bin");
  ASSERT_EQ(mkfifo((directory + "/model.bin").c_str(), 0600), 0);
  EXPECT_THAT(test::run(loop_, repository_->load("echo", directory)).error().message(),
              HasSubstr("is no regular file"));
  const std::string manifest_fifo = dir_.path("fifo");
  std::filesystem::create_directories(manifest_fifo);
  ASSERT_EQ(mkfifo((manifest_fifo + "/model.json").c_str(), 0600), 0);
  EXPECT_THAT(test::run(loop_, repository_->load("echo", manifest_fifo)).error().message(),
              HasSubstr("is no regular file"));

  restart({.load = {.load = {.max_file_bytes = 10}}});
  EXPECT_THAT(refusal(Package("1")), HasSubstr("more than the limit of 10"));
}

TEST_F(ModelRepositoryTest, RefusedNamesAreForgottenInTime) {
  for (int i = 0; i < 150; ++i) {
    EXPECT_FALSE(test::run(loop_, repository_->load("ghost" + std::to_string(i), "/nowhere")));
  }
  EXPECT_EQ(repository_->index().size(), 100u);
  ASSERT_TRUE(load(Package("1")));
  EXPECT_EQ(repository_->index().size(), 101u);
}

TEST_F(ModelRepositoryTest, GoesOnLoadingWhenTheCallerIsGone) {
  {
    std::optional<Result<LoadReport>> report;
    io::TaskScope scope;
    scope.spawn(test::store(repository_->load("echo", write(Package("1"))), &report));
  }
  EXPECT_TRUE(test::run_until(loop_, [&] { return served_version() == "1"; }));
}

TEST_F(ModelRepositoryTest, DestroyedWhileLoading) {
  std::optional<Result<LoadReport>> report;
  {
    io::TaskScope scope;
    scope.spawn(test::store(repository_->load("echo", write(Package("1"))), &report));
  }
  repository_.reset();
  while (loop_.run_for(100)) {
  }
  EXPECT_FALSE(report);
}

TEST_F(ModelRepositoryTest, UnloadsAndLoadsAgainFromTheSameFolder) {
  EXPECT_EQ(test::run(loop_, repository_->unload("echo")).error().code(), Code::kNotFound);
  EXPECT_THAT(test::run(loop_, repository_->load("echo", "")).error().message(),
              HasSubstr("model 'echo' was never loaded"));
  EXPECT_TRUE(repository_->index().empty());
  ASSERT_TRUE(load(Package("1")));
  EXPECT_TRUE(test::run(loop_, repository_->unload("echo")));
  EXPECT_EQ(repository_->find("echo"), nullptr);
  EXPECT_EQ(repository_->index()[0].reason, "unloaded");
  // Unloaded, the name is free for another contract.
  EXPECT_TRUE(test::run(loop_, repository_->load("echo", "")));
  EXPECT_EQ(served_version(), "1");
}

Package other() {
  Package package;
  package.manifest["name"] = "other";
  return package;
}

io::Task<bool> restored(ModelRepository* repository) {
  co_await repository->restore();
  co_return true;
}

TEST_F(ModelRepositoryTest, RemembersWhatIsServedOverARestart) {
  const ModelRepository::Options options = {.state_file = dir_.path("models-state.json")};
  restart(options);
  ASSERT_TRUE(load(Package("1")));
  ASSERT_TRUE(load(Package("2")));
  EXPECT_NE(refusal(Package("3").shape({9, 9})), "was accepted");

  restart(options);
  test::run(loop_, restored(repository_.get()));
  EXPECT_EQ(served_version(), "2");
  EXPECT_EQ(repository_->index().size(), 1u);

  // A load that comes while the models of the last run are on their way is the newer one.
  restart(options);
  {
    io::TaskScope scope;
    std::optional<bool> done;
    scope.spawn(test::store(restored(repository_.get()), &done));
    ASSERT_TRUE(load(Package("4")));
    ASSERT_TRUE(test::run_until(loop_, [&] { return done.has_value(); }));
  }
  EXPECT_EQ(served_version(), "4");

  // A model that cannot be loaded now is tried again at the next start.
  const std::string folder = dir_.path("package-" + std::to_string(packages_ - 1));
  std::filesystem::rename(folder, folder + "-away");
  restart(options);
  test::run(loop_, restored(repository_.get()));
  EXPECT_EQ(repository_->index()[0].state, "UNAVAILABLE");
  ASSERT_TRUE(test::run(loop_, repository_->load("other", write(other()))));
  std::filesystem::rename(folder + "-away", folder);
  restart(options);
  test::run(loop_, restored(repository_.get()));
  EXPECT_EQ(served_version(), "4");
  EXPECT_NE(repository_->find("other"), nullptr);

  ASSERT_TRUE(test::run(loop_, repository_->unload("echo")));
  restart(options);
  test::run(loop_, restored(repository_.get()));
  EXPECT_EQ(served_version(), "");

  std::ofstream(options.state_file) << "{";
  restart(options);
  test::run(loop_, restored(repository_.get()));  // says so in the log and serves nothing
  EXPECT_EQ(served_version(), "");
}

class VersionsTest : public ModelRepositoryTest {
 protected:
  void load_as(const std::string& version, const std::string& label) {
    const auto report =
        test::run(loop_, repository_->load("echo", write(Package(version)), false, label));
    ASSERT_TRUE(report) << report.error().message();
  }
  Result<VersionPolicy> set(const json& changes) {
    return test::run(loop_, repository_->set_policy("echo", changes));
  }
  std::string find(const std::string& version) {
    const auto model = repository_->find("echo", version);
    return model ? model->version : "";
  }
  // How many of a hundred requests that name no version each one answers.
  std::map<std::string, int> answers() {
    std::map<std::string, int> counts;
    for (int i = 0; i < 100; ++i) ++counts[repository_->next("echo")->version];
    return counts;
  }
};

TEST_F(VersionsTest, ALabelIsServedBesideTheVersionBefore) {
  load_as("1", "");
  load_as("2", "canary");
  EXPECT_EQ(served_version(), "1");
  EXPECT_EQ(find("stable"), "1");
  EXPECT_EQ(find("canary"), "2");
  EXPECT_EQ(find("2"), "2");
  EXPECT_EQ(find("3"), "");
  EXPECT_EQ(repository_->index().size(), 2u);
  load_as("3", "canary");  // the canary before has no label any more
  EXPECT_EQ(repository_->versions("echo"), (std::vector<std::string>{"1", "3"}));
}

TEST_F(VersionsTest, ACanaryGetsItsShareExactly) {
  load_as("1", "");
  load_as("2", "canary");
  EXPECT_EQ(answers(), (std::map<std::string, int>{{"1", 100}}));
  for (const int percent : {1, 10, 33, 50, 99}) {
    ASSERT_TRUE(set({{"canary_percent", percent}}));
    EXPECT_EQ(answers()["2"], percent);
  }
  ASSERT_TRUE(set({{"canary_percent", 100}}));
  EXPECT_EQ(answers(), (std::map<std::string, int>{{"2", 100}}));
}

TEST_F(VersionsTest, APromotionDropsTheVersionBefore) {
  load_as("1", "");
  load_as("2", "canary");
  const std::weak_ptr<ServedModel> before = repository_->find("echo", "1");
  ASSERT_TRUE(set({{"labels", {{"stable", "2"}, {"canary", nullptr}}}}));
  EXPECT_EQ(served_version(), "2");
  EXPECT_EQ(repository_->versions("echo"), (std::vector<std::string>{"2"}));
  EXPECT_TRUE(test::run_until(loop_, [&] { return before.expired(); }));
}

TEST_F(VersionsTest, TheLastSoManyAreKept) {
  load_as("1", "");
  ASSERT_TRUE(set({{"keep", 2}}));
  for (const char* version : {"2", "3", "4"}) load_as(version, "");
  EXPECT_EQ(repository_->versions("echo"), (std::vector<std::string>{"3", "4"}));
  EXPECT_EQ(served_version(), "4");
  load_as("3", "");  // again: it is the last one then
  EXPECT_EQ(repository_->versions("echo"), (std::vector<std::string>{"4", "3"}));
  EXPECT_EQ(served_version(), "3");
}

TEST_F(VersionsTest, OneVersionIsUnloadedAlone) {
  load_as("1", "");
  load_as("2", "canary");
  EXPECT_FALSE(test::run(loop_, repository_->unload("echo", "3")));
  ASSERT_TRUE(test::run(loop_, repository_->unload("echo", "2")));
  EXPECT_EQ(repository_->versions("echo"), (std::vector<std::string>{"1"}));
  EXPECT_EQ(repository_->policy("echo")->labels,
            (std::map<std::string, std::string>{{"stable", "1"}}));
  ASSERT_TRUE(test::run(loop_, repository_->unload("echo", "1")));
  EXPECT_FALSE(repository_->policy("echo"));
  load_as("5", "");
  EXPECT_EQ(repository_->policy("echo")->labels.size(), 0u);
}

TEST_F(VersionsTest, ARestartServesThemAllAgain) {
  const ModelRepository::Options options = {.state_file = dir_.path("models-state.json")};
  restart(options);
  load_as("1", "");
  load_as("2", "canary");
  ASSERT_TRUE(set({{"canary_percent", 25}}));
  restart(options);
  EXPECT_TRUE(test::run(loop_, restored(repository_.get())));
  EXPECT_EQ(repository_->versions("echo"), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(answers(), (std::map<std::string, int>{{"1", 75}, {"2", 25}}));
}

TEST_F(VersionsTest, ALabelThatIsNoneIsRefusedAndNothingChanges) {
  load_as("1", "");
  const auto report =
      test::run(loop_, repository_->load("echo", write(Package("2")), false, "a b"));
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message(), HasSubstr("cannot be a label"));
  EXPECT_EQ(repository_->versions("echo"), (std::vector<std::string>{"1"}));
}

TEST_F(VersionsTest, ACanaryMustFitTheCallersOfTheStableVersion) {
  load_as("1", "");
  Package other("2");
  const auto report =
      test::run(loop_, repository_->load("echo", write(other.shape({-1, 3})), false, "canary"));
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message(), HasSubstr("does not fit the callers of version 1"));
}

TEST_F(VersionsTest, WhatHasNoMemoryLeftIsRefused) {
  ModelRepository::Options options = {.memory_bytes = 100 << 20};
  options.load.trial = [](const TrialRequest&, const std::stop_token&) -> Result<TrialReport> {
    return TrialReport{.peak_memory_bytes = 70 << 20, .model_memory_bytes = 60 << 20};
  };
  restart(options);
  load_as("1", "");
  EXPECT_THAT(refusal(Package("2")),
              HasSubstr("version 2 of 'echo' needs 60 MiB; 60 of 100 MiB are in use"));
  EXPECT_EQ(served_version(), "1");
  ASSERT_TRUE(test::run(loop_, repository_->unload("echo")));
  load_as("2", "");
}

TEST_F(VersionsTest, WhatWasUsedLongestAgoMakesRoomAndComesBack) {
  ModelRepository::Options options = {.memory_bytes = 100 << 20, .evict = true};
  options.load.trial = [](const TrialRequest&, const std::stop_token&) -> Result<TrialReport> {
    return TrialReport{.peak_memory_bytes = 50 << 20, .model_memory_bytes = 40 << 20};
  };
  restart(options);
  const auto load_named = [&](const std::string& name) {
    Package package("1");
    package.manifest["name"] = name;
    return test::run(loop_, repository_->load(name, write(package)));
  };
  const auto are_served = [&] {
    std::string names;
    for (const ServedModelPtr& model : repository_->served()) names += model->name;
    return names;
  };
  ASSERT_TRUE(load_named("a") && load_named("b"));
  repository_->used(*repository_->find("a"));
  ASSERT_TRUE(load_named("c"));
  EXPECT_EQ(are_served(), "ac");
  EXPECT_TRUE(repository_->is_away("b"));
  EXPECT_FALSE(repository_->is_away("a") || repository_->is_away("nothing"));

  // Nothing goes that a request runs on.
  {
    const ServedModelPtr in_use = repository_->find("a");
    ASSERT_TRUE(test::run(loop_, repository_->bring_back("b")));
    EXPECT_EQ(are_served(), "ab");
  }
  const ServedModelPtr first = repository_->find("a");
  const ServedModelPtr second = repository_->find("b");
  const auto refused = test::run(loop_, repository_->bring_back("c"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(are_served(), "ab");
  // Unloaded is gone.
  ASSERT_TRUE(test::run(loop_, repository_->unload("c")));
  EXPECT_FALSE(repository_->is_away("c"));
}

}  // namespace
}  // namespace skerry::serve
