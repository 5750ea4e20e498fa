// skerry device components|restart|stop|pause|resume: what runs on this machine's device, asked of
// the device itself over its IPC socket. No fleet is needed.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/iso_time.h"
#include "cli/command.h"
#include "cli/device_link.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

struct DeviceOptions {
  std::string root;
  std::string component;
};

// A verb on one component: how the model names it, and what is said afterwards.
struct Verb {
  const char* name;
  const char* operation;
  const char* done;
  const char* help;
};
constexpr Verb kVerbs[] = {
    {"restart", "RestartComponent", "starts again",
     "Stop a component and start it again, also where it is BROKEN"},
    {"stop", "StopComponent", "stops",
     "Stop a component until it is restarted, deployed anew, or the device starts again"},
    {"pause", "PauseComponent", "is paused", "Halt a component's processes where they are"},
    {"resume", "ResumeComponent", "goes on", "Let a paused component go on"},
};

Result<void> print_components(const Session& session, const DeviceOptions& options) {
  SKERRY_ASSIGN(const json answer, ask_device(options.root, "ListComponents", json::object()));
  if (session.output.json) {
    session.output.print_json(answer);
    return {};
  }
  Table table{{"component", "version", "state"}, {}};
  for (const json& component : answer.value("components", json::array())) {
    table.rows.push_back({component.value("componentName", ""), component.value("version", ""),
                          component.value("state", "")});
  }
  session.output.print_table(table);
  return {};
}

Result<void> control(const Session& session, const DeviceOptions& options, const Verb& verb) {
  SKERRY_ASSIGN(const json answer,
                ask_device(options.root, verb.operation, {{"componentName", options.component}}));
  if (session.output.json) {
    session.output.print_json({{"component", options.component}, {"answer", answer}});
  } else {
    session.output.print_line(options.component + " " + verb.done);
  }
  return {};
}

Result<void> print_password(const Session& session, const DeviceOptions& options) {
  SKERRY_ASSIGN(const json answer, ask_device(options.root, "CreateDebugPassword", json::object()));
  if (session.output.json) {
    session.output.print_json(answer);
    return {};
  }
  session.output.print_line(answer.value("password", ""));
  session.output.hint(
      "good until " +
      iso_time(static_cast<int64_t>(answer.value("passwordExpiration", 0.0) * 1000)) +
      ", or until the device's nucleus starts again");
  return {};
}

CLI::App* add_command(CLI::App& device, const char* name, const char* help,
                      DeviceOptions& options) {
  CLI::App* command = device.add_subcommand(name, help);
  command
      ->add_option("ROOT", options.root,
                   "The device's root folder, or what `device provision` wrote")
      ->required();
  return command;
}

}  // namespace

void add_device_control_commands(CLI::App& app, Session& session) {
  CLI::App& device = *app.get_subcommand("device");
  auto options = std::make_shared<DeviceOptions>();
  CLI::App* list = add_command(device, "components", "What runs on a device here", *options);
  list->footer(R"(
Asks the running device itself: no fleet is needed. With --json also each component's configuration.
Example:
  skerry device components ./press-7)");
  list->callback([&session, options] {
    session.action = [&session, options] { return print_components(session, *options); };
  });
  CLI::App* password =
      add_command(device, "debug-password",
                  "A password that makes its holder the device's operator for 8 hours", *options);
  password->footer(R"(
For somebody else on this machine, who cannot read what the nucleus wrote for its operator. Whoever has the password
gives it in SKERRY_DEBUG_PASSWORD; an IPC client shows it as its token (SVCUID).
Examples:
  skerry device debug-password ./press-7
  SKERRY_DEBUG_PASSWORD=… skerry device components ./press-7)");
  password->callback([&session, options] {
    session.action = [&session, options] { return print_password(session, *options); };
  });
  for (const Verb& verb : kVerbs) {
    CLI::App* command = add_command(device, verb.name, verb.help, *options);
    command->add_option("COMPONENT", options->component, "Its name")->required();
    command->footer(std::string("\nExample:\n  skerry device ") + verb.name +
                    " ./press-7 com.example.Hello");
    command->callback([&session, options, &verb] {
      session.action = [&session, options, &verb] { return control(session, *options, verb); };
    });
  }
}

}  // namespace skerry::cli
