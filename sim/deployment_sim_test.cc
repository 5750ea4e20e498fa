// Some seeds of the deployment simulation of each kind, and that a seed replays. skerry-sim runs
// any number of them.
#include "sim/deployment_sim.h"

#include <gtest/gtest.h>

#include "base/sanitizers.h"

namespace skerry::sim {
namespace {

constexpr int kSeeds = kIsSanitized ? 4 : 30;

void many_seeds(bool liveness) {
  int succeeded = 0, failed = 0, crashes = 0, losses = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    DeploymentSimOptions options;
    options.seed = seed;
    options.liveness = liveness;
    DeploymentSimReport report = run_deployment_sim(options);
    ASSERT_FALSE(report.violation) << *report.violation << "\n  replay: skerry-sim --seed " << seed
                                   << (liveness ? " --liveness" : "") << " --trace";
    succeeded += report.succeeded;
    failed += report.failed;
    crashes += report.crashes;
    losses += report.losses;
  }
  if (kIsSanitized) return;
  // Faults that never happen test nothing.
  EXPECT_GT(succeeded, 100);
  EXPECT_GT(failed, 100);
  EXPECT_GT(crashes, 300);
  EXPECT_GT(losses, 5);
}

TEST(DeploymentSim, ManySeedsHold) {
  many_seeds(false);
}

TEST(DeploymentSim, EverythingEndsOnceTheFaultsDo) {
  many_seeds(true);
}

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
