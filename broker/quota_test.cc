// Quotas, one by one, with a clock of the test.
#include "quota.h"

#include <gtest/gtest.h>

namespace skerry::broker {
namespace {

const Quota::Time kStart = Quota::Time{} + std::chrono::hours(1);

TEST(Quota, AFloodOfRequestsIsRefusedAndOtherThingsAreNot) {
  Quota quota;
  int taken = 0;
  for (int i = 0; i < 10'000; ++i) taken += quota.publish(kStart, "press", true, 100);
  EXPECT_EQ(taken, 300);
  EXPECT_TRUE(quota.publish(kStart, "press", false, 100));
  EXPECT_TRUE(quota.publish(kStart, "lathe", true, 100));
  EXPECT_TRUE(quota.publish(kStart + std::chrono::seconds(1), "press", true, 100));
  EXPECT_TRUE(quota.may_complain(kStart, "press"));
  EXPECT_FALSE(quota.may_complain(kStart + std::chrono::seconds(59), "press"));
  EXPECT_TRUE(quota.may_complain(kStart + std::chrono::seconds(61), "press"));
}

TEST(Quota, MessagesAndBytesHaveALimitEach) {
  Quota quota;
  int messages = 0, large = 0;
  for (int i = 0; i < 10'000; ++i) messages += quota.publish(kStart, "a", false, 0);
  EXPECT_EQ(messages, 5000);
  for (int i = 0; i < 1000; ++i) large += quota.publish(kStart, "b", false, 256 << 10);
  EXPECT_EQ(large, 256);
}

TEST(Quota, SubscriptionsAreCountedOncePerFilterAndSession) {
  Quota quota;
  for (size_t i = 0; i < Quota::kSubscriptions; ++i) {
    EXPECT_TRUE(quota.subscribe("T", "T/" + std::to_string(i)));
    EXPECT_TRUE(quota.subscribe("T", "T/0"));
  }
  EXPECT_FALSE(quota.subscribe("T", "T/more"));
  EXPECT_TRUE(quota.subscribe("T#2", "T/more"));
  quota.unsubscribe("T", "T/0");
  quota.unsubscribe("T", "T/never");
  EXPECT_TRUE(quota.subscribe("T", "T/more"));
}

}  // namespace
}  // namespace skerry::broker
