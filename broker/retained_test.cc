// What things leave in the broker, with a clock of the test.
#include "retained.h"

#include <gtest/gtest.h>

namespace skerry::broker {
namespace {

const Retained::Time kNow = Retained::Time{} + std::chrono::hours(500'000);

TEST(Retained, TopicsAreFew) {
  Retained retained;
  for (size_t i = 0; i < Retained::kTopics; ++i) {
    EXPECT_TRUE(retained.keep(kNow, "T", std::to_string(i), 10));
  }
  EXPECT_TRUE(retained.keep(kNow, "T", "0", 10));
  EXPECT_FALSE(retained.keep(kNow, "T", "more", 10));
  EXPECT_TRUE(retained.keep(kNow, "T", "0", 0));
  EXPECT_TRUE(retained.keep(kNow, "T", "more", 10));
}

TEST(Retained, BytesAreBoundedToo) {
  Retained retained;
  constexpr size_t kQuarter = Retained::kBytes / 4;
  for (const char* topic : {"a", "b", "c", "d"}) {
    EXPECT_TRUE(retained.keep(kNow, "T", topic, kQuarter));
  }
  EXPECT_FALSE(retained.keep(kNow, "T", "e", 1));
  EXPECT_FALSE(retained.keep(kNow, "T", "a", kQuarter + 1));
  EXPECT_TRUE(retained.keep(kNow, "T", "a", kQuarter - 1));
  EXPECT_TRUE(retained.keep(kNow, "T", "e", 1));
  EXPECT_TRUE(retained.keep(kNow, "T", "b", 0));
  EXPECT_TRUE(retained.keep(kNow, "T", "f", kQuarter));
  EXPECT_TRUE(retained.keep(kNow, "other", "a", Retained::kBytes));
}

TEST(Retained, WhatIsNotWrittenAgainIsOverdueAfterItsLife) {
  Retained retained;
  ASSERT_TRUE(retained.keep(kNow, "T", "T/old", 1));
  ASSERT_TRUE(retained.keep(kNow, "T", "T/again", 1));
  ASSERT_TRUE(retained.keep(kNow + std::chrono::seconds(1), "T", "T/again", 1));
  EXPECT_TRUE(retained.overdue(kNow + Retained::kLife - std::chrono::seconds(1)).empty());
  const auto overdue = retained.overdue(kNow + Retained::kLife);
  ASSERT_EQ(overdue.size(), 1);
  EXPECT_EQ(overdue[0].thing, "T");
  EXPECT_EQ(overdue[0].topic, "T/old");
  ASSERT_TRUE(retained.keep(kNow, "T", "T/old", 0));
  EXPECT_TRUE(retained.overdue(kNow + Retained::kLife).empty());
}

TEST(Retained, ARestartForgetsNeitherQuotaNorTime) {
  Retained before, after;
  for (size_t i = 0; i < Retained::kTopics; ++i) {
    ASSERT_TRUE(before.keep(kNow, "T", "T/with space/" + std::to_string(i), 10));
  }
  EXPECT_TRUE(before.take_changed());
  EXPECT_FALSE(before.take_changed());
  ASSERT_TRUE(after.read(before.text()));
  EXPECT_FALSE(after.take_changed());
  EXPECT_FALSE(after.keep(kNow, "T", "T/more", 10));
  EXPECT_TRUE(after.keep(kNow, "T", "T/with space/0", Retained::kBytes - 490));
  EXPECT_FALSE(after.keep(kNow, "T", "T/with space/0", Retained::kBytes - 489));
  EXPECT_EQ(after.overdue(kNow + Retained::kLife).size(), Retained::kTopics);
  EXPECT_FALSE(after.keep(kNow, "U", "U/two\nlines", 1));
}

TEST(Retained, DamageChangesNothing) {
  Retained retained;
  ASSERT_TRUE(retained.keep(kNow, "T", "T/a", 1));
  const std::string good = retained.text();
  for (const std::string& bad :
       {std::string(), std::string("skerry-retained 2\n"), good.substr(0, good.size() - 1),
        good + "x 1 T T/b\n", good + "1 -1 T T/b\n", good + "1 1 T\n", good + "1 1  T/b\n",
        good + "1 9999999 T T/b\n", good + good.substr(good.find('\n') + 1), good + "\n"}) {
    EXPECT_FALSE(retained.read(bad)) << bad;
  }
  EXPECT_EQ(retained.text(), good);
}

}  // namespace
}  // namespace skerry::broker
