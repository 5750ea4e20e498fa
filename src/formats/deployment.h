// The deployment document: what a target should run, as it travels in a job from fleet to device.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "formats/arn.h"
#include "formats/json_ptr.h"
#include "formats/node.h"
#include "formats/version.h"

namespace skerry::formats {

enum class FailureHandling { kRollback, kDoNothing };
enum class UpdateAction { kNotify, kSkipNotify };

std::string_view name_of(FailureHandling policy);  // "ROLLBACK"
std::string_view name_of(UpdateAction action);     // "NOTIFY_COMPONENTS"

// Applied in this order: reset, defaults of the recipe, merge.
struct ConfigurationUpdate {
  std::vector<std::string> reset;  // JSON pointers; "" is the whole configuration
  JsonPtr merge;                   // an object, or null where there is nothing to merge
};

// Of all processes of a component together.
struct ResourceLimits {
  std::optional<int64_t> memory_kb;
  std::optional<double> cpus;

  bool operator==(const ResourceLimits&) const = default;
};

struct RunWith {
  std::string posix_user;  // "user" or "user:group"; empty: the device's default
  std::string windows_user;
  ResourceLimits limits;  // systemResourceLimits
};

struct DeployedComponent {
  Version version;
  ConfigurationUpdate configuration;
  RunWith run_with;
};

struct Deployment {
  DeploymentId id;  // empty where a local tool wrote the document
  std::string name;
  std::string configuration_arn;  // empty likewise
  std::string parent_target_arn;
  std::string on_behalf_of;
  int64_t creation_timestamp_ms = 0;
  std::vector<std::string> required_capabilities;
  std::map<ComponentName, DeployedComponent> components;
  FailureHandling failure_handling = FailureHandling::kRollback;
  UpdateAction update_action = UpdateAction::kNotify;
  std::chrono::seconds update_timeout{60};
  std::chrono::seconds validation_timeout{60};

  // The target and revision in configuration_arn.
  Result<ConfigurationId> configuration_id() const;
};

// Untrusted. Keys are compared without case, numbers may be strings. The names of the
// CreateDeployment API are understood as well: componentVersion, merge as JSON in a string,
// timeoutInSeconds, deploymentPolicies around the policies. Pointers and merged values are checked.
Result<Deployment> parse_deployment_text(std::string_view text);
Result<Deployment> parse_deployment(const nlohmann::json& document);
// runWith of a component; runWithDefault of a device is the same.
Result<RunWith> parse_run_with(const Node& node);

// The job document; parse_deployment reads it back to the same value.
nlohmann::json to_json(const Deployment& deployment);

}  // namespace skerry::formats
