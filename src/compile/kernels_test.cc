// The functions of kernels/math.h against libm's in double. The other kernels are held by whole
// models, on every target (compile_test.cc).
#include "compile/kernels/math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace skerry::compile {
namespace {

namespace kernels = skerry_kernels;

// In units of the last place of `want`.
double ulps(float got, double want) {
  const auto nearest = std::abs(static_cast<float>(want));
  const float next = std::nextafter(nearest, std::numeric_limits<float>::infinity());
  return std::abs(static_cast<double>(got) - want) / static_cast<double>(next - nearest);
}

// Numbers of all magnitudes from `low` to `high`.
template <class F>
void for_all(float low, float high, F&& f) {
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 9973) {
    const auto pattern = static_cast<uint32_t>(bits);
    float x;
    std::memcpy(&x, &pattern, sizeof x);
    if (x >= low && x <= high) f(x);
  }
}

TEST(KernelMath, ErrorsAreThoseThatAreStated) {
  for_all(-87.3f, 88.7f, [](float x) {
    ASSERT_LE(ulps(kernels::exp_of(x), std::exp(static_cast<double>(x))), 1) << x;
  });
  for_all(-1e30f, 1e30f, [](float x) {
    ASSERT_LE(ulps(kernels::tanh_of(x), std::tanh(static_cast<double>(x))), 4) << x;
    ASSERT_LE(std::abs(kernels::erf_of(x) - std::erf(static_cast<double>(x))), 7e-7) << x;
  });
  for_all(-80, 80, [](float x) {
    ASSERT_LE(ulps(kernels::sigmoid_of(x), 1 / (1 + std::exp(-static_cast<double>(x)))), 4) << x;
  });
}

TEST(KernelMath, LogarithmsAndRounding) {
  for_all(0, 3e38f, [](float x) {
    const double want = std::log(static_cast<double>(x));
    if (x == 0) return;
    ASSERT_LE(std::abs(kernels::log_of(x) - want), 1.5e-7 * std::max(std::abs(want), 0.5)) << x;
  });
  EXPECT_EQ(kernels::log_of(0), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(kernels::log_of(-1)));
  EXPECT_TRUE(std::isnan(kernels::log_of(std::nanf(""))));
  EXPECT_EQ(kernels::log_of(1e-45f), std::log(1e-45f));
  for_all(-1e30f, 1e30f, [](float x) {
    ASSERT_EQ(kernels::round_of(x), std::nearbyint(x)) << x;
    ASSERT_EQ(kernels::floor_of(x), std::floor(x)) << x;
    ASSERT_EQ(kernels::ceil_of(x), std::ceil(x)) << x;
  });
  EXPECT_NEAR(kernels::softplus_of(20), std::log1p(std::exp(20.0)), 1e-5);
  EXPECT_NEAR(kernels::softplus_of(-20), std::log1p(std::exp(-20.0)), 1e-8);
}

TEST(KernelMath, EndsAreWhatTheyShouldBe) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(kernels::exp_of(-infinity), 0);
  EXPECT_EQ(kernels::exp_of(infinity), infinity);
  EXPECT_TRUE(std::isnan(kernels::exp_of(std::nanf(""))));
  EXPECT_EQ(kernels::tanh_of(infinity), 1);
  EXPECT_EQ(kernels::tanh_of(-infinity), -1);
  EXPECT_EQ(kernels::sigmoid_of(-infinity), 0);
  EXPECT_EQ(kernels::erf_of(infinity), 1);
  EXPECT_TRUE(std::isnan(kernels::larger_of(std::nanf(""), 0)));
}

}  // namespace
}  // namespace skerry::compile
