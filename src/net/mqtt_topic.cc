// Topic filters of MQTT: "Topic Names and Topic Filters", section 4.7 of the MQTT 5 specification.
#include "net/mqtt.h"

namespace skerry::net {

// The first level of `text`, which is removed with its '/'; `more` tells whether a level follows.
static std::string_view take_level(std::string_view& text, bool& more) {
  size_t slash = text.find('/');
  std::string_view level = text.substr(0, slash);
  more = slash != std::string_view::npos;
  text.remove_prefix(more ? slash + 1 : text.size());
  return level;
}

bool mqtt_matches(std::string_view filter, std::string_view topic) {
  if (filter.empty() || topic.empty()) return false;
  if (topic[0] == '$' && (filter[0] == '+' || filter[0] == '#')) return false;
  bool more_filter = true;
  bool more_topic = true;
  while (more_filter && more_topic) {
    std::string_view wanted = take_level(filter, more_filter);
    if (wanted == "#") return !more_filter;
    std::string_view level = take_level(topic, more_topic);
    if (wanted != "+" && wanted != level) return false;
  }
  // "a/#" matches "a" too.
  return more_filter ? filter == "#" : !more_topic;
}

}  // namespace skerry::net
