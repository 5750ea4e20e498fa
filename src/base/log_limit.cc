// Counting of what is written and what is left out.
#include "base/log_limit.h"

#include <chrono>
#include <string>
#include <utility>

namespace skerry::log {

std::optional<uint64_t> Limit::admit(int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  if (interval_start_ms_ == INT64_MIN || now_ms - interval_start_ms_ >= interval_ms_) {
    interval_start_ms_ = now_ms;
    written_ = 0;
  }
  if (written_ >= burst_) {
    ++left_out_;
    return std::nullopt;
  }
  ++written_;
  return std::exchange(left_out_, 0);
}

void Limit::write(Level level, std::string_view module, std::string_view message, Fields fields) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const auto left_out = admit(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
  if (!left_out) return;
  log::write(level, module, message, fields);
  if (*left_out == 0) return;
  log::write(level, module,
             std::to_string(*left_out) + " records like the one before were left out");
}

}  // namespace skerry::log
