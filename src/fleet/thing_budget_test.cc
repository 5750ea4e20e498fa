// One thing that floods, others that do not.
#include "fleet/thing_budget.h"

#include <gtest/gtest.h>

namespace skerry::fleet {
namespace {

TEST(ThingBudget, OneThingsFloodIsRefusedAndOthersAreNot) {
  io::ManualClock clock;
  ThingBudget budget(clock, 10, 2);
  const ThingName press("press"), lathe("lathe");
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(budget.spend(press));
  EXPECT_FALSE(budget.spend(press));
  EXPECT_TRUE(budget.first_refusal(press));
  EXPECT_FALSE(budget.first_refusal(press));
  EXPECT_TRUE(budget.spend(lathe));
  clock.monotonic += 1000;
  EXPECT_TRUE(budget.spend(press, 2));
  EXPECT_FALSE(budget.spend(press));
  clock.monotonic += 60'000;
  EXPECT_TRUE(budget.spend(press, 1000));  // the most there is
  EXPECT_FALSE(budget.spend(press));
}

TEST(ThingBudget, ThingsThatAreQuietAreForgotten) {
  io::ManualClock clock;
  ThingBudget budget(clock, 10, 1);
  const ThingName busy("busy");
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(budget.spend(busy));
  for (int i = 0; i < 5000; ++i) EXPECT_TRUE(budget.spend(ThingName("t" + std::to_string(i))));
  EXPECT_FALSE(budget.spend(busy));  // not by others coming and going
}

}  // namespace
}  // namespace skerry::fleet
