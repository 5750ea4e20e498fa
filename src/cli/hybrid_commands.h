// skerry cascade, skerry filter, and skerry model reference|drift.
#pragma once

#include "cli/command.h"

namespace skerry::cli {

void add_tune_commands(CLI::App& app, Session& session);   // cascade tune; filter tune|run
void add_drift_commands(CLI::App& app, Session& session);  // model reference|drift; after model

}  // namespace skerry::cli
