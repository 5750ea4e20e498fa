// The estimate of the time, and the rules for certificates.
#include "nucleus/device_clock.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "base/log.h"

namespace skerry::nucleus {
namespace {

// Before the first release of this program it is not. Deliberately long before: a floor in the
// future would be as wrong as a clock in the past.
constexpr int64_t kReleaseMs = 1'735'689'600'000;  // 2025-01-01
constexpr int64_t kLatestMs = 7'258'118'400'000;   // 2200-01-01
constexpr int64_t kTenYearsMs = 315'576'000'000;
constexpr int64_t kAgreesWithinMs = 300'000;
constexpr int64_t kSaveEveryMs = 3'600'000;

int64_t read_floor(io::Files& files, const std::string& path) {
  auto text = io::read_file(files, path, 64);
  int64_t floor_ms = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), floor_ms);
  return floor_ms <= kLatestMs ? std::max(floor_ms, kReleaseMs) : kReleaseMs;
}

}  // namespace

DeviceClock::DeviceClock(io::Clock& system, io::Files& files, std::string path)
    : system_(system),
      path_(std::move(path)),
      floor_ms_(read_floor(files, path_)),
      saved_floor_ms_(floor_ms_) {
  if (system_.wall_ms() < floor_ms_) {
    log::warn("clock", "this machine's clock is behind: it has been later already",
              {{"behind_s", std::to_string((floor_ms_ - system_.wall_ms()) / 1000)}});
  }
}

int64_t DeviceClock::wall_ms() {
  const int64_t here_ms = system_.wall_ms();
  if (!fleet_ahead_ms_) return std::max(here_ms, floor_ms_);
  const int64_t fleet_ms = system_.monotonic_ms() + *fleet_ahead_ms_;
  return std::abs(fleet_ms - here_ms) <= kAgreesWithinMs ? here_ms : fleet_ms;
}

bool DeviceClock::may_be_valid(int64_t not_before_s, int64_t not_after_s) const {
  const int64_t now_s = system_.wall_ms() / 1000;
  if (not_before_s <= now_s && now_s <= not_after_s) return true;
  const int64_t latest_s = (std::max(system_.wall_ms(), floor_ms_) + kTenYearsMs) / 1000;
  return not_after_s >= floor_ms_ / 1000 && not_before_s <= latest_s;
}

bool DeviceClock::hear(int64_t fleet_ms) {
  if (fleet_ms < kReleaseMs || fleet_ms > kLatestMs) return false;  // its clock is the wrong one
  fleet_ahead_ms_ = fleet_ms - system_.monotonic_ms();
  const int64_t here_ms = system_.wall_ms();
  const int64_t ahead_ms = here_ms - fleet_ms;
  if (std::abs(ahead_ms) <= kAgreesWithinMs) {
    told_ = false;
  } else if (!std::exchange(told_, true)) {
    log::warn("clock",
              "this machine's clock and the fleet's differ; the fleet's is used. Set the clock, or "
              "let NTP do it",
              {{ahead_ms > 0 ? "ahead_s" : "behind_s", std::to_string(std::abs(ahead_ms) / 1000)}});
  }
  floor_ms_ = std::max(floor_ms_, std::min(here_ms, fleet_ms));
  if (floor_ms_ - saved_floor_ms_ < kSaveEveryMs) return false;
  saved_floor_ms_ = floor_ms_;
  return true;
}

std::string DeviceClock::floor_text() const {
  return std::to_string(floor_ms_) + "\n";
}

}  // namespace skerry::nucleus
