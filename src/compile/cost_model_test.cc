// Counts that were made by hand.
#include "compile/cost_model.h"

#include <gtest/gtest.h>

namespace skerry::compile {
namespace {

// 5 rows of 7 pixels, 3×3 windows over 4 channels to 24.
const LayerSizes kLayer{
    .rows = 5, .width = 7, .channels = 24, .inputs = 4, .taps_h = 3, .taps_w = 3};

TEST(CostModel, CountsWhatATileDoes) {
  const Target& target = **find_target("x86-64-v3");
  // Three vectors of eight channels in tiles of two and one; seven pixels in tiles of 4 and 3.
  const auto work = work_of(target, kLayer, {"rows", {8, 2, 4, 0}});
  ASSERT_TRUE(work);
  const double steps = 3 * 3 * 4;
  EXPECT_EQ((*work)[0], 5 * steps * 7 * 3);
  EXPECT_EQ((*work)[1], 5 * steps * 2 * 3);
  EXPECT_EQ((*work)[2], 5 * steps * 7 * 2);
  // Tiles of 8 and 6 sums once, of 4 and 3 with two chains.
  EXPECT_EQ((*work)[3], 5 * (8 + 6 + 2 * 4 + 2 * 3));
  EXPECT_EQ((*work)[4], 5 * 4);
  // The six, eight with two chains, and six of which two are always missing.
  EXPECT_EQ((*work)[5], 5 * steps * (2.0 / 8 + 2.0 / 8 / 2));
  // Chains of whole tiles alone.
  const auto chained = work_of(target, kLayer, {"rows", {8, 2, 4, 2}});
  EXPECT_EQ((*chained)[3], 5 * (16 + 6 + 2 * 4 + 2 * 3));
}

TEST(CostModel, BytesGoByFour) {
  const Target& target = **find_target("x86-64-v4-vnni");
  LayerSizes bytes = kLayer;
  bytes.of_bytes = true;
  bytes.inputs = 5;
  EXPECT_EQ((*work_of(target, bytes, {"rows", {8, 1, 7, 0}}))[0], 5 * 3 * 4 * 7 * 3);  // 15 bytes
  EXPECT_EQ((*work_of(target, bytes, {"taps", {8, 1, 7, 0}}))[0], 5 * 9 * 2 * 7 * 3);  // 5 bytes
}

TEST(CostModel, KnowsEveryTargetAndSaysWhatItDoesNotCount) {
  for (const Target& target : targets()) {
    const auto cycles = expected_cycles(target, kLayer, {"rows", {4, 2, 4, 0}});
    ASSERT_TRUE(cycles) << target.name;
    // More room for sums is not more work.
    EXPECT_LT(*cycles, *expected_cycles(target, kLayer, {"rows", {4, 1, 1, 1}})) << target.name;
    EXPECT_GT(*expected_cycles(target, kLayer, {"winograd", {1, 4}}), 0) << target.name;
  }
  EXPECT_FALSE(expected_cycles(targets()[0], kLayer, {"depthwise", {8}}));
  EXPECT_TRUE(expected_of(targets()[0], {.layer = "a", .ways = {{"depthwise", {8}}}}).empty());
  const auto expected = expected_of(
      targets()[0],
      {.layer = "a", .ways = {{"rows", {4, 1, 1, 0}}, {"sparse", {1, 1}}}, .sizes = kLayer});
  EXPECT_EQ(expected[0], expected[1]);
}

}  // namespace
}  // namespace skerry::compile
