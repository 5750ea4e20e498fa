// Rounds with secure aggregation, simulated: devices that vanish at any point, come back without
// what they knew, and send twice; crashes of the server at any write, clocks that jump. The model
// moves by the mean of those who are in the sum, to the last number, or not at all; a round ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "federated/coordinator.h"
#include "federated/secure/participant.h"
#include "federated/test_life.h"

namespace skerry::federated {
namespace {

using secure::StepKind;
using testing::HasSubstr;

// Device i adds 1/2 to coordinate i of the model, in each round in which it counts.
class MaskedDevice {
 public:
  MaskedDevice(size_t index, io::Random& random) : index_(index), random_(random) {}

  // One request to the server; nothing where there is nothing to do.
  Result<void> act(Coordinator& server, const Plan& plan, double now) {
    if (!participant_) {
      SKERRY_ASSIGN(const Task task, server.ask(name(), now));
      if (task.kind != Task::Kind::kTrain) return {};
      attempt_ = task.attempt;
      participant_.emplace(random_);
      upload_.clear();
      has_announced_ = false;
      return {};
    }
    auto done = follow(server, plan, now);
    if (done || done.error().code() == Code::kInternal) return done;
    if (done.error().code() == Code::kPermissionDenied) (void)server.give_up(name(), now);
    forget();
    return {};
  }
  void forget() { participant_.reset(); }
  // It does not cut what it sends, which nobody sees.
  void poison() { is_poisoner_ = true; }
  std::string name() const { return "device" + std::to_string(index_); }

 private:
  Result<void> follow(Coordinator& server, const Plan& plan, double now) {
    SKERRY_ASSIGN(const secure::Step step, server.secure_step(name(), attempt_));
    switch (step.kind) {
      case StepKind::kKeys: {
        auto keys = participant_->announce();
        keys.certificate = name();
        has_announced_ = true;
        return server.hear(name(), attempt_, {.kind = StepKind::kKeys, .keys = keys}, now);
      }
      case StepKind::kShares: {
        if (!has_announced_) return fail(Code::kPermissionDenied, "these keys are of before");
        auto said = participant_->share(step);
        return said ? server.hear(name(), attempt_, *said, now) : fail(said.error());
      }
      case StepKind::kUpdate: {
        SKERRY_TRY(participant_->receive(step));
        if (upload_.empty()) {
          Update update{.loss = 2, .delta = Vector(size(server), 0)};
          update.delta[index_] = 0.5;
          auto numbers =
              secure::to_numbers(update, fixed_point_of(plan, server.clip()), 0, random_);
          if (!numbers) return fail(numbers.error());
          if (is_poisoner_) (*numbers)[3] += 1U << 30;
          if (plan.clip_quantile > 0) {
            const bool is_within = 0.5 * static_cast<double>(index_) <= server.clip();
            secure::add_count(*numbers, is_within, 0, random_);
          }
          SKERRY_TRY(participant_->mask(*numbers));
          upload_ = secure::encode_masked(attempt_, *numbers);
        }
        return server.upload(name(), upload_, now);
      }
      case StepKind::kUnmask: {
        auto said = participant_->unmask(step);
        return said ? server.hear(name(), attempt_, *said, now) : fail(said.error());
      }
      case StepKind::kDone:
        forget();
        return {};
      default:
        return {};
    }
  }
  static size_t size(const Coordinator& server) { return server.model().size(); }

  size_t index_;
  io::Random& random_;
  size_t attempt_ = 0;
  std::optional<secure::Participant> participant_;
  bool has_announced_ = false, is_poisoner_ = false;
  std::string upload_;
};

class SecureLife : public CoordinatorLife {
 public:
  explicit SecureLife(uint64_t seed)
      : CoordinatorLife(seed,
                        {.rounds = 3,
                         .wanted = 5,
                         .over_selection = 1.2,
                         .quorum = 3,
                         .deadline_s = 80,
                         .most_failures = 1000,
                         .evaluators = seed % 3 == 0 ? size_t{1} : size_t{0},
                         .clip = 1,
                         .secure = true},
                        {.steps = 6000, .seconds = 4, .jump_in = 300, .crash_in = 60}) {
    for (size_t i = 0; i < kDevices; ++i) devices_.emplace_back(i, random_);
  }

 private:
  void act() override {
    MaskedDevice& device = devices_[choice_.below(kDevices)];
    if (choice_.below(80) == 0) device.forget();  // killed
    if (coordinator_->phase() == Coordinator::Phase::kEvaluating) {
      const auto task = coordinator_->ask(device.name(), now_);
      if (!task || task->kind != Task::Kind::kEvaluate) return;
      (void)coordinator_->evaluated(device.name(), task->attempt, {.rows = 10, .correct = 9}, now_);
    } else {
      (void)device.act(*coordinator_, plan_, now_);
    }
    if (choice_.below(20) == 0) (void)coordinator_->tick(now_);
  }

  // Each committed round is the mean of so many devices as the history says, each once.
  void look() override {
    const size_t rounds = coordinator_->rounds();
    ASSERT_GE(rounds, committed_) << "seed " << seed_ << " lost a round";
    const Vector& model = coordinator_->model();
    if (rounds > committed_) {
      ASSERT_EQ(rounds, committed_ + 1);
      const RoundReport& report = coordinator_->history().back();
      ASSERT_GE(report.updates, plan_.quorum);
      size_t counted = 0;
      for (size_t i = 0; i < kDevices; ++i) {
        const double moved = static_cast<double>(model[i]) - static_cast<double>(model_[i]);
        const double each = 0.5 / static_cast<double>(report.updates);
        const bool is_in = moved > each / 2;
        counted += is_in ? 1 : 0;
        ASSERT_NEAR(moved, is_in ? each : 0, 1e-5) << "seed " << seed_;
      }
      ASSERT_EQ(counted, report.updates) << "seed " << seed_;
      ASSERT_NEAR(report.loss, 2, 1e-3);
    } else {
      ASSERT_EQ(model, model_) << "seed " << seed_ << ": a round changed";
    }
    committed_ = rounds;
    model_ = model;
  }

  std::vector<MaskedDevice> devices_;
};

TEST(SecureRoundsSimulated, AddUpExactlyAndEndWhateverVanishes) {
  size_t crashes = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SecureLife life(seed);
    life.live();
    crashes += life.crashes;
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(crashes, 20u);
}

class SecureRounds : public testing::Test {
 protected:
  void open() {
    auto opened = Coordinator::open(files_, "/learn", plan_, Vector(4, 0), random_);
    ASSERT_TRUE(opened) << opened.error().message();
    coordinator_ = std::move(*opened);
  }
  // Everybody does so many requests, in turn.
  void act(size_t times, double now = 0) {
    for (size_t i = 0; i < times; ++i) {
      for (MaskedDevice& device : devices_) EXPECT_TRUE(device.act(*coordinator_, plan_, now));
    }
  }

  io::FaultFiles files_;
  io::SeededRandom random_{1};
  Plan plan_{.rounds = 1,
             .wanted = 4,
             .over_selection = 1,
             .quorum = 3,
             .deadline_s = 100,
             .clip = 1,
             .secure = true};
  std::unique_ptr<Coordinator> coordinator_;
  std::vector<MaskedDevice> devices_{{0, random_}, {1, random_}, {2, random_}, {3, random_}};
};

TEST_F(SecureRounds, GoThroughTheirPhases) {
  open();
  EXPECT_EQ(coordinator_->phase_name(), "keys");
  act(2);  // asked, and announced
  EXPECT_EQ(coordinator_->phase_name(), "shares");
  EXPECT_FALSE(coordinator_->expects("device0", 1));
  act(1);
  EXPECT_EQ(coordinator_->phase_name(), "training");
  EXPECT_TRUE(coordinator_->expects("device0", 1));
  const auto plain = encode({.round = 1, .examples = 1, .steps = 1, .delta = Vector(4, 1)});
  EXPECT_FALSE(coordinator_->upload("device3", plain, 0));  // without a mask
  act(1);
  EXPECT_EQ(coordinator_->phase_name(), "unmasking");
  act(1);
  EXPECT_EQ(coordinator_->rounds(), 1u);
  EXPECT_EQ(coordinator_->history().back().updates, 3u);
  EXPECT_EQ(coordinator_->history().back().refused, 1u);
}

// Power goes after each request: what was answered is known again, and the same attempt comes to
// its end.
TEST_F(SecureRounds, GoOnWhereTheServerWasCutOff) {
  open();
  for (size_t i = 0; i < 24 && !coordinator_->done(); ++i) {
    EXPECT_TRUE(devices_[i % 4].act(*coordinator_, plan_, 0)) << i;
    const std::string phase(coordinator_->phase_name());
    files_.crash_now();
    files_.reboot(io::CrashPolicy::kDropUnsynced);
    open();
    EXPECT_EQ(coordinator_->phase_name(), phase) << i;
  }
  ASSERT_EQ(coordinator_->rounds(), 1u);
  EXPECT_EQ(coordinator_->history().size(), 1u);  // no attempt failed
  EXPECT_EQ(coordinator_->history().back().updates, 4u);
}

TEST_F(SecureRounds, FailWhereTooFewAreLeftAndAnotherBegins) {
  open();
  act(3);
  for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(devices_[i].act(*coordinator_, plan_, 0));
  EXPECT_TRUE(coordinator_->tick(101));  // two of three updates
  EXPECT_EQ(coordinator_->rounds(), 0u);
  EXPECT_EQ(coordinator_->history().back().round, 0u);
  EXPECT_EQ(coordinator_->phase_name(), "keys");
  act(8, 102);
  EXPECT_EQ(coordinator_->rounds(), 1u);
}

TEST_F(SecureRounds, PlansThatCannotBeSecureAreRefused) {
  const auto refusal = [&](Plan plan) {
    const auto checked = check(plan);
    return checked ? std::string() : checked.error().message();
  };
  Plan plan = plan_;
  EXPECT_EQ(refusal(plan), "");
  plan.strategy.name = "median";
  EXPECT_THAT(refusal(plan), HasSubstr("no single update, as median needs"));
  plan = plan_;
  plan.clip = 0;
  EXPECT_THAT(refusal(plan), HasSubstr("longest update"));
  plan = plan_;
  plan.quorum = 2;
  EXPECT_THAT(refusal(plan), HasSubstr("quorum of at least 3"));
}

// Four whose updates would be 0, 0.5, 1 and 1.5 long: nobody tells the server which are within.
TEST_F(SecureRounds, CountWhoIsWithinTheLongestUpdate) {
  plan_.rounds = 2;
  plan_.clip = 0.6;
  plan_.clip_quantile = 0.9;
  open();
  act(5);
  ASSERT_EQ(coordinator_->rounds(), 1u);
  EXPECT_NEAR(coordinator_->clip(), 0.6 * std::exp(-0.2 * (0.5 - 0.9)), 1e-9);
  open();
  EXPECT_NEAR(coordinator_->clip(), 0.6 * std::exp(-0.2 * (0.5 - 0.9)), 1e-9);
}

// Who does not cut its update does not get into the model, though nobody sees it. What noise has
// been spent on that sum is spent.
TEST_F(SecureRounds, ASumThatIsTooLongDoesNotCount) {
  plan_.noise = 1;
  plan_.population = 4;
  open();
  devices_[2].poison();
  act(5);
  EXPECT_EQ(coordinator_->rounds(), 0u);
  ASSERT_EQ(coordinator_->history().size(), 1u);
  EXPECT_EQ(coordinator_->history().back().round, 0u);
  EXPECT_EQ(coordinator_->model(), Vector(4, 0));
  Accountant one;
  one.add(1, 1);
  EXPECT_NEAR(coordinator_->epsilon(), one.epsilon(plan_.delta), 1e-9);
}

// The noise of a quorum is the plan's: what devices add is enough, however many vanish.
TEST_F(SecureRounds, HaveTheNoiseOfThePlanFromAQuorumOn) {
  plan_.noise = 0.8;
  const double all = noise_of_each(plan_) * std::sqrt(static_cast<double>(plan_.quorum));
  EXPECT_DOUBLE_EQ(all, 0.8);
}

}  // namespace
}  // namespace skerry::federated
