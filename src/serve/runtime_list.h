// What runs models and what each can do, for people and for clients.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/runtimes.h"

namespace skerry::serve {

// {"thread_safe": true, …, "types": ["FP32", …]}
std::string to_json(const runtime::Capabilities& capabilities);

// JSON too: an array with one object for each runtime there is, and for each plugin in `libraries`
// (name, path). With version and capabilities, or the error, where no library is needed or its path
// is given.
std::string list_runtimes(const std::vector<std::pair<std::string, std::string>>& libraries);

}  // namespace skerry::serve
