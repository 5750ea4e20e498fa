// A hostile server asks for anything; the device's policy decides.
#include "learner/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/fault_files.h"

namespace skerry::learner {
namespace {

using federated::TaskMessage;
using federated::Update;
using testing::HasSubstr;

TEST(Policies, RefuseWhatTheyForbid) {
  const TaskMessage task{.data = "digits", .model_bytes = 1000, .parameters = 2, .noise = 0.5};
  EXPECT_TRUE(check({}, task, 1));
  EXPECT_FALSE(check({}, task, 0));
  EXPECT_EQ(check({.fewest_rows = 20}, task, 19).error().code(), Code::kFailedPrecondition);
  EXPECT_TRUE(check({.fewest_rows = 20}, task, 20));
  EXPECT_THAT(check({.least_noise = 1}, task, 9).error().message(), HasSubstr("noise"));
  EXPECT_TRUE(check({.least_noise = 0.5}, task, 9));
  EXPECT_THAT(check({.most_model_bytes = 999}, task, 9).error().message(), HasSubstr("too large"));
}

TEST(Policies, ClipAndKeepCountsToThemselvesWhateverTheServerAsks) {
  const LocalPolicy policy{.longest_update = 1, .tells_counts = false};
  Update update{.round = 3, .examples = 512, .steps = 40, .loss = 0.25, .delta = {30, 40}};
  const TaskMessage task{.parameters = 2};  // asks for no limit
  EXPECT_FALSE(check_outgoing(policy, task, federated::encode(update)));
  apply(policy, update);
  EXPECT_LE(federated::length_of(update.delta), 1);
  EXPECT_TRUE(check_outgoing(policy, task, federated::encode(update)));
  const auto sent = federated::decode_update(federated::encode(update), 2);
  EXPECT_EQ(sent->examples, 1);
  EXPECT_EQ(sent->steps, 1);
  EXPECT_EQ(sent->loss, 0);
  update.examples = 512;
  EXPECT_FALSE(check_outgoing(policy, task, federated::encode(update)));
}

TEST(Policies, AnEvaluationTellsNoCountsEither) {
  federated::Evaluation told{.rows = 37, .correct = 25, .loss = 0.7};
  apply({}, told);
  EXPECT_EQ(told.rows, 37);
  EXPECT_EQ(told.loss, 0.7);
  apply({.tells_counts = false}, told);
  EXPECT_EQ(told.rows, 1);
  EXPECT_EQ(told.correct, 0.68);
  EXPECT_EQ(told.loss, 0);
  federated::Evaluation nothing;
  apply({.tells_counts = false}, nothing);
  EXPECT_EQ(nothing.correct, 0);
}

TEST(Policies, TheLastLookHoldsTheServersLimitToo) {
  const TaskMessage task{.parameters = 2, .local = {.clip = 1}};
  EXPECT_FALSE(check_outgoing({}, task, federated::encode(Update{.delta = {3, 4}})));
  EXPECT_FALSE(check_outgoing({}, task, federated::encode(Update{.delta = {0, 0, 1}})));
  EXPECT_FALSE(check_outgoing({}, task, "nonsense"));
  EXPECT_TRUE(check_outgoing({}, task, federated::encode(Update{.delta = {0.6F, 0.8F}})));
}

TEST(Policies, WaitForQuietAndForTheMains) {
  io::FaultFiles files;
  const LocalPolicy policy{.most_load = 0.5, .only_on_mains = true};
  EXPECT_EQ(busy_with(policy, files), "");
  ASSERT_TRUE(io::make_directories(files, "/proc"));
  ASSERT_TRUE(io::write_file_atomic(files, "/proc/loadavg", "0.70 0.10 0.05 1/100 1\n"));
  EXPECT_THAT(busy_with(policy, files), HasSubstr("load"));
  EXPECT_EQ(busy_with({}, files), "");
  ASSERT_TRUE(io::write_file_atomic(files, "/proc/loadavg", "0.40 0.10 0.05 1/100 1\n"));
  EXPECT_EQ(busy_with(policy, files), "");
  const std::string supply = "/sys/class/power_supply/AC";
  ASSERT_TRUE(io::make_directories(files, supply));
  ASSERT_TRUE(io::write_file_atomic(files, supply + "/type", "Mains\n"));
  ASSERT_TRUE(io::write_file_atomic(files, supply + "/online", "0\n"));
  EXPECT_THAT(busy_with(policy, files), HasSubstr("battery"));
  ASSERT_TRUE(io::write_file_atomic(files, supply + "/online", "1\n"));
  EXPECT_EQ(busy_with(policy, files), "");
}

}  // namespace
}  // namespace skerry::learner
