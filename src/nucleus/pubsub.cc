// Matching and delivery. A device has tens of subscriptions: a scan is faster than any index.
#include "nucleus/pubsub.h"

#include <vector>

#include "net/mqtt_topic.h"

namespace skerry::nucleus {

LocalTopics::ReceiveMode LocalTopics::default_mode(std::string_view filter) {
  return filter.find_first_of("+#") == std::string_view::npos ? ReceiveMode::kAll
                                                              : ReceiveMode::kFromOthers;
}

uint64_t LocalTopics::subscribe(ComponentName subscriber, std::string filter, ReceiveMode mode,
                                Deliver deliver) {
  const uint64_t id = next_id_++;
  subscriptions_.emplace(id, Subscription{std::move(subscriber), std::move(filter), mode,
                                          std::make_shared<Deliver>(std::move(deliver))});
  return id;
}

void LocalTopics::publish(const std::string& topic, const ComponentName& from,
                          const std::string& payload) {
  // Deliveries may subscribe and unsubscribe: only those that stood before are made, if they still
  // do.
  std::vector<uint64_t> ids;
  for (const auto& [id, subscription] : subscriptions_) {
    if (subscription.mode == ReceiveMode::kFromOthers && subscription.subscriber == from) continue;
    if (net::mqtt_matches(subscription.filter, topic)) ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    const auto found = subscriptions_.find(id);
    if (found == subscriptions_.end()) continue;
    const std::shared_ptr<Deliver> deliver = found->second.deliver;
    (*deliver)(payload);
  }
}

}  // namespace skerry::nucleus
