// skerry device: identities and configuration files of devices, and running one here.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/device_config.h"
#include "cli/device_verify.h"
#include "cli/local_files.h"
#include "formats/names.h"
#include "io/files.h"
#include "io/journal.h"
#include "net/private_key.h"
#include "net/x509.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

struct ProvisionOptions {
  std::string thing;
  std::string out;
  std::string group;
  std::string user;
  std::string key;  // the name of one in a token; "": one is made, in a file
  bool replace = false;
};

// The private key, which in a token stays there, and the request for its certificate.
Result<net::x509::KeyRequest> identity_of(const ProvisionOptions& options) {
  if (options.key.empty()) return net::x509::make_key_request(options.thing);
  if (!net::is_in_token(options.key)) {
    return fail(Code::kInvalidArgument,
                "--key names a key in a token, pkcs11:…?module-path=…&pin-source=file:…");
  }
  SKERRY_ASSIGN(const auto key, net::load_private_key(options.key));
  SKERRY_ASSIGN(std::string request, net::x509::make_request(key.get(), options.thing));
  return net::x509::KeyRequest{"", std::move(request)};
}

// Nothing of an earlier provisioning is overwritten: a lost key is a lost device.
Result<void> check_is_new(const std::string& directory) {
  io::RealFiles files;
  // What `device init` wrote is given a fleet.
  const std::string_view replaced = is_without_fleet(directory) ? "config.yaml" : "";
  for (const char* name : {"device.key", "device.pem", "ca.pem", "config.yaml", "lite/config.yaml",
                           "java/config.yaml"}) {
    if (name == replaced) continue;
    if (io::exists(files, directory + "/" + name)) {
      return fail(Code::kAlreadyExists,
                  directory + "/" + name +
                      " exists: this directory holds a device already; choose another --out, or "
                      "remove it to make the device anew");
    }
  }
  return {};
}

// ARNs of the certificates that a thing of this name has: none where it is new, or was only
// registered. kAlreadyExists where they are not to be replaced.
Result<std::vector<std::string>> former_certificates(FleetClient& fleet,
                                                     const ProvisionOptions& options) {
  const std::string thing = "/things/" + net::percent_encode(options.thing);
  auto found = fleet.call({.service = "iot", .method = "GET", .path = thing});
  if (!found && found.error().code() == Code::kNotFound) return std::vector<std::string>();
  if (!found) return fail(found.error());
  SKERRY_ASSIGN(const json answer,
                fleet.call({.service = "iot", .method = "GET", .path = thing + "/principals"}));
  auto certificates = answer.value("principals", std::vector<std::string>());
  if (!certificates.empty() && !options.replace) {
    return fail(Code::kAlreadyExists,
                "the fleet has a device " + options.thing +
                    " already, and a second one with its name would fight it: choose another "
                    "name, or give --replace to revoke its certificates and make it anew");
  }
  return certificates;
}

// The device that had the name before is shut out.
Result<void> revoke(FleetClient& fleet, const std::string& thing, const std::string& arn) {
  const std::string id = arn.substr(arn.rfind('/') + 1);
  SKERRY_TRY(fleet.call({.service = "iot",
                         .method = "PUT",
                         .path = "/certificates/" + net::percent_encode(id),
                         .query = {{"newStatus", "INACTIVE"}}}));
  SKERRY_TRY(fleet.call({.service = "iot",
                         .method = "DELETE",
                         .path = "/things/" + net::percent_encode(thing) + "/principals",
                         .headers = {{"x-amzn-principal", arn}}}));
  return {};
}

Result<std::string> register_device(FleetClient& fleet, const ProvisionOptions& options,
                                    const std::string& request_pem) {
  const std::string thing = "/things/" + net::percent_encode(options.thing);
  SKERRY_TRY(fleet.call({.service = "iot", .method = "POST", .path = thing, .body = "{}"}));
  SKERRY_ASSIGN(const json certificate,
                fleet.call({.service = "iot",
                            .method = "POST",
                            .path = "/certificates",
                            .query = {{"setAsActive", "true"}},
                            .body = json{{"certificateSigningRequest", request_pem}}.dump()}));
  SKERRY_TRY(
      fleet.call({.service = "iot",
                  .method = "PUT",
                  .path = thing + "/principals",
                  .headers = {{"x-amzn-principal", certificate.value("certificateArn", "")}}}));
  if (!options.group.empty()) {
    SKERRY_TRY(fleet.call(
        {.service = "iot",
         .method = "PUT",
         .path = "/thing-groups/addThingToThingGroup",
         .body = json{{"thingGroupName", options.group}, {"thingName", options.thing}}.dump()}));
  }
  return certificate.value("certificatePem", "");
}

Result<void> provision(const Session& session, const ProvisionOptions& options) {
  const std::string directory = absolute_path(options.out);
  io::RealFiles files;
  SKERRY_TRY(formats::parse_thing_name(options.thing));
  SKERRY_TRY(check_is_new(directory));
  SKERRY_ASSIGN(const json description, read_fleet_file(directory_of(session.connection)));
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const std::string ca, read_local_file(description.value("ca_file", "")));
  SKERRY_ASSIGN(const auto former, former_certificates(fleet, options));
  SKERRY_ASSIGN(const auto identity, identity_of(options));
  SKERRY_ASSIGN(const std::string certificate,
                register_device(fleet, options, identity.request_pem));

  for (const std::string& arn : former) SKERRY_TRY(revoke(fleet, options.thing, arn));
  // The key last of the identity: a directory with a key is complete enough to be used.
  SKERRY_TRY(write_new_file(directory + "/ca.pem", ca, 0644));
  SKERRY_TRY(write_new_file(directory + "/device.pem", certificate, 0644));
  const DeviceFiles device{directory, options.thing, options.user, options.key};
  // Stock nuclei reach tokens by ways of their own.
  const bool is_for_all = options.key.empty();
  if (is_for_all) {
    SKERRY_TRY(write_new_file(directory + "/device.key", identity.key_pem, 0600));
    SKERRY_TRY(
        write_new_file(directory + "/lite/config.yaml", lite_config(description, device), 0644));
    SKERRY_TRY(
        write_new_file(directory + "/java/config.yaml", java_config(description, device), 0644));
  }
  SKERRY_TRY(io::write_file_atomic(files, directory + "/config.yaml",
                                   skerryd_config(description, device), 0644));
  if (session.output.json) {
    json made = {
        {"thing", options.thing}, {"directory", directory}, {"config", directory + "/config.yaml"}};
    if (is_for_all) {
      made["lite_config"] = directory + "/lite/config.yaml";
      made["java_config"] = directory + "/java/config.yaml";
    }
    session.output.print_json(made);
  } else {
    session.output.print_line("provisioned " + options.thing + " in " + directory);
    session.output.hint("Next: skerry device run " + options.out + "; skerry group add GROUP " +
                        options.thing);
  }
  return {};
}

Result<void> run_device(const std::string& directory) {
  const std::string config = absolute_path(directory) + "/config.yaml";
  io::RealFiles files;
  if (!io::exists(files, config)) {
    return fail(Code::kNotFound,
                config +
                    " does not exist: make the device with `skerry device provision NAME --out " +
                    directory + "`");
  }
  SKERRY_ASSIGN(const std::string program, find_sibling("skerryd"));
  ::execl(program.c_str(), program.c_str(), "--config", config.c_str(),
          static_cast<char*>(nullptr));
  return fail(errno_error("execute", program, errno));
}

// The records of the device's journal, for people and for support. Changes nothing.
Result<void> print_state(const Session& session, const std::string& root) {
  io::RealFiles files;
  SKERRY_ASSIGN(const auto contents, io::Journal::look(files, absolute_path(root) + "/state"));
  if (!session.output.json) {
    for (const std::string& record : contents.records) session.output.print_line(record);
    for (const std::string& note : {contents.found.lost, contents.found.repaired}) {
      if (!note.empty()) session.output.hint(note);
    }
    return {};
  }
  json records = json::array();
  for (const std::string& record : contents.records) {
    json parsed = json::parse(record, nullptr, false);
    records.push_back(parsed.is_discarded() ? json(record) : std::move(parsed));
  }
  session.output.print_json({{"generation", contents.generation},
                             {"damaged", contents.found.repaired},
                             {"lost", contents.found.lost},
                             {"torn_bytes", contents.found.torn_bytes},
                             {"records", std::move(records)}});
  return {};
}

void add_state_command(CLI::App& device, Session& session) {
  auto root = std::make_shared<std::string>();
  CLI::App* command = device.add_subcommand("state", "Print what a device remembers");
  command->add_option("--root", *root, "The nucleus's root folder (rootPath in config.yaml)")
      ->required();
  command->footer(R"(
The records of the journal, oldest first, one JSON object a line; --json gives one document that also says whether
one of the two copies is damaged. Nothing is changed; the nucleus may run.
Example:
  skerry device state --root ./press-7/root)");
  command->callback([&session, root] {
    session.action = [&session, root] { return print_state(session, *root); };
  });
}

}  // namespace

void add_device_commands(CLI::App& app, Session& session) {
  CLI::App* device = app.add_subcommand("device", "Make and run devices");
  device->footer(R"(
Examples:
  skerry device provision press-7 --out press-7    make a device's identity and configuration
  skerry device run press-7                        run it here
  skerry device init press-9                       make one without any fleet
  skerry device deploy press-9 --recipe-dir . --merge com.example.Hello=1.0.0
  skerry device components press-7                 what runs on it, asked of the device itself
  skerry device restart press-7 com.example.Hello  start a component of it again
  skerry device verify press-7                     check every byte of what is installed
  skerry device doctor press-7                     what this machine gives to it
  skerry device remove press-7                     it can never connect again)");

  auto options = std::make_shared<ProvisionOptions>();
  CLI::App* provision_command =
      device->add_subcommand("provision", "Make a device's key, certificate and configuration");
  provision_command->add_option("NAME", options->thing, "Thing name: letters, digits, - _ :")
      ->required();
  provision_command
      ->add_option("--out", options->out, "Directory to write; nothing in it is overwritten")
      ->required();
  provision_command->add_option("--group", options->group, "Group to add it to");
  provision_command->add_option("--user", options->user,
                                "USER[:GROUP] that components run as (default: the one who runs "
                                "the nucleus; ggc_user for stock nuclei run as root)");
  provision_command->add_option("--key", options->key,
                                "Use this private key in a token (PKCS#11) instead of making one");
  provision_command->add_flag("--replace", options->replace,
                              "A device of this name exists: revoke its certificates");
  provision_command->footer(R"(
A directory of `device init` is given a fleet: what was deployed locally stays. The key is made here and never leaves the directory. It writes device.key, device.pem, ca.pem and config.yaml for
skerryd, lite/config.yaml for the stock nucleus lite (as /etc/greengrass/config.yaml) and java/config.yaml for the
stock Java nucleus (as --init-config).
Examples:
  skerry device provision press-7 --out ./press-7
  skerry device provision press-8 --out ./press-8 --group plant --user nobody
  skerry device provision press-9 --out ./press-9 \
      --key 'pkcs11:token=dev;object=press-9?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/pin')");
  provision_command->callback([&session, options] {
    session.action = [&session, options] { return provision(session, *options); };
  });

  auto directory = std::make_shared<std::string>();
  CLI::App* run_command =
      device->add_subcommand("run", "Run a provisioned device here, in the foreground");
  run_command->add_option("DIR", *directory, "What `device provision` wrote")->required();
  run_command->footer("\nExample:\n  skerry device run ./press-7");
  run_command->callback(
      [&session, directory] { session.action = [directory] { return run_device(*directory); }; });

  auto root = std::make_shared<std::string>();
  CLI::App* verify_command =
      device->add_subcommand("verify", "Check every byte of what is installed on a device");
  verify_command->add_option("ROOT", *root, "Its root folder, or what `device provision` wrote")
      ->required();
  verify_command->footer(R"(
Reads files only: the device may run or not, and no fleet is needed. Exit code 1 where anything is damaged.
Example:
  skerry device verify ./press-7)");
  verify_command->callback([&session, root] {
    session.action = [&session, root] { return verify_device(session.output, *root); };
  });
  add_state_command(*device, session);
}

}  // namespace skerry::cli
