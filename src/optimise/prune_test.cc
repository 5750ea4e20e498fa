// Pruning: what goes together, that shapes shrink, that channels which do nothing cost nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "graph/executor.h"
#include "graph/statistics.h"
#include "graph/text.h"
#include "graph/verify.h"
#include "optimise/prune/prune.h"
#include "optimise/quantise/sensitivity.h"
#include "optimise/rewrite.h"

namespace skerry::optimise {
namespace {

// A convolution, a depthwise one, a residual, a pool, a matrix. `useful`: how many of the eight
// channels of the residual have weights behind them.
std::unique_ptr<Graph> network(size_t useful) {
  auto parsed = graph::parse_text(R"(graph "net" {
  input %x: FP32[1,2,4,4]
  const %w1 = FP32[8,2,1,1] {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7}
  const %b1 = FP32[8] {1,2,3,4,5,6,7,8}
  const %w2 = FP32[8,1,1,1] {1,2,3,4,5,6,7,8}
  const %w3 = FP32[3,8] {1,1,1,1,1,1,1,1,2,2,2,2,2,2,2,2,3,3,3,3,3,3,3,3}
  %a = Conv(%x, %w1, %b1) "first"
  %r = Relu(%a)
  %d = Conv(%r, %w2) {group=8} "depthwise"
  %s = Add(%d, %r)
  %p = GlobalAveragePool(%s)
  %f = Flatten(%p)
  %y = Gemm(%f, %w3) {transB=1} "head"
  return %y
})");
  EXPECT_TRUE(parsed) << parsed.error().message();
  Node& head = *(*parsed)->find("y")->producer();
  std::vector<float> weights(24);
  for (size_t i = 0; i < 24; ++i) {
    const size_t row = i / 8;
    weights[i] = i % 8 < useful ? static_cast<float>(row + 1) : 0;
  }
  head.set_input(1, &(*parsed)->add_constant("w4", Constant::of(DataType::kFp32, {3, 8}, weights)));
  sweep(**parsed);
  return std::move(*parsed);
}

std::vector<Sample> samples(size_t count) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<Sample> made;
  for (size_t i = 0; i < count; ++i) {
    tensor::Tensor x{.name = "x", .type = DataType::kFp32, .shape = {1, 2, 4, 4}};
    x.bytes.resize(32 * sizeof(float));
    for (size_t k = 0; k < 32; ++k) {
      const float value = normal(random);
      std::memcpy(&x.bytes[k * 4], &value, 4);
    }
    made.push_back({std::move(x)});
  }
  return made;
}

double error_between(const Graph& a, const Graph& b, const std::vector<Sample>& data) {
  double worst = 0;
  for (const Sample& sample : data) {
    const auto x = graph::Executor(a).run(tensor::views_of(sample));
    const auto y = graph::Executor(b).run(tensor::views_of(sample));
    EXPECT_TRUE(x && y);
    if (x && y) worst = std::max(worst, relative_error(*x, *y));
  }
  return worst;
}

TEST(PruneChannels, WhatNothingReadsCostsNothing) {
  const auto graph = network(4);
  const auto before = graph->clone();
  const auto report = prune_channels(*graph, {.share = 0.5, .multiple_of = 4});
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->groups, 1u);  // all of it meets in the sum
  EXPECT_EQ(report->channels, 8u);
  EXPECT_EQ(report->removed, 4u);
  ASSERT_TRUE(verify(*graph));
  const auto shape_of = [&](const char* node, size_t input) {
    for (const auto& one : graph->nodes()) {
      if (one->name() == node) return one->input(input)->constant()->shape();
    }
    return std::vector<int64_t>();
  };
  EXPECT_EQ(shape_of("first", 1), (std::vector<int64_t>{4, 2, 1, 1}));
  EXPECT_EQ(shape_of("first", 2), (std::vector<int64_t>{4}));
  EXPECT_EQ(shape_of("depthwise", 1), (std::vector<int64_t>{4, 1, 1, 1}));
  EXPECT_EQ(shape_of("head", 1), (std::vector<int64_t>{3, 4}));
  EXPECT_LT(statistics_of(*graph).macs, statistics_of(*before).macs * 6 / 10);
  EXPECT_LT(error_between(*before, *graph, samples(4)), 1e-6);
}

// The mean of what goes is in the biases behind, so that less is lost.
TEST(PruneChannels, KeepsTheMean) {
  const auto data = samples(32);
  const auto graph = network(8);
  const auto calibration = calibrate(*graph, data);
  ASSERT_TRUE(calibration);
  const auto blind = graph->clone();
  const auto seeing = graph->clone();
  ASSERT_EQ(prune_channels(*blind, {.share = 0.5})->removed, 4u);
  ASSERT_EQ(prune_channels(*seeing, {.share = 0.5}, &*calibration)->removed, 4u);
  ASSERT_TRUE(verify(*seeing));
  EXPECT_LT(error_between(*graph, *seeing, data), error_between(*graph, *blind, data) / 2);
}

TEST(PruneChannels, OutputsAndWhatIsNotKnownStay) {
  auto parsed = graph::parse_text(R"(graph "kept" {
  input %x: FP32[1,2,4,4]
  const %w = FP32[4,2,1,1] {1,2,3,4,5,6,7,8}
  const %v = FP32[4,4,1,1] {1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}
  %a = Conv(%x, %w) "a"
  %c = Concat(%a, %a) {axis=2}
  %b = Conv(%c, %v) "b"
  return %b
})");
  ASSERT_TRUE(parsed) << parsed.error().message();
  const std::string before = to_text(**parsed);
  const auto report = prune_channels(**parsed, {.share = 0.9, .multiple_of = 1});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->channels, 0u);
  EXPECT_EQ(to_text(**parsed), before);
  EXPECT_FALSE(prune_channels(**parsed, {.share = 1}));
}

TEST(PruneWeights, InEveryPattern) {
  const auto zeros = [](const Graph& graph) {
    const Constant& w = *graph.find("y")->producer()->input(1)->constant();
    return std::ranges::count(w.as<float>(), 0.0F);
  };
  const auto make = [] {
    auto parsed = graph::parse_text(R"(graph "matrix" {
  input %x: FP32[1,8]
  const %w = FP32[2,8] {1,8,2,7,3,6,4,5,5,4,6,3,7,2,8,1}
  %y = Gemm(%x, %w) {transB=1}
  return %y
})");
    EXPECT_TRUE(parsed);
    return std::move(*parsed);
  };
  auto graph = make();
  EXPECT_EQ(*prune_weights(*graph, SparsePattern::kTwoOfFour), 8u);
  const auto w = graph->find("y")->producer()->input(1)->constant()->as<float>();
  EXPECT_EQ(std::vector<float>(w.begin(), w.end()),
            (std::vector<float>{0, 8, 0, 7, 0, 6, 0, 5, 5, 0, 6, 0, 7, 0, 8, 0}));
  graph = make();
  EXPECT_EQ(*prune_weights(*graph, SparsePattern::kUnstructured, 0.25), 4u);
  EXPECT_EQ(zeros(*graph), 4);
  graph = make();
  EXPECT_EQ(*prune_weights(*graph, SparsePattern::kBlocks, 0.5), 8u);
  EXPECT_EQ(zeros(*graph), 8);
  EXPECT_FALSE(prune_weights(*graph, SparsePattern::kBlocks, 1.5));
}

}  // namespace
}  // namespace skerry::optimise
