// Questions about the whole fleet, for people who look at it. Records and errors as store.h has
// them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fleet/store.h"

namespace skerry::fleet {

struct FleetCounts {
  int64_t things = 0;
  int64_t groups = 0;
  int64_t core_devices = 0;
  int64_t healthy = 0;
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
Result<std::vector<VersionCount>> count_versions(Store& store, int64_t limit);

struct DeviceFilter {
  std::string text;       // in the name or an attribute; "" for all
  std::string group;      // "" for all
  std::string component;  // has it; "" for all
  std::string version;    // of that component; "" for any
  std::string health;     // "HEALTHY", "UNHEALTHY", "NEW" (never heard of); "" for all
};
struct DeviceRow {
  ThingName thing;
  std::string attributes_json = "{}";
  bool is_core = false;  // has a nucleus that has spoken
  bool healthy = false;
  int64_t last_status_ms = 0;
  std::string nucleus_version;
  std::string platform;
  std::string architecture;
};
// By name.
Result<Slice<DeviceRow>> find_devices(Store& store, const DeviceFilter& filter, const Page& page);

}  // namespace skerry::fleet
