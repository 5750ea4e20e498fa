// Turns, speed and the day's limit, with a clock set by hand where days pass.
#include "streams/export/uplink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/test_env.h"
#include "net/test_support.h"

namespace skerry::streams {
namespace {

TEST(TimeWindow, IsReadAndKnowsItsMinutes) {
  const auto night = TimeWindow::parse("22:00-06:00");
  ASSERT_TRUE(night);
  EXPECT_TRUE(night->contains(23 * 60));
  EXPECT_TRUE(night->contains(5 * 60 + 59));
  EXPECT_FALSE(night->contains(6 * 60));
  EXPECT_FALSE(TimeWindow::parse("09:30-17:00")->contains(17 * 60));
  EXPECT_TRUE(TimeWindow::parse("09:30-24:00")->contains(24 * 60 - 1));
  for (const char* wrong : {"", "22:00", "22-06", "25:00-26:00", "24:01-03:00", "1:00-2:00",
                            "10:60-11:00", "10:00-10:00", "10:00-11:00 ", "-1:00-02:00"}) {
    EXPECT_FALSE(TimeWindow::parse(wrong)) << wrong;
  }
}

class UplinkTest : public testing::Test {
 protected:
  using Line = std::unique_ptr<Uplink::Transfer>;
  void make(UplinkLimits limits) {
    uplink_ = std::make_unique<Uplink>(test_.env, std::move(limits), "/uplink");
    EXPECT_TRUE(uplink_->load());
  }
  Line begin(int64_t priority) { return net::run_task(test_.loop, uplink_->begin(priority)); }
  void pace(Line& line, size_t bytes) {
    net::run_task(test_.loop, [](Line& one, size_t count) -> io::Task<bool> {
      co_await one->pace(count);
      co_return true;
    }(line, bytes));
  }
  // Sends until it is done, and notes its name then.
  static io::Task<void> transfer(UplinkTest& test, int64_t priority, int pieces, std::string name) {
    const Line line = co_await test.uplink_->begin(priority);
    test.events_.push_back("begin " + name);
    for (int i = 0; i < pieces; ++i) co_await line->pace(10'000);
    test.events_.push_back("end " + name);
  }
  void wait_for(size_t events) {
    ASSERT_TRUE(net::run_until(test_.loop, [&] { return events_.size() >= events; }));
  }

  io::BasicTestEnv<io::RealClock, io::FaultFiles> test_;
  std::unique_ptr<Uplink> uplink_;
  std::vector<std::string> events_;
  io::TaskScope tasks_;  // ends before the uplink
};

TEST_F(UplinkTest, TheMoreUrgentGoesFirst) {
  make({.transfers = 1});
  Line busy = begin(1);
  for (const int priority : {9, 2, 5}) {
    tasks_.spawn(transfer(*this, priority, 1, std::to_string(priority)));
  }
  busy.reset();
  wait_for(6);
  EXPECT_THAT(events_,
              testing::ElementsAre("begin 2", "end 2", "begin 5", "end 5", "begin 9", "end 9"));
}

TEST_F(UplinkTest, OneThatIsUnderWayStandsStillForOneThatIsMoreUrgent) {
  make({.bytes_per_s = 400'000, .transfers = 1});
  tasks_.spawn(transfer(*this, 10, 10, "slow"));
  wait_for(1);
  tasks_.spawn(transfer(*this, 1, 20, "urgent"));
  wait_for(4);
  EXPECT_THAT(events_,
              testing::ElementsAre("begin slow", "begin urgent", "end urgent", "end slow"));
}

TEST_F(UplinkTest, OneThatMovesNothingHoldsUpNobody) {
  make({.transfers = 2, .patience_ms = 10});
  const Line stuck = begin(1);
  tasks_.spawn(transfer(*this, 10, 2, "other"));
  wait_for(2);
}

TEST_F(UplinkTest, NothingGoesFasterThanTheLimit) {
  make({.bytes_per_s = 100'000});
  Line line = begin(5);
  EXPECT_LE(line->piece_bytes(), 25'000u);
  const int64_t begun_ms = test_.clock.monotonic_ms();
  for (int i = 0; i < 5; ++i) pace(line, 5'000);
  EXPECT_GE(test_.clock.monotonic_ms() - begun_ms, 199);
}

TEST_F(UplinkTest, TheDaysLimitHoldsOverRestarts) {
  make({.bytes_per_day = 100'000});
  Line line = begin(5);
  for (int i = 0; i < 6; ++i) pace(line, 10'000);
  line.reset();
  make({.bytes_per_day = 100'000});
  EXPECT_GE(uplink_->bytes_today(), 60'000);
  EXPECT_LE(uplink_->bytes_today(), 63'000);
  line = begin(5);
  pace(line, 45'000);  // what has begun is finished
  tasks_.spawn(transfer(*this, 1, 1, "next"));
  for (int i = 0; i < 5; ++i) test_.loop.run_for(5);
  EXPECT_TRUE(events_.empty());
  ASSERT_TRUE(io::write_file_atomic(test_.files, "/uplink", "damaged"));
  tasks_.cancel_all();
  line.reset();
  make({.bytes_per_day = 100'000});
  EXPECT_EQ(uplink_->bytes_today(), 100'000) << "the limit holds whatever happens";
}

TEST(UplinkDays, ANewDayIsANewAllowance) {
  io::TestEnv test;
  Uplink uplink(test.env, {.bytes_per_day = 1'000}, "/uplink");
  ASSERT_TRUE(uplink.load());
  const auto send = [&]() -> bool {
    return net::run_task(test.loop, [](Uplink& one) -> io::Task<bool> {
      const auto line = co_await one.begin(1);
      co_await line->pace(1'000);
      co_return true;
    }(uplink));
  };
  EXPECT_TRUE(send());
  EXPECT_EQ(uplink.bytes_today(), 1'000);
  test.clock.wall += 86'400'000;
  EXPECT_EQ(uplink.bytes_today(), 0);
  EXPECT_TRUE(send());
}

}  // namespace
}  // namespace skerry::streams
