// Things are as many as there are certificates, so they are kept for as long as the broker runs.
#include "quota.h"

#include <algorithm>

namespace skerry::broker {

bool Quota::Bucket::spend(Time now, const Rate& rate, double cost) {
  const double seconds = std::chrono::duration<double>(now - filled).count();
  tokens = std::min(rate.burst, tokens + seconds * rate.per_second);
  filled = now;
  if (tokens < cost) return false;
  tokens -= cost;
  return true;
}

Quota::Thing& Quota::thing(Time now, std::string_view name) {
  const auto fresh = [&](const Rate& rate) { return Bucket{rate.burst, now}; };
  return things_
      .try_emplace(std::string(name), Thing{fresh(kRequests), fresh(kMessages), fresh(kBytes)})
      .first->second;
}

bool Quota::publish(Time now, std::string_view name, bool is_reserved, size_t bytes) {
  Thing& one = thing(now, name);
  if (is_reserved && !one.requests.spend(now, kRequests, 1)) return false;
  return one.messages.spend(now, kMessages, 1) &&
         one.bytes.spend(now, kBytes, static_cast<double>(bytes));
}

bool Quota::subscribe(std::string_view client_id, std::string_view filter) {
  auto& filters = subscriptions_[std::string(client_id)];
  if (filters.contains(filter)) return true;
  if (filters.size() >= kSubscriptions) return false;
  filters.emplace(filter);
  return true;
}

void Quota::unsubscribe(std::string_view client_id, std::string_view filter) {
  const auto session = subscriptions_.find(std::string(client_id));
  if (session == subscriptions_.end()) return;
  if (const auto found = session->second.find(filter); found != session->second.end()) {
    session->second.erase(found);
  }
}

bool Quota::may_complain(Time now, std::string_view name) {
  Thing& one = thing(now, name);
  if (one.complained != Time{} && now - one.complained < std::chrono::minutes(1)) return false;
  one.complained = now;
  return true;
}

}  // namespace skerry::broker
