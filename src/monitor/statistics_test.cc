// The statistics, beside what SciPy gives for the same histograms (tests/data/drift).
#include "monitor/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "test_paths.h"

namespace skerry::monitor {
namespace {

using nlohmann::json;

TEST(Statistics, AreThoseOfSciPy) {
  std::ifstream file(SKERRY_SOURCE_DIR "/tests/data/drift/statistics.json");
  const json table = json::parse(file);
  ASSERT_GE(table.size(), 200u);
  for (const json& row : table) {
    const auto p = row["reference"].get<std::vector<uint64_t>>();
    const auto q = row["current"].get<std::vector<uint64_t>>();
    const auto positions = row["positions"].get<std::vector<double>>();
    const auto near = [&](double got, const char* key) {
      const double expected = row[key];
      EXPECT_NEAR(got, expected, 1e-9 + 1e-7 * std::abs(expected)) << key << " of " << row;
    };
    near(population_stability_index(p, q), "psi");
    near(jensen_shannon_distance(p, q), "jensenshannon");
    near(wasserstein_distance(p, q, positions), "wasserstein");
    near(kolmogorov_smirnov(p, q), "ks");
    uint64_t n = 0, m = 0;
    for (const uint64_t count : p) n += count;
    for (const uint64_t count : q) m += count;
    near(kolmogorov_smirnov_p(kolmogorov_smirnov(p, q), n, m), "ks_p");
    EXPECT_GE(binomial_tail_bound(row["hits"], row["trials"], row["rate"]) + 1e-12,
              row["binomial_tail"].get<double>());
    const auto p_values = row["p_values"].get<std::vector<double>>();
    const auto adjusted = benjamini_hochberg(p_values);
    for (size_t i = 0; i < adjusted.size(); ++i) {
      EXPECT_NEAR(adjusted[i], row["adjusted"][i].get<double>(), 1e-12);
    }
  }
}

TEST(Statistics, NothingAgainstNothingIsNoDistance) {
  const std::vector<uint64_t> none(4), some = {1, 2, 3, 4};
  const std::vector<double> positions = {1, 2, 3, 4};
  for (const auto& [p, q] : {std::pair(none, some), {some, none}, {none, none}, {some, some}}) {
    EXPECT_EQ(population_stability_index(p, q), 0);
    EXPECT_EQ(jensen_shannon_distance(p, q), 0);
    EXPECT_EQ(wasserstein_distance(p, q, positions), 0);
    EXPECT_EQ(kolmogorov_smirnov(p, q), 0);
  }
  EXPECT_EQ(kolmogorov_smirnov_p(0.5, 0, 10), 1);
  EXPECT_EQ(binomial_tail_bound(0, 0, 0.1), 1);
  EXPECT_TRUE(benjamini_hochberg({}).empty());
}

}  // namespace
}  // namespace skerry::monitor
