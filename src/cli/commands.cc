// The commands of `skerry`, in the order of its help.
#include <CLI/CLI.hpp>

#include "cli/cli.h"
#include "cli/command.h"
#include "cli/handed_on.h"
#include "cli/hybrid_commands.h"

namespace skerry::cli {

void add_all_commands(CLI::App& app, Session& session) {
  add_fleet_commands(app, session);
  add_topics_command(app, session);
  add_device_commands(app, session);
  add_device_control_commands(app, session);
  add_device_local_commands(app, session);
  add_device_doctor_command(app, session);
  add_device_secret_commands(app, session);
  add_group_commands(app, session);
  add_component_commands(app, session);
  add_deploy_command(app, session);
  add_rollout_commands(app, session);
  add_status_command(app, session);
  add_logs_command(app, session);
  add_model_commands(app, session);
  add_infer_commands(app, session);
  add_top_command(app, session);
  list_handed_on_learn(app);
  add_access_commands(app, session);
  add_claim_commands(app, session);
  add_metric_commands(app, session);
  add_alert_commands(app, session);
  add_tune_commands(app, session);
  add_drift_commands(app, session);
  add_stream_commands(app, session);
  add_removal_commands(app, session);
}

}  // namespace skerry::cli
