// From a recipe and the device's configuration to what the supervisor runs: scripts with their
// variables filled in, environment, user.
#pragma once

#include "formats/recipe.h"
#include "nucleus/component.h"
#include "nucleus/config_tree.h"
#include "nucleus/device_state.h"
#include "nucleus/nucleus_info.h"
#include "nucleus/package_store.h"

namespace skerry::nucleus {

// `components` is the generation it is part of (for variables of direct dependencies). Variables
// that have no value stay as they are written. kUnsupported: a type of component that
// this nucleus cannot host; kPermissionDenied: a step requires privilege and the
// nucleus has none; errors of user_of() and
// limits_of() (nucleus/run_with.h), and of sandbox_of() (nucleus/component_sandbox.h).
Result<ComponentSpec> make_component_spec(const NucleusInfo& info, const PackageStore& packages,
                                          const ComponentSet& components, const ConfigTree& config,
                                          const formats::Recipe& recipe,
                                          const formats::Manifest& manifest);

}  // namespace skerry::nucleus
