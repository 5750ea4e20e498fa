// The `skerry` command line. Two programs share it: skerry, and skerry-model for what is done to
// models.
#pragma once

namespace CLI {
class App;
}

namespace skerry::cli {

struct Session;

using AddCommands = void (*)(CLI::App& app, Session& session);

// Parse, run, print; return the exit code.
int run_here_or_hand_on(int argc, const char* const* argv);  // skerry
int run(int argc, const char* const* argv, AddCommands add_commands);

void add_all_commands(CLI::App& app, Session& session);  // skerry's: commands.cc
void add_model_tools(CLI::App& app, Session& session);   // skerry-model's: models/commands.cc

}  // namespace skerry::cli
