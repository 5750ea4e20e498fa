// Local publish and subscribe between the components of a device. Topics and filters as in MQTT
// ('+' and '#'); nothing is kept, nothing leaves the device. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/named_type.h"

namespace skerry::nucleus {

class LocalTopics {
 public:
  enum class ReceiveMode {
    kAll,         // also what the subscriber itself publishes
    kFromOthers,  // not that
  };
  using Deliver = std::function<void(const std::string& payload)>;

  // kFromOthers for a filter with wildcards, so that a component that answers below its own filter
  // does not talk to itself; kAll for a plain topic.
  static ReceiveMode default_mode(std::string_view filter);

  // Returns the subscription's number for unsubscribe().
  uint64_t subscribe(ComponentName subscriber, std::string filter, ReceiveMode mode,
                     Deliver deliver);
  void unsubscribe(uint64_t id) { subscriptions_.erase(id); }
  // Delivers at once, in order of subscription. `topic` has no wildcards.
  void publish(const std::string& topic, const ComponentName& from, const std::string& payload);
  size_t size() const { return subscriptions_.size(); }

 private:
  struct Subscription {
    ComponentName subscriber;
    std::string filter;
    ReceiveMode mode;
    std::shared_ptr<Deliver> deliver;  // shared: a delivery may end its own subscription
  };
  uint64_t next_id_ = 1;
  std::map<uint64_t, Subscription> subscriptions_;
};

}  // namespace skerry::nucleus
