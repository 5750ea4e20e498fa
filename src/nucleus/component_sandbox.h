// What a component reaches of the machine (io/sandbox.h says how): its work folder, its artifacts
// and its direct dependencies', a /tmp of its own, the system's files to read, and what the
// device's configuration (`skerry.sandbox`) and the component's own (the same key) open to it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/node.h"
#include "formats/recipe.h"
#include "io/sandbox.h"
#include "nucleus/config_tree.h"
#include "nucleus/device_state.h"
#include "nucleus/nucleus_info.h"
#include "nucleus/package_store.h"

namespace skerry::nucleus {

// The key of a component's configuration that only deployments may change.
inline constexpr std::string_view kReservedKey = "skerry";

// `node`: {enabled, read: [PATH…], write: [PATH…]}; what it names is added to `options`.
Result<void> read_sandbox_options(const formats::Node& node, SandboxOptions& options);

struct SandboxQuestion {
  const NucleusInfo& info;
  const PackageStore& packages;
  const ComponentSet& components;
  const ConfigTree& config;
  const formats::Recipe& recipe;
  std::optional<UserId> user;
  // Replaces the recipe's variables in a path.
  std::function<std::string(const std::string&)> fill;
};
// Nothing where it is switched off, or the component runs as root. kInvalidArgument where its
// configuration asks for what is no path.
Result<std::optional<io::Sandbox>> sandbox_of(const SandboxQuestion& question);

}  // namespace skerry::nucleus
