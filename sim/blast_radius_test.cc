// A fleet of a million: a release that is worse stops early, one that is not goes through.
#include "sim/blast_radius.h"

#include <gtest/gtest.h>

namespace skerry::sim {
namespace {

constexpr int kSeeds = 2'000;

TEST(BlastRadius, TwoPercentMoreFailuresStopAtOnePercentOfTheFleet) {
  for (double control : {0.005, 0.02, 0.05}) {
    BlastFleet fleet;
    fleet.control_rate = control;
    fleet.release_rate = control + 0.02;
    int contained = 0;
    for (int seed = 1; seed <= kSeeds; ++seed) {
      const Blast blast = roll_out(default_plan(), fleet, static_cast<uint64_t>(seed));
      contained += blast.stopped && blast.asked <= fleet.devices / 100 ? 1 : 0;
    }
    EXPECT_GE(contained, kSeeds * 99 / 100) << "control " << control;
  }
}

TEST(BlastRadius, AReleaseLikeTheControlIsStoppedInOnePercentOfRunsAtMost) {
  BlastFleet fleet;
  fleet.release_rate = fleet.control_rate;
  int stopped = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const Blast blast = roll_out(default_plan(), fleet, static_cast<uint64_t>(seed));
    stopped += blast.stopped ? 1 : 0;
    if (!blast.stopped) EXPECT_EQ(blast.asked, fleet.devices);
  }
  EXPECT_LE(stopped, kSeeds / 100);
}

}  // namespace
}  // namespace skerry::sim
