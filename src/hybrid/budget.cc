// Counting tokens and failures.
#include "hybrid/budget.h"

#include <algorithm>

namespace skerry::hybrid {

bool TokenBucket::take(double tokens, int64_t now_ms) {
  constexpr double kHourMs = 3'600'000;
  if (begun_ && now_ms > last_ms_) {
    tokens_ =
        std::min(burst_, tokens_ + per_hour_ * static_cast<double>(now_ms - last_ms_) / kHourMs);
  }
  begun_ = true;
  last_ms_ = now_ms;
  // What a rounding error is short of a token counts as one.
  if (tokens_ + 1e-9 < tokens) return false;
  tokens_ = std::max(0.0, tokens_ - tokens);
  return true;
}

bool CircuitBreaker::admits(int64_t now_ms) {
  if (!is_open()) return true;
  if (trying_ || now_ms - opened_ms_ < open_ms_) return false;
  trying_ = true;
  return true;
}

void CircuitBreaker::note(bool succeeded, int64_t now_ms) {
  trying_ = false;
  failures_ = succeeded ? 0 : std::min(failures_ + 1, limit_);
  if (is_open()) opened_ms_ = now_ms;
}

}  // namespace skerry::hybrid
