// What one thing may ask of the broker: how often it may publish and how much, how many topics it
// subscribes to. What it leaves in the broker to stay: retained.h.
#pragma once

#include <chrono>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

namespace skerry::broker {

class Quota {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Each says no, and counts nothing, where the thing has had its share.
  bool publish(Time now, std::string_view thing, bool is_reserved, size_t bytes);
  bool subscribe(std::string_view client_id, std::string_view filter);
  void unsubscribe(std::string_view client_id, std::string_view filter);
  // True once a minute and thing: for one line in the log, not thousands.
  bool may_complain(Time now, std::string_view thing);

  static constexpr size_t kSubscriptions = 200;  // per session; AWS has 50

 private:
  struct Rate {
    double burst, per_second;
  };
  struct Bucket {
    double tokens;
    Time filled;
    bool spend(Time now, const Rate& rate, double cost);
  };
  struct Thing {
    Bucket requests, messages, bytes;
    Time complained{};
  };
  Thing& thing(Time now, std::string_view name);

  // To the control plane: jobs and status, whose every message is work there.
  static constexpr Rate kRequests{300, 20};
  static constexpr Rate kMessages{5000, 500};
  static constexpr Rate kBytes{64 << 20, 4 << 20};
  std::unordered_map<std::string, Thing> things_;
  std::unordered_map<std::string, std::set<std::string, std::less<>>> subscriptions_;
};

}  // namespace skerry::broker
