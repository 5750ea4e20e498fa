// Fleet status: what a device says it runs, on $aws/things/THING/greengrassv2/health/json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "formats/component_history.h"
#include "formats/jobs.h"

namespace skerry::formats {

enum class FleetMessageType { kComplete, kPartial };
std::string_view name_of(FleetMessageType type);  // "COMPLETE"

struct ComponentStatusDetails {
  std::vector<std::string> status_codes;
  std::string status_reason;
};

struct ComponentStatus {
  ComponentName name;
  std::string version;  // empty: the Java nucleus sends null for its built-ins
  std::string status;   // "RUNNING", "BROKEN", …
  bool is_root = false;
  std::vector<std::string> fleet_configuration_arns;
  std::optional<ComponentStatusDetails> details;
};

struct DeploymentInformation {
  std::string status;  // "SUCCEEDED", "FAILED", …
  std::string detailed_status;
  std::string failure_cause;
  std::vector<std::string> error_stack;
  std::vector<std::string> error_types;
  std::string configuration_arn;
  DeploymentId deployment_id;
  std::vector<std::string> unchanged_root_components;
};

// One message is cut into chunks where it would be too long for the broker.
struct ChunkInfo {
  int64_t chunk_id = 1;
  int64_t total_chunks = 1;
};

struct FleetStatus {
  std::string nucleus_version;
  std::string platform;      // "linux"
  std::string architecture;  // "amd64"
  std::string runtime;       // may be empty
  ThingName thing;
  int64_t sequence_number = 0;
  int64_t timestamp_ms = 0;
  FleetMessageType message_type = FleetMessageType::kComplete;
  std::string trigger;  // "NUCLEUS_LAUNCH", "CADENCE", "THING_GROUP_DEPLOYMENT", …
  bool healthy = true;
  std::optional<int64_t> free_disk_bytes;   // ours: stock nuclei do not say
  std::optional<ComponentHistory> history;  // likewise
  std::optional<ChunkInfo> chunk;
  std::vector<ComponentStatus> components;
  std::optional<DeploymentInformation> deployment;
};

std::string fleet_status_topic(const ThingName& thing);
// Nothing where the topic is another one.
std::optional<ThingName> parse_fleet_status_topic(std::string_view topic);

std::string to_text(const FleetStatus& status);
Result<FleetStatus> parse_fleet_status(std::string_view text);  // untrusted

}  // namespace skerry::formats
