// Topic names and filters of MQTT: section 4.7 of the MQTT 5 specification.
#pragma once

#include <string_view>

#include "base/error.h"

namespace skerry::net {

// True where `topic` matches `filter` ('+' and '#'; a leading '$' is matched by no wildcard).
bool mqtt_matches(std::string_view filter, std::string_view topic);

// What a broker accepts as text: at most 65,535 bytes of well-formed UTF-8 without U+0000, control
// characters, surrogates or non-characters. Brokers end the connection over anything else, so it
// must not reach them.
bool is_mqtt_text(std::string_view text);

// A topic to publish to: text, not empty, without wildcards. kInvalidArgument says what is wrong.
Result<void> check_mqtt_topic(std::string_view topic);
// A filter to subscribe to, also a shared one, "$share/GROUP/FILTER".
Result<void> check_mqtt_filter(std::string_view filter);

// The filter without "$share/GROUP/": what the topics of its messages match.
std::string_view unshared_filter(std::string_view filter);

}  // namespace skerry::net
