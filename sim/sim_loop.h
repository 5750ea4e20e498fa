// An event loop in virtual time: time stands still while events run and jumps to the next timer
// when there is nothing else to do. The order of events follows from the seed alone.
#pragma once

#include <cstdint>
#include <deque>
#include <map>

#include "io/loop.h"
#include "io/random.h"

namespace skerry::sim {

class SimLoop : public io::Loop {
 public:
  explicit SimLoop(uint64_t seed) : random_(seed) {}

  void post(io::Callback callback) override { posted_.push_back(std::move(callback)); }
  io::Timer after(int64_t delay_ms, io::Callback callback) override;
  // Simulated programs have no descriptors: aborts.
  std::unique_ptr<io::FdWatch> watch(int fd) override;

  int64_t now_ms() const { return now_ms_; }
  // Runs one event, or moves the time to `limit_ms` where none is due before: then false.
  bool step(int64_t limit_ms);

 private:
  void cancel_timer(uint64_t id) override;

  // Timers of the same instant run in an order drawn from the seed.
  struct Due {
    int64_t at_ms;
    uint64_t draw;
    uint64_t id;
    auto operator<=>(const Due&) const = default;
  };
  io::SeededRandom random_;
  int64_t now_ms_ = 0;
  uint64_t next_id_ = 1;
  std::deque<io::Callback> posted_;
  std::map<Due, io::Callback> timers_;
  std::map<uint64_t, Due> due_of_;
};

}  // namespace skerry::sim
