// Users and limits of components.
#include "nucleus/run_with.h"

#include <algorithm>

namespace skerry::nucleus {
namespace {

// Without a configured user each component gets an id of its own, from the range that systemd sets
// aside for users without an entry in /etc/passwd. Derived from the name, so that it stays the
// same. Their group is one for all components: by it they may share a socket, as the inference
// service's, that is closed to the rest of the machine.
constexpr uint32_t kFirstDynamicUser = 61184;
constexpr uint32_t kDynamicUsers = 65519 - 61184 + 1;
constexpr uint32_t kComponentsGroup = 61183;  // just below that range, in one that nobody uses

constexpr uint64_t kSmallestReserveBytes = 32ULL << 20;
constexpr uint64_t kLargestReserveBytes = 256ULL << 20;

uint32_t dynamic_user(const std::string& name) {
  uint32_t hash = 2166136261;  // FNV-1a
  for (unsigned char c : name) hash = (hash ^ c) * 16777619;
  return kFirstDynamicUser + hash % kDynamicUsers;
}

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
    return UserId{dynamic_user(name.str()), kComponentsGroup};
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
