// Asynchronous rounds (fedbuff), by hand and simulated: nobody waits, and an update counts in one
// round with the weight of its age, whatever crashes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "federated/coordinator.h"
#include "federated/test_life.h"

namespace skerry::federated {
namespace {

using testing::ElementsAre;
using testing::FloatNear;

class Buffering : public RoundsTest {
 protected:
  Buffering() {
    plan_.strategy.name = "fedbuff";
    plan_.over_selection = 2;  // four at work
    plan_.most_stale = 2;
  }
};

TEST_F(Buffering, ARoundWaitsForNobodyAndLateUpdatesCountInTheNext) {
  open();
  for (const char* device : {"a", "b", "c", "d"}) EXPECT_EQ(join(device), 1u);
  EXPECT_EQ(ask("e").kind, Task::Kind::kWait);  // enough are at work
  EXPECT_TRUE(upload("a", 1, {2, 0}));
  EXPECT_EQ(join("e"), 1u);
  EXPECT_TRUE(upload("b", 1, {2, 0}));
  ASSERT_EQ(coordinator_->rounds(), 1u);
  EXPECT_THAT(coordinator_->model(), ElementsAre(2, 0));
  open();                                // a restart
  EXPECT_FALSE(upload("a", 1, {2, 0}));  // counted, and of no round that is on
  EXPECT_EQ(ask("c").attempt, 1u);       // it is at work still
  EXPECT_EQ(ask("c").round, 0u);
  EXPECT_TRUE(coordinator_->expects("c", 1));
  EXPECT_FALSE(coordinator_->expects("c", 2));
  EXPECT_FALSE(upload("c", 2, {0, 2}));
  EXPECT_TRUE(upload("c", 1, {0, 2}));
  open();
  EXPECT_TRUE(upload("c", 1, {0, 2}));  // the same again
  EXPECT_EQ(join("a"), 2u);
  EXPECT_TRUE(upload("a", 2, {0, 2}));
  ASSERT_EQ(coordinator_->rounds(), 2u);
  // Half of it each, of which c's counts 1/√2 as it is a round behind.
  EXPECT_THAT(coordinator_->model(), ElementsAre(2, FloatNear(1 + 0.70711F, 1e-4F)));
  EXPECT_TRUE(upload("d", 1, {1, 1}));  // two behind: the most that counts
  EXPECT_EQ(ask("e").attempt, 1u);
}

TEST_F(Buffering, WhoIsTooFarBehindOrVanishesHoldsUpNobody) {
  plan_.wanted = 1;
  open();
  join("slow");
  for (size_t round = 1; round <= 3; ++round) {
    EXPECT_EQ(coordinator_->expects("slow", 1), round <= 3);
    if (round == 3) break;
    EXPECT_TRUE(upload("a", join("a"), {1, 0}));
  }
  EXPECT_TRUE(upload("a", join("a"), {1, 0}));
  EXPECT_FALSE(coordinator_->expects("slow", 1));
  plan_.rounds = 4;
  open();
  join("gone");
  join("lost");
  EXPECT_EQ(ask("x").kind, Task::Kind::kWait);
  EXPECT_TRUE(coordinator_->tick(101));  // nothing came: whoever is at work is forgotten
  EXPECT_EQ(coordinator_->history().back().round, 0u);
  EXPECT_FALSE(coordinator_->expects("gone", 4));
  EXPECT_TRUE(upload("x", join("x", 102), {1, 0}, 102));
  EXPECT_TRUE(coordinator_->done());
}

// Device i always adds 1 to coordinate i, as its weight has it.
class BufferedLife : public CoordinatorLife {
 public:
  explicit BufferedLife(uint64_t seed)
      : CoordinatorLife(seed,
                        {.strategy = {.name = "fedbuff"},
                         .rounds = 12,
                         .wanted = 3,
                         .over_selection = 1.7,
                         .quorum = 2,
                         .deadline_s = 50,
                         .most_failures = 1000,
                         .most_stale = 2},
                        {.steps = 3000, .seconds = 10, .jump_in = 50, .crash_in = 20}) {}
  size_t stale = 0;

 private:
  void act() override {
    const size_t index = choice_.below(kDevices);
    const std::string device = "device" + std::to_string(index);
    const uint64_t what = choice_.below(6);
    if (what < 2) {
      const auto task = coordinator_->ask(device, now_);
      if (!task || task->kind != Task::Kind::kTrain) return;
      attempts_[device] = task->attempt;
      given_.emplace(index, task->attempt);
    } else if (what < 4) {
      Vector delta(kDevices, 0);
      delta[index] = 1;
      (void)coordinator_->upload(device, update_of(attempts_[device], delta), now_);
    } else if (what == 4 && choice_.below(6) == 0) {
      (void)coordinator_->give_up(device, now_);
    } else {
      (void)coordinator_->tick(now_);
    }
  }

  void look() override {
    const size_t rounds = coordinator_->rounds();
    const Vector& model = coordinator_->model();
    ASSERT_GE(rounds, committed_) << "seed " << seed_ << " lost a round";
    if (rounds == committed_) {
      ASSERT_EQ(model, model_) << "seed " << seed_ << ": a round changed";
      return;
    }
    ASSERT_EQ(rounds, committed_ + 1);
    const RoundReport& report = coordinator_->history().back();
    size_t counted = 0;
    for (size_t i = 0; i < kDevices; ++i) {
      const double moved = static_cast<double>(model[i]) - static_cast<double>(model_[i]);
      if (moved < 1e-6) continue;
      ++counted;
      ++counts_[i];
      const double weight = moved * static_cast<double>(report.updates);
      const double age = 1 / weight / weight - 1;
      ASSERT_NEAR(age, std::round(age), 1e-3) << "seed " << seed_;
      ASSERT_LT(age, 2.5) << "seed " << seed_ << ": too old";
      stale += age > 0.5 ? 1 : 0;
      const auto given = std::ranges::count(given_, i, &std::pair<size_t, size_t>::first);
      ASSERT_LE(counts_[i], static_cast<size_t>(given)) << "seed " << seed_ << " counts twice";
    }
    ASSERT_EQ(counted, report.updates) << "seed " << seed_;
    committed_ = rounds;
    model_ = model;
  }

  std::map<std::string, size_t> attempts_;
  std::set<std::pair<size_t, size_t>> given_;  // device and attempt, for which there was a task
  std::map<size_t, size_t> counts_;
};

TEST(RoundsOfABuffer, CountEachUpdateOnceHoweverLate) {
  size_t crashes = 0, stale = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    BufferedLife life(seed);
    life.live();
    if (testing::Test::HasFailure()) return;
    crashes += life.crashes;
    stale += life.stale;
  }
  EXPECT_GT(crashes, 30u);
  EXPECT_GT(stale, 30u);
}

}  // namespace
}  // namespace skerry::federated
