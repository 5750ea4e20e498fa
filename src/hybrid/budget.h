// How much may go further, and whether anybody is there to take it.
#pragma once

#include <cstdint>

namespace skerry::hybrid {

// `per_hour` tokens come in an hour, at most `burst` are kept; full at first.
class TokenBucket {
 public:
  TokenBucket(double per_hour, double burst) : per_hour_(per_hour), burst_(burst), tokens_(burst) {}
  // False, and nothing is taken, where there are fewer. A clock that goes back brings nothing.
  bool take(double tokens, int64_t now_ms);

 private:
  double per_hour_, burst_, tokens_;
  int64_t last_ms_ = 0;
  bool begun_ = false;
};

// Closed: calls go. After `failures` in a row it is open: none goes for `open_ms`, then one at a
// time is tried until one succeeds.
class CircuitBreaker {
 public:
  CircuitBreaker(int64_t failures, int64_t open_ms) : limit_(failures), open_ms_(open_ms) {}
  // Whether a call may go now; note() is to follow.
  bool admits(int64_t now_ms);
  void note(bool succeeded, int64_t now_ms);
  bool is_open() const { return failures_ >= limit_; }

 private:
  int64_t limit_, open_ms_;
  int64_t failures_ = 0;
  int64_t opened_ms_ = 0;
  bool trying_ = false;
};

}  // namespace skerry::hybrid
