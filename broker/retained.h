// What things have left in the broker to stay: how much each may, and when it goes by itself.
//
// mosquitto keeps retained messages over a restart, so this is kept, too
// (docs/data/topic-policy.md).
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace skerry::broker {

class Retained {
 public:
  using Time = std::chrono::system_clock::time_point;

  // False, and nothing is counted, where the thing has had its share or a line break is in the
  // topic. No bytes are a removal.
  bool keep(Time now, std::string_view thing, std::string_view topic, size_t bytes);
  // Topics that nobody has written for kLife. They count until they are removed (keep).
  struct Overdue {
    std::string thing, topic;
  };
  std::vector<Overdue> overdue(Time now) const;

  std::string text() const;
  // Replaces what is here. False, and nothing changed, where text() has not written it.
  bool read(std::string_view text);
  // Changes since the last call.
  bool take_changed() { return std::exchange(changed_, false); }

  static constexpr size_t kTopics = 50;      // of a thing
  static constexpr size_t kBytes = 1 << 20;  // of a thing
  static constexpr auto kLife = std::chrono::days(30);

 private:
  struct Message {
    size_t bytes = 0;
    Time written;
  };
  struct Thing {
    std::map<std::string, Message, std::less<>> messages;  // by topic
    size_t bytes = 0;
  };
  std::unordered_map<std::string, Thing> things_;
  bool changed_ = false;
};

}  // namespace skerry::broker
