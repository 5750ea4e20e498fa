// The runtimes there are, by the name that model.json uses.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "runtime/runtime.h"

namespace skerry::runtime {

using Runtimes = std::map<std::string, std::unique_ptr<Runtime>, std::less<>>;

struct RuntimeKind {
  std::string_view name;
  bool needs_library = true;  // a vendor's shared library, by path
  Result<std::unique_ptr<Runtime>> (*open)(const std::string& library_path) = nullptr;
};

std::span<const RuntimeKind> runtime_kinds();

// kInvalidArgument lists the names there are, or says that a library's path is missing or too much.
Result<std::unique_ptr<Runtime>> open_runtime(std::string_view name,
                                              const std::string& library_path);

}  // namespace skerry::runtime
