// What one thing may ask of the broker: how often it may publish and how much, how many topics it
// subscribes to and how many it leaves messages on.
#pragma once

#include <chrono>
#include <map>
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
  bool retain(std::string_view thing, std::string_view topic, size_t bytes);  // 0: a removal
  // True once a minute and thing: for one line in the log, not thousands.
  bool may_complain(Time now, std::string_view thing);

  static constexpr size_t kSubscriptions = 200;      // per session; AWS has 50
  static constexpr size_t kRetained = 50;            // topics per thing
  static constexpr size_t kRetainedBytes = 1 << 20;  // per thing

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
    std::map<std::string, size_t, std::less<>> retained;  // bytes by topic
    size_t retained_bytes = 0;
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
