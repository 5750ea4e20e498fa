// Turns by priority, batches by rows and delay, and what becomes of those that do not fit.
#include "serve/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <list>

#include "serve/model_repository.h"
#include "serve/test_runtimes.h"
#include "serve/test_support.h"

namespace skerry::serve {
namespace {

using test::json;
using test::Package;
using testing::ElementsAre;
using testing::HasSubstr;

class SchedulerTest : public testing::Test {
 protected:
  ~SchedulerTest() override { gate_->open(); }

  // The null runtime behind a gate: what it is given it gives back.
  ServedModelPtr serve(const json& batching, const std::string& behaviour = "identity") {
    Package package("1");
    package.manifest["runtime"] = "gated";
    package.model["behaviour"] = behaviour;
    if (!batching.is_null()) package.manifest["batching"] = batching;
    const auto loaded =
        test::run(loop_, repository_.load("echo", package.write(dir_.path("echo"))));
    EXPECT_TRUE(loaded) << loaded.error().message();
    gate_->close();
    return repository_.find("echo");
  }

  static InferenceRequest request(float value, int64_t rows = 1, uint64_t priority = 0) {
    InferenceRequest request;
    request.inputs.push_back({"x", tensor::DataType::kFp32, {rows, 2}, {}});
    const std::vector<float> values(static_cast<size_t>(rows) * 2, value);
    request.inputs[0].bytes.resize(values.size() * sizeof(float));
    std::memcpy(request.inputs[0].bytes.data(), values.data(), request.inputs[0].bytes.size());
    request.priority = priority;
    return request;
  }

  struct Sent {
    float value;
    std::optional<InferenceService::Outcome> outcome;
    io::TaskScope scope;
  };
  Sent& begin(const ServedModelPtr& model, InferenceRequest request) {
    Sent& sent = sent_.emplace_back();
    std::memcpy(&sent.value, request.inputs[0].bytes.data(), sizeof sent.value);
    sent.scope.spawn(remember(scheduler_.infer(model, std::move(request)), &sent));
    return sent;
  }
  io::Task<void> remember(io::Task<InferenceService::Outcome> task, Sent* sent) {
    sent->outcome.emplace(co_await std::move(task));
    order_.push_back(sent->value);
  }
  void hold_one(const ServedModelPtr& model) {
    begin(model, request(0));
    ASSERT_TRUE(test::run_until(loop_, [&] { return gate_->waiting() == 1; }));
  }
  void finish() {
    gate_->open();
    ASSERT_TRUE(test::run_until(loop_, [&] {
      return std::ranges::all_of(sent_, [](const Sent& each) { return each.outcome.has_value(); });
    }));
  }
  // Each got back what it had sent.
  void expect_own_answers() {
    for (const Sent& sent : sent_) {
      ASSERT_TRUE(sent.outcome->outputs) << sent.outcome->outputs.error().message();
      const tensor::Tensor& y = (*sent.outcome->outputs)[0];
      for (size_t at = 0; at < y.bytes.size(); at += sizeof(float)) {
        float value = 0;
        std::memcpy(&value, y.bytes.data() + at, sizeof value);
        EXPECT_EQ(value, sent.value);
      }
    }
  }
  static std::string error_of(const Sent& sent) {
    return sent.outcome->outputs ? "" : sent.outcome->outputs.error().message();
  }
  static json batches_of(const ServedModelPtr& model) {
    json sizes = json::array();
    const json stats = json::parse(model->stats.to_json("echo", "1"));
    for (const json& row : stats["batch_stats"]) {
      sizes.push_back({row["batch_size"], row["compute_infer"]["count"]});
    }
    return sizes;
  }

  io::ScratchDirectory dir_;
  io::RealFiles files_;
  std::shared_ptr<test::Gate> gate_ = std::make_shared<test::Gate>();
  io::RealLoop loop_;
  io::ThreadPool pool_{"codec", 1};
  ModelRepository repository_{loop_, files_, test::runtimes(gate_), {}};
  InferenceService service_{loop_, {.threads = 1, .max_queued = 64}};
  Scheduler scheduler_{loop_, pool_, service_, {.threads = 1, .max_queued = 8}};
  std::vector<float> order_;
  std::list<Sent> sent_;
};

TEST_F(SchedulerTest, TheHighestPriorityIsNext) {
  const auto model = serve(nullptr);
  hold_one(model);
  for (const auto& [value, priority] :
       std::vector<std::pair<float, uint64_t>>{{1, 0}, {2, 7}, {3, 1}, {4, 7}, {5, 0}, {6, 1}}) {
    begin(model, request(value, 1, priority));
  }
  finish();
  expect_own_answers();
  EXPECT_THAT(order_, ElementsAre(0, 3, 6, 2, 4, 1, 5));
}

TEST_F(SchedulerTest, WhatCameWhileTheModelWasBusyRunsTogether) {
  const auto model = serve({{"max_rows", 8}});
  hold_one(model);
  for (int i = 1; i <= 4; ++i) begin(model, request(static_cast<float>(i), i));  // 10 rows
  finish();
  expect_own_answers();
  EXPECT_EQ(batches_of(model), json::parse("[[3, 1]]"));  // 1 + 2 + 3 rows; 4 more are too many
}

TEST_F(SchedulerTest, OnlyRequestsOfOneFormRunTogether) {
  const auto model = serve({{"max_rows", 8}});
  hold_one(model);
  for (int i = 1; i <= 4; ++i) {
    InferenceRequest each = request(static_cast<float>(i));
    if (i % 2 == 0) each.outputs = {"y"};
    begin(model, std::move(each));
  }
  begin(model, request(5, 20));  // more than max_rows: as it is
  finish();
  expect_own_answers();
  EXPECT_EQ(batches_of(model), json::parse("[[2, 2]]"));
}

TEST_F(SchedulerTest, ADelayCollectsWhatComesMeanwhile) {
  const auto model = serve({{"max_rows", 8}, {"max_delay_ms", 20}});
  gate_->open();
  begin(model, request(1));
  begin(model, request(2));
  EXPECT_FALSE(sent_.front().outcome);
  finish();
  expect_own_answers();
  EXPECT_EQ(batches_of(model), json::parse("[[2, 1]]"));
}

TEST_F(SchedulerTest, EnoughDoesNotWaitForTheDelay) {
  const auto model = serve({{"max_rows", 8}, {"preferred_rows", {3}}, {"max_delay_ms", 60'000}});
  gate_->open();
  for (int i = 1; i <= 3; ++i) begin(model, request(static_cast<float>(i)));
  for (int i = 4; i <= 7; ++i) begin(model, request(static_cast<float>(i), 2));
  finish();
  expect_own_answers();
  EXPECT_EQ(batches_of(model), json::parse("[[3, 1], [4, 1]]"));  // preferred, then max_rows
}

TEST_F(SchedulerTest, AModelThatMixesRowsRunsEachAloneFromThereOn) {
  const auto model = serve({{"max_rows", 8}});
  // It says so by an output of other rows.
  model->model = std::make_unique<test::FirstRowModel>(std::move(model->model));
  hold_one(model);
  for (int i = 1; i <= 3; ++i) begin(model, request(static_cast<float>(i)));
  finish();
  expect_own_answers();
  for (int i = 4; i <= 6; ++i) begin(model, request(static_cast<float>(i)));
  finish();
  expect_own_answers();
  EXPECT_EQ(batches_of(model), json::array());
  EXPECT_EQ(model->stats.executions(), model->stats.successes());
}

TEST_F(SchedulerTest, OneThatFailsFailsAlone) {
  const auto model = serve({{"max_rows", 8}});
  model->model = std::make_unique<test::PickyModel>(std::move(model->model));
  hold_one(model);
  begin(model, request(1));
  Sent& bad = begin(model, request(-1));
  begin(model, request(2));
  finish();
  EXPECT_THAT(error_of(bad), HasSubstr("negative"));
  sent_.remove_if([&](const Sent& each) { return &each == &bad; });
  expect_own_answers();
}

TEST_F(SchedulerTest, AWrongRequestIsRefusedBeforeItMeetsOthers) {
  const auto model = serve({{"max_rows", 8}});
  hold_one(model);
  InferenceRequest wrong = request(1);
  wrong.inputs[0].shape = {1, 3};
  Sent& refused = begin(model, std::move(wrong));
  ASSERT_TRUE(refused.outcome);
  EXPECT_THAT(error_of(refused), HasSubstr("input 'x' is FP32[1,3]"));
  finish();
}

TEST_F(SchedulerTest, ARequestWhoseTimeIsOverIsDropped) {
  const auto model = serve({{"max_rows", 8}});
  hold_one(model);
  InferenceRequest hasty = request(1);
  hasty.timeout_ms = 5;
  Sent& dropped = begin(model, std::move(hasty));
  begin(model, request(2));
  ASSERT_TRUE(test::run_until(loop_, [&] { return dropped.outcome.has_value(); }));
  EXPECT_THAT(error_of(dropped), HasSubstr("within its timeout of 5 ms"));
  finish();
  EXPECT_EQ(batches_of(model), json::array());  // the other one ran alone
}

TEST_F(SchedulerTest, CallersMayLeaveAtAnyTime) {
  const auto model = serve({{"max_rows", 8}});
  hold_one(model);
  for (int i = 1; i <= 4; ++i) begin(model, request(static_cast<float>(i)));
  sent_.erase(std::next(sent_.begin(), 2));  // waits
  gate_->open();
  ASSERT_TRUE(test::run_until(loop_, [&] { return sent_.front().outcome.has_value(); }));
  gate_->close();
  loop_.run_for(1);  // the batch begins
  sent_.pop_back();  // is in it
  finish();
  expect_own_answers();
  const auto of_the_gone = serve({{"max_rows", 8}});
  hold_one(of_the_gone);
  InferenceRequest gone = request(9);
  gone.caller_is_gone = [] { return true; };
  Sent& left = begin(of_the_gone, std::move(gone));
  finish();
  EXPECT_THAT(error_of(left), HasSubstr("the caller is gone"));
}

TEST_F(SchedulerTest, TheQueueHasALimit) {
  const auto model = serve({{"max_rows", 8}, {"max_queued", 2}});
  hold_one(model);
  begin(model, request(1));
  begin(model, request(2));
  Sent& refused = begin(model, request(3));
  ASSERT_TRUE(refused.outcome);
  EXPECT_EQ(refused.outcome->outputs.error().code(), Code::kResourceExhausted);
  finish();
}

TEST_F(SchedulerTest, LargeBatchesAreMadeOffTheLoop) {
  const auto model = serve({{"max_rows", 60'000}});
  hold_one(model);
  for (int i = 1; i <= 3; ++i) begin(model, request(static_cast<float>(i), 20'000));
  finish();
  expect_own_answers();
  EXPECT_EQ(batches_of(model), json::parse("[[3, 1]]"));
}

}  // namespace
}  // namespace skerry::serve
