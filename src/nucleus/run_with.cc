// Users and limits of components.
#include "nucleus/run_with.h"

#include <algorithm>

namespace skerry::nucleus {
namespace {

// One for the components that have a user of their own: by it they may share a socket, as the
// inference service's, that is closed to the rest of the machine. An id that nobody uses, just
// below those that systemd gives out.
constexpr uint32_t kComponentsGroup = 61183;

constexpr uint64_t kSmallestReserveBytes = 32ULL << 20;
constexpr uint64_t kLargestReserveBytes = 256ULL << 20;

Error no_controller(const ComponentName& name, const std::string& field, const NucleusInfo& info) {
  return Error(Code::kFailedPrecondition,
               "runWith.systemResourceLimits." + field + " of " + name.str() +
                   " cannot be enforced on this device (" + info.containment +
                   "): deploy without it, or start skerryd where it may use that control group "
                   "(as root, or by a systemd unit with Delegate=yes)");
}

}  // namespace

Result<std::optional<UserId>> user_of(const NucleusInfo& info, const ComponentName& name,
                                      const InstalledComponent& component) {
  const bool of_deployment = !component.posix_user.empty();
  const std::string& wanted = of_deployment ? component.posix_user : info.default_user;
  if (wanted.empty()) {
    if (!info.privileged) return std::nullopt;
    SKERRY_ASSIGN(const uint32_t uid, info.allocate_user(name));
    return UserId{uid, kComponentsGroup};
  }
  auto user = info.find_user(wanted);
  if (!user) return fail(user.error().with_context("posixUser of " + name.str()));
  if (info.privileged) return *user;
  if (*user == info.own_user) return std::nullopt;
  return fail(Code::kPermissionDenied,
              (of_deployment ? "runWith.posixUser of " + name.str()
                             : "runWithDefault.posixUser of the device's configuration") +
                  " is '" + wanted + "', and skerryd does not run as root, so it cannot become " +
                  "that user: leave it out, or run skerryd as root");
}

Result<io::GroupLimits> limits_of(const NucleusInfo& info, const ComponentName& name,
                                  const InstalledComponent& component) {
  const formats::ResourceLimits& wanted =
      component.limits == formats::ResourceLimits() ? info.default_limits : component.limits;
  io::GroupLimits limits;
  if (wanted.memory_kb) {
    if (!info.limits_memory) return fail(no_controller(name, "memory", info));
    limits.memory_bytes = static_cast<uint64_t>(*wanted.memory_kb) * 1024;
  }
  if (wanted.cpus) {
    if (!info.limits_cpus) return fail(no_controller(name, "cpus", info));
    limits.cpus = wanted.cpus;
  }
  if (info.limits_processes) limits.processes = info.processes_of_one_component;
  return limits;
}

io::GroupLimits limits_of_all(const MachineLimits& machine) {
  io::GroupLimits limits;
  limits.processes = std::max(machine.processes / 2, kProcessesOfOneComponent / 2);
  const uint64_t reserve =
      std::clamp(machine.memory_bytes / 16, kSmallestReserveBytes, kLargestReserveBytes);
  if (machine.memory_bytes > 2 * reserve) limits.memory_bytes = machine.memory_bytes - reserve;
  return limits;
}

}  // namespace skerry::nucleus
