// What every command of `skerry` gets: the options that all share, the way to the fleet, and the
// output.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "cli/fleet_client.h"
#include "cli/output.h"

namespace CLI {
class App;
}

namespace skerry::cli {

// Exit codes, as the help documents them.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitUnreachable = 3;

struct Session {
  ConnectionOptions connection;
  Output output;
  // What the command line asked for; run once all of it is parsed.
  std::function<Result<void>()> action;

  Result<FleetClient> connect() const { return FleetClient::open(connection); }
};

// One function per command group; each adds its commands to `app`. `session` outlives the parse and
// the action.
void add_fleet_commands(CLI::App& app, Session& session);   // up, down
void add_topics_command(CLI::App& app, Session& session);   // fleet topics open|close
void add_device_commands(CLI::App& app, Session& session);  // device provision|run|verify
// device components|restart|stop|pause|resume; after add_device_commands()
void add_device_control_commands(CLI::App& app, Session& session);
// device init|deploy|deployments; after add_device_commands()
void add_device_local_commands(CLI::App& app, Session& session);
// device secret put|list|remove; likewise
void add_device_secret_commands(CLI::App& app, Session& session);
void add_device_doctor_command(CLI::App& app, Session& session);  // device doctor; likewise
void add_group_commands(CLI::App& app, Session& session);         // group create|add|list
void add_component_commands(CLI::App& app, Session& session);     // component publish|list
void add_deploy_command(CLI::App& app, Session& session);
void add_rollout_commands(CLI::App& app, Session& session);  // rollout plan|start|watch|…
void add_status_command(CLI::App& app, Session& session);
void add_logs_command(CLI::App& app, Session& session);
void add_model_commands(CLI::App& app, Session& session);   // model publish|list|show|trace|…
void add_infer_commands(CLI::App& app, Session& session);   // infer bulk
void add_top_command(CLI::App& app, Session& session);      // top
void add_access_commands(CLI::App& app, Session& session);  // key, operator, audit
void add_claim_commands(CLI::App& app, Session& session);   // claim create|list|revoke
void add_metric_commands(CLI::App& app, Session& session);  // metrics; device metrics, after device
void add_alert_commands(CLI::App& app, Session& session);   // alert list|check|silence|test
void add_stream_commands(CLI::App& app, Session& session);  // stream list|show|tail|export|repair
// group remove|delete, device remove, component delete, cancel; after those groups of commands
void add_removal_commands(CLI::App& app, Session& session);

}  // namespace skerry::cli
