// Power is cut at every single file operation of a deployment and of a roll-back, under each policy
// of what the disk keeps. The device must come back to the old or the new generation and finish the
// job.
#include <gtest/gtest.h>

#include "sim/sim_device.h"

namespace skerry::sim {
namespace {

class Scenario {
 public:
  explicit Scenario(Kind second) {
    fleet_.add_thing(device_.thing_);
    publish_generation(fleet_, random_, 1, Kind::kGood);
    publish_generation(fleet_, random_, 2, second);
    EXPECT_EQ(device_.boot(), "");
    EXPECT_TRUE(fleet_.deploy("thing/device", {{"app", "1.0.0"}}));
    settle();
    EXPECT_EQ(running_version(device_), "1.0.0");
    before_ = device_.files_.operations().size();
  }

  // Runs until nothing is left to happen soon; a crash on the way is followed by a boot.
  void settle(io::CrashPolicy policy = io::CrashPolicy::kKeepAll, uint64_t seed = 0) {
    const int64_t end_ms = loop_.now_ms() + 120'000;
    while (loop_.now_ms() < end_ms) {
      loop_.step(end_ms);
      if (device_.files_.crashed()) {
        device_.power_off();
        device_.files_.reboot(policy, seed);
        ASSERT_EQ(device_.boot(), "");
        crashed_ = true;
      }
      if (std::exchange(checked_, device_.files_.operations().size()) ==
          device_.files_.operations().size())
        continue;
      std::string problem = check_generation(device_);
      ASSERT_EQ(problem, "");
    }
  }

  void deploy() { EXPECT_TRUE(fleet_.deploy("thing/device", {{"app", "2.0.0"}})); }

  io::SeededRandom random_{1};
  SimLoop loop_{1};
  NetworkFaults faults_;
  SimFleet fleet_{loop_, random_, faults_};
  Device device_{loop_, fleet_, ThingName("device"), 1};
  size_t before_ = 0;
  size_t checked_ = 0;  // operations
  bool crashed_ = false;
};

void crash_everywhere(Kind second, const std::string& version_after,
                      fleet::ExecutionStatus status_after) {
  size_t operations = 0;
  {
    Scenario clean(second);
    clean.deploy();
    clean.settle();
    ASSERT_EQ(running_version(clean.device_), version_after);
    operations = clean.device_.files_.operations().size() - clean.before_;
  }
  ASSERT_GT(operations, 30u);
  for (auto policy :
       {io::CrashPolicy::kDropUnsynced, io::CrashPolicy::kKeepAll, io::CrashPolicy::kSeeded}) {
    for (size_t at = 0; at < operations; ++at) {
      Scenario scenario(second);
      scenario.device_.files_.crash_at(scenario.before_ + at);
      scenario.deploy();
      scenario.settle(policy, at);
      const std::string where = "crash at operation " + std::to_string(at) + ": " +
                                scenario.device_.files_.operations()[scenario.before_ + at].text();
      if (::testing::Test::HasFatalFailure()) FAIL() << where;
      EXPECT_TRUE(scenario.crashed_) << where;
      EXPECT_EQ(running_version(scenario.device_), version_after) << where;
      EXPECT_EQ(scenario.fleet_.jobs(scenario.device_.thing_).back().status, status_after) << where;
      for (const auto& status : scenario.device_.nucleus_->supervisor().statuses()) {
        EXPECT_TRUE(nucleus::is_healthy(status.state)) << where << ", " << status.name.str();
      }
    }
  }
}

// DEP-6, DEP-8
TEST(DeploymentCrash, EveryOperationOfADeployment) {
  crash_everywhere(Kind::kGood, "2.0.0", fleet::ExecutionStatus::kSucceeded);
}

TEST(DeploymentCrash, EveryOperationOfARollBack) {
  crash_everywhere(Kind::kBroken, "1.0.0", fleet::ExecutionStatus::kFailed);
}

// The same with errors instead of power cuts: a disk that is full, a disk that is damaged.
TEST(DeploymentCrash, EveryOperationMayFailOnce) {
  Scenario clean(Kind::kGood);
  clean.deploy();
  clean.settle();
  const size_t operations = clean.device_.files_.operations().size() - clean.before_;
  for (int errno_value : {ENOSPC, EIO}) {
    for (size_t at = 0; at < operations; ++at) {
      Scenario scenario(Kind::kGood);
      Device& device = scenario.device_;
      device.files_.fail_at(scenario.before_ + at, errno_value);
      scenario.deploy();
      const std::string where = "error at operation " + std::to_string(at);
      const int64_t end_ms = scenario.loop_.now_ms() + 120'000;
      while (scenario.loop_.now_ms() < end_ms) {
        scenario.loop_.step(end_ms);
        if (device.wants_restart_) {
          device.power_off();
          ASSERT_EQ(device.boot(), "") << where;
        }
        ASSERT_EQ(check_generation(device), "") << where;
      }
      auto status = scenario.fleet_.jobs(device.thing_).back().status;
      EXPECT_TRUE(fleet::is_terminal(status)) << where;
      EXPECT_EQ(running_version(device),
                status == fleet::ExecutionStatus::kSucceeded ? "2.0.0" : "1.0.0")
          << where;
    }
  }
}

}  // namespace
}  // namespace skerry::sim
