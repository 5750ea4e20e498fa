// Rounds, by hand and simulated: devices that vanish, lie and send twice, crashes at any write,
// clocks that jump. An update counts at most once, a committed round is never lost, a round ends.
#include "federated/coordinator.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "federated/test_life.h"
#include "formats/checkpoint.h"
#include "io/fault_files.h"
#include "io/test_directory.h"

namespace skerry::federated {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;

using Rounds = RoundsTest;

TEST_F(Rounds, DevicesMayHaveTheLongestNamesThatThingsHave) {
  const io::ScratchDirectory folder;
  io::RealFiles files;
  const std::string name(128, 'd');
  const auto again = [&] {
    auto opened = Coordinator::open(files, folder.path("learn"), plan_, {0, 0}, random_);
    ASSERT_TRUE(opened) << opened.error().message();
    coordinator_ = std::move(*opened);
  };
  again();
  ASSERT_TRUE(upload(name, join(name), {2, 0}));
  again();
  EXPECT_EQ(coordinator_->answered(), 1u);
}

TEST_F(Rounds, EndWithAsManyUpdatesAsAreWanted) {
  open();
  const size_t attempt = join("a");
  join("b");
  join("c");
  EXPECT_EQ(ask("d").kind, Task::Kind::kWait);
  EXPECT_TRUE(upload("a", attempt, {2, 0}));
  EXPECT_EQ(ask("a").kind, Task::Kind::kWait);
  EXPECT_EQ(coordinator_->rounds(), 0u);
  EXPECT_TRUE(upload("b", attempt, {0, 4}));
  EXPECT_EQ(coordinator_->rounds(), 1u);
  EXPECT_THAT(coordinator_->model(), ElementsAre(1, 2));
  // The straggler is told; nobody waits for it.
  const auto late = upload("c", attempt, {100, 100});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), Code::kFailedPrecondition);
  EXPECT_NE(join("c"), attempt);
}

TEST_F(Rounds, AnUpdateCountsOnceHoweverOftenItComes) {
  open();
  const size_t attempt = join("a");
  join("b");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(upload("a", attempt, {2, 2}));
  EXPECT_EQ(coordinator_->rounds(), 0u);
  open();  // a restart
  EXPECT_TRUE(upload("a", attempt, {8, 8}));
  EXPECT_TRUE(upload("b", attempt, {4, 4}));
  EXPECT_THAT(coordinator_->model(), ElementsAre(3, 3));
}

TEST_F(Rounds, EndAtTheDeadlineWithAQuorumAndFailWithout) {
  plan_.quorum = 2;
  plan_.wanted = 3;
  open();
  size_t attempt = join("a");
  join("b");
  EXPECT_TRUE(upload("a", attempt, {1, 1}));
  EXPECT_TRUE(coordinator_->tick(99));
  EXPECT_TRUE(upload("b", attempt, {3, 3}, 99));
  EXPECT_EQ(coordinator_->rounds(), 0u);
  EXPECT_TRUE(coordinator_->tick(101));
  EXPECT_EQ(coordinator_->rounds(), 1u);
  attempt = join("a", 200);
  EXPECT_TRUE(upload("a", attempt, {50, 50}, 200));
  EXPECT_TRUE(coordinator_->tick(301));
  EXPECT_EQ(coordinator_->rounds(), 1u);
  EXPECT_EQ(coordinator_->history().back().round, 0u);
  EXPECT_NE(join("a", 301), attempt);  // another attempt, and what came before does not count
  EXPECT_THAT(coordinator_->model(), ElementsAre(2, 2));
}

TEST_F(Rounds, DoNotWaitForThoseThatGaveUp) {
  open();
  const size_t attempt = join("a");
  join("b");
  join("c");
  EXPECT_TRUE(upload("a", attempt, {1, 1}));
  EXPECT_TRUE(coordinator_->give_up("b", 1));
  EXPECT_TRUE(coordinator_->give_up("c", 1));
  EXPECT_EQ(coordinator_->rounds(), 1u);
}

TEST_F(Rounds, WhatIsNoUpdateIsRefusedAndHarmsNobody) {
  open();
  const size_t attempt = join("a");
  join("b");
  join("c");
  EXPECT_FALSE(coordinator_->upload("a", "nonsense", 0));
  EXPECT_FALSE(upload("a", attempt, {1, 1}));  // it is out
  EXPECT_FALSE(upload("b", attempt, {INFINITY, 0}));
  EXPECT_FALSE(upload("nobody", attempt, {1, 1}));
  EXPECT_FALSE(upload("c", attempt + 1, {1, 1}));
  EXPECT_TRUE(upload("c", attempt, {1, 1}));
  EXPECT_EQ(coordinator_->rounds(), 1u);
  EXPECT_EQ(coordinator_->history().back().refused, 2u);
}

TEST_F(Rounds, UpdatesAreClippedWhoeverSendsThem) {
  plan_.clip = 1;
  plan_.wanted = 1;
  plan_.over_selection = 1;
  open();
  EXPECT_TRUE(upload("a", join("a"), {3000, 4000}));
  EXPECT_THAT(coordinator_->model(), ElementsAre(FloatNear(0.6F, 1e-4F), FloatNear(0.8F, 1e-4F)));
}

// Devices whose updates have the lengths 1, 2, 3 and 4: the longest comes to lie between the third
// and the fourth where three of four are to be within, and stays there over restarts.
TEST_F(Rounds, TheLongestUpdateFollowsAQuantileOfTheirLengths) {
  plan_ = {.rounds = 60,
           .wanted = 4,
           .over_selection = 1,
           .quorum = 4,
           .clip = 0.1,
           .clip_quantile = 0.75};
  open();
  double expected = 0.1;
  for (size_t round = 0; round < 60; ++round) {
    ASSERT_NEAR(coordinator_->clip(), expected, 1e-6 * expected) << round;
    double within = 0;
    for (const double length : {1.0, 2.0, 3.0, 4.0}) {
      const std::string device = std::to_string(length);
      within += length <= expected ? 0.25 : 0;
      Update update{.round = join(device),
                    .within = length <= expected,
                    .delta = {static_cast<float>(length), 0}};
      federated::clip(update.delta, coordinator_->clip());
      ASSERT_TRUE(coordinator_->upload(device, encode(update), 0));
      if (round % 7 == 0 && round + 1 < 60) open();
    }
    EXPECT_NEAR(coordinator_->history().back().clip, expected, 1e-6 * expected);
    expected *= std::exp(-0.2 * (within - 0.75));
  }
  EXPECT_GT(coordinator_->clip(), 2.5);
  EXPECT_LT(coordinator_->clip(), 4);
}

// The same with noise: it is found all the same, and costs what the plan's noise costs.
TEST_F(Rounds, AQuantileIsFollowedThroughNoiseAndCostsNoMore) {
  plan_ = {.rounds = 40,
           .wanted = 30,
           .over_selection = 1,
           .quorum = 30,
           .clip = 6,
           .noise = 1,
           .population = 30,
           .clip_quantile = 0.5};
  EXPECT_GT(noise_of_vectors(plan_), 1);
  open();
  while (!coordinator_->done()) {
    for (size_t i = 0; i < 30; ++i) {
      const std::string device = "d" + std::to_string(i);
      const auto length = 0.1 * static_cast<double>(i + 1);
      const Update update{.round = join(device),
                          .within = length <= coordinator_->clip(),
                          .delta = {static_cast<float>(length), 0}};
      ASSERT_TRUE(coordinator_->upload(device, encode(update), 0));
    }
  }
  EXPECT_NEAR(coordinator_->clip(), 1.5, 0.5);
  Accountant plain;
  plain.add(1, 1, 40);
  EXPECT_NEAR(coordinator_->epsilon(), plain.epsilon(1e-5), 1e-9);
}

TEST_F(Rounds, PrivacyIsCountedAndEndsTheTraining) {
  plan_ = {.rounds = 1000,
           .wanted = 2,
           .over_selection = 1,
           .quorum = 1,
           .clip = 1,
           .noise = 1,
           .population = 20,
           .epsilon_limit = 5};
  open();
  double now = 0;
  while (!coordinator_->done() && now < 1e6) {
    train_those_drawn(20, now);
    now += 1000;
    EXPECT_TRUE(coordinator_->tick(now));
  }
  EXPECT_GT(coordinator_->rounds(), 5u);
  EXPECT_LT(coordinator_->rounds(), 1000u);
  EXPECT_LE(coordinator_->epsilon(), 5);
  Accountant next;
  next.restore({});
  next.add(0.1, 1, static_cast<double>(coordinator_->rounds()) + 1);
  EXPECT_GT(next.epsilon(1e-5), 5);  // one more would be too much
  EXPECT_EQ(ask("d0", now).kind, Task::Kind::kDone);
  const double spent = coordinator_->epsilon();
  open();
  EXPECT_EQ(coordinator_->epsilon(), spent);
}

TEST_F(Rounds, AStateOfABuildWithoutPastsHasItsHistoryAndItsPrivacyInIt) {
  plan_.rounds = 10;
  plan_.clip = 1;
  plan_.noise = 1;
  plan_.population = 20;
  plan_.over_selection = 1;
  open();
  for (double now = 0; coordinator_->rounds() < 2 && now < 1e5; now += 1000) {
    train_those_drawn(20, now);
    EXPECT_TRUE(coordinator_->tick(now + 500));
  }
  const auto history = coordinator_->history();
  const double epsilon = coordinator_->epsilon();
  ASSERT_GE(history.size(), 2u);

  const auto read = [&](const std::string& path) {
    auto file = formats::read_checkpoint(files_, path);
    EXPECT_TRUE(file) << path;
    return nlohmann::json::parse(file->document);
  };
  nlohmann::json state = read("/learn/state");
  const std::string past = fmt::format("/learn/past-{}", state["attempt"].get<size_t>());
  Accountant spent;
  spent.add(0.1, 1, state["spends"].get<double>());
  state["spent"] = spent.spent();
  state["history"] = read(past)["history"];
  state.erase("spends");
  ASSERT_TRUE(
      formats::write_checkpoint(files_, "/learn/state", {.document = state.dump(), .tensors = {}}));
  ASSERT_TRUE(io::remove_all(files_, past));
  for (int restart = 0; restart < 2; ++restart) {
    open();
    EXPECT_EQ(coordinator_->history().size(), history.size());
    EXPECT_DOUBLE_EQ(coordinator_->epsilon(), epsilon);
    for (int i = 0; i < 20; ++i) ask("d" + std::to_string(i), 1e5);  // saved as it is now
  }
}

class Evaluated : public Rounds {
 protected:
  Evaluated() {
    plan_.wanted = 1;
    plan_.over_selection = 1;
    plan_.evaluators = 2;
    plan_.worst_drop = 0.1;
  }
  // A round up to its evaluation; the attempt.
  size_t propose(float value) {
    const size_t attempt = join("a");
    EXPECT_TRUE(upload("a", attempt, {value, value}));
    EXPECT_EQ(coordinator_->phase(), Coordinator::Phase::kEvaluating);
    return attempt;
  }
  void evaluate(const std::string& device, double correct) {
    const Task task = ask(device);
    ASSERT_EQ(task.kind, Task::Kind::kEvaluate);
    EXPECT_EQ(task.round, coordinator_->rounds() + 1);
    EXPECT_TRUE(io::exists(files_, coordinator_->file_of_model(task.round)));
    EXPECT_TRUE(coordinator_->evaluated(device, task.attempt, {.rows = 10, .correct = correct}, 0));
  }
};

TEST_F(Evaluated, ARoundIsCommittedOnceItsModelWasTried) {
  open();
  const size_t attempt = propose(2);
  EXPECT_THAT(coordinator_->model(), ElementsAre(0, 0));
  evaluate("x", 6);
  EXPECT_EQ(ask("y").kind, Task::Kind::kEvaluate);
  EXPECT_EQ(ask("z").kind, Task::Kind::kWait);
  EXPECT_EQ(ask("x").kind, Task::Kind::kWait);
  open();  // a restart
  EXPECT_EQ(coordinator_->phase(), Coordinator::Phase::kEvaluating);
  // The same again counts once; who was not asked does not count.
  EXPECT_TRUE(coordinator_->evaluated("x", attempt, {.rows = 10, .correct = 0}, 0));
  EXPECT_FALSE(coordinator_->evaluated("z", attempt, {.rows = 10, .correct = 0}, 0));
  EXPECT_FALSE(coordinator_->evaluated("y", attempt, {.rows = 10, .correct = 11}, 0));
  EXPECT_FALSE(coordinator_->evaluated("y", attempt, {.rows = 0}, 0));
  EXPECT_FALSE(coordinator_->evaluated("y", attempt, {.rows = 1, .loss = NAN}, 0));
  evaluate("y", 8);
  EXPECT_EQ(coordinator_->rounds(), 1u);
  EXPECT_THAT(coordinator_->model(), ElementsAre(2, 2));
  EXPECT_EQ(coordinator_->history().back().evaluations, 2u);
  EXPECT_DOUBLE_EQ(coordinator_->history().back().accuracy, 0.7);
}

TEST_F(Evaluated, AModelThatIsWorseIsNotCommitted) {
  plan_.strategy.name = "fedadam";
  open();
  propose(2);
  evaluate("x", 9);
  evaluate("y", 9);
  const Vector good = coordinator_->model();
  const double longest = coordinator_->clip();
  propose(-100);
  open();  // a restart
  evaluate("x", 7);
  evaluate("y", 8);
  EXPECT_EQ(coordinator_->rounds(), 1u);
  EXPECT_EQ(coordinator_->history().back().round, 0u);
  EXPECT_EQ(coordinator_->model(), good);
  EXPECT_EQ(coordinator_->clip(), longest);
  // Nor does the strategy remember it: the next round is what it would have been.
  propose(2);
  const auto next = io::read_file(files_, coordinator_->file_of_model(2));
  ASSERT_TRUE(next);
  Coordinator* untouched = nullptr;
  io::FaultFiles other;
  auto opened = Coordinator::open(other, "/learn", plan_, {0, 0}, random_);
  ASSERT_TRUE(opened);
  untouched = opened->get();
  for (const double correct : {9.0, 0.0}) {
    const auto task = untouched->ask("a", 0);
    ASSERT_TRUE(task);
    ASSERT_TRUE(untouched->upload("a", update_of(task->attempt, {2, 2}), 0));
    if (correct == 0) break;
    for (const char* device : {"x", "y"}) {
      ASSERT_TRUE(untouched->ask(device, 0));
      ASSERT_TRUE(untouched->evaluated(device, 1, {.rows = 10, .correct = correct}, 0));
    }
  }
  EXPECT_EQ(*io::read_file(other, untouched->file_of_model(2)), *next);
}

TEST_F(Evaluated, ARoundDoesNotWaitForEverForThoseThatTryItsModel) {
  open();
  propose(2);
  EXPECT_TRUE(coordinator_->tick(99));
  EXPECT_EQ(coordinator_->rounds(), 0u);
  EXPECT_TRUE(coordinator_->tick(100));
  EXPECT_EQ(coordinator_->rounds(), 1u);
  EXPECT_EQ(coordinator_->history().back().evaluations, 0u);
}

TEST_F(Rounds, TooManyFailuresInARowEndTheTraining) {
  plan_.quorum = 2;
  plan_.most_failures = 3;
  open();
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(coordinator_->done());
    join("a", i * 1000.0);
    EXPECT_TRUE(coordinator_->tick(i * 1000.0 + 100));
  }
  EXPECT_TRUE(coordinator_->gave_up());
  EXPECT_EQ(ask("a", 9000).kind, Task::Kind::kDone);
}

TEST_F(Rounds, PlansThatMakeNoSenseAreRefused) {
  const auto refusal = [&](Plan plan) {
    const auto checked = check(plan);
    return checked ? std::string() : checked.error().message();
  };
  EXPECT_THAT(refusal({.wanted = 0}), HasSubstr("at least one device"));
  EXPECT_THAT(refusal({.wanted = 2, .quorum = 3}), HasSubstr("quorum"));
  EXPECT_THAT(refusal({.noise = 1}), HasSubstr("longest update"));
  EXPECT_THAT(refusal({.wanted = 2, .clip_quantile = 0.5}), HasSubstr("to begin with"));
  EXPECT_THAT(
      refusal({.clip = 1, .noise = 1, .population = 100, .clip_quantile = 0.5, .clip_noise = 0.4}),
      HasSubstr("more than half of the noise"));
  EXPECT_THAT(refusal({.strategy = {.name = "scaffold"}, .wanted = 1}), HasSubstr("how many"));
  EXPECT_THAT(refusal({.strategy = {.name = "fedbuff"}, .evaluators = 2}),
              HasSubstr("no evaluators"));
  EXPECT_THAT(refusal({.strategy = {.name = "median"}, .clip = 1, .noise = 1, .population = 100}),
              HasSubstr("not for median"));
}

TEST_F(Rounds, ANameIsNeverAPath) {
  open();
  EXPECT_TRUE(upload("../../etc/passwd", join("../../etc/passwd"), {1, 1}));
  EXPECT_FALSE(io::exists(files_, "/etc/passwd"));
  open();
  EXPECT_EQ(ask("../../etc/passwd").kind, Task::Kind::kWait);
}

// Every seed is a life with crashes, liars, repeats and clock jumps. Device i always adds 1 to
// coordinate i, so that the model says how often each has counted.
class Life : public CoordinatorLife {
 public:
  explicit Life(uint64_t seed)
      : CoordinatorLife(
            seed,
            {.strategy = {.name = seed % 2 == 0 ? "fedavg" : "fedadam", .equal_weights = true},
             .rounds = 5,
             .wanted = 3,
             .over_selection = 1.4,
             .quorum = 2,
             .deadline_s = 50,
             .most_failures = 1000,
             .evaluators = seed % 3 == 0 ? size_t{2} : size_t{0}},
            {.steps = 3000, .seconds = 10, .jump_in = 50, .crash_in = 20}) {}

  // Each committed round adds up to 1: so many updates, each once, over their number.
  void check_sum() {
    double sum = 0;
    for (const float value : model_) sum += static_cast<double>(value);
    EXPECT_NEAR(sum, static_cast<double>(committed_), 1e-4) << "seed " << seed_;
    size_t reported = 0;
    for (const RoundReport& one : coordinator_->history()) reported += one.round > 0 ? 1 : 0;
    EXPECT_EQ(reported, committed_);
    // Nothing is left of what is over: the state, a model, a memory, a folder for updates.
    open();
    const auto left = files_.list("/learn");
    ASSERT_TRUE(left);
    EXPECT_LE(left->size(), 5u) << "seed " << seed_;
  }

 private:
  void act() override {
    const size_t index = choice_.below(kDevices);
    const std::string device = "device" + std::to_string(index);
    const uint64_t what = choice_.below(5);
    if (what < 2) {
      const auto task = coordinator_->ask(device, now_);
      if (task && task->kind == Task::Kind::kTrain) attempts_[device] = task->attempt;
      if (task && task->kind == Task::Kind::kEvaluate) {
        // Every fourth finds the model worse than any before.
        const double correct = choice_.below(4) == 0 ? 0 : 10;
        (void)coordinator_->evaluated(device, task->attempt, {.rows = 10, .correct = correct},
                                      now_);
      }
    } else if (what < 4) {
      Vector delta(kDevices, 0);
      delta[index] = choice_.below(12) == 0 ? NAN : 1;
      (void)coordinator_->upload(device, update_of(attempts_[device], delta), now_);
    } else if (choice_.below(4) == 0) {
      (void)coordinator_->give_up(device, now_);
    } else {
      (void)coordinator_->tick(now_);
    }
  }

  void look() override {
    ASSERT_GE(coordinator_->rounds(), committed_) << "seed " << seed_ << " lost a round";
    if (coordinator_->rounds() == committed_) {
      ASSERT_EQ(coordinator_->model(), model_) << "seed " << seed_ << ": a round changed";
    }
    committed_ = coordinator_->rounds();
    model_ = coordinator_->model();
  }

  std::map<std::string, size_t> attempts_;
};

TEST(RoundsSimulated, NothingCountsTwiceNothingCommittedIsLostAndRoundsEnd) {
  size_t crashes = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Life life(seed);
    life.live();
    if (seed % 2 == 0) life.check_sum();
    crashes += life.crashes;
  }
  EXPECT_GT(crashes, 60u);
}

}  // namespace
}  // namespace skerry::federated
