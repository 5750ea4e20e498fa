// When runs are alarms, and alarms a fault.
#include "serve/watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skerry::serve {
namespace {

using testing::HasSubstr;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMs;

class WatchdogTest : public testing::Test {
 protected:
  // A run of 2 ms is normal for shapes 1.
  void learn() {
    for (int i = 0; i < 32; ++i) good(2 * kMs + i * 1000);
  }
  void good(int64_t infer_ns, uint64_t shapes = 1) {
    watchdog_.note_good(shapes, infer_ns, now_ns_ += kSecond);
  }
  uint64_t slow() const { return watchdog_.alarms().slow; }

  Watchdog watchdog_;
  int64_t now_ns_ = 0;
};

TEST_F(WatchdogTest, OneThatStaysTenTimesSlowerIsAtFault) {
  learn();
  good(19 * kMs);
  EXPECT_EQ(slow(), 0u);
  for (int i = 0; i < 10; ++i) good(21 * kMs);
  EXPECT_EQ(slow(), 10u);
  EXPECT_EQ(watchdog_.fault(), "");  // 9 s
  good(21 * kMs);
  EXPECT_THAT(watchdog_.fault(), HasSubstr("11 inferences in a row were slow, for 10 s; the last "
                                           "one took 21 ms where 2.02 ms is normal"));
}

TEST_F(WatchdogTest, OneOtherRunBetweenThemIsEnough) {
  learn();
  for (int i = 0; i < 100; ++i) good(i % 8 == 7 ? 2 * kMs : 30 * kMs);
  EXPECT_EQ(slow(), 88u);
  EXPECT_EQ(watchdog_.fault(), "");
}

TEST_F(WatchdogTest, AShortWhileOfManySlowRunsIsNoFault) {
  learn();
  for (int i = 0; i < 1'000; ++i) watchdog_.note_good(1, 30 * kMs, now_ns_ + i * kMs);
  EXPECT_EQ(slow(), 1'000u);
  EXPECT_EQ(watchdog_.fault(), "");
}

TEST_F(WatchdogTest, NormalIsOfEachShapeAndOfMostRuns) {
  for (int i = 0; i < 32; ++i) good(i < 10 ? 500 * kMs : 2 * kMs);  // as when it was loaded
  good(50 * kMs, 2);                                                // other shapes: not known
  EXPECT_EQ(slow(), 0u);
  good(50 * kMs);
  EXPECT_EQ(slow(), 1u);
  for (int i = 0; i < 100; ++i) good(i * kSecond, 0);  // of time that depends on values
  EXPECT_EQ(slow(), 1u);
}

TEST_F(WatchdogTest, WhatTakesMicrosecondsMayWaitForTheMachine) {
  for (int i = 0; i < 32; ++i) good(5'000);
  for (int i = 0; i < 20; ++i) good(900'000);
  EXPECT_EQ(slow(), 0u);
}

TEST_F(WatchdogTest, ThreeInARowThatAreNotFiniteAreAFault) {
  for (int i = 0; i < 2; ++i) watchdog_.note_not_finite("y");
  good(kMs);
  for (int i = 0; i < 2; ++i) watchdog_.note_not_finite("y");
  EXPECT_EQ(watchdog_.fault(), "");
  watchdog_.note_not_finite("y");
  EXPECT_THAT(watchdog_.fault(),
              HasSubstr("3 inferences in a row gave NaN or infinity in output 'y'"));
  EXPECT_EQ(watchdog_.alarms(), (Alarms{0, 5, 0}));
}

TEST_F(WatchdogTest, ThreeInARowThatAreEndedOrOneThatCannotBe) {
  for (int i = 0; i < 2; ++i) watchdog_.note_over_limit(250);
  EXPECT_EQ(watchdog_.fault(), "");
  Watchdog stuck = watchdog_;
  watchdog_.note_over_limit(250);
  EXPECT_THAT(watchdog_.fault(), HasSubstr("3 inferences in a row did not end within 250 ms"));
  stuck.note_stuck(250);
  EXPECT_THAT(stuck.fault(), HasSubstr("cannot be stopped"));
  EXPECT_EQ(stuck.alarms().hangs, 2u);
}

TEST_F(WatchdogTest, AlarmsAreTakenOnce) {
  watchdog_.note_not_finite("y");
  watchdog_.note_over_limit(1);
  EXPECT_EQ(watchdog_.take_new_alarms(), (Alarms{1, 1, 0}));
  EXPECT_EQ(watchdog_.take_new_alarms(), Alarms());
  watchdog_.note_over_limit(1);
  EXPECT_EQ(watchdog_.take_new_alarms(), (Alarms{1, 0, 0}));
}

}  // namespace
}  // namespace skerry::serve
