// Topics of one device: $aws/things/THING followed by what they are about.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/named_type.h"

namespace skerry::formats {

// `about` begins with '/'. "+" as a thing's name makes a filter.
std::string thing_topic(const ThingName& thing, std::string_view about);
// Whose topic it is; nothing where it is about something else, or where the name cannot be one.
std::optional<ThingName> thing_of_topic(std::string_view topic, std::string_view about);

}  // namespace skerry::formats
