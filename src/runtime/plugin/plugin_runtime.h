// A runtime from a shared library with the C interface of include/skerry/runtime_plugin.h.
#pragma once

#include <memory>
#include <string>

#include "runtime/runtime.h"

namespace skerry::runtime {

// The library stays in the process. kUnavailable where it cannot be loaded, kUnsupported where it
// is no plugin or one of another version of the interface.
Result<std::unique_ptr<Runtime>> open_plugin(const std::string& library_path);

}  // namespace skerry::runtime
