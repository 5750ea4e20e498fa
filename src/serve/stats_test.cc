// Histogram accuracy and the two reports.
#include "serve/stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

namespace skerry::serve {
namespace {

const Watchdog kNoAlarms;

using testing::HasSubstr;

TEST(LatencyHistogram, QuantilesAreWithinOneSixteenth) {
  std::mt19937_64 random(7);
  std::vector<int64_t> values;
  LatencyHistogram histogram;
  for (int i = 0; i < 10'000; ++i) {
    const auto value =
        static_cast<int64_t>(std::exp2(std::uniform_real_distribution(0.0, 39.0)(random)));
    values.push_back(value);
    histogram.add(value);
  }
  std::ranges::sort(values);
  for (const double q : {0.001, 0.1, 0.5, 0.9, 0.99, 1.0}) {
    const auto rank = static_cast<size_t>(std::ceil(q * 10'000)) - 1;
    const int64_t exact = values[rank];
    EXPECT_GE(histogram.quantile(q), exact);
    EXPECT_LE(histogram.quantile(q), exact + exact / 16 + 1);
  }
}

TEST(LatencyHistogram, TakesTheExtremes) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.quantile(0.5), 0);
  for (const int64_t value : {int64_t{-5}, int64_t{0}, int64_t{31}, int64_t{32}})
    histogram.add(value);
  EXPECT_EQ(histogram.quantile(0.5), 0);
  EXPECT_EQ(histogram.quantile(0.75), 31);
  EXPECT_EQ(histogram.quantile(1), 33);
  histogram.add(INT64_MAX / 2);
  EXPECT_EQ(histogram.quantile(1), (int64_t{1} << 40) - 1);
}

TEST(ModelStats, ReportsWhatHappened) {
  ModelStats stats;
  stats.add_success({.input_ns = 1, .queue_ns = 2, .infer_ns = 3, .output_ns = 4}, 1234);
  stats.add_success({.input_ns = 10, .queue_ns = 20, .infer_ns = 30, .output_ns = 40}, 1235);
  stats.add_failure(7);
  const auto json = nlohmann::json::parse(stats.to_json("m", "2"));
  EXPECT_EQ(json["name"], "m");
  EXPECT_EQ(json["version"], "2");
  EXPECT_EQ(json["last_inference"], 1235);
  EXPECT_EQ(json["inference_count"], 2);
  EXPECT_EQ(json["execution_count"], 2);
  const auto& phases = json["inference_stats"];
  EXPECT_EQ(phases["success"]["count"], 2);
  EXPECT_EQ(phases["success"]["ns"], 110);
  EXPECT_EQ(phases["fail"]["count"], 1);
  EXPECT_EQ(phases["fail"]["ns"], 7);
  EXPECT_EQ(phases["queue"]["ns"], 22);
  EXPECT_EQ(phases["compute_input"]["ns"], 11);
  EXPECT_EQ(phases["compute_infer"]["ns"], 33);
  EXPECT_EQ(phases["compute_output"]["ns"], 44);
  EXPECT_EQ(phases["cache_hit"]["count"], 0);

  const std::string page = to_prometheus(std::vector<StatsRow>{{"m", "2", &stats, &kNoAlarms}});
  EXPECT_THAT(page, HasSubstr("skerry_inference_requests_total{model=\"m\",version=\"2\","
                              "outcome=\"success\"} 2\n"));
  EXPECT_THAT(page, HasSubstr("outcome=\"failure\"} 1\n"));
  EXPECT_THAT(page,
              HasSubstr("skerry_inference_compute_seconds_count{model=\"m\",version=\"2\"} 2\n"));
}

TEST(ModelStats, SaysWhatTheModelHoldsInMemory) {
  ModelStats stats;
  EXPECT_EQ(nlohmann::json::parse(stats.to_json("m", "2"))["memory_usage"].size(), 0u);
  EXPECT_EQ(
      to_prometheus(std::vector<StatsRow>{{"m", "2", &stats, &kNoAlarms}}).find("memory_bytes{"),
      std::string::npos);
  stats.set_memory(4096);
  const auto json = nlohmann::json::parse(stats.to_json("m", "2"));
  EXPECT_EQ(json["memory_usage"].dump(), R"([{"byte_size":4096,"id":0,"type":"CPU"}])");
  EXPECT_THAT(to_prometheus(std::vector<StatsRow>{{"m", "2", &stats, &kNoAlarms}}),
              HasSubstr("skerry_model_memory_bytes{model=\"m\",version=\"2\"} 4096\n"));
  stats.note_counted_memory(512);
  EXPECT_EQ(nlohmann::json::parse(stats.to_json("m", "2"))["counted_memory_bytes"], 512);
  EXPECT_THAT(to_prometheus(std::vector<StatsRow>{{"m", "2", &stats, &kNoAlarms}}),
              HasSubstr("skerry_model_counted_memory_bytes{model=\"m\",version=\"2\"} 512\n"));
}

TEST(RuntimeRows, SayWhatALibraryTakesWhereItIsKnown) {
  const std::string page =
      to_prometheus({}, std::vector<RuntimeRow>{{"copy", "1.0", 4096}, {"null", "1", 0}});
  EXPECT_THAT(page,
              HasSubstr("skerry_runtime_memory_bytes{runtime=\"copy\",version=\"1.0\"} 4096\n"));
  EXPECT_THAT(page, testing::Not(HasSubstr("runtime=\"null\"")));
}

TEST(ModelStats, LabelsAreEscaped) {
  const ModelStats stats;
  const std::string page =
      to_prometheus(std::vector<StatsRow>{{"m", "a\"b\\c\nd", &stats, &kNoAlarms}});
  EXPECT_THAT(page, HasSubstr(R"(version="a\"b\\c\nd",outcome)"));
  EXPECT_THAT(page, HasSubstr(R"(version="a\"b\\c\nd",quantile)"));
}

}  // namespace
}  // namespace skerry::serve
