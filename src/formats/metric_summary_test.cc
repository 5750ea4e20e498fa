// Distributions add up to the same bits in any order; their quantiles keep their bound.
#include "formats/metric_summary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

namespace skerry::formats {
namespace {

using nlohmann::json;

// Values over all magnitudes and both signs.
std::vector<double> values_of(uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> exponent(-6, 12), mantissa(-9, 9);
  std::vector<double> values;
  for (size_t i = 0; i < count; ++i)
    values.push_back(mantissa(random) * std::pow(10, exponent(random)));
  return values;
}

Distribution distribution_of(const std::vector<double>& values, int64_t from_ms = 0) {
  Distribution sum;
  for (const double value : values) sum.add(value, from_ms++);
  return sum;
}

TEST(Distribution, MergingIsAssociativeAndCommutative) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(seed);
    const auto values = values_of(seed, random() % 200 + 3);
    const Distribution whole = distribution_of(values);
    std::vector<Distribution> parts;
    for (size_t at = 0; at < values.size();) {
      const size_t end = std::min(values.size(), at + 1 + random() % 20);
      parts.push_back(distribution_of({values.begin() + static_cast<ptrdiff_t>(at),
                                       values.begin() + static_cast<ptrdiff_t>(end)},
                                      static_cast<int64_t>(at)));
      at = end;
    }
    parts.emplace_back();  // an empty one changes nothing
    std::shuffle(parts.begin(), parts.end(), random);
    while (parts.size() > 1) {  // in any grouping
      const size_t at = random() % (parts.size() - 1);
      parts[at].merge(parts[at + 1]);
      parts.erase(parts.begin() + static_cast<ptrdiff_t>(at) + 1);
    }
    EXPECT_EQ(parts.front(), whole) << "seed " << seed;
  }
}

TEST(Distribution, QuantilesAreAnEighthAwayAtMost) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    auto values = values_of(seed, 1 + seed * 7 % 500);
    const Distribution sum = distribution_of(values);
    for (double& value : values) {
      value = static_cast<double>(std::llround(std::clamp(value, -9.2e12, 9.2e12) * 1e6)) / 1e6;
    }
    std::ranges::sort(values);
    for (const double q : {0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0}) {
      const auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(values.size())));
      const double exact = values[rank == 0 ? 0 : rank - 1];
      EXPECT_LE(std::abs(sum.quantile(q) - exact), std::abs(exact) / 8 + 1e-9)
          << "seed " << seed << " q " << q;
    }
  }
}

TEST(Distribution, WhatIsTooLargeIsTheLargest) {
  Distribution sum;
  sum.add(1e300, 1);
  sum.add(-std::numeric_limits<double>::infinity(), 2);
  EXPECT_EQ(sum.quantile(1), Distribution::kMaxValue);
  EXPECT_EQ(sum.quantile(0), -Distribution::kMaxValue);
  EXPECT_EQ(sum.total(), 0);
}

MetricSummary example() {
  MetricSummary summary{"run00001", 7, 1000, 2000, {}};
  summary.series[{"app", "Frames", "COUNT"}] = distribution_of({1, 2, 3.5});
  summary.series[{"SystemMetrics", "Temperature", "CELSIUS"}] = distribution_of({-4.25, 0, 21});
  return summary;
}

TEST(MetricSummary, TextAndBack) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    MetricSummary summary = example();
    summary.series[{"app", "Any", "BYTES"}] = distribution_of(values_of(seed, 100));
    const auto read = parse_metric_summary(to_text(summary));
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(*read, summary);
  }
}

TEST(MetricSummary, WhatDoesNotAddUpIsRefused) {
  const json good = json::parse(to_text(example()));
  const std::pair<const char*, json> wrong[] = {
      {"/format", 2},
      {"/run", "Run"},
      {"/sequence", 0},
      {"/startMs", -1},
      {"/series/0/count", 0},
      {"/series/0/count", 4},
      {"/series/0/sum", "99999999999"},
      {"/series/0/sum", "1e3"},
      {"/series/0/sum", "99999999999999999999999999999999999999999999"},
      {"/series/0/min", 30'000'000},
      {"/series/0/last", 30'000'000},
      {"/series/0/max", INT64_MAX},
      {"/series/0/bins", json::array({1, 2, 3})},
      {"/series/0/bins", json::array({0, uint64_t{1} << 63})},
      {"/series/0/bins/0", -4000},
      {"/series/0/name", std::string(33, 'x')},
      {"/series/0/component", ""},
      {"/series/1", good["series"][0]},
  };
  for (const auto& [pointer, value] : wrong) {
    json document = good;
    document[json::json_pointer(pointer)] = value;
    EXPECT_FALSE(parse_metric_summary(document.dump())) << pointer << " " << value;
  }
  EXPECT_FALSE(parse_metric_summary("[]"));
}

TEST(MetricSummary, Topics) {
  EXPECT_EQ(parse_metric_summary_topic(metric_summary_topic(ThingName("press")))->str(), "press");
  EXPECT_FALSE(parse_metric_summary_topic("$aws/things/a/b/skerry/metrics"));
  EXPECT_FALSE(parse_metric_summary_topic("$aws/things/skerry/metrics"));
}

}  // namespace
}  // namespace skerry::formats
