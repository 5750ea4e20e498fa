// How much of the control plane's work one thing may ask for: a token bucket per thing.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "base/named_type.h"
#include "io/clock.h"

namespace skerry::fleet {

class ThingBudget {
 public:
  // A thing may spend `burst` at once and `per_second` in the long run.
  ThingBudget(io::Clock& clock, double burst, double per_second)
      : clock_(clock), burst_(burst), per_second_(per_second) {}

  // False, and nothing spent, where the thing has less than `cost` left. `burst` is the most that
  // one call can cost: what asks for more is counted as that.
  bool spend(const ThingName& thing, double cost = 1);
  // For what turned out to be free: a password that was right.
  void give_back(const ThingName& thing, double cost = 1);
  // True the first time after a refusal: for one line in the log, not thousands.
  bool first_refusal(const ThingName& thing);

 private:
  struct Bucket {
    double tokens = 0;
    int64_t filled_ms = 0;
    bool refused = false;
  };
  void forget_full_ones(int64_t now_ms);

  io::Clock& clock_;
  const double burst_;
  const double per_second_;
  size_t next_sweep_ = 1024;
  std::map<ThingName, Bucket> buckets_;
};

}  // namespace skerry::fleet
