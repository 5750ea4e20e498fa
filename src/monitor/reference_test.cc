// Bins that hold equal numbers, files that read back, and files that are refused.
#include "monitor/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

namespace skerry::monitor {
namespace {

using nlohmann::json;

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

std::vector<double> normal_values(uint32_t seed, size_t count) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> values(count);
  for (double& value : values) value = normal(random);
  return values;
}

TEST(Reference, BinsHoldEqualNumbers) {
  const Feature feature = *make_feature("x", normal_values(1, 1600));
  ASSERT_EQ(feature.counts.bins.size(), 16u);
  for (const uint64_t count : feature.counts.bins) EXPECT_NEAR(static_cast<double>(count), 100, 1);
  EXPECT_NEAR(feature.deviation, 1, 0.1);
  EXPECT_EQ(feature.counts.outside, 0u);
}

TEST(Reference, FewDifferentValuesHaveABinEach) {
  const Feature feature = *make_feature("x", {3, 1, 1, kMissing, 7, 3, 1});
  EXPECT_EQ(feature.edges, (std::vector<double>{1, 3}));
  EXPECT_EQ(feature.counts.bins, (std::vector<uint64_t>{3, 2, 1}));
  EXPECT_EQ(feature.positions, (std::vector<double>{1, 3, 7}));
  EXPECT_EQ(feature.counts.missing, 1u);
  const Feature constant = *make_feature("x", {5, 5});
  EXPECT_TRUE(constant.edges.empty());
  FeatureCounts counts = constant.none();
  for (const double value : {5.0, 6.0, -1.0, kMissing, double(INFINITY)})
    constant.count(value, counts);
  EXPECT_EQ(counts, (FeatureCounts{{4}, 1, 3}));
}

TEST(Reference, ManyOfOneValueAreOneBin) {
  auto values = normal_values(2, 100);
  values.insert(values.end(), 900, 0.0);
  const Feature feature = *make_feature("x", values);
  for (const uint64_t count : feature.counts.bins) EXPECT_GT(count, 0u);
  EXPECT_EQ(feature.counts.values(), 1000u);
}

TEST(Reference, WhatHasNoValuesIsNoFeature) {
  EXPECT_FALSE(make_feature("x", {}));
  EXPECT_FALSE(make_feature("x", {kMissing}));
  EXPECT_FALSE(make_feature("x", {1, INFINITY}));
}

TEST(Reference, TextAndBack) {
  Reference reference;
  for (uint32_t seed = 0; seed < 20; ++seed) {
    reference.features.push_back(
        *make_feature("x" + std::to_string(seed), normal_values(seed, 1 + seed * 31)));
  }
  const auto read = parse_reference(to_text(reference));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, reference);
}

TEST(Reference, WhatDoesNotFitIsRefused) {
  const json good = json::parse(to_text({{*make_feature("x", {1, 2, 3})}}));
  const std::pair<const char*, json> wrong[] = {
      {"/format", 2},
      {"/features", json::array()},
      {"/features/1", good["features"][0]},
      {"/features/0/name", ""},
      {"/features/0/edges", {2, 1}},
      {"/features/0/edges", {1}},
      {"/features/0/edges", std::vector<int>(100, 1)},
      {"/features/0/edges/0", "x"},
      {"/features/0/positions", {1}},
      {"/features/0/counts", {0, 0, 0}},
      {"/features/0/counts/0", -1},
      {"/features/0/min", 9},
      {"/features/0/deviation", -1},
  };
  for (const auto& [pointer, value] : wrong) {
    json document = good;
    document[json::json_pointer(pointer)] = value;
    EXPECT_FALSE(parse_reference(document.dump())) << pointer << " " << value;
  }
  EXPECT_FALSE(parse_reference("[]"));
  EXPECT_FALSE(parse_reference(""));
}

}  // namespace
}  // namespace skerry::monitor
