// The table of runtimes: a new one adds a line.
#include "runtime/runtimes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <mutex>

#include "base/log.h"
#include "runtime/litert/litert_runtime.h"
#include "runtime/null/null_runtime.h"
#include "runtime/onnxruntime/onnx_runtime.h"
#include "runtime/plugin/plugin_runtime.h"

namespace skerry::runtime {
namespace {

Result<std::unique_ptr<Runtime>> open_null(const std::string&) {
  return std::make_unique<NullRuntime>();
}

constexpr std::array<RuntimeKind, 3> kKinds = {{
    {"null", "", "JSON", open_null},
    {"onnxruntime", "skerry.runtime.OnnxRuntime", ".onnx", open_onnx_runtime},
    {"litert", "skerry.runtime.LiteRt", ".tflite", open_litert},
}};

const RuntimeKind* find_kind(std::string_view name) {
  const auto kind = std::ranges::find(kKinds, name, &RuntimeKind::name);
  return kind == kKinds.end() ? nullptr : kind;
}

// Null where the name is none of ours and the library a plugin that may bring it.
Result<const RuntimeKind*> check_kind(std::string_view name, const std::string& library_path) {
  const RuntimeKind* kind = find_kind(name);
  std::error_code ignored;
  if (kind == nullptr && std::filesystem::is_regular_file(library_path, ignored)) return nullptr;
  if (kind == nullptr) {
    std::string names;
    for (const RuntimeKind& each : kKinds) {
      names.append(names.empty() ? "" : ", ").append(each.name);
    }
    return fail(
        Code::kInvalidArgument,
        fmt::format("unknown runtime '{}'; there are: {}; another one needs the path of its "
                    "plugin, as NAME=PATH",
                    name, names));
  }
  if (library_path.empty() == !kind->component.empty()) {
    return fail(Code::kInvalidArgument,
                fmt::format("runtime '{}' {}", name,
                            library_path.empty() ? "needs its library's path, as NAME=PATH"
                                                 : "is built in and takes no path"));
  }
  return kind;
}

}  // namespace

std::span<const RuntimeKind> runtime_kinds() {
  return kKinds;
}

Result<std::unique_ptr<Runtime>> open_runtime(std::string_view name,
                                              const std::string& library_path) {
  SKERRY_ASSIGN(const RuntimeKind* kind, check_kind(name, library_path));
  if (kind != nullptr) return kind->open(library_path);
  SKERRY_ASSIGN(auto plugin, open_plugin(library_path));
  if (plugin->name() == name) return plugin;
  return fail(Code::kInvalidArgument,
              fmt::format("{} brings runtime '{}', not '{}'", library_path, plugin->name(), name));
}

struct Runtimes::Slot {
  const RuntimeKind* kind = nullptr;  // null for a plugin, and for one that was given open
  std::string library;
  std::mutex mutex;
  std::unique_ptr<Runtime> runtime;
};

Runtimes::Runtimes() = default;
Runtimes::~Runtimes() = default;

Result<void> Runtimes::add(std::string_view name, const std::string& library_path) {
  SKERRY_ASSIGN(const RuntimeKind* kind, check_kind(name, library_path));
  if (slots_.contains(name)) {
    return fail(Code::kAlreadyExists, fmt::format("runtime '{}' is given twice", name));
  }
  auto& slot = slots_[std::string(name)];
  slot = std::make_unique<Slot>();
  slot->kind = kind;
  slot->library = library_path;
  return {};
}

void Runtimes::add(std::unique_ptr<Runtime> runtime) {
  auto& slot = slots_[std::string(runtime->name())];
  slot = std::make_unique<Slot>();
  slot->runtime = std::move(runtime);
}

Result<void> Runtimes::check(std::string_view name) const {
  if (slots_.contains(name)) return {};
  const RuntimeKind* kind = find_kind(name);
  const bool needs_library = kind == nullptr || !kind->component.empty();
  std::string what =
      fmt::format("runtime '{}' is not loaded; start skerry-infer with --runtime {}{}", name, name,
                  needs_library ? "=PATH" : "");
  if (kind != nullptr && needs_library) {
    what += fmt::format(" ({} brings its library)", kind->component);
  }
  return fail(Code::kUnsupported, std::move(what));
}

Result<Runtime*> Runtimes::get(std::string_view name) const {
  SKERRY_TRY(check(name));
  Slot& slot = *slots_.find(name)->second;
  const std::lock_guard lock(slot.mutex);
  if (slot.runtime) return slot.runtime.get();
  auto opened = open_runtime(name, slot.library);
  if (!opened) {
    if (opened.error().code() != Code::kUnavailable || slot.kind == nullptr) {
      return fail(std::move(opened.error()));
    }
    return fail(Code::kUnavailable, fmt::format("{}; deploy {}, which brings it",
                                                opened.error().message(), slot.kind->component));
  }
  slot.runtime = std::move(*opened);
  log::info("runtime", "runtime is loaded",
            {{"runtime", std::string(name)}, {"version", slot.runtime->version()}});
  return slot.runtime.get();
}

std::vector<std::string> Runtimes::names() const {
  std::vector<std::string> result;
  for (const auto& [name, slot] : slots_) result.push_back(name);
  return result;
}

std::string Runtimes::library(std::string_view name) const {
  const auto found = slots_.find(name);
  return found == slots_.end() ? "" : found->second->library;
}

}  // namespace skerry::runtime
