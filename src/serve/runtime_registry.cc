// Check, probe, list, file: in this order.
#include "serve/runtime_registry.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "formats/names.h"
#include "runtime/library_file.h"

namespace skerry::serve {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxRegistryBytes = 1 << 20;
constexpr size_t kMaxRegistered = 64;
constexpr size_t kMaxNameBytes = 64;

Result<void> check_name(const std::string& name) {
  if (name.size() <= kMaxNameBytes && formats::parse_component_name(name)) return {};
  return fail(Code::kInvalidArgument,
              fmt::format("'{}' is no name of a runtime: up to {} letters, digits and -_.", name,
                          kMaxNameBytes));
}

std::vector<runtime::AvailableRuntimePtr> registered(const runtime::Runtimes& runtimes) {
  auto all = runtimes.all();
  std::erase_if(all, [](const auto& each) { return !each->origin().registered; });
  return all;
}

Result<std::vector<runtime::AvailableRuntime::Origin>> parse_state(const std::string& text) {
  try {
    std::vector<runtime::AvailableRuntime::Origin> origins;
    const json state = json::parse(text);
    for (const json& row : state.at("runtimes")) {
      origins.push_back(
          {.name = row.at("name"), .library = row.at("library"), .component = row.at("component")});
    }
    return origins;
  } catch (const json::exception& e) {
    return fail(Code::kCorrupt, e.what());
  }
}

}  // namespace

RuntimeRegistry::RuntimeRegistry(io::Loop& loop, io::Files& files,
                                 std::shared_ptr<runtime::Runtimes> runtimes, Options options)
    : loop_(loop), files_(files), runtimes_(std::move(runtimes)), options_(std::move(options)) {}

void RuntimeRegistry::restore() {
  if (options_.state_file.empty() || !io::exists(files_, options_.state_file)) return;
  auto text = io::read_file(files_, options_.state_file, kMaxRegistryBytes);
  auto origins = text ? parse_state(*text) : fail(text.error());
  if (!origins) {
    return log::error("serve", "the list of runtimes cannot be read; components register again",
                      {{"file", options_.state_file}, {"error", origins.error().message()}});
  }
  for (auto& origin : *origins) {
    const std::string name = origin.name;
    auto put = check_name(name) ? runtimes_->put(std::move(origin))
                                : fail(Code::kInvalidArgument, "no name of a runtime");
    if (put) continue;
    log::warn("serve", "a runtime of the last run is left out",
              {{"runtime", name}, {"error", put.error().message()}});
  }
}

io::Task<Result<RuntimeProbe>> RuntimeRegistry::probe(std::string name, std::string library) {
  std::stop_source timeout;
  const io::Timer timer =
      loop_.after(options_.probe_timeout_ms, [timeout]() mutable { timeout.request_stop(); });
  auto found = co_await io::run_on(
      pool_, loop_,
      [probe = options_.probe, name, library, timeout, all = stop_.get_token()]() mutable {
        const std::stop_callback both(all, [&timeout] { timeout.request_stop(); });
        return probe(name, library, timeout.get_token());
      });
  if (!found && timeout.stop_requested()) {
    co_return fail(Code::kTimeout, fmt::format("{} did not open within {} s", library,
                                               options_.probe_timeout_ms / 1000));
  }
  co_return found;
}

io::Task<Result<RuntimeProbe>> RuntimeRegistry::add(std::string name, std::string library,
                                                    std::string component) {
  SKERRY_CO_TRY(check_name(name));
  if (!component.empty()) SKERRY_CO_TRY(formats::parse_component_name(component));
  // What is there under the name is found out before anything of the library runs.
  const auto all = runtimes_->all();
  const auto before =
      std::ranges::find_if(all, [&](const auto& each) { return each->origin().name == name; });
  const bool is_new = before == all.end();
  if (!is_new && !(*before)->origin().registered) {
    SKERRY_CO_TRY(runtimes_->put({.name = name, .library = library}));  // says why not
  }
  if (is_new && registered(*runtimes_).size() >= kMaxRegistered) {
    co_return fail(Code::kResourceExhausted,
                   fmt::format("{} runtimes are registered already", kMaxRegistered));
  }
  SKERRY_CO_ASSIGN(const std::string path, co_await io::run_on(pool_, loop_, [library] {
                     return runtime::check_library_file(library);
                   }));
  SKERRY_CO_ASSIGN(RuntimeProbe found, co_await probe(name, path));
  // Also where nothing seems to change: the file may be another one under the same name.
  SKERRY_CO_ASSIGN(const auto put,
                   runtimes_->put({.name = name, .library = path, .component = component}));
  put->note(found.version, found.memory_bytes);
  log_.write(log::Level::kInfo, "serve", "a runtime is registered",
             {{"runtime", name}, {"library", path}, {"component", put->origin().component}});
  SKERRY_CO_TRY(co_await save());
  co_return found;
}

io::Task<Result<void>> RuntimeRegistry::remove(std::string name) {
  SKERRY_CO_TRY(runtimes_->remove(name));
  log_.write(log::Level::kInfo, "serve", "a runtime is not registered any more",
             {{"runtime", name}});
  co_return co_await save();
}

io::Task<Result<void>> RuntimeRegistry::save() {
  if (options_.state_file.empty()) co_return Result<void>();
  json rows = json::array();
  for (const auto& each : registered(*runtimes_)) {
    rows.push_back({{"name", each->origin().name},
                    {"library", each->origin().library},
                    {"component", each->origin().component}});
  }
  auto saved = co_await io::run_on(pool_, loop_,
                                   [&files = files_, file = options_.state_file,
                                    text = json{{"runtimes", rows}}.dump(2) + "\n"] {
                                     return io::write_file_atomic(files, file, text);
                                   });
  if (saved) co_return saved;
  co_return fail(saved.error().with_context("done, but a restart will not know of it"));
}

}  // namespace skerry::serve
