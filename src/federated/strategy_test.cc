// What each strategy makes of updates, and which of them outlast malicious ones.
#include "federated/strategy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace skerry::federated {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;

Vector combined(const StrategyOptions& options, const std::vector<Vector>& updates,
                const std::vector<Source>& sources = {}) {
  auto strategy = make_strategy(options, updates[0].size());
  EXPECT_TRUE(strategy) << strategy.error().message();
  (*strategy)->begin(sources.empty() ? std::vector<Source>(updates.size()) : sources);
  if ((*strategy)->looks_first()) (*strategy)->look(updates);
  Vector out(updates[0].size());
  (*strategy)->combine(updates, 0, out);
  return out;
}

TEST(Strategies, MeansWeighByDataOrNot) {
  const std::vector<Vector> updates = {{1, 0}, {4, 3}};
  const std::vector<Source> sources = {{.examples = 200}, {.examples = 100}};
  EXPECT_THAT(combined({}, updates, sources), ElementsAre(FloatNear(2, 1e-6F), 1));
  EXPECT_THAT(combined({.equal_weights = true}, updates, sources), ElementsAre(2.5, 1.5));
  EXPECT_THAT(combined({.server_rate = 0.5, .equal_weights = true}, updates),
              ElementsAre(1.25, 0.75));
}

TEST(Strategies, FedNovaCountsInStepsNotInDistance) {
  // The second trained four times as long: it does not count four times as much.
  const std::vector<Vector> updates = {{1}, {4}};
  const std::vector<Source> sources = {{1, 10}, {1, 40}};
  EXPECT_THAT(combined({.name = "fednova"}, updates, sources),
              ElementsAre(FloatNear(0.5F * 2.5F + 4 * 0.5F * 0.625F, 1e-6F)));
}

// Two of eight devices: the model moves by the mean, the mean of all control variates by a quarter
// of theirs.
TEST(Strategies, ScaffoldMovesTheModelAndTheControlVariate) {
  const std::vector<Vector> updates = {{1, 2, 8, 0}, {3, 4, 0, -8}};
  const std::vector<Source> sources = {{.examples = 100}, {.examples = 1}};
  EXPECT_THAT(combined({.name = "scaffold", .devices = 8}, updates, sources),
              ElementsAre(2, 3, 1, -1));
}

TEST(Strategies, FedBuffCountsOldUpdatesLess) {
  const std::vector<Vector> updates = {{4}, {4}};
  const std::vector<Source> sources = {{.staleness = 0}, {.staleness = 3}};
  EXPECT_THAT(combined({.name = "fedbuff"}, updates, sources), ElementsAre(2 + 1));
  EXPECT_THAT(combined({.name = "fedbuff", .server_rate = 0.5}, updates, sources),
              ElementsAre(1.5));
}

TEST(Strategies, ServerOptimisersMoveByTheirRuleAndRemember) {
  const std::vector<Vector> updates = {{0.1F}};
  for (const char* name : {"fedadam", "fedyogi", "fedadagrad"}) {
    const StrategyOptions options{.name = name, .server_rate = 0.03};
    const double second = std::string(name) == "fedadagrad" ? 1e-6 + 0.01
                          : std::string(name) == "fedadam"  ? 0.99 * 1e-6 + 0.01 * 0.01
                                                            : 1e-6 + 0.01 * 0.01;
    const auto expected = static_cast<float>(0.03 * 0.01 / (std::sqrt(second) + 1e-3));
    EXPECT_THAT(combined(options, updates), ElementsAre(FloatNear(expected, 1e-6F))) << name;
    EXPECT_EQ((*make_strategy(options, 5))->memory().size(), 2u);
  }
}

TEST(Strategies, MedianTrimmedMeanAndKrumOutlastTheMalicious) {
  const std::vector<Vector> updates = {{1, 1},     {1.1F, 0.9F}, {0.9F, 1.1F}, {1, 1.05F},
                                       {1.05F, 1}, {-900, 1e9F}, {1e6F, -1e6F}};
  for (const char* name : {"median", "trimmed-mean", "krum"}) {
    const Vector out = combined({.name = name, .trimmed = 0.3, .malicious = 2}, updates);
    EXPECT_THAT(out, ElementsAre(FloatNear(1, 0.11F), FloatNear(1, 0.11F))) << name;
  }
  EXPECT_GT(std::abs(combined({}, updates)[0]), 1000);
}

TEST(Strategies, MedianOfAnEvenNumberIsTheMeanOfTheMiddleTwo) {
  EXPECT_THAT(combined({.name = "median"}, {{1}, {2}, {4}, {100}}), ElementsAre(3));
  EXPECT_THAT(combined({.name = "median"}, {{7}}), ElementsAre(7));
  EXPECT_THAT(combined({.name = "krum"}, {{7}}), ElementsAre(7));
}

TEST(Strategies, AreFoundByName) {
  for (const StrategyKind& kind : strategies()) {
    EXPECT_TRUE(make_strategy({.name = std::string(kind.name)}, 3)) << kind.name;
  }
  const auto none = make_strategy({.name = "fedmagic"}, 3);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message(), HasSubstr("trimmed-mean"));
}

TEST(Updates, ComeBackAndWrongOnesAreRefused) {
  const Update update{.round = 3, .examples = 80, .steps = 8, .loss = 0.5, .delta = {1, -2}};
  const auto back = decode_update(encode(update), 2);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->round, 3u);
  EXPECT_EQ(back->delta, update.delta);
  EXPECT_FALSE(decode_update(encode(update), 3));
  EXPECT_FALSE(decode_update("nonsense", 2));
  Update broken = update;
  broken.delta[1] = NAN;
  const auto refused = decode_update(encode(broken), 2);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("not finite"));
  broken = update;
  broken.examples = -1;
  EXPECT_FALSE(decode_update(encode(broken), 2));
}

TEST(Updates, InBytesAreSmallerAndRightInTheMean) {
  Update update{.round = 1, .examples = 5, .steps = 2};
  for (int i = 0; i < 3000; ++i) {
    update.delta.push_back(0.01F * static_cast<float>((i * 37) % 101 - 50));
  }
  io::SeededRandom random(1);
  const std::string whole = encode(update);
  const std::string bytes = encode(update, *parse_coding("int8"), random);
  EXPECT_LT(bytes.size() * 7, whole.size() * 2);
  std::vector<double> sums(update.delta.size(), 0);
  for (int i = 0; i < 200; ++i) {
    const auto back = decode_update(encode(update, {.bytes = true}, random), 3000);
    ASSERT_TRUE(back);
    for (size_t k = 0; k < sums.size(); ++k) sums[k] += static_cast<double>(back->delta[k]);
  }
  for (size_t k = 0; k < sums.size(); ++k) {
    EXPECT_NEAR(sums[k] / 200, static_cast<double>(update.delta[k]), 0.002) << k;
  }
}

TEST(Updates, OfTheLargestNumbersHaveThoseInTheirPlaces) {
  const Update update{.round = 1, .examples = 5, .steps = 2, .delta = {0.1F, -3, 0, 2, 0.2F, -1}};
  io::SeededRandom random(1);
  const auto back = decode_update(encode(update, *parse_coding("top=0.5"), random), 6);
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(back->delta, (Vector{0, -3, 0, 2, 0, -1}));
  const auto both = decode_update(encode(update, *parse_coding("int8,top=0.5"), random), 6);
  ASSERT_TRUE(both);
  EXPECT_NEAR(both->delta[1], -3, 0.03);
  EXPECT_EQ(both->delta[0], 0);
  // For a smaller model its places lead nowhere.
  EXPECT_FALSE(decode_update(encode(update, *parse_coding("top=0.5"), random), 3));
  EXPECT_FALSE(parse_coding("top=2"));
  EXPECT_FALSE(parse_coding("int4"));
  EXPECT_TRUE(parse_coding("none"));
}

}  // namespace
}  // namespace skerry::federated
