// The components that AWS publishes and that recipes and deployments name without bringing them:
// which of them a nucleus provides by itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/named_type.h"
#include "formats/version.h"

namespace skerry::formats {

// The nucleus itself, under the names of both stock ones. A deployment configures it; it is never
// fetched.
bool is_built_in(const ComponentName& name);

// True where a nucleus that this fleet serves provides the component: the nucleus itself, and
// services inside it whose published recipe has no lifecycle.
bool is_provided(const ComponentName& name);

// What `skerryd` calls itself where nuclei say what they are (runtime, in platforms and status).
inline constexpr std::string_view kOurRuntime = "skerry";

// False where only `skerryd` provides the component, and `runtime` is another nucleus: of AWS it
// is a plugin.
bool is_provided_by(std::string_view runtime, const ComponentName& name);

// The versions of a provided service, highest first. Empty for the nucleus itself, whose version is
// the device's, and for everything that is not provided.
std::vector<Version> provided_versions(const ComponentName& name);

// The names of the provided services.
std::vector<ComponentName> provided_services();

// A recipe for a provided component, in canonical form: nothing runs, nothing is fetched.
std::string provided_recipe(const ComponentName& name, const Version& version);

// Why the fleet cannot give a device the component, which is no provided one: "" unless it is known
// to be one that AWS publishes. For messages.
std::string_view known_elsewhere(const ComponentName& name);

}  // namespace skerry::formats
