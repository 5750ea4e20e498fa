// As whom a component's processes run, and how much of the machine they may use.
#pragma once

#include <optional>

#include "base/error.h"
#include "io/cgroup.h"
#include "nucleus/device_state.h"
#include "nucleus/nucleus_info.h"

namespace skerry::nucleus {

// Nothing: as the nucleus. kNotFound where the user does not exist, kPermissionDenied where the
// nucleus may not become it.
Result<std::optional<UserId>> user_of(const NucleusInfo& info, const ComponentName& name,
                                      const InstalledComponent& component);

// kFailedPrecondition where the deployment (or the device's default) asks for a limit that this
// device cannot set.
Result<io::GroupLimits> limits_of(const NucleusInfo& info, const ComponentName& name,
                                  const InstalledComponent& component);

struct MachineLimits {
  uint64_t memory_bytes = 0;  // that the nucleus and its components may use together
  uint64_t processes = 0;     // that the kernel can run
};
// Of all components together: some memory and half of the processes are left for the nucleus and
// the rest of the machine.
io::GroupLimits limits_of_all(const MachineLimits& machine);

// Of one component, unless the device's configuration says otherwise: a fork bomb leaves the others
// room.
inline constexpr uint64_t kProcessesOfOneComponent = 1024;

}  // namespace skerry::nucleus
