// Where inferences run, and what becomes of those that do not end.
#include "serve/inference_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <list>
#include <new>

#include "serve/memory_guard.h"
#include "serve/model_repository.h"
#include "serve/test_runtimes.h"
#include "serve/test_support.h"

namespace skerry::serve {
namespace {

using test::Package;
using testing::HasSubstr;

class InferenceServiceTest : public testing::Test {
 protected:
  ~InferenceServiceTest() override { gate_->open(); }

  ServedModelPtr serve(const std::string& name, const std::string& runtime) {
    Package package("1");
    package.manifest["name"] = name;
    package.manifest["runtime"] = runtime;
    const auto loaded = test::run(loop_, repository_.load(name, package.write(dir_.path(name))));
    EXPECT_TRUE(loaded) << loaded.error().message();
    return repository_.find(name);
  }

  // The model whose time its input's value says: as good as endless.
  ServedModelPtr serve_loop() {
    const std::string path =
        test::write_onnx(dir_.path("loop"), "hang.onnx",
                         {{"name", "loop"},
                          {"inputs", test::json::array({test::tensor("n", "INT64", {})})},
                          {"outputs", test::json::array({test::tensor("sum", "FP32", {})})}});
    const auto loaded = test::run(loop_, repository_.load("loop", path));
    EXPECT_TRUE(loaded) << loaded.error().message();
    return repository_.find("loop");
  }

  static InferenceRequest pair(int64_t rows = 1) {
    InferenceRequest request;
    request.inputs.push_back({"x", tensor::DataType::kFp32, {rows, 2}, {}});
    request.inputs[0].bytes.resize(static_cast<size_t>(rows) * 8);
    return request;
  }
  static InferenceRequest count(int64_t n) {
    InferenceRequest request;
    request.inputs.push_back({"n", tensor::DataType::kInt64, {}, tensor::Bytes(8)});
    std::memcpy(request.inputs[0].bytes.data(), &n, sizeof n);
    return request;
  }

  using Outcome = std::optional<InferenceService::Outcome>;
  Outcome& begin(const ServedModelPtr& model, InferenceRequest request) {
    outcomes_.emplace_back();
    scope_.spawn(test::store(service_.infer(model, std::move(request)), &outcomes_.back()));
    return outcomes_.back();
  }
  std::string error_of(Outcome& outcome) {
    EXPECT_TRUE(test::run_until(loop_, [&] { return outcome.has_value(); }));
    return outcome->outputs ? "" : outcome->outputs.error().message();
  }

  io::ScratchDirectory dir_;
  io::RealFiles files_;
  std::shared_ptr<test::Gate> gate_ = std::make_shared<test::Gate>();
  io::RealLoop loop_;
  ModelRepository repository_{loop_, files_, test::runtimes(gate_), {}};
  InferenceService service_{
      loop_, {.threads = 1, .max_queued = 8, .run_timeout_ms = 100, .grace_ms = 100}};
  std::list<Outcome> outcomes_;
  io::TaskScope scope_;
};

TEST_F(InferenceServiceTest, OnTheLoopRunsOnlyWhatIsKnownToBeShort) {
  const auto model = serve("echo", "null");
  model->costs = {};
  Outcome& unknown = begin(model, pair());
  EXPECT_FALSE(unknown);  // on a thread: nobody knows yet
  EXPECT_EQ(error_of(unknown), "");
  const uint64_t shapes = shapes_key(pair().inputs);
  model->costs = {};
  model->costs.note(shapes, 1000);
  EXPECT_TRUE(begin(model, pair()));
  EXPECT_FALSE(begin(model, pair(2)));  // other shapes
  // One long run may be the machine's doing, two are the model's.
  model->costs = {};
  model->costs.note(shapes, 1000);
  model->costs.note(shapes, 1'000'000'000);
  EXPECT_TRUE(begin(model, pair()));
  model->costs.note(shapes, 1'000'000'000);
  model->costs.note(shapes, 1'000'000'000);
  EXPECT_FALSE(begin(model, pair()));
}

TEST_F(InferenceServiceTest, WhatDependsOnValuesNeverRunsOnTheLoop) {
  const auto model = serve_loop();
  model->costs.note(shapes_key(count(1).inputs), 1);
  Outcome& outcome = begin(model, count(3));
  EXPECT_FALSE(outcome);
  EXPECT_EQ(error_of(outcome), "");
}

TEST_F(InferenceServiceTest, AnEndlessRunIsEndedAndTheModelServesOn) {
  const auto model = serve_loop();
  EXPECT_THAT(error_of(begin(model, count(INT64_MAX))), HasSubstr("did not end within 0.1 s"));
  EXPECT_EQ(error_of(begin(model, count(2))), "");
  EXPECT_EQ(model->hung, 0u);
}

TEST_F(InferenceServiceTest, AModelThatCannotBeStoppedCostsItsOwnCallersOnly) {
  const auto hanging = serve("hanging", "gated");
  const auto other = serve("other", "gated");
  gate_->close();
  Outcome& first = begin(hanging, pair());
  Outcome& second = begin(hanging, pair());
  EXPECT_THAT(error_of(first), HasSubstr("did not end"));
  ASSERT_TRUE(test::run_until(loop_, [&] { return hanging->hung > 0; }));
  EXPECT_THAT(error_of(begin(hanging, pair())), HasSubstr("model 'hanging' hangs"));
  gate_->open();  // for those that come now
  EXPECT_EQ(error_of(begin(other, pair())), "");
  EXPECT_EQ(error_of(second), "");  // on the thread that took the first one's place
  ASSERT_TRUE(test::run_until(loop_, [&] { return hanging->hung == 0; }));
  EXPECT_EQ(error_of(begin(hanging, pair())), "");
}

TEST_F(InferenceServiceTest, WhatCannotBeStoppedIsAFaultAtOnce) {
  const auto model = serve("hanging", "gated");
  gate_->close();
  begin(model, pair());
  ASSERT_TRUE(test::run_until(loop_, [&] { return model->hung > 0; }));
  EXPECT_EQ(model->watchdog.alarms(), (Alarms{1, 0, 0}));
  EXPECT_THAT(model->watchdog.fault(), HasSubstr("within 100 ms and cannot be stopped"));
}

TEST_F(InferenceServiceTest, WhatIsStoppedThreeTimesIsAFaultAndThePackageSaysWhen) {
  const auto model = serve_loop();
  model->max_inference_ms = 1;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(model->watchdog.fault(), "");
    EXPECT_THAT(error_of(begin(model, count(INT64_MAX))), HasSubstr("did not end within 0.001 s"));
    ASSERT_TRUE(test::run_until(loop_, [&] { return model->in_flight == 0; }));
  }
  EXPECT_EQ(model->watchdog.alarms(), (Alarms{3, 0, 0}));
  EXPECT_THAT(model->watchdog.fault(), HasSubstr("3 inferences in a row did not end within 1 ms"));
}

TEST_F(InferenceServiceTest, NaNOfFiniteInputsIsTheModelsFaultAndOthersTheCallers) {
  const auto model = serve("echo", "null");
  model->finite = {"y"};
  const auto send = [&](float value) {
    InferenceRequest request = pair();
    std::memcpy(request.inputs[0].bytes.data(), &value, sizeof value);
    return error_of(begin(model, std::move(request)));
  };
  for (int i = 0; i < 5; ++i) EXPECT_THAT(send(INFINITY), HasSubstr("gave NaN"));
  EXPECT_EQ(model->stats.not_finite(), 5u);
  EXPECT_EQ(model->watchdog.alarms(), Alarms());
  model->model = std::make_unique<test::DividingModel>(std::move(model->model));
  EXPECT_EQ(send(2), "");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(model->watchdog.fault(), "");
    EXPECT_THAT(send(0), HasSubstr("gave NaN"));
  }
  EXPECT_EQ(model->watchdog.alarms(), (Alarms{0, 3, 0}));
  EXPECT_THAT(model->watchdog.fault(), HasSubstr("in output 'y'"));
}

TEST_F(InferenceServiceTest, OneThatBecomesSlowIsSeenOnTheLoopAndOnThreads) {
  const auto model = serve("echo", "null");
  model->watchdog = Watchdog({.slow_least_ns = 0, .normal_runs = 3, .slow_for_ns = 0});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(error_of(begin(model, pair())), "");
  EXPECT_EQ(model->watchdog.alarms(), Alarms());
  auto slow = std::make_unique<test::SlowModel>(std::move(model->model));
  model->model = std::move(slow);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(model->watchdog.fault(), "");
    EXPECT_EQ(error_of(begin(model, pair())), "");
  }
  EXPECT_EQ(model->watchdog.alarms(), (Alarms{0, 0, 8}));
  EXPECT_THAT(model->watchdog.fault(), HasSubstr("8 inferences in a row were slow"));
}

TEST_F(InferenceServiceTest, JobsOfCallersThatAreGoneAreDropped) {
  const auto model = serve("echo", "gated");
  gate_->close();
  begin(model, pair());
  begin(model, pair());
  begin(model, pair());
  ASSERT_TRUE(test::run_until(loop_, [&] { return gate_->waiting() == 1; }));
  EXPECT_EQ(model->in_flight, 3u);
  scope_.cancel_all();
  EXPECT_EQ(model->in_flight, 1u);  // the one that runs
  gate_->open();
  ASSERT_TRUE(test::run_until(loop_, [&] { return model->in_flight == 0; }));
}

TEST_F(InferenceServiceTest, ACallerThatIsGoneWithoutAWordIsFoundOut) {
  const auto model = serve_loop();
  InferenceRequest endless = count(INT64_MAX);
  endless.caller_is_gone = [] { return true; };
  EXPECT_EQ(error_of(begin(model, std::move(endless))), "the caller is gone");
  EXPECT_EQ(error_of(begin(model, count(2))), "");
}

TEST_F(InferenceServiceTest, TheQueueOfAModelHasALimit) {
  const auto model = serve("echo", "gated");
  gate_->close();
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(begin(model, pair()));
  EXPECT_THAT(error_of(begin(model, pair())), HasSubstr("9 requests to model 'echo' are waiting"));
  EXPECT_FALSE(begin(serve("other", "null"), pair(3)));  // its own queue
}

TEST(WithinMemory, MemoryThatIsNotThereIsAnError) {
  const auto result = within_memory("the test", []() -> Result<int> { throw std::bad_alloc(); });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(result.error().message(), "there is not enough memory for the test");
}

}  // namespace
}  // namespace skerry::serve
