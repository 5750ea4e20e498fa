// skerry device secret: secrets of a device here, for its components. Their values come from a file
// or the standard input, never from the command line, where everybody could see them.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/device_link.h"
#include "cli/local_files.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

struct SecretOptions {
  std::string root, name, file;
};

Result<std::string> value_of(const SecretOptions& options) {
  if (!options.file.empty()) return read_local_file(options.file);
  if (::isatty(STDIN_FILENO) == 1) {
    return fail(Code::kInvalidArgument,
                "the value is read from --file or the standard input: printf %s VALUE | skerry "
                "device secret put …");
  }
  return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
}

Result<void> put(const Session& session, const SecretOptions& options) {
  SKERRY_ASSIGN(const std::string value, value_of(options));
  SKERRY_ASSIGN(const json answer, ask_device(options.root, "skerry#PutSecret",
                                              {{"name", options.name},
                                               {"value", base64_encode(value)},
                                               {"binary", !is_utf8(value)}}));
  session.output.json ? session.output.print_json(answer)
                      : session.output.print_line(answer.value("arn", ""));
  return {};
}

Result<void> list_secrets(const Session& session, const SecretOptions& options) {
  SKERRY_ASSIGN(const json answer, ask_device(options.root, "skerry#ListSecrets", json::object()));
  if (session.output.json) {
    session.output.print_json(answer);
    return {};
  }
  Table table{{"secret", "versions", "arn"}, {}};
  for (const json& each : answer.value("secrets", json::array())) {
    table.rows.push_back({each.value("name", ""),
                          std::to_string(each.value("versions", json::array()).size()),
                          each.value("arn", "")});
  }
  session.output.print_table(table);
  return {};
}

Result<void> remove(const Session& session, const SecretOptions& options) {
  SKERRY_ASSIGN(const json answer,
                ask_device(options.root, "skerry#DeleteSecret", {{"name", options.name}}));
  session.output.json ? session.output.print_json(answer)
                      : session.output.print_line("removed " + options.name);
  return {};
}

using SecretAction = Result<void> (*)(const Session&, const SecretOptions&);

}  // namespace

void add_device_secret_commands(CLI::App& app, Session& session) {
  CLI::App* group = app.get_subcommand("device")->add_subcommand(
      "secret", "Secrets that components of a device here may ask for");
  group->require_subcommand(1);
  group->footer(R"(
Examples:
  skerry device secret put ./press-9 db/password --file password.txt
  printf %s "$PASSWORD" | skerry device secret put ./press-9 db/password
  skerry device secret list_secrets ./press-9)");
  const auto add = [&](const char* name, const char* help, SecretAction action) {
    auto options = std::make_shared<SecretOptions>();
    CLI::App* command = group->add_subcommand(name, help);
    command->add_option("ROOT", options->root, "The device's root folder, or its directory")
        ->required();
    const bool is_list = action == list_secrets;
    if (!is_list) command->add_option("NAME", options->name, "Its name")->required();
    if (action == put) {
      command
          ->add_option("--file", options->file,
                       "Holds the value, as it is (default: the standard input)")
          ->check(CLI::ExistingFile);
    }
    command->footer(std::string("\nExample:\n  skerry device secret ") + name + " ./press-9" +
                    (is_list ? "" : " db/password") +
                    (action == put ? " --file password.txt" : ""));
    command->callback([&session, options, action] {
      session.action = [&session, options, action] { return action(session, *options); };
    });
  };
  add("put", "Give it a new value; the one before stays as AWSPREVIOUS", put);
  add("list", "Names, ARNs and versions, without values", list_secrets);
  add("remove", "Forget it with all versions", remove);
}

}  // namespace skerry::cli
