// The clock of a device, with machine clocks that are wrong in every way, and certificates judged
// by it in real TLS handshakes.
#include "nucleus/device_clock.h"

#include <gtest/gtest.h>

#include "net/stream.h"
#include "net/test_support.h"

namespace skerry::nucleus {
namespace {

constexpr int64_t kYearS = 31'557'600;
constexpr int64_t kDayS = 86'400;
constexpr int64_t kNowS = 1'767'225'600;  // 2026-01-01, as the fleet knows it

class DeviceClockTest : public testing::Test {
 protected:
  // The device's clock at `wall_s`, with a floor of `floor_s` on disk.
  DeviceClock clock_at(int64_t wall_s, int64_t floor_s = 0) {
    machine_.wall = wall_s * 1000;
    machine_.monotonic = 5'000;
    if (floor_s > 0) {
      EXPECT_TRUE(io::write_file_atomic(files_, path(), std::to_string(floor_s * 1000) + "\n"));
    }
    return DeviceClock(machine_, files_, path());
  }
  std::string path() const { return scratch_.path("clock"); }

  net::ScratchDirectory scratch_;
  io::RealFiles files_;
  io::ManualClock machine_;
};

// The certificate of a fleet: issued a day ago for a year.
TEST_F(DeviceClockTest, NoWrongClockCostsTheFleet) {
  for (const int64_t wall_s : {int64_t{0}, kNowS - 2 * kDayS, kNowS, kNowS + 20 * kYearS}) {
    for (const int64_t floor_s : {int64_t{0}, kNowS - 30 * kDayS, kNowS - kDayS / 2}) {
      DeviceClock clock = clock_at(wall_s, floor_s);
      EXPECT_TRUE(clock.may_be_valid(kNowS - kDayS, kNowS + kYearS)) << wall_s << " " << floor_s;
    }
  }
}

TEST_F(DeviceClockTest, WhatEndedBeforeTheFloorHasEnded) {
  DeviceClock clock = clock_at(kNowS, kNowS - kDayS);
  EXPECT_FALSE(clock.may_be_valid(kNowS - kYearS, kNowS - 2 * kDayS));
  EXPECT_TRUE(clock.may_be_valid(kNowS - kYearS, kNowS - kDayS / 2)) << "the clock may be ahead";
  EXPECT_FALSE(clock.may_be_valid(kNowS + 11 * kYearS, kNowS + 12 * kYearS));
}

// A floor that is wrong itself: both clocks had been far ahead.
TEST_F(DeviceClockTest, ARightClockIsEnoughWhateverTheFloorSays) {
  DeviceClock clock = clock_at(kNowS, kNowS + 20 * kYearS);
  EXPECT_TRUE(clock.may_be_valid(kNowS - kDayS, kNowS + kYearS));
}

TEST_F(DeviceClockTest, TheFleetsTimeIsTheEstimateWhereTheClockIsWrong) {
  for (const int64_t wall_s : {int64_t{0}, kNowS - 2 * kDayS, kNowS + 20 * kYearS}) {
    DeviceClock clock = clock_at(wall_s);
    clock.hear(kNowS * 1000);
    EXPECT_EQ(clock.wall_ms(), kNowS * 1000);
    machine_.monotonic += 7'000;
    EXPECT_EQ(clock.wall_ms(), kNowS * 1000 + 7'000);
    machine_.wall = (kNowS + 8) * 1000;  // set right: it is used again
    EXPECT_EQ(clock.wall_ms(), machine_.wall);
  }
  DeviceClock right = clock_at(kNowS);
  right.hear(kNowS * 1000 + 60'000);
  EXPECT_EQ(right.wall_ms(), kNowS * 1000) << "a minute is no reason";
}

TEST_F(DeviceClockTest, NeitherClockAloneMovesTheFloor) {
  const int64_t before_ms = (kNowS - 30 * kDayS) * 1000;
  const auto floor_after = [&](int64_t wall_s, int64_t fleet_s) {
    DeviceClock clock = clock_at(wall_s, kNowS - 30 * kDayS);
    clock.hear(fleet_s * 1000);
    return clock.floor_ms();
  };
  EXPECT_EQ(floor_after(0, kNowS), before_ms);
  EXPECT_EQ(floor_after(kNowS, kNowS + 20 * kYearS), kNowS * 1000);
  EXPECT_EQ(floor_after(kNowS + 20 * kYearS, kNowS), kNowS * 1000);
  EXPECT_EQ(floor_after(kNowS, 0), before_ms) << "a fleet before the release is wrong";
}

TEST_F(DeviceClockTest, TheFloorSurvivesARestartAndADamagedFileIsNone) {
  {
    DeviceClock clock = clock_at(kNowS);
    ASSERT_TRUE(clock.hear(kNowS * 1000));
    ASSERT_TRUE(io::write_file_atomic(files_, clock.path(), clock.floor_text()));
    EXPECT_FALSE(clock.hear(kNowS * 1000 + 1'000)) << "not for every second";
  }
  EXPECT_EQ(clock_at(0).floor_ms(), kNowS * 1000);
  EXPECT_EQ(clock_at(0).wall_ms(), kNowS * 1000) << "not before it";
  for (const char* damaged : {"", "x", "99999999999999999", "-5", "1"}) {
    ASSERT_TRUE(io::write_file_atomic(files_, path(), damaged));
    EXPECT_LT(clock_at(kNowS).floor_ms(), kNowS * 1000) << damaged;
  }
}

// What a TLS client makes of a server's certificate that ended an hour ago by this machine's clock.
class DeviceClockTls : public DeviceClockTest {
 protected:
  std::string connect(std::shared_ptr<const net::CertificateTimes> times) {
    net::TestCa ca(scratch_, "ca");
    auto server = net::TlsContext::server(ca.issue({"x", "DNS:localhost", true}), false);
    auto listener = net::listen_tcp(loop_, "127.0.0.1", 0, *server, [](auto) {});
    auto tls = net::TlsContext::client({ca.ca_file(), "", ""}, std::move(times));
    std::optional<std::string> outcome;
    io::TaskScope scope;
    struct Connect {
      static io::Task<void> run(io::Loop* loop, uint16_t port, std::shared_ptr<net::TlsContext> tls,
                                std::optional<std::string>* outcome) {
        auto stream = co_await net::connect_tcp(*loop, "localhost", port, tls, 5'000);
        *outcome = stream ? "" : stream.error().message();
      }
    };
    scope.spawn(Connect::run(&loop_, (*listener)->port(), *tls, &outcome));
    net::run_until(loop_, [&] { return outcome.has_value(); });
    return outcome.value_or("no answer");
  }
  int64_t now_s() { return real_.wall_ms() / 1000; }
  io::RealLoop loop_;
  io::RealClock real_;
};

TEST_F(DeviceClockTls, AnEndedCertificateIsRefusedUnlessTheClockMayBeWrong) {
  EXPECT_NE(connect(nullptr).find("certificate has expired"), std::string::npos);
  const auto times = [&](int64_t wall_s, int64_t floor_s) {
    return std::make_shared<DeviceClock>(clock_at(wall_s, floor_s));
  };
  EXPECT_EQ(connect(times(now_s(), now_s() - kDayS)), "");
  EXPECT_EQ(connect(times(now_s() - 2 * kDayS, now_s() - 3 * kDayS)), "");
  EXPECT_NE(connect(times(now_s(), now_s() - 60)).find("certificate has expired"),
            std::string::npos);
}

}  // namespace
}  // namespace skerry::nucleus
