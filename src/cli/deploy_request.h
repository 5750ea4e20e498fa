// What `skerry deploy` and `skerry rollout` share: the options that say what a target should run.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "base/error.h"
#include "cli/deploy.h"
#include "cli/fleet_client.h"

namespace CLI {
class App;
}

namespace skerry::cli {

// --group, --thing, --component, --config, --file, --name, --keep, --empty.
void add_request_options(CLI::App& command, const std::shared_ptr<DeployOptions>& options);
// Throws CLI::RequiredError where no target is named.
void check_target(const CLI::App& command);

// The body of CreateDeployment.
Result<nlohmann::json> request_of(FleetClient& fleet, const DeployOptions& options);
// {"deployment": …, "rollout": …}: the body of StartRollout and PlanRollout.
Result<nlohmann::json> rollout_request_of(FleetClient& fleet, const DeployOptions& options);

// rollout_command.cc: starts it and says how to watch it.
Result<void> start_rollout(const Session& session, const DeployOptions& options);

}  // namespace skerry::cli
