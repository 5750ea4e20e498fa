// A rollout's plan: in which order, how fast and under which conditions a release reaches the
// devices of its target. Read once, from our own document (docs/data/rollout.md) or from the
// iotJobConfiguration of CreateDeployment; plain values from then on.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "fleet/rollout/window.h"

namespace skerry::fleet::rollout {

// What a gate compares between the devices that have the release and the control cohort.
enum class Metric {
  kDeploymentFailures,  // share of devices that were asked and failed, hung or kept silent
  kUnhealthyDevices,    // share of devices whose fleet status is UNHEALTHY
  kComponentErrors,     // share of devices with a component that is ERRORED or BROKEN
  kFiringAlerts,        // share of devices of which an alert fires (alerts/alert_store.h)
  kComponentRestarts,   // restarts per device and hour
  kInferenceErrors,     // share of failed requests, device by device
  kInferenceLatency,    // mean, device by device
  kMeanConfidence,      // likewise; lower is worse
  kClassDistribution,   // share of each class, device by device; any change is worse
  kWatchdogAlarms,      // alarms of the service's watchdog by request, device by device
};
std::string_view name_of(Metric metric);  // "deploymentFailures"

struct Gate {
  Metric metric = Metric::kDeploymentFailures;
  // How much worse than the control cohort is still fine: of shares the difference (0.01 is one
  // percentage point), of all others the part of the control's mean.
  double tolerance = 0;
  int64_t min_devices = 0;  // with the release, before there is a verdict; 0: what the stage has
  double baseline = 0.01;   // of deploymentFailures where the target has no history

  bool operator==(const Gate&) const = default;
};

struct Stage {
  // Exactly one: the plan's canary group, a share of the target, a number of its devices.
  enum class Size { kCanaryGroup, kPercent, kDevices };
  Size size = Size::kPercent;
  double percent = 100;
  int64_t devices = 0;
  int64_t bake_s = 0;           // of watched time, after its last device has ended
  bool needs_approval = false;  // before the next stage, or the end
  std::vector<Gate> gates;      // hold for every stage after as well

  bool operator==(const Stage&) const = default;
};

// How many devices may be asked in a minute.
struct Rate {
  int64_t per_minute = 0;  // 0: no limit
  double factor = 1;       // the rate grows by it whenever …
  int64_t notified = 0;    // … so many more devices were asked, or
  int64_t succeeded = 0;   // … so many more succeeded; 0: not this way
  static constexpr int64_t kMost = 1000;

  bool operator==(const Rate&) const = default;
};

struct AbortCriterion {
  enum class Failure { kFailed, kRejected, kTimedOut, kAll };
  Failure failure = Failure::kAll;
  double percentage = 100;   // of the executions that have ended
  int64_t min_executed = 1;  // ended executions

  bool operator==(const AbortCriterion&) const = default;
};

struct SiteCaps {
  std::string attribute;             // of things; "": no caps
  int64_t max_concurrent = 0;        // 0: no cap
  int64_t max_bytes_per_second = 0;  // 0: no cap

  bool operator==(const SiteCaps&) const = default;
};

struct Retry {
  int64_t attempts = 0;  // beyond the first
  int64_t delay_s = 60;

  bool operator==(const Retry&) const = default;
};

enum class OnFailure { kRollback, kPause, kCancel };
std::string_view name_of(OnFailure on_failure);  // "rollback"

struct Plan {
  ThingGroupName canary_group;  // "" where there is none
  std::vector<Stage> stages;    // at least one; the last one is 100 %
  std::vector<Window> windows;  // devices are asked in these only; none: always
  SiteCaps site;
  Retry retry;
  Rate rate;
  std::vector<AbortCriterion> abort;
  int64_t in_progress_timeout_s = 0;    // 0: an execution may take for ever
  int64_t silence_timeout_s = 0;        // asked and never begun: counts as failed; 0: never
  int64_t evidence_timeout_s = 86'400;  // a gate without enough data pauses the rollout then
  double false_alarm = 0.01;  // of the whole rollout, however often its gates are looked at
  OnFailure on_failure = OnFailure::kRollback;

  bool operator==(const Plan&) const = default;
};

// Untrusted. Each error names the field and says what would be right.
Result<Plan> parse_plan(const nlohmann::json& document);
// parse_plan reads it back to the same value.
nlohmann::json to_json(const Plan& plan);

// The plan that `iotJobConfiguration` asks for: one stage with all devices; what its criteria stop
// is cancelled, not rolled back, as AWS has it. Nothing where it limits nothing.
Result<std::optional<Plan>> parse_job_configuration(const nlohmann::json& configuration);

// The plan of a deployment without one to more devices than one unit of work may ask: everybody, in
// pieces.
Plan everybody();

// How many devices of `members` are in the stages up to `stage`; at least one where there is one.
int64_t quota(const Stage& stage, int64_t members);

}  // namespace skerry::fleet::rollout
