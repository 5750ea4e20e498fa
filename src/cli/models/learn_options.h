// skerry learn: what its commands share.
#pragma once

#include "cli/command.h"
#include "federated/plan.h"

namespace skerry::cli {

void add_plan_options(CLI::App& command, federated::TrainingPlan& plan);  // learn_commands.cc
void add_fleet_learn_commands(CLI::App& learn, Session& session);         // learn_fleet.cc

}  // namespace skerry::cli
