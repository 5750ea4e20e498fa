// Loading, switching, refusing, unloading, remembering.
#include "serve/model_repository.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/onnxruntime/onnx_runtime.h"
#include "serve/test_support.h"
#include "test_paths.h"

namespace skerry::serve {
namespace {

using test::Package;
using testing::AllOf;
using testing::HasSubstr;

class ModelRepositoryTest : public testing::Test {
 protected:
  ModelRepositoryTest() {
    runtimes_["null"] = std::make_unique<runtime::NullRuntime>(files_);
    runtimes_["gated"] = std::make_unique<test::GatedRuntime>(files_, gate_);
    restart();
  }

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

  test::TempDir dir_;
  int packages_ = 0;
  io::RealFiles files_;
  test::Gate gate_;
  Runtimes runtimes_;
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
  EXPECT_THAT(refusal(package), HasSubstr("runtime 'tpu' is not loaded; start skerry-infer with"));
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
  const runtime::TensorView x = {"x", runtime::DataType::kFp32, shape,
                                 std::as_bytes(std::span(values))};
  EXPECT_TRUE(in_flight->model->run(std::span(&x, 1), {}));
  in_flight.reset();
  EXPECT_TRUE(old.expired());
}

TEST_F(ModelRepositoryTest, LoadsHappenInOrderAndUnloadsAmongThem) {
  std::array<std::optional<Result<LoadReport>>, 3> reports;
  std::optional<Result<void>> unloaded;
  io::TaskScope scope;
  gate_.close();
  Package gated("1");
  gated.manifest["runtime"] = "gated";
  scope.spawn(test::store(repository_->load("echo", write(gated)), &reports[0]));
  scope.spawn(test::store(repository_->load("echo", write(Package("2"))), &reports[1]));
  scope.spawn(test::store(repository_->unload("echo"), &unloaded));
  scope.spawn(test::store(repository_->load("echo", write(Package("3"))), &reports[2]));
  ASSERT_TRUE(test::run_until(loop_, [&] { return gate_.waiting() == 1; }));
  EXPECT_EQ(repository_->index()[0].state, "LOADING");
  EXPECT_FALSE(reports[0] || reports[1] || reports[2]);
  gate_.open();
  ASSERT_TRUE(test::run_until(loop_, [&] { return reports[2].has_value(); }));
  EXPECT_EQ((*reports[0])->version, "1");
  EXPECT_EQ((*reports[1])->previous_version, "1");
  EXPECT_TRUE(*unloaded);
  EXPECT_EQ((*reports[2])->previous_version, "");
  EXPECT_EQ(served_version(), "3");
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
  while (loop_.run_for(0)) {
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
  const ModelRepository::Options options = {.load = {},
                                            .state_file = dir_.path("models-state.json")};
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

TEST_F(ModelRepositoryTest, RunsARealModelOnItsWarmupValues) {
  auto onnx =
      runtime::open_onnx_runtime(files_, SKERRY_CACHE_DIR "/onnxruntime/lib/libonnxruntime.so");
  ASSERT_TRUE(onnx) << onnx.error().message();
  runtimes_["onnxruntime"] = std::move(*onnx);
  const std::string directory = dir_.path("vad");
  std::filesystem::create_directories(directory);
  std::filesystem::copy(SKERRY_CACHE_DIR "/silero-vad/silero_vad.onnx", directory + "/vad.onnx");
  const std::string bytes = *io::read_file(files_, directory + "/vad.onnx");
  test::json manifest = {
      {"format", 1},
      {"name", "vad"},
      {"version", "6.2.3"},
      {"runtime", "onnxruntime"},
      {"file", "vad.onnx"},
      {"sha256", hex_encode(sha256(bytes))},
      {"inputs", test::json::array({test::tensor("input", "FP32", {1, 576}),
                                    test::tensor("state", "FP32", {2, 1, 128}),
                                    test::tensor("sr", "INT64", {})})},
      {"outputs", test::json::array({test::tensor("output", "FP32", {1, 1}),
                                     test::tensor("stateN", "FP32", {2, 1, 128})})}};
  std::ofstream(directory + "/model.json") << manifest.dump();
  const auto zero_rate = test::run(loop_, repository_->load("vad", directory));
  ASSERT_FALSE(zero_rate);
  EXPECT_THAT(zero_rate.error().message(),
              HasSubstr("the trial run failed (model.json's \"warmup\""));

  manifest["warmup"] = {{"sr", 16000}};
  std::ofstream(directory + "/model.json") << manifest.dump();
  const auto report = test::run(loop_, repository_->load("vad", directory));
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_GT(repository_->find("vad")->expected_infer_ns, 0);
}

}  // namespace
}  // namespace skerry::serve
