// The search with made-up times: nothing is compiled, and no clock is looked at.
#include "compile/tuner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <random>

namespace skerry::compile {
namespace {

// Ten by eight tiles, whose best is far from the usual one.
LayerSpace tiles(const std::string& name) {
  LayerSpace space{.layer = name, .ways = {{"rows", {16, 4, 6, 0}}}};
  for (int vectors = 1; vectors <= 10; ++vectors) {
    for (int pixels = 1; pixels <= 8; ++pixels) {
      if (vectors != 4 || pixels != 6) space.ways.push_back({"rows", {16, vectors, pixels, 0}});
    }
  }
  return space;
}

// 100 µs for 4x6, 50 for 9x2, in between a slope.
double slope_us(const Way& way) {
  const double far = std::abs(way.sizes[1] - 9) + std::abs(way.sizes[2] - 2);
  return 50 + 50 * far / 9;
}

class MadeUpTimes : public Measurer {
 public:
  using Times = std::function<double(const Way& way, int measurement)>;
  MadeUpTimes(const std::vector<LayerSpace>& layers, Times times)
      : layers_(layers), times_(std::move(times)) {}

  Result<std::vector<std::vector<double>>> measure(
      const std::vector<Assignment>& candidates) override {
    seconds_ += static_cast<double>(candidates.size());
    if (++measurements_ == fails_at) return fail(Code::kUnavailable, "the board is gone");
    seen.insert(seen.end(), candidates.begin(), candidates.end());
    std::vector<std::vector<double>> result;
    for (const Assignment& each : candidates) {
      EXPECT_EQ(each.size(), layers_.size());
      auto& row = result.emplace_back();
      for (size_t i = 0; i < each.size(); ++i) {
        row.push_back(times_(layers_[i].ways.at(each[i]), measurements_));
      }
    }
    return result;
  }
  Result<std::vector<double>> measure_whole(const std::vector<Assignment>& candidates) override {
    std::vector<double> sums;
    SKERRY_ASSIGN(const auto times, measure(candidates));
    for (const auto& each : times) {
      double sum = 0;
      for (const double us : each) sum += us;
      sums.push_back(sum);
    }
    if (whole_is_slower) sums[1] = sums[0] * 1.1;
    return sums;
  }
  double seconds() override { return seconds_; }

  std::vector<Assignment> seen;
  bool whole_is_slower = false;
  int fails_at = 0;

 private:
  const std::vector<LayerSpace>& layers_;
  Times times_;
  double seconds_ = 0;
  int measurements_ = 0;
};

const std::vector<LayerSpace> kLayers = {tiles("a"), tiles("b")};

TEST(Tuner, FindsTheFastestOfAllWaysInTime) {
  MadeUpTimes measurer(kLayers, [](const Way& way, int) { return slope_us(way); });
  const auto result = search(kLayers, measurer, {.seconds = 1000});
  ASSERT_TRUE(result) << result.error().message();
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(kLayers[i].ways[result->layers[i].way].text(), "rows 16x9x2x0");
    EXPECT_EQ(result->layers[i].us, 50);
    EXPECT_EQ(result->layers[i].usual_us, 100);
    EXPECT_EQ(result->layers[i].tried, 79u);
  }
  EXPECT_TRUE(result->is_faster);
  EXPECT_EQ(result->us, 100);
  EXPECT_EQ(result->usual_us, 200);
}

// With a third of the time: what resembles the best so far leads there.
TEST(Tuner, ASlopeIsFollowedWhereTimeIsShort) {
  MadeUpTimes measurer(kLayers, [](const Way& way, int) { return slope_us(way); });
  const auto result = search(kLayers, measurer, {.seconds = 60});
  ASSERT_TRUE(result);
  EXPECT_LT(result->layers[0].tried, 45u);
  EXPECT_LE(result->layers[0].us, 60);
  EXPECT_LE(measurer.seconds(), 60 + 5);
}

// Where a model of costs is right, the best is among the first.
TEST(Tuner, WhatAModelExpectsIsTriedFirst) {
  auto layers = kLayers;
  for (LayerSpace& layer : layers) {
    for (const Way& way : layer.ways) layer.expected.push_back(slope_us(way));
  }
  MadeUpTimes measurer(layers, [](const Way& way, int) { return slope_us(way); });
  const auto result = search(layers, measurer, {.seconds = 1});
  ASSERT_TRUE(result);
  EXPECT_LE(result->layers[0].tried, 4u);
  EXPECT_EQ(result->layers[0].us, 50);
}

TEST(Tuner, TheSeedAndTheTimesDecideEverything) {
  const auto seen_with = [](uint64_t seed) {
    MadeUpTimes measurer(kLayers, [](const Way& way, int) { return slope_us(way); });
    EXPECT_TRUE(search(kLayers, measurer, {.seconds = 100, .seed = seed}));
    return measurer.seen;
  };
  EXPECT_EQ(seen_with(1), seen_with(1));
  EXPECT_NE(seen_with(1), seen_with(2));
}

// All ways alike, but each time is up to a twentieth too long.
TEST(Tuner, NoiseWinsNextToNothing) {
  int taken = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    MadeUpTimes measurer(kLayers, [&](const Way&, int) {
      return 100 + 5 * static_cast<double>(random() % 1000) / 1000;
    });
    const auto result = search(kLayers, measurer, {.seconds = 300, .seed = seed});
    ASSERT_TRUE(result);
    for (const auto& layer : result->layers) taken += layer.way != 0 ? 1 : 0;
  }
  EXPECT_LE(taken, 2);  // of 40
}

// Ways that are lucky when they are tried first: they are measured again.
TEST(Tuner, ALuckyWayIsMeasuredAgain) {
  std::map<std::string, int> measured;
  MadeUpTimes measurer(kLayers, [&](const Way& way, int) {
    const bool is_lucky = way.sizes[1] == 10 && ++measured[way.text()] <= 2;  // of both layers
    return is_lucky ? 10.0 : slope_us(way);
  });
  const auto result = search(kLayers, measurer, {.seconds = 1000});
  ASSERT_TRUE(result);
  EXPECT_LT(kLayers[0].ways[result->layers[0].way].sizes[1], 10);
}

TEST(Tuner, WhatIsSlowerTogetherIsNotTaken) {
  MadeUpTimes measurer(kLayers, [](const Way& way, int) { return slope_us(way); });
  measurer.whole_is_slower = true;
  const auto result = search(kLayers, measurer, {.seconds = 1000});
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->is_faster);
  EXPECT_EQ(result->layers[0].way, 0u);
  EXPECT_EQ(result->layers[0].us, result->layers[0].usual_us);
}

TEST(Tuner, ABoardThatGoesAwayIsAnError) {
  for (const int at : {1, 5, 20}) {
    MadeUpTimes measurer(kLayers, [](const Way& way, int) { return slope_us(way); });
    measurer.fails_at = at;
    const auto result = search(kLayers, measurer, {.seconds = 1000});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message(), "the board is gone");
  }
}

TEST(Tuner, ALayerOfOneWayAndNoneAtAll) {
  const std::vector<LayerSpace> one = {{"a", {{"depthwise", {8}}}}};
  MadeUpTimes measurer(one, [](const Way&, int) { return 5.0; });
  const auto result = search(one, measurer, {.seconds = 10});
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->is_faster);
  EXPECT_EQ(result->layers[0].way, 0u);
  const std::vector<LayerSpace> none;
  MadeUpTimes nothing(none, [](const Way&, int) { return 5.0; });
  EXPECT_TRUE(search(none, nothing, {}));
}

}  // namespace
}  // namespace skerry::compile
