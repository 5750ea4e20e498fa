// Prints and parses such topics.
#include "formats/thing_topic.h"

#include "formats/names.h"

namespace skerry::formats {
namespace {

constexpr std::string_view kThings = "$aws/things/";

}  // namespace

std::string thing_topic(const ThingName& thing, std::string_view about) {
  return std::string(kThings).append(thing.str()).append(about);
}

std::optional<ThingName> thing_of_topic(std::string_view topic, std::string_view about) {
  if (!topic.starts_with(kThings)) return std::nullopt;
  topic.remove_prefix(kThings.size());
  if (!topic.ends_with(about)) return std::nullopt;
  topic.remove_suffix(about.size());
  auto thing = parse_thing_name(topic);
  return thing ? std::optional(*std::move(thing)) : std::nullopt;
}

}  // namespace skerry::formats
