// A device against a server that records every byte and asks for anything: rows never leave, an
// update never leaves unclipped, and what was trained is sent once, whatever breaks.
#include "learner/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "formats/checkpoint.h"
#include "learner/test_device.h"
#include "tensor/npy.h"

namespace skerry::learner {
namespace {

using federated::Task;
using federated::TaskMessage;
using nlohmann::json;

const std::string kNet = R"(graph "net" {
  input %x: FP32[batch,4]
  const %w = FP32[4,3] {0,0,0, 0,0,0, 0,0,0, 0,0,0}
  const %b = FP32[3] {0,0,0}
  %y = Gemm(%x, %w, %b) "head"
  return %y
})";
constexpr size_t kParameters = 15;
constexpr size_t kRows = 60;

tensor::Tensor numbers(std::vector<int64_t> shape, const std::vector<float>& values) {
  tensor::Tensor tensor{
      .name = "model", .type = tensor::DataType::kFp32, .shape = std::move(shape)};
  tensor.bytes.resize(values.size() * sizeof(float));
  std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

class Device : public DeviceTest {
 protected:
  Device() {
    task_ = {.kind = Task::Kind::kTrain,
             .training = "3f2a",
             .attempt = 1,
             .data = "parts",
             .model_sha256 = hex_encode(sha256(kNet)),
             .model_bytes = kNet.size(),
             .parameters = kParameters,
             .local = {.epochs = 20, .batch = 10, .rate = 1}};
    std::vector<float> labels;
    for (size_t row = 0; row < kRows; ++row) {
      for (size_t i = 0; i < 4; ++i) {
        const bool on = i == row % 3;
        rows_.push_back((on ? 3.0F : 0.0F) + static_cast<float>(row * 4 + i) * 0.001F + 0.123F);
      }
      labels.push_back(static_cast<float>(row % 3));
    }
    write_file("rows.npy", *tensor::to_npy(numbers({kRows, 4}, rows_).view()));
    std::vector<int64_t> whole(labels.begin(), labels.end());
    tensor::Tensor classes{.name = "", .type = tensor::DataType::kInt64, .shape = {kRows}};
    classes.bytes.resize(kRows * sizeof(int64_t));
    std::memcpy(classes.bytes.data(), whole.data(), classes.bytes.size());
    write_file("labels.npy", *tensor::to_npy(classes.view()));
    start([this](net::HttpRequest request) { return answer_to(std::move(request)); });
  }

  io::Task<net::HttpResponse> answer_to(net::HttpRequest request) {
    sent_ += request.target + "\n" + request.body + "\n";
    const std::string target(net::split_target(request.target).first);
    const auto is = [&](const char* end) { return target.ends_with(end); };
    const bool is_update = target.find("/updates/") != std::string::npos;
    if (breaks_ > 0 && is_update && request.method == "PUT") {
      --breaks_;
      co_return net::text_response(503, "{}");
    }
    if (is("/tasks")) co_return net::json_response(200, federated::to_json(task_).dump());
    if (is("/model")) co_return net::text_response(200, model_);
    if (target.find("/parameters/") != std::string::npos) {
      co_return net::text_response(200, parameters_);
    }
    if (is_update) {
      if (request.method == "PUT") uploads_.push_back(request.body);
      const bool complete = request.method == "PUT";
      co_return net::json_response(200, json{{"bytes", 0}, {"complete", complete}}.dump());
    }
    if (is("/refusals/1")) ++refusals_;
    if (is("/evaluations/1")) evaluation_ = json::parse(request.body);
    co_return net::json_response(200, "{}");
  }

  Result<double> work(LocalPolicy policy = {}) { return work_with(options_of(policy)); }
  federated::Update sent_update() {
    EXPECT_EQ(uploads_.size(), 1u);
    auto update = federated::decode_update(uploads_.empty() ? "" : uploads_[0], kParameters);
    EXPECT_TRUE(update);
    return update.value_or(federated::Update{});
  }

  TaskMessage task_;
  std::vector<float> rows_;
  std::string model_ = kNet;
  std::string parameters_ = formats::encode(
      {.document = "{}", .tensors = {numbers({kParameters}, std::vector<float>(kParameters, 0))}});
  std::string sent_;  // every byte of every request
  std::vector<std::string> uploads_;
  int refusals_ = 0, breaks_ = 0;
  json evaluation_;
};

TEST_F(Device, SendsHowTheModelChangedAndNoRow) {
  ASSERT_TRUE(work());
  const auto update = sent_update();
  EXPECT_GT(federated::length_of(update.delta), 0.1);
  EXPECT_GT(update.examples, 30);
  for (size_t row = 0; row < kRows; ++row) {
    const std::string_view bytes(reinterpret_cast<const char*>(&rows_[row * 4]), 8);
    EXPECT_EQ(sent_.find(bytes), std::string::npos) << row;
  }
  EXPECT_TRUE(std::filesystem::is_empty(path("learn/updates")));
}

TEST_F(Device, AServerThatAsksForNoLimitGetsNoneTheLongerUpdate) {
  task_.local.clip = 0;
  ASSERT_TRUE(work({.longest_update = 0.05, .tells_counts = false}));
  EXPECT_LE(federated::length_of(sent_update().delta), 0.05);
  EXPECT_EQ(sent_update().examples, 1);
  EXPECT_EQ(sent_update().loss, 0);
}

TEST_F(Device, WhatWasTrainedIsSentAgainAndNotTrainedAgain) {
  breaks_ = 1;
  EXPECT_FALSE(work());
  EXPECT_EQ(uploads_.size(), 0u);
  // Another process, later: the rows are gone, the update is not.
  std::filesystem::remove(path("rows.npy"));
  EXPECT_TRUE(work());
  sent_update();
  EXPECT_EQ(refusals_, 0);
}

// In one step from noughts the device moves by -rate·(g - c_i + c), and what its variate becomes is
// g, whatever c was: in the next attempt nothing is left of its own gradient, and of c all.
TEST_F(Device, CorrectsItsStepsByControlVariatesThatSurviveKills) {
  task_.local = {.epochs = 1, .batch = kRows, .rate = 0.5};
  const auto work_on_all = [&] {
    ClientOptions options = options_of({});
    options.validation = 0;
    return work_with(std::move(options));
  };
  ASSERT_TRUE(work_on_all());
  const federated::Vector plain = sent_update().delta;  // -rate·g
  uploads_.clear();
  task_.local.scaffold = true;
  std::vector<float> numbers_given(2 * kParameters, 0);
  for (size_t i = 0; i < kParameters; ++i) {
    numbers_given[kParameters + i] = 0.01F * static_cast<float>(i);
  }
  parameters_ =
      formats::encode({.document = "{}", .tensors = {numbers({2 * kParameters}, numbers_given)}});
  const auto sent = [&] {
    EXPECT_EQ(uploads_.size(), 1u);
    auto update = federated::decode_update(uploads_.empty() ? "" : uploads_[0], 2 * kParameters);
    EXPECT_TRUE(update);
    uploads_.clear();
    return update ? update->delta : federated::Vector(2 * kParameters, 0);
  };
  task_.attempt = 2;
  breaks_ = 1;
  EXPECT_FALSE(work_on_all());
  ASSERT_TRUE(work_on_all());  // another process
  federated::Vector delta = sent();
  for (size_t i = 0; i < kParameters; ++i) {
    const float c = numbers_given[kParameters + i];
    EXPECT_NEAR(delta[i], plain[i] - 0.5F * c, 1e-5) << i;
    EXPECT_NEAR(delta[kParameters + i], -plain[i] / 0.5F, 1e-5) << i;
  }
  task_.attempt = 3;
  ASSERT_TRUE(work_on_all());
  delta = sent();
  for (size_t i = 0; i < kParameters; ++i) {
    const float c = numbers_given[kParameters + i];
    EXPECT_NEAR(delta[i], -0.5F * c, 1e-5) << i;
    EXPECT_NEAR(delta[kParameters + i], 0, 1e-5) << i;
  }
}

TEST_F(Device, AnUpdateOfBeforeThePolicyIsNotSent) {
  breaks_ = 1;
  EXPECT_FALSE(work());
  EXPECT_TRUE(work({.longest_update = 0.01}));
  EXPECT_EQ(uploads_.size(), 0u);
  EXPECT_EQ(refusals_, 1);
}

TEST_F(Device, WhatTheServerMakesUpIsRefused) {
  const std::string good = model_;
  const auto refuses = [&](const char* what) {
    refusals_ = 0;
    std::filesystem::remove_all(path("learn"));
    EXPECT_TRUE(work()) << what;
    EXPECT_EQ(refusals_, 1) << what;
    EXPECT_TRUE(uploads_.empty()) << what;
  };
  model_ = kNet;
  model_[model_.find("net")] = 'N';
  refuses("another model");
  model_ = std::string(kNet.size() + 1, ' ');
  refuses("a longer model");
  model_ = good;
  task_.parameters = 7;
  refuses("other parameters than it says");
  parameters_ =
      formats::encode({.document = "{}", .tensors = {numbers({7}, {1, 2, 3, 4, 5, 6, 7})}});
  refuses("another number than the model has");
  parameters_ = "nonsense";
  refuses("no parameters");
  task_.parameters = kParameters;
  task_.data = "secrets";
  refuses("rows of another name");
  task_.data = "parts";
  model_ = "nonsense";
  task_.model_sha256 = hex_encode(sha256(model_));
  task_.model_bytes = model_.size();
  refuses("no model");
}

TEST_F(Device, ParametersThatAreNoNumbersTrainNothing) {
  parameters_ = formats::encode(
      {.document = "{}",
       .tensors = {numbers({kParameters}, std::vector<float>(kParameters, std::nanf("")))}});
  EXPECT_TRUE(work());
  EXPECT_TRUE(uploads_.empty());
  EXPECT_EQ(refusals_, 1);
}

TEST_F(Device, TriesAModelOnRowsThatItDoesNotTrainOn) {
  task_.kind = Task::Kind::kEvaluate;
  ASSERT_TRUE(work());
  ASSERT_TRUE(evaluation_.contains("rows"));
  EXPECT_GT(evaluation_["rows"].get<double>(), 2);
  EXPECT_LT(evaluation_["rows"].get<double>(), 30);
  EXPECT_TRUE(uploads_.empty());
}

TEST_F(Device, TellsNoCountsWhenItTriesAModelEither) {
  task_.kind = Task::Kind::kEvaluate;
  ASSERT_TRUE(work({.tells_counts = false}));
  EXPECT_EQ(evaluation_["rows"], 1);
  EXPECT_EQ(evaluation_["loss"], 0);
}

}  // namespace
}  // namespace skerry::learner
