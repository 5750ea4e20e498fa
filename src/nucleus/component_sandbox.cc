// The lists that make a sandbox.
#include "nucleus/component_sandbox.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "net/private_key.h"

namespace skerry::nucleus {
namespace {

constexpr std::string_view kTmp = "/tmp";

bool is_in(std::string_view folder, std::string_view path) {
  return path == folder || (path.starts_with(folder) && path[folder.size()] == '/');
}

Result<void> add_paths(const formats::Node& node, std::string_view key,
                       std::vector<std::string>& paths) {
  SKERRY_ASSIGN(const auto list, node.find(key));
  if (!list) return {};
  SKERRY_ASSIGN(std::vector<std::string> named, list->as_string_list());
  std::ranges::move(named, std::back_inserter(paths));
  return {};
}

Result<SandboxOptions> options_of(const SandboxQuestion& question) {
  SandboxOptions options = question.info.sandbox;
  const ComponentName& name = question.recipe.name;
  const auto own = question.config.get(name, {std::string(kReservedKey), "sandbox"});
  if (own) {
    const formats::Node node(*own, "the configuration of " + name.str() + ", skerry.sandbox");
    SKERRY_TRY(read_sandbox_options(node, options));
  }
  for (auto* paths : {&options.read, &options.write}) {
    for (std::string& path : *paths) {
      path = question.fill(path);
      if (!path.starts_with('/')) {
        return fail(Code::kInvalidArgument,
                    "skerry.sandbox of " + name.str() + ": '" + path + "' is no absolute path");
      }
    }
  }
  return options;
}

// The package and the work folder of one that this one may name in its scripts; the latter's mode
// decides.
void add_neighbour(const SandboxQuestion& question, const ComponentName& name,
                   io::Sandbox& sandbox) {
  const auto found = question.components.find(name);
  if (found == question.components.end()) return;
  const std::string package = found->second.package();
  sandbox.readable.push_back(question.packages.artifacts_path(name, package));
  sandbox.readable.push_back(question.packages.unarchived_path(name, package));
  if (name != question.recipe.name) sandbox.readable.push_back(question.info.work_directory(name));
}

// Whether it can have one: nobody who looks for something below the machine's would find it.
bool has_own_tmp(const NucleusInfo& info, const SandboxOptions& options) {
  const auto in_tmp = [](const std::string& path) { return is_in(kTmp, path); };
  return info.privileged && info.sandbox_support.own_tmp && !in_tmp(info.root) &&
         std::ranges::none_of(options.read, in_tmp) && std::ranges::none_of(options.write, in_tmp);
}

}  // namespace

Result<void> read_sandbox_options(const formats::Node& node, SandboxOptions& options) {
  SKERRY_TRY(node.read("enabled", options.enabled));
  SKERRY_TRY(add_paths(node, "read", options.read));
  return add_paths(node, "write", options.write);
}

Result<std::optional<io::Sandbox>> sandbox_of(const SandboxQuestion& question) {
  const NucleusInfo& info = question.info;
  SKERRY_ASSIGN(SandboxOptions options, options_of(question));
  const uint32_t uid = question.user ? question.user->first : info.own_user.first;
  if (!options.enabled || uid == 0) return std::nullopt;
  const ComponentName& name = question.recipe.name;
  io::Sandbox sandbox;
  // Homes are people's; the device's own folder holds its secrets and other components'.
  sandbox.hidden = {"/home", "/root", info.root};
  if (net::is_in_token(info.key_file)) {
    const std::string pin_file = net::pin_file_of(info.key_file);
    if (!pin_file.empty()) sandbox.hidden.push_back(pin_file);
  } else if (!info.key_file.empty()) {
    sandbox.hidden.push_back(info.key_file);
  }
  sandbox.readable = {"/"};
  if (!info.ca_file.empty()) sandbox.readable.push_back(info.ca_file);
  add_neighbour(question, name, sandbox);
  for (const auto& [dependency, how] : question.recipe.dependencies)
    add_neighbour(question, dependency, sandbox);
  sandbox.devices = {"/dev", "/proc", "/sys"};
  sandbox.writable = {info.work_directory(name), "/dev/shm", "/dev/mqueue"};
  if (has_own_tmp(info, options)) {
    sandbox.hidden.emplace_back(kTmp);
    sandbox.temporary_folder = info.tmp_directory(name);
  } else {
    sandbox.writable.emplace_back(kTmp);
  }
  std::ranges::move(options.read, std::back_inserter(sandbox.readable));
  std::ranges::move(options.write, std::back_inserter(sandbox.writable));
  return sandbox;
}

}  // namespace skerry::nucleus
