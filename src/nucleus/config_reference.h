// What may stand in a device's config.yaml, key by key: the text of docs/configuration.md, and what
// tells a misspelt key. A test holds it to what parse_device_config() reads, and to its defaults.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::nucleus {

// "services.NUCLEUS" stands for both names of the nucleus in the file (kNucleusComponents).
struct ConfigKey {
  std::string_view path;        // "system.rootPath"; the levels apart by dots, lists are leaves
  std::string_view type;        // "path", "text", "integer", "yes or no", "map", …
  std::string_view by_default;  // as it would be written; "": there is none
  std::string_view says;        // one sentence or two, and what is allowed
};

std::span<const ConfigKey> config_keys();

// For people, in Markdown: docs/configuration.md.
std::string config_reference(std::span<const ConfigKey> keys);

// Keys that nobody reads, with what may be meant: a misspelt one changes nothing silently. What
// other nuclei read and this one does not is left out of it.
Result<std::vector<std::string>> unknown_config_keys(std::string_view text);

}  // namespace skerry::nucleus
