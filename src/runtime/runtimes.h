// The runtimes there are, by the name that model.json uses.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/runtime.h"

namespace skerry::runtime {

using Runtimes = std::map<std::string, std::unique_ptr<Runtime>, std::less<>>;

// kInvalidArgument lists the names there are, or says that a library's path is missing or too much.
Result<std::unique_ptr<Runtime>> open_runtime(std::string_view name,
                                              const std::string& library_path);

}  // namespace skerry::runtime
