// For tests: a coordinator's life by a seed, with power that goes at any write and a clock that
// jumps. What devices ask and send, and what holds after each request, is the test's.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "federated/coordinator.h"
#include "io/fault_files.h"

namespace skerry::federated {

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
