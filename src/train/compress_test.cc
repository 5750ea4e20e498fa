// Quantisation-aware training and pruning with training between, on stock ONNX Runtime.
#include "train/compress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "graph/executor.h"
#include "graph/onnx/export.h"
#include "graph/statistics.h"
#include "graph/text.h"
#include "io/test_directory.h"
#include "optimise/pass.h"
#include "optimise/quantise/static_quantise.h"
#include "tensor/npy.h"
#include "test_paths.h"
#include "train/adapt.h"
#include "train/draw.h"
#include "train/qat.h"

namespace skerry::train {
namespace {

using testing::HasSubstr;

class Compressing : public testing::Test {
 protected:
  Compressing() {
    graph_ = std::make_unique<Graph>();
    graph::Value& x = graph_->add_input(
        "x", {DataType::kFp32,
              graph::Shape{graph::Dim::named("n"), graph::Dim(1), graph::Dim(8), graph::Dim(8)}});
    const auto zeros = [&](const char* name, const Sizes& shape) {
      size_t count = 1;
      for (const int64_t size : shape) count *= static_cast<size_t>(size);
      return &graph_->add_constant(
          name, Constant::of(DataType::kFp32, shape, std::vector<float>(count, 0.1F)));
    };
    Builder make(*graph_);
    Value* value = make.op("Conv", {&x, zeros("w1", {16, 1, 3, 3}), zeros("b1", {16})},
                           {{"pads", Sizes{1, 1, 1, 1}}}, "conv1");
    value = make.op("Relu", {value});
    value = make.op("MaxPool", {value}, {{"kernel_shape", Sizes{2, 2}}, {"strides", Sizes{2, 2}}});
    value = make.op("Conv", {value, zeros("w2", {16, 16, 3, 3}), zeros("b2", {16})},
                    {{"pads", Sizes{1, 1, 1, 1}}}, "conv2");
    value = make.op("Relu", {value});
    value = make.op("Flatten", {value});
    value = make.op("Gemm", {value, zeros("w3", {256, 4}), zeros("b3", {4})}, {}, "head");
    graph_->add_output(*value);
    reinitialise(*graph_, 1);
    options_.engine = {"onnxruntime", SKERRY_CACHE_DIR "/onnxruntime/lib/libonnxruntime.so"};
    options_.epochs = 6;
    options_.step.batch = 16;
    options_.step.optimiser.rate = 3e-3;
    options_.validation = 0.25;
    options_.directory = folder_.path("base");
    std::filesystem::create_directories(options_.directory);
  }

  // Which quarter of the image is brighter.
  optimise::Dataset data() {
    Draw draw(3);
    std::vector<float> pixels;
    std::vector<int64_t> labels;
    for (int row = 0; row < 240; ++row) {
      const auto label = static_cast<int64_t>(draw.below(4));
      for (int y = 0; y < 8; ++y) {
        for (int x = 0; x < 8; ++x) {
          const bool bright = (y >= 4) == (label >= 2) && (x >= 4) == (label % 2 == 1);
          pixels.push_back(static_cast<float>(0.7 * draw.normal() + (bright ? 0.8 : 0)));
        }
      }
      labels.push_back(label);
    }
    io::RealFiles files;
    const auto images = Constant::of(DataType::kFp32, {240, 1, 8, 8}, pixels);
    const auto classes = Constant::of(DataType::kInt64, {240}, labels);
    EXPECT_TRUE(
        io::write_file_atomic(files, folder_.path("x.npy"), *tensor::to_npy(images.view())));
    EXPECT_TRUE(
        io::write_file_atomic(files, folder_.path("y.npy"), *tensor::to_npy(classes.view())));
    auto read = optimise::Dataset::read(*graph_, folder_.path("x.npy"), folder_.path("y.npy"), {});
    EXPECT_TRUE(read) << read.error().message();
    return std::move(*read);
  }

  std::unique_ptr<Graph> trained() {
    auto result = fit(*graph_, data(), options_, files_);
    EXPECT_TRUE(result) << result.error().message();
    EXPECT_GT(result->history[result->best].validation_accuracy, 0.85);
    return std::move(result->model);
  }

  Result<FitResult> run(const Graph& model, const Compression& how) {
    options_.directory = folder_.path("part");
    std::filesystem::create_directories(options_.directory);
    return compress(model, data(), how, options_, files_);
  }

  double accuracy(const Graph& model) {
    const auto rows = data();
    graph::Executor executor(model);
    size_t right = 0;
    for (size_t row = 0; row < 60; ++row) {
      const auto sample = rows.sample(row);
      const auto outputs = executor.run(tensor::views_of(*sample));
      EXPECT_TRUE(outputs) << outputs.error().message();
      const auto scores = graph::Array::from((*outputs)[0].view()).to_doubles();
      right += std::ranges::max_element(scores) - scores.begin() == rows.label(row) ? 1 : 0;
    }
    return static_cast<double>(right) / 60;
  }

  static size_t count(const Graph& graph, Op op) {
    size_t found = 0;
    for (const auto& node : graph.nodes()) found += node->op() == op ? 1 : 0;
    return found;
  }

  io::ScratchDirectory folder_;
  io::RealFiles files_;
  std::unique_ptr<Graph> graph_;
  FitOptions options_;
};

// What is trained rounds as the integers do: the same answers before any step, and after.
TEST_F(Compressing, TheTrainableModelComputesWhatTheIntegersDo) {
  const auto model = trained();
  ASSERT_TRUE(optimise::run_passes(*model));
  const auto rows = data();
  std::vector<optimise::Sample> samples;
  for (size_t i = 0; i < 32; ++i) samples.push_back(*rows.sample(i));
  const auto calibration = optimise::calibrate(*model, samples);
  ASSERT_TRUE(calibration);
  const auto integers = model->clone();
  ASSERT_EQ(*optimise::quantise_static(*integers, *calibration, {.correct_bias = false}), 3u);
  const auto floats = trainable(*integers, *model);
  ASSERT_TRUE(floats) << floats.error().message();
  const auto back = quantised_again(*integers, **floats);
  ASSERT_TRUE(back) << back.error().message();
  graph::Executor one(*integers);
  graph::Executor two(**floats);
  graph::Executor three(**back);
  for (size_t i = 0; i < 32; ++i) {
    const auto inputs = tensor::views_of(samples[i]);
    const auto a = graph::Array::from((*one.run(inputs))[0].view()).to_doubles();
    const auto b = graph::Array::from((*two.run(inputs))[0].view()).to_doubles();
    const auto c = graph::Array::from((*three.run(inputs))[0].view()).to_doubles();
    for (size_t k = 0; k < a.size(); ++k) {
      EXPECT_NEAR(a[k], b[k], 0.05) << i;
      EXPECT_NEAR(a[k], c[k], 0.05) << i;
    }
  }
}

TEST_F(Compressing, QuantisationAwareTrainingGivesIntegersThatAreRight) {
  const auto model = trained();
  options_.step.optimiser.rate = 5e-4;
  options_.epochs = 2;
  const auto result = run(*model, {.integers = true, .calibration_rows = 32});
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_GT(count(*result->model, "QuantizeLinear"), 2u);
  EXPECT_EQ(count(*result->model, "Round"), 0u);
  EXPECT_GE(accuracy(*result->model), accuracy(*model) - 0.05);
  // Weights are integers, and a bias's scale is that of input times weights, or nothing fuses.
  for (const auto& node : result->model->nodes()) {
    if (node->op() != "Conv") continue;
    const Node& input = *node->input(0)->producer();
    const Node& weights = *node->input(1)->producer();
    const Node& bias = *node->input(2)->producer();
    EXPECT_EQ(weights.input(0)->constant()->type(), DataType::kInt8);
    const auto scales = weights.input(1)->constant()->as<float>();
    const float of_input = input.input(1)->constant()->as<float>()[0];
    for (size_t i = 0; i < scales.size(); ++i) {
      EXPECT_EQ(bias.input(1)->constant()->as<float>()[i], scales[i] * of_input);
    }
  }
}

TEST_F(Compressing, PrunedChannelsAreGoneAndItStillAnswers) {
  const auto model = trained();
  const auto result = run(*model, {.channels = 0.5, .rounds = 2, .calibration_rows = 16});
  ASSERT_TRUE(result) << result.error().message();
  const int64_t before = graph::statistics_of(*model).parameters;
  EXPECT_LT(graph::statistics_of(*result->model).parameters, before * 6 / 10);
  EXPECT_GE(accuracy(*result->model), accuracy(*model) - 0.1);
}

TEST_F(Compressing, PrunedWeightsStayZeroWhileTheOthersLearn) {
  const auto model = trained();
  const auto result = run(*model, {.weights = 0.8, .rounds = 3, .calibration_rows = 1});
  ASSERT_TRUE(result) << result.error().message();
  size_t layers = 0;
  for (const auto& node : result->model->nodes()) {
    if (node->op() != "Conv" && node->op() != "Gemm") continue;
    ++layers;
    const auto values = node->input(1)->constant()->as<float>();
    const auto zeros = static_cast<double>(std::ranges::count(values, 0.0F));
    EXPECT_NEAR(zeros / static_cast<double>(values.size()), 0.8, 0.02) << node->describe();
  }
  EXPECT_EQ(layers, 3u);
  EXPECT_GE(accuracy(*result->model), accuracy(*model) - 0.1);
}

TEST_F(Compressing, RefusesWhatHasNothingToCompress) {
  const auto none = run(*graph_, {.channels = 1.5});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message(), HasSubstr("not in [0, 1)"));
  auto line = graph::parse_text(
      "graph \"g\" {\n input %x: FP32[n,1,8,8]\n const %s = INT64[2] {-1, 64}\n %f = Reshape(%x, "
      "%s)\n"
      " %y = Softmax(%f)\n return %y\n}\n");
  ASSERT_TRUE(line) << line.error().message();
  const auto bare = run(**line, {.integers = true, .calibration_rows = 4});
  ASSERT_FALSE(bare);
  EXPECT_THAT(bare.error().message(), HasSubstr("no layer of this model"));
}

}  // namespace
}  // namespace skerry::train
