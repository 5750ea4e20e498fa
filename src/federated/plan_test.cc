// Plans from JSON: what is said is what comes out, and what makes no sense is named.
#include "federated/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace skerry::federated {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string refusal(const json& document) {
  const auto parsed = parse_training_plan(document);
  return parsed ? std::string() : parsed.error().message();
}

TEST(Plans, ComeBackAsTheyWereWritten) {
  const json given = {{"rounds", 7},           {"updates", 5},          {"quorum", 3},
                      {"strategy", "fedadam"}, {"rate", 0.25},          {"batch", 16},
                      {"clip", 2.5},           {"coding", "int8"},      {"evaluators", 4},
                      {"trimmed", 0.25},       {"deadlineSeconds", 90}, {"clipQuantile", 0.5},
                      {"clipNoise", 3},        {"clipRate", 0.1}};
  const auto plan = parse_training_plan(given);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->rounds.wanted, 5u);
  EXPECT_EQ(plan->local.clip, 2.5);
  const json back = to_json(*plan);
  for (const auto& [name, value] : given.items()) EXPECT_EQ(back[name], value) << name;
  EXPECT_EQ(to_json(*parse_training_plan(back)), back);
  EXPECT_EQ(to_json(*parse_local_training(to_json(plan->local))), to_json(plan->local));
}

TEST(Plans, OfSecureAggregationGoWithWhatCanBeMasked) {
  const json given = {{"secure", true}, {"clip", 1}, {"quorum", 3}};
  const auto plan = parse_training_plan(given);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->rounds.secure);
  EXPECT_EQ(to_json(*plan)["secure"], true);
  EXPECT_TRUE(check(plan->rounds));
  json wrong = given;
  wrong["coding"] = "int8";
  EXPECT_THAT(refusal(wrong), HasSubstr("coding"));
  wrong = given;
  wrong["secure"] = 1;
  EXPECT_THAT(refusal(wrong), HasSubstr("secure: is no field of a plan, or of another kind"));
}

TEST(Plans, NameWhatIsWrong) {
  EXPECT_THAT(refusal({{"rounds", 0}}), HasSubstr("rounds: must be a whole number"));
  EXPECT_THAT(refusal({{"rounds", 1.5}}), HasSubstr("rounds"));
  EXPECT_THAT(refusal({{"rate", "fast"}}), HasSubstr("rate"));
  EXPECT_THAT(refusal({{"round", 3}}), HasSubstr("round: is no field"));
  EXPECT_THAT(refusal({{"strategy", "magic"}}), HasSubstr("there is no strategy"));
  EXPECT_THAT(refusal({{"coding", "zip"}}), HasSubstr("zip"));
  EXPECT_THAT(refusal(json::array()), HasSubstr("JSON object"));
  EXPECT_THAT(refusal({{"delta", -1}}), HasSubstr("delta"));
}

}  // namespace
}  // namespace skerry::federated
