// The command line as a whole: global options, errors, exit codes.
#include "cli/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string_view>

#include "base/log.h"
#include "cli/command.h"
#include "cli/handed_on.h"

namespace skerry::cli {
namespace {

constexpr const char* kFooter = R"(
Examples:
  skerry up                                        start a fleet on this machine
  skerry device provision press-7 --out press-7    make a device's identity and configuration
  skerry device run press-7                        run it here
  skerry group create plant && skerry group add plant press-7
  skerry component publish recipe.yaml
  skerry deploy --group plant --component com.example.Hello=1.0.0 --wait
  skerry status

On a terminal lists are tables with colours; elsewhere one line a row with tabs between the fields, without
a heading. --json prints JSON instead.
Exit codes: 0 done, 1 failed, 2 wrong command line, 3 the fleet (or a device, in time) is not reachable.)";

int exit_code_of(const Error& error) {
  return error.code() == Code::kUnavailable || error.code() == Code::kTimeout ? kExitUnreachable
                                                                              : kExitFailed;
}

void add_global_options(CLI::App& app, Session& session) {
  auto& connection = session.connection;
  app.add_option("--dir", connection.directory,
                 "Directory of the fleet (default: $XDG_DATA_HOME/skerry/fleet or "
                 "~/.local/share/skerry/fleet)")
      ->envname("SKERRY_DIR");
  app.add_option(
         "--endpoint", connection.endpoint,
         "API of a fleet elsewhere, for example http://10.0.0.2:8080; with credentials from "
         "--access-key-file or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
      ->envname("SKERRY_ENDPOINT");
  app.add_option("--access-key-file", connection.access_key_file,
                 "JSON file with accessKeyId and secretAccessKey");
  app.add_option("--region", connection.region, "Region in names and signatures")
      ->envname("AWS_REGION");
  app.add_option("--ca-file", connection.ca_file, "Trusted certificate of an https endpoint")
      ->check(CLI::ExistingFile);
  app.add_flag("--json", session.output.json, "Print JSON");
}

// Libraries throw where an answer or a file has another shape than the fleet's.
Result<void> run_action(const Session& session) {
  try {
    return session.action();
  } catch (const std::exception& error) {
    return fail(Code::kCorrupt,
                std::string("an answer or a file is not as expected: ") + error.what());
  }
}

}  // namespace

namespace {

// Before the command line is understood, --json may be anywhere on it.
bool asks_for_json(int argc, const char* const* argv) {
  return std::any_of(argv, argv + argc,
                     [](const char* argument) { return std::string_view(argument) == "--json"; });
}

int usage_error(const Session& session, const std::string& message, const std::string& command) {
  session.output.error(
      Error(Code::kInvalidArgument, message + "\nRun `" + command + " --help` for the commands."));
  return kExitUsage;
}

// The command that was being parsed, "skerry device provision".
std::string command_path(const CLI::App& app) {
  std::string path = app.get_name();
  for (const CLI::App* command = &app; !command->get_subcommands().empty();) {
    command = command->get_subcommands().front();
    path += " " + command->get_name();
  }
  return path;
}

int parse_and_run(int argc, const char* const* argv, AddCommands add_commands) {
  std::signal(SIGPIPE, SIG_DFL);  // `skerry logs -f | head` ends quietly
  log::configure(log::Level::kError, log::Format::kText);
  CLI::App app("Edge ML fleets: control plane, devices, components, models.", "skerry");
  app.footer(kFooter);
  app.set_version_flag("--version", "skerry " SKERRY_VERSION);
  app.fallthrough();  // global options may follow the command
  Session session;
  session.output.json = asks_for_json(argc, argv);
  add_global_options(app, session);
  add_commands(app, session);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help and --version
    return usage_error(session, error.what(), command_path(app));
  }
  if (!session.action) return usage_error(session, "a command is missing", command_path(app));
  const auto done = run_action(session);
  if (done) return kExitOk;
  session.output.error(done.error());
  return exit_code_of(done.error());
}

// The words of a command line behind its global options: "model", "compile", …
std::vector<std::string> words_of(int argc, const char* const* argv) {
  CLI::App app;
  Session session;
  add_global_options(app, session);
  app.set_help_flag();
  app.prefix_command();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError&) {
    return {};  // said when it is parsed as a whole
  }
  return app.remaining();
}

}  // namespace

int run_here_or_hand_on(int argc, const char* const* argv) {
  if (!is_handed_on(words_of(argc, argv))) return run(argc, argv, add_all_commands);
  Output output;
  output.json = asks_for_json(argc, argv);
  output.error(hand_on(argv));
  return kExitFailed;
}

int run(int argc, const char* const* argv, AddCommands add_commands) {
  const int exit_code = parse_and_run(argc, argv, add_commands);
  // What nobody could read did not happen: a script must not take half a list for the whole.
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return exit_code;
  std::fprintf(stderr, "skerry: cannot write the output: %s\n", std::strerror(errno));
  return exit_code == kExitOk ? kExitFailed : exit_code;
}

}  // namespace skerry::cli
