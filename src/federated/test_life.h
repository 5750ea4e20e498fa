// For tests: rounds by hand, and a coordinator's life by a seed, with power that goes at any write
// and a clock that jumps. What devices ask and send, and what holds after each request, is the
// test's.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "federated/coordinator.h"
#include "io/fault_files.h"

namespace skerry::federated {

inline std::string update_of(size_t attempt, Vector delta, double examples = 1) {
  return encode({.round = attempt, .examples = examples, .steps = 1, .delta = std::move(delta)});
}

// Rounds by hand: two numbers, two updates a round.
class RoundsTest : public testing::Test {
 protected:
  void open() {
    auto opened = Coordinator::open(files_, "/learn", plan_, {0, 0}, random_);
    ASSERT_TRUE(opened) << opened.error().message();
    coordinator_ = std::move(*opened);
  }
  Task ask(const std::string& device, double now = 0) {
    const auto task = coordinator_->ask(device, now);
    EXPECT_TRUE(task) << task.error().message();
    return *task;
  }
  size_t join(const std::string& device, double now = 0) {
    const Task task = ask(device, now);
    EXPECT_EQ(task.kind, Task::Kind::kTrain) << device;
    return task.attempt;
  }
  Result<void> upload(const std::string& device, size_t attempt, Vector delta, double now = 0) {
    return coordinator_->upload(device, update_of(attempt, std::move(delta)), now);
  }
  // So many devices ask, and those that are drawn send the same.
  void train_those_drawn(int devices, double now) {
    for (int i = 0; i < devices; ++i) {
      const std::string device = "d" + std::to_string(i);
      const Task task = ask(device, now);
      if (task.kind == Task::Kind::kTrain) {
        (void)upload(device, task.attempt, {0.1F, 0.1F}, now);
      }
    }
  }

  io::FaultFiles files_;
  io::SeededRandom random_{1};
  Plan plan_{.rounds = 3, .wanted = 2, .over_selection = 1.5, .quorum = 1, .deadline_s = 100};
  std::unique_ptr<Coordinator> coordinator_;
};

class CoordinatorLife {
 public:
  static constexpr size_t kDevices = 8;

  virtual ~CoordinatorLife() = default;

  void live() {
    for (size_t step = 0; step < pace_.steps && !coordinator_->done(); ++step) {
      const double jump_s = choice_.below(pace_.jump_in) == 0 ? 100 : 0;
      now_ += static_cast<double>(choice_.below(pace_.seconds)) - jump_s;
      if (choice_.below(pace_.crash_in) == 0) {
        files_.crash_at(files_.operations().size() + choice_.below(8));
      }
      act();
      if (files_.crashed()) {
        ++crashes;
        files_.reboot(io::CrashPolicy::kSeeded, seed_ * 7919 + step);
        open();
      }
      look();
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_TRUE(coordinator_->done()) << "seed " << seed_ << " did not end";
  }

  size_t crashes = 0;

 protected:
  // Of a life: so many requests at most, less than so many seconds apart; once in so many requests
  // the clock jumps back, or the power goes.
  struct Pace {
    size_t steps;
    uint64_t seconds, jump_in, crash_in;
  };

  CoordinatorLife(uint64_t seed, Plan plan, Pace pace)
      : seed_(seed), choice_(seed), random_(seed + 1000), plan_(std::move(plan)), pace_(pace) {
    open();
  }

  virtual void act() = 0;
  virtual void look() = 0;

  void open() {
    auto opened = Coordinator::open(files_, "/learn", plan_, Vector(kDevices, 0), random_);
    ASSERT_TRUE(opened) << "seed " << seed_ << ": " << opened.error().message();
    coordinator_ = std::move(*opened);
  }

  uint64_t seed_;
  io::SeededRandom choice_, random_;
  io::FaultFiles files_;
  Plan plan_;
  Pace pace_;
  std::unique_ptr<Coordinator> coordinator_;
  double now_ = 0;
  size_t committed_ = 0;
  Vector model_ = Vector(kDevices, 0);  // as it was looked at last
};

}  // namespace skerry::federated
