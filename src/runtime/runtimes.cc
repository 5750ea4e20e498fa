// The table of runtimes: a new one adds a line.
#include "runtime/runtimes.h"

#include <fmt/format.h>

#include <array>

#include "runtime/null/null_runtime.h"
#include "runtime/onnxruntime/onnx_runtime.h"

namespace skerry::runtime {
namespace {

struct RuntimeKind {
  std::string_view name;
  bool needs_library = true;  // a vendor's shared library, by path
  Result<std::unique_ptr<Runtime>> (*open)(const std::string& library_path) = nullptr;
};

Result<std::unique_ptr<Runtime>> open_null(const std::string&) {
  return std::make_unique<NullRuntime>();
}

constexpr std::array<RuntimeKind, 2> kKinds = {{
    {"null", false, open_null},
    {"onnxruntime", true, open_onnx_runtime},
}};

}  // namespace

Result<std::unique_ptr<Runtime>> open_runtime(std::string_view name,
                                              const std::string& library_path) {
  std::string names;
  for (const RuntimeKind& kind : kKinds) {
    if (kind.name == name) {
      if (library_path.empty() == kind.needs_library) {
        return fail(Code::kInvalidArgument,
                    fmt::format("runtime '{}' {}", name,
                                kind.needs_library ? "needs its library's path, as NAME=PATH"
                                                   : "is built in and takes no path"));
      }
      return kind.open(library_path);
    }
    names.append(names.empty() ? "" : ", ").append(kind.name);
  }
  return fail(Code::kInvalidArgument,
              fmt::format("unknown runtime '{}'; there are: {}", name, names));
}

}  // namespace skerry::runtime
