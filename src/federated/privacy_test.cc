// The accountant against published values; clipping; noise.
#include "federated/privacy.h"

#include <gtest/gtest.h>

#include <cmath>

namespace skerry::federated {
namespace {

struct Known {
  double share, multiplier, rounds, delta, epsilon, tolerance;
  Conversion conversion;
};

// Of TensorFlow Privacy, its tutorial, and Opacus.
TEST(Accountants, SayWhatOthersSay) {
  const Known kKnown[] = {
      {0.04, 1.5, 2250, 1e-5, 7.32911117143, 1e-9, Conversion::kImproved},
      {150.0 / 60000, 1.3, 6000, 1e-5, 0.7242234026, 1e-9, Conversion::kImproved},
      {0.001, 1, 30000, 1e-7, 1.4154988495, 1e-9, Conversion::kImproved},
      {256.0 / 60000, 1.1, 14062, 1e-5, 3.01, 5e-3, Conversion::kClassic},
  };
  for (const Known& one : kKnown) {
    Accountant accountant;
    accountant.add(one.share, one.multiplier, one.rounds);
    EXPECT_NEAR(accountant.epsilon(one.delta, one.conversion), one.epsilon, one.tolerance)
        << one.share;
  }
}

TEST(Accountants, AddUpAndKnowTheEnds) {
  Accountant once;
  once.add(0.1, 1.2, 20);
  Accountant often;
  for (int i = 0; i < 20; ++i) often.add(0.1, 1.2);
  EXPECT_NEAR(once.epsilon(1e-5), often.epsilon(1e-5), 1e-12);
  EXPECT_EQ(Accountant().epsilon(1e-5), 0);
  Accountant bare;
  bare.add(0.1, 0);
  EXPECT_TRUE(std::isinf(bare.epsilon(1e-5)));
  // Everybody takes part: the Gaussian mechanism itself, α/2σ².
  Accountant all;
  all.add(1, 2);
  EXPECT_NEAR(all.spent()[9], 2 / (2 * 4.0), 1e-12);  // of order 2
  Accountant restored;
  restored.restore(once.spent());
  EXPECT_EQ(restored.epsilon(1e-5), once.epsilon(1e-5));
}

// As TensorFlow Federated's adaptive_clip_noise_params() has it, and the sum of both divergences.
TEST(Accountants, KnowWhatACountBesideAVectorCosts) {
  EXPECT_NEAR(multiplier_beside_count(1, 5), 1.0050378, 1e-6);
  EXPECT_NEAR(multiplier_beside_count(1.2, 0.8), 1.8142295, 1e-6);
  EXPECT_EQ(multiplier_beside_count(0, 1), 0);
  EXPECT_TRUE(std::isinf(multiplier_beside_count(2, 1)));
  Accountant together, alone;
  together.add(1, multiplier_beside_count(1.1, 2));
  together.add(1, 2 * 2);  // halves: a device moves the count by 1/2
  alone.add(1, 1.1);
  EXPECT_NEAR(together.epsilon(1e-5), alone.epsilon(1e-5), 1e-9);
}

TEST(Clipping, ShortensWhatIsTooLongAndNothingElse) {
  Vector vector = {3, 4};
  EXPECT_DOUBLE_EQ(clip(vector, 1), 5);
  EXPECT_LE(length_of(vector), 1);
  EXPECT_NEAR(vector[0] / vector[1], 0.75, 1e-6);
  Vector small = {0.3F, 0.4F};
  clip(small, 1);
  EXPECT_EQ(small, (Vector{0.3F, 0.4F}));
  clip(small, 0);
  EXPECT_EQ(small, (Vector{0.3F, 0.4F}));
}

TEST(Noise, HasTheDeviationThatWasAskedFor) {
  Vector vector(20000, 1);
  io::SeededRandom random(1);
  add_noise(vector, 0.5, random);
  double sum = 0;
  double squares = 0;
  for (const float value : vector) {
    sum += static_cast<double>(value);
    squares += (static_cast<double>(value) - 1) * (static_cast<double>(value) - 1);
  }
  EXPECT_NEAR(sum / 20000, 1, 0.02);
  EXPECT_NEAR(std::sqrt(squares / 20000), 0.5, 0.02);
}

}  // namespace
}  // namespace skerry::federated
