// skerry device components|restart|stop|pause|resume: what runs on this machine's device, asked of
// the device itself over its IPC socket. No fleet is needed.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/local_files.h"
#include "io/files.h"
#include "rpc/ipc_client.h"

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

// The folder with what `skerryd` wrote for the operator: of the device's root, or of the directory
// of `device provision` around it.
Result<std::string> access_folder(io::Files& files, const std::string& root) {
  for (const char* below : {"/cli_ipc_info", "/root/cli_ipc_info"}) {
    if (io::exists(files, root + below)) return root + below;
  }
  return fail(Code::kNotFound,
              "no device has run in " + root +
                  ": name its root folder, or what `device provision` wrote, and start it with "
                  "`skerry device run`");
}

// What the file says that this user may read: its own, then those of groups.
Result<json> read_access(const std::string& root) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string folder, access_folder(files, root));
  SKERRY_ASSIGN(auto names, files.list(folder));
  const std::string own = "user-" + std::to_string(::geteuid());
  std::ranges::sort(names, {}, [&](const std::string& name) { return name != own; });
  for (const std::string& name : names) {
    const auto text = io::read_file(files, folder + "/" + name, 64 << 10);
    if (!text) continue;
    json access = json::parse(*text, nullptr, false);
    if (access.is_object() && access.value("cli_auth_token", json()).is_string() &&
        access.value("domain_socket_path", json()).is_string()) {
      return access;
    }
  }
  return fail(
      Code::kPermissionDenied,
      "you may not control this device: run this as the user that runs skerryd (" + folder + ")");
}

// One request to the device at `root`; the answer's body.
Result<json> ask(const std::string& root, const std::string& operation, const json& request) {
  SKERRY_ASSIGN(const json access, read_access(absolute_path(root)));
  auto client = rpc::IpcClient::connect(access["domain_socket_path"].get<std::string>(),
                                        access["cli_auth_token"].get_ref<const std::string&>());
  if (!client) return fail(client.error().with_context("is the device running?"));
  SKERRY_ASSIGN(const auto answer, client->call("aws.greengrass#" + operation, request.dump()));
  json body = json::parse(answer.payload, nullptr, false);
  if (!answer.is_error && body.is_object()) return body;
  const bool is_absent = answer.shape.ends_with("NotFoundError");
  return fail(is_absent ? Code::kNotFound : Code::kFailedPrecondition,
              body.is_object() ? body.value("message", answer.shape) : answer.payload);
}

Result<void> print_components(const Session& session, const DeviceOptions& options) {
  SKERRY_ASSIGN(const json answer, ask(options.root, "ListComponents", json::object()));
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
                ask(options.root, verb.operation, {{"componentName", options.component}}));
  if (session.output.json) {
    session.output.print_json({{"component", options.component}, {"answer", answer}});
  } else {
    session.output.print_line(options.component + " " + verb.done);
  }
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
