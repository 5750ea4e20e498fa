// Counting alarms, and when they make a fault.
#include "serve/watchdog.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace skerry::serve {

bool Watchdog::is_slow(uint64_t shapes, int64_t infer_ns) {
  if (shapes == 0) return false;
  if (normals_.size() >= kMaxShapes && !normals_.contains(shapes)) normals_.clear();
  Normal& normal = normals_[shapes];
  if (normal.median_ns == 0) {
    normal.first.push_back(infer_ns);
    if (normal.first.size() < limits_.normal_runs) return false;
    const auto middle = normal.first.begin() + static_cast<ptrdiff_t>(normal.first.size() / 2);
    std::ranges::nth_element(normal.first, middle);
    normal.median_ns = std::max<int64_t>(*middle, 1);
    normal.first = {};
    return false;
  }
  return infer_ns > limits_.slow_least_ns &&
         static_cast<double>(infer_ns) >
             limits_.slow_factor * static_cast<double>(normal.median_ns);
}

void Watchdog::note_good(uint64_t shapes, int64_t infer_ns, int64_t now_ns) {
  over_limit_in_a_row_ = 0;
  not_finite_in_a_row_ = 0;
  if (!is_slow(shapes, infer_ns)) {
    slow_in_a_row_ = 0;
    return;
  }
  ++alarms_.slow;
  if (slow_in_a_row_++ == 0) first_slow_ns_ = now_ns;
  const int64_t for_ns = now_ns - first_slow_ns_;
  if (slow_in_a_row_ < limits_.slow_in_a_row || for_ns < limits_.slow_for_ns) return;
  constexpr double kNsPerMs = 1e6;
  set_fault(fmt::format(
      "{} inferences in a row were slow, for {:.0f} s; the last one took "
      "{:.3g} ms where {:.3g} ms is normal",
      slow_in_a_row_, static_cast<double>(for_ns) / 1e9, static_cast<double>(infer_ns) / kNsPerMs,
      static_cast<double>(normals_[shapes].median_ns) / kNsPerMs));
}

void Watchdog::note_not_finite(std::string_view output) {
  ++alarms_.not_finite;
  if (++not_finite_in_a_row_ < limits_.bad_in_a_row) return;
  set_fault(
      fmt::format("{} inferences in a row gave NaN or infinity in output '{}', which the "
                  "package says is finite",
                  not_finite_in_a_row_, output));
}

void Watchdog::note_over_limit(int64_t limit_ms) {
  ++alarms_.hangs;
  if (++over_limit_in_a_row_ < limits_.bad_in_a_row) return;
  set_fault(fmt::format("{} inferences in a row did not end within {} ms", over_limit_in_a_row_,
                        limit_ms));
}

void Watchdog::note_stuck(int64_t limit_ms) {
  set_fault(fmt::format("an inference did not end within {} ms and cannot be stopped", limit_ms));
}

Alarms Watchdog::take_new_alarms() {
  const Alarms before = std::exchange(taken_, alarms_);
  return {alarms_.hangs - before.hangs, alarms_.not_finite - before.not_finite,
          alarms_.slow - before.slow};
}

void Watchdog::set_fault(std::string why) {
  if (fault_.empty()) fault_ = std::move(why);
}

}  // namespace skerry::serve
