// Tokens and breakers.
#include "hybrid/budget.h"

#include <gtest/gtest.h>

namespace skerry::hybrid {
namespace {

TEST(TokenBucket, GivesItsRateAndItsBurst) {
  TokenBucket bucket(3'600, 5);  // one a second
  int64_t given = 0;
  for (int64_t now_ms = 0; now_ms < 100'000; now_ms += 10) given += bucket.take(1, now_ms) ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(given), 104, 1);
  EXPECT_FALSE(bucket.take(6, 1'000'000'000));  // more than it ever holds
  EXPECT_TRUE(bucket.take(5, 1'000'000'000));
  EXPECT_FALSE(bucket.take(1, 5));  // the clock went back
  EXPECT_FALSE(TokenBucket(0, 0).take(1, 0));
}

TEST(CircuitBreaker, OpensTriesOneAndCloses) {
  CircuitBreaker breaker(2, 100);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(breaker.admits(0));
    breaker.note(false, 0);
  }
  EXPECT_FALSE(breaker.admits(99));
  EXPECT_TRUE(breaker.admits(100));
  EXPECT_FALSE(breaker.admits(100));  // one at a time
  breaker.note(false, 110);
  EXPECT_FALSE(breaker.admits(200));
  EXPECT_TRUE(breaker.admits(210));
  breaker.note(true, 210);
  EXPECT_TRUE(breaker.admits(210));
  breaker.note(false, 211);
  EXPECT_TRUE(breaker.admits(211));  // failures in a row count
}

}  // namespace
}  // namespace skerry::hybrid
