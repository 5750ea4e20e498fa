// Some seeds of the deployment simulation of each kind, and that a seed replays. skerry-sim runs
// any number of them.
#include "sim/deployment_sim.h"

#include <gtest/gtest.h>

#include "base/sanitizers.h"

namespace skerry::sim {
namespace {

// In pieces that run beside each other; thousands more every night (nightly_sim_seeds).
constexpr int kSeedsAtOnce = 20;
constexpr int kSeeds = kIsSanitized ? kSeedsAtOnce : 100;

class DeploymentSimSeeds : public testing::TestWithParam<int> {
 protected:
  static void run(bool liveness) {
    int succeeded = 0, failed = 0, crashes = 0, losses = 0, published = 0;
    for (int seed = GetParam() + 1; seed <= GetParam() + kSeedsAtOnce; ++seed) {
      DeploymentSimOptions options;
      options.seed = static_cast<uint64_t>(seed);
      options.liveness = liveness;
      DeploymentSimReport report = run_deployment_sim(options);
      ASSERT_FALSE(report.violation) << *report.violation << "\n  replay: skerry-sim --seed "
                                     << seed << (liveness ? " --liveness" : "") << " --trace";
      succeeded += report.succeeded;
      failed += report.failed;
      crashes += report.crashes;
      losses += report.losses;
      published += report.published;
    }
    // Faults that never happen test nothing.
    EXPECT_GT(succeeded, 150);
    EXPECT_GT(failed, 300);
    EXPECT_GT(crashes, 500);
    EXPECT_GT(losses, 3);
    EXPECT_GT(published, 500);
  }
};

TEST_P(DeploymentSimSeeds, Hold) {
  run(false);
}

TEST_P(DeploymentSimSeeds, EndOnceTheFaultsDo) {
  run(true);
}

INSTANTIATE_TEST_SUITE_P(All, DeploymentSimSeeds, testing::Range(0, kSeeds, kSeedsAtOnce));

TEST(DeploymentSim, ASeedReplays) {
  DeploymentSimOptions options;
  options.seed = 7;
  EXPECT_EQ(run_deployment_sim(options).digest, run_deployment_sim(options).digest);
  options.seed = 8;
  uint64_t other = run_deployment_sim(options).digest;
  options.seed = 7;
  EXPECT_NE(run_deployment_sim(options).digest, other);
}

}  // namespace
}  // namespace skerry::sim
