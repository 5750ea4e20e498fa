// Rounding where it shows: what LiteRT's reference kernels gave for these numbers. Many more are
// compared with LiteRT itself in tests/models/tflite_test.py.
#include <gtest/gtest.h>

#include <cmath>

#include "graph/executor.h"
#include "graph/ops/fixed_point.h"
#include "graph/text.h"

namespace skerry::graph::ops {
namespace {

std::vector<int64_t> run(const std::string& body) {
  const auto graph = parse_text("graph \"one\" {\n" + body + "  return %y\n}\n");
  if (!graph) {
    ADD_FAILURE() << graph.error().message();
    return {};
  }
  const auto outputs = Executor(**graph).run({});
  if (!outputs) {
    ADD_FAILURE() << outputs.error().message();
    return {};
  }
  return Array::from((*outputs)[0].view()).to_ints();
}

const std::string kHalves =
    "  const %half = FP32[] {0.5}\n  const %one = FP32[] {1}\n  const %z = INT8[] {0}\n";

TEST(QLinear, ConvolutionsRoundTwice) {
  const std::string conv = kHalves +
                           "  const %x = INT8[1,1,1,1] {1}\n"
                           "  const %w = INT8[5,1,1,1] {1, 3, -1, -3, 5}\n"
                           "  %y = QLinearConv(%x, %half, %z, %w, %one, %z, %one, %z)";
  EXPECT_EQ(run(conv + " {rounding=\"litert\"}\n"), (std::vector<int64_t>{1, 2, 0, -1, 3}));
  EXPECT_EQ(run(conv + "\n"), (std::vector<int64_t>{0, 2, 0, -2, 2}));  // ties to even
}

TEST(QLinear, FullyConnectedLayersRoundOnceAwayFromZero) {
  const std::string gemm = kHalves +
                           "  const %x = INT8[1,1] {1}\n"
                           "  const %w = INT8[5,1] {1, 3, -1, -3, 5}\n"
                           "  %y = QGemm(%x, %half, %z, %w, %one, %z, _, %one, %z) {transB=1";
  EXPECT_EQ(run(gemm + ", rounding=\"litert\"}\n"), (std::vector<int64_t>{1, 2, -1, -2, 3}));
  EXPECT_EQ(run(gemm + "}\n"), (std::vector<int64_t>{0, 2, 0, -2, 2}));
}

TEST(QLinear, AdditionHasTwentyBitsOfHeadroom) {
  EXPECT_EQ(run("  const %a = INT8[6] {1, -1, 100, -128, 7, 3}\n"
                "  const %b = INT8[6] {2, 0, 127, -128, 4, -6}\n"
                "  const %s = FP32[] {0.5}\n  const %t = FP32[] {0.25}\n"
                "  const %z = INT8[] {0}\n  const %o = INT8[] {1}\n  const %m = INT8[] {-3}\n"
                "  %y = QLinearAdd(%a, %s, %z, %b, %t, %o, %s, %m) {rounding=\"litert\"}\n"),
            (std::vector<int64_t>{-1, -5, 127, -128, 6, -4}));
}

TEST(QLinear, AveragesRoundAwayFromZero) {
  EXPECT_EQ(run("  const %x = INT8[1,3,1,2] {1, 2, -1, -2, 3, 4}\n"
                "  const %s = FP32[] {0.5}\n  const %z = INT8[] {7}\n"
                "  %y = QLinearAveragePool(%x, %s, %z, %s, %z) {kernel_shape=[1, 2], "
                "rounding=\"litert\"}\n"),
            (std::vector<int64_t>{2, -2, 4}));
}

TEST(QLinear, SoftmaxIsFixedPoint) {
  EXPECT_EQ(run("  const %x = INT8[1,8] {40, 101, 56, 43, 110, 43, -108, 78}\n"
                "  const %s = FP32[] {0.1447}\n  const %z = INT8[] {14}\n"
                "  const %t = FP32[] {0.00390625}\n  const %m = INT8[] {-128}\n"
                "  %y = QLinearSoftmax(%x, %s, %z, %t, %m) {opset=13, rounding=\"litert\"}\n"),
            (std::vector<int64_t>{-128, -74, -128, -128, 72, -128, -128, -126}));
}

TEST(QLinear, NoMultiplierIsUndefined) {
  for (const double real : {0.0, -1.0, 1e-30, 1e30, 1e300, std::nan(""), HUGE_VAL, 1.0, 0.5}) {
    const auto factor = FixedMultiplier::of(real);
    for (const int32_t value : {0, 1, -1, INT32_MAX, INT32_MIN}) {
      (void)factor.times(value);
      (void)factor.times_once(value);
      (void)factor.times_wide(value);
    }
  }
  EXPECT_EQ(FixedMultiplier::of(1).times(77), 77);
  EXPECT_EQ(high_product(INT32_MIN, INT32_MIN), INT32_MAX);
}

}  // namespace
}  // namespace skerry::graph::ops
