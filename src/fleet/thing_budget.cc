// Buckets are filled when they are looked at; full ones are forgotten now and then.
#include "fleet/thing_budget.h"

#include <algorithm>

namespace skerry::fleet {

bool ThingBudget::spend(const ThingName& thing, double cost) {
  const int64_t now_ms = clock_.monotonic_ms();
  if (buckets_.size() >= next_sweep_) forget_full_ones(now_ms);
  auto [entry, is_new] = buckets_.try_emplace(thing, Bucket{burst_, now_ms, false});
  Bucket& bucket = entry->second;
  const double seconds = static_cast<double>(now_ms - bucket.filled_ms) / 1000.0;
  bucket.tokens = std::min(burst_, bucket.tokens + seconds * per_second_);
  bucket.filled_ms = now_ms;
  cost = std::min(cost, burst_);
  if (bucket.tokens < cost) return false;
  bucket.tokens -= cost;
  if (bucket.tokens > burst_ / 2) bucket.refused = false;
  return true;
}

void ThingBudget::give_back(const ThingName& thing, double cost) {
  const auto entry = buckets_.find(thing);
  if (entry != buckets_.end()) entry->second.tokens = std::min(burst_, entry->second.tokens + cost);
}

bool ThingBudget::first_refusal(const ThingName& thing) {
  const auto entry = buckets_.find(thing);
  return entry != buckets_.end() && !std::exchange(entry->second.refused, true);
}

void ThingBudget::forget_full_ones(int64_t now_ms) {
  const double fill_ms = burst_ / per_second_ * 1000.0;
  std::erase_if(buckets_, [&](const auto& entry) {
    return static_cast<double>(now_ms - entry.second.filled_ms) >= fill_ms;
  });
  next_sweep_ = std::max<size_t>(1024, buckets_.size() * 2);
}

}  // namespace skerry::fleet
