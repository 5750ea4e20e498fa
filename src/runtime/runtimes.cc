// The table of runtimes: a new one adds a line.
#include "runtime/runtimes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/log.h"
#include "runtime/compiled/compiled_runtime.h"
#include "runtime/dlr/dlr_runtime.h"
#include "runtime/library_file.h"
#include "runtime/litert/litert_runtime.h"
#include "runtime/null/null_runtime.h"
#include "runtime/onnxruntime/onnx_runtime.h"
#include "runtime/openvino/openvino_runtime.h"
#include "runtime/plugin/plugin_runtime.h"

namespace skerry::runtime {
namespace {

Result<std::unique_ptr<Runtime>> open_null(const std::string&) {
  return std::make_unique<NullRuntime>();
}

constexpr std::array<RuntimeKind, 6> kKinds = {{
    {"null", "", "JSON", open_null},
    {"compiled", "", ".so", open_compiled},
    {"onnxruntime", "skerry.runtime.OnnxRuntime", ".onnx", open_onnx_runtime},
    {"litert", "skerry.runtime.LiteRt", ".tflite", open_litert},
    {"openvino", "skerry.runtime.OpenVino", ".onnx, .xml (IR), .tflite", open_openvino},
    {"dlr", "skerry.runtime.Dlr", "a folder of SageMaker Neo", open_dlr},
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

std::string component_of(const RuntimeKind* kind) {
  return kind == nullptr ? "" : std::string(kind->component);
}

// What to do about a runtime that is not there.
std::string missing(std::string_view name, std::string_view component) {
  const RuntimeKind* kind = find_kind(name);
  const bool needs_library = kind == nullptr || !kind->component.empty();
  if (component.empty() && kind != nullptr) component = kind->component;
  const std::string option =
      fmt::format("start skerry-infer with --runtime {}{}", name, needs_library ? "=PATH" : "");
  std::string what = fmt::format("runtime '{}' is not there; ", name);
  if (!needs_library) return what + option;
  what += component.empty()
              ? "deploy the component that brings it and registers it (skerry-infer runtime add)"
              : fmt::format("deploy {}, which brings it", component);
  return what + ", or " + option;
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

AvailableRuntime::AvailableRuntime(std::unique_ptr<Runtime> runtime)
    : origin_{.name = std::string(runtime->name())},
      runtime_(std::move(runtime)),
      version_(runtime_->version()) {}

Result<Runtime*> AvailableRuntime::open() const {
  const std::lock_guard lock(open_mutex_);
  if (runtime_) return runtime_.get();
  auto opened = open_runtime(origin_.name, origin_.library);
  if (!opened) {
    if (opened.error().code() != Code::kUnavailable || origin_.component.empty()) {
      return fail(std::move(opened.error()));
    }
    return fail(Code::kUnavailable, fmt::format("{}; deploy {}, which brings it",
                                                opened.error().message(), origin_.component));
  }
  runtime_ = std::move(*opened);
  note(runtime_->version(), 0);
  log::info("runtime", "runtime is loaded",
            {{"runtime", origin_.name}, {"version", runtime_->version()}});
  return runtime_.get();
}

std::string AvailableRuntime::version() const {
  const std::lock_guard lock(mutex_);
  return version_;
}

void AvailableRuntime::note(std::string version, uint64_t memory_bytes) const {
  if (memory_bytes != 0) memory_bytes_ = memory_bytes;
  const std::lock_guard lock(mutex_);
  if (!version.empty()) version_ = std::move(version);
}

Result<void> Runtimes::add(std::string_view name, const std::string& library_path) {
  SKERRY_ASSIGN(const RuntimeKind* kind, check_kind(name, library_path));
  const std::lock_guard lock(mutex_);
  const bool is_new = runtimes_
                          .try_emplace(std::string(name),
                                       std::make_shared<AvailableRuntime>(AvailableRuntime::Origin{
                                           .name = std::string(name),
                                           .library = library_path,
                                           .component = component_of(kind)}))
                          .second;
  if (is_new) return {};
  return fail(Code::kAlreadyExists, fmt::format("runtime '{}' is given twice", name));
}

void Runtimes::add(std::unique_ptr<Runtime> runtime) {
  const std::string name(runtime->name());
  const std::lock_guard lock(mutex_);
  runtimes_[name] = std::make_shared<AvailableRuntime>(std::move(runtime));
}

Result<AvailableRuntimePtr> Runtimes::put(AvailableRuntime::Origin origin) {
  const RuntimeKind* kind = find_kind(origin.name);
  if (kind != nullptr && kind->component.empty()) {
    return fail(Code::kAlreadyExists, fmt::format("runtime '{}' is built in", origin.name));
  }
  if (origin.component.empty()) origin.component = component_of(kind);
  origin.registered = true;
  const std::lock_guard lock(mutex_);
  AvailableRuntimePtr& place = runtimes_[origin.name];
  if (place && !place->origin().registered) {
    return fail(
        Code::kAlreadyExists,
        fmt::format("runtime '{0}' is given by skerry-infer's option --runtime {0}; start it "
                    "without, and the component's is used",
                    origin.name));
  }
  place = std::make_shared<AvailableRuntime>(std::move(origin));
  return place;
}

Result<void> Runtimes::remove(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = runtimes_.find(name);
  if (found == runtimes_.end() || !found->second->origin().registered) {
    return fail(Code::kNotFound, fmt::format("no component has registered runtime '{}'", name));
  }
  runtimes_.erase(found);
  return {};
}

Result<AvailableRuntimePtr> Runtimes::find(std::string_view name,
                                           std::string_view component) const {
  AvailableRuntimePtr found;
  {
    const std::lock_guard lock(mutex_);
    const auto there = runtimes_.find(name);
    if (there != runtimes_.end()) found = there->second;
  }
  if (!found) return fail(Code::kUnsupported, missing(name, component));
  if (!found->origin().registered) return found;
  auto checked = check_library_file(found->origin().library);
  if (checked) return found;
  std::string what = fmt::format("runtime '{}': {}", name, checked.error().message());
  if (!found->origin().component.empty()) {
    what += fmt::format("; deploy {}, which brings it", found->origin().component);
  }
  return fail(checked.error().code(), std::move(what));
}

std::vector<AvailableRuntimePtr> Runtimes::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<AvailableRuntimePtr> result;
  for (const auto& [name, runtime] : runtimes_) result.push_back(runtime);
  return result;
}

}  // namespace skerry::runtime
