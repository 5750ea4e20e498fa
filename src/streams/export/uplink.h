// Uplink: the way out that all exports of a device share. Who may send, when, and how fast.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::streams {

// Part of each day in which exports go, in minutes since midnight of the device's time zone. One
// that ends before it begins goes on over midnight.
struct TimeWindow {
  int begin_min = 0;
  int end_min = 24 * 60;

  // "22:00-06:00"
  static Result<TimeWindow> parse(const std::string& text);
  bool contains(int minute) const;
};

struct UplinkLimits {
  int64_t bytes_per_s = 0;          // 0: none
  int64_t bytes_per_day = 0;        // of a day in UTC; 0: none. What has begun is finished
  std::vector<TimeWindow> windows;  // none: always
  size_t transfers = 5;             // at once; who is less urgent is paused and does not count
  int64_t patience_ms = 5'000;      // a transfer that moves nothing for so long holds up nobody
};

class Uplink {
 public:
  // `state_path`: where what went today is remembered ("": nowhere). `env` outlives it.
  Uplink(const io::Env& env, UplinkLimits limits, std::string state_path = "");
  Result<void> load();  // what went today before this start; first of all

  // A place to send from, until it is destroyed. Destroy it before the uplink.
  class Transfer {
   public:
    ~Transfer();
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;
    // Returns when `bytes` more may be sent: not faster than the limit, and not while somebody more
    // urgent sends.
    io::Task<void> pace(size_t bytes);
    // What to pace at a time, so that somebody more urgent comes in soon.
    size_t piece_bytes() const;
    // Between two parts of what is long: gives the place to whoever is more urgent, and waits where
    // it is not the time.
    io::Task<void> yield();

   private:
    friend class Uplink;
    Transfer(Uplink& uplink, int64_t priority) : uplink_(uplink), priority_(priority) {}

    Uplink& uplink_;
    const int64_t priority_;
    int64_t moved_ms_ = 0;  // monotonic
  };
  // Waits for its turn: the more urgent first (1 before 10), and only when it is the time.
  io::Task<std::unique_ptr<Transfer>> begin(int64_t priority);

  int64_t bytes_today();

 private:
  void enter(Transfer& transfer);
  void leave(Transfer& transfer);
  io::Task<void> wait_for_place(int64_t priority);
  io::Task<void> changed(int64_t most_ms);
  void notify();
  bool is_held_up(const Transfer& transfer) const;
  int64_t closed_for_ms();
  io::Task<void> count(size_t bytes);

  const io::Env& env_;
  const UplinkLimits limits_;
  const std::string state_path_;
  std::list<Transfer*> transfers_;
  std::multiset<int64_t> waiting_;  // priorities
  std::vector<std::weak_ptr<io::Completion<bool>>> listeners_;
  int64_t free_us_ = 0;  // monotonic: when what was sent has gone at the allowed speed
  int64_t day_ = 0;      // since 1970
  int64_t used_ = 0;     // bytes of it
  int64_t saved_ = 0;    // what the disk says of it: never less than was used
};

}  // namespace skerry::streams
