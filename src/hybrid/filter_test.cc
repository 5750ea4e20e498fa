// Every item leaves once, in order, with what is around events, within the budget.
#include "hybrid/filter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace skerry::hybrid {
namespace {

std::vector<FilterDecision> run(EdgeFilter& filter, const std::vector<double>& scores) {
  std::vector<FilterDecision> all;
  for (size_t i = 0; i < scores.size(); ++i) {
    for (const auto& each : filter.push(static_cast<int64_t>(i) * 1'000, 100, scores[i])) {
      all.push_back(each);
    }
  }
  for (const auto& each : filter.finish()) all.push_back(each);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i].item, i);
  EXPECT_EQ(all.size(), scores.size());
  return all;
}

std::string letters(const std::vector<FilterDecision>& all) {
  std::string text;
  for (const auto& each : all) {
    text += each.fate == Fate::kDrop        ? '.'
            : each.fate == Fate::kSummarise ? 's'
                                            : "EBAx"[static_cast<size_t>(each.why)];
  }
  return text;
}

TEST(EdgeFilter, UploadsWhatIsAroundEvents) {
  EdgeFilter filter({.threshold = 1, .pre_ms = 2'000, .post_ms = 1'000, .sample = 0});
  EXPECT_EQ(letters(run(filter, {0, 0, 0, 0, 2, 0, 0, 0, 0, 1, std::nan(""), 0, 0})),
            "..BBEA.BBEEA.");
  EXPECT_EQ(filter.counts().events, 3u);
  EXPECT_EQ(filter.counts().uploaded_bytes, 900u);
  EXPECT_EQ(filter.counts().bytes, 1'300u);
}

TEST(EdgeFilter, WithoutPreRollNothingWaits) {
  EdgeFilter filter({.threshold = 1, .sample = 0});
  EXPECT_EQ(filter.push(0, 1, 5).size(), 1u);
  EXPECT_EQ(filter.push(0, 1, 0).size(), 1u);
}

TEST(EdgeFilter, ABudgetSummarisesTheRest) {
  EdgeFilter filter({.threshold = 1, .sample = 0, .items_per_hour = 3});
  EXPECT_EQ(letters(run(filter, std::vector<double>(6, 9))), "EEEsss");
  EdgeFilter bytes({.threshold = 1, .sample = 0, .bytes_per_day = 250});
  EXPECT_EQ(letters(run(bytes, std::vector<double>(4, 9))), "EEss");
  EXPECT_EQ(bytes.counts().over_budget, 2u);
}

TEST(EdgeFilter, TheRestIsSampledAtItsRate) {
  EdgeFilter filter({.threshold = 1, .pre_ms = 5'000, .sample = 0.1});
  run(filter, std::vector<double>(20'000, 0));
  EXPECT_NEAR(static_cast<double>(filter.counts().sampled), 2'000, 200);
  EXPECT_EQ(filter.counts().unflagged, 20'000u);
}

TEST(EdgeFilter, TheLongestPreRollHasAnEnd) {
  EdgeFilter filter({.threshold = 1, .pre_ms = 3'600'000, .sample = 0, .max_held = 10});
  for (int i = 0; i < 100; ++i) filter.push(i, 1, 0);
  EXPECT_EQ(filter.finish().size(), 10u);
}

TEST(EdgeFilter, TheFile) {
  const auto config =
      parse_filter("{threshold: 0.5, preMs: 2000, postMs: 10, sample: 0.2, itemsPerHour: 7}");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->pre_ms, 2'000);
  EXPECT_EQ(config->items_per_hour, 7);
  for (const char* wrong : {"{}", "[]", "{threshold: x}", "{threshold: 1, sample: 2}",
                            "{threshold: 1, preMs: -1}", "{threshold: .nan}", "a: b: c"}) {
    EXPECT_FALSE(parse_filter(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace skerry::hybrid
