// Questions about the whole fleet, for people who look at it. Records and errors as store.h has
// them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fleet/store.h"

namespace skerry::fleet {

// A device's status is "HEALTHY" or "UNHEALTHY", as it said last; "UNREACHABLE", where it has been
// away for too long since (presence.h); or "NEW", where it has never been heard of.
struct FleetCounts {
  int64_t healthy = 0;
  int64_t unhealthy = 0;
  int64_t unreachable = 0;
  int64_t new_ones = 0;
  int64_t connected = 0;  // whatever their status
  int64_t groups = 0;
  int64_t active_deployments = 0;
};
Result<FleetCounts> count_fleet(Store& store);

// How many devices have a version of a component, by name and version; and how many of them say
// that it is BROKEN.
struct VersionCount {
  ComponentName component;
  std::string version;
  int64_t devices = 0;
  int64_t broken = 0;
};
// Of every component where `component` is "".
Result<std::vector<VersionCount>> count_versions(Store& store, const ComponentName& component,
                                                 int64_t limit);

// A deployment that names a component.
struct ComponentDeployment {
  DeploymentId id;
  std::string name;
  std::string target_arn;
  std::string version;
  DeploymentStatus status = DeploymentStatus::kActive;
  bool is_latest = false;  // of its target
  int64_t created_ms = 0;
  std::string rollout_state_json;  // "" where it does not go out by stages
};
// Newest first.
Result<std::vector<ComponentDeployment>> deployments_of_component(Store& store,
                                                                  const ComponentName& component,
                                                                  int64_t limit);

struct DeviceFilter {
  std::string text;       // in the name or an attribute; "" for all
  std::string group;      // "" for all
  std::string component;  // has it; "" for all
  std::string version;    // of that component; "" for any
  std::string status;     // or "CONNECTED", "AWAY"; "" for all
};
struct DeviceRow {
  ThingName thing;
  std::string attributes_json = "{}";
  std::string status;
  int64_t last_seen_ms = 0;    // 0: never
  int64_t last_status_ms = 0;  // of its last report; 0, and no more is known: none
  std::string nucleus_version;
  std::string platform;
  std::string architecture;
};
// By name.
Result<Slice<DeviceRow>> find_devices(Store& store, const DeviceFilter& filter, const Page& page);

}  // namespace skerry::fleet
