// skerry claim: certificates by which devices get themselves an identity, for images that are the
// same on all of them.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/command.h"
#include "cli/device_config.h"
#include "cli/local_files.h"
#include "formats/names.h"
#include "net/x509.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

struct ClaimOptions {
  std::string name, out, names = "*", serials_file, user;
  std::string serial = "{machineId}";
  std::vector<std::string> groups;
  int64_t things = 0, days = 30;
};

std::string claim_path(const std::string& name) {
  return "/skerry/v1/claims/" + net::percent_encode(name);
}

// One a line; empty ones are left out.
Result<json> serials_of(const std::string& file) {
  json serials = json::array();
  if (file.empty()) return serials;
  SKERRY_ASSIGN(const std::string text, read_local_file(file));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) serials.push_back(line);
  }
  if (serials.empty()) return fail(Code::kInvalidArgument, file + " holds no serial number");
  return serials;
}

Result<void> create_claim(const Session& session, const ClaimOptions& options) {
  const std::string directory = absolute_path(options.out);
  SKERRY_TRY(formats::parse_thing_name(options.name));
  for (const char* name : {"claim.key", "claim.pem", "ca.pem", "config.yaml"}) {
    if (read_local_file(directory + "/" + name)) {
      return fail(Code::kAlreadyExists, directory + "/" + name + " exists: choose another --out");
    }
  }
  SKERRY_ASSIGN(const json serials, serials_of(options.serials_file));
  SKERRY_ASSIGN(const json description, read_fleet_file(directory_of(session.connection)));
  SKERRY_ASSIGN(const std::string ca, read_local_file(description.value("ca_file", "")));
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const auto identity, net::x509::make_key_request("claim " + options.name));
  SKERRY_ASSIGN(json answer,
                fleet.call({.service = "skerry",
                            .method = "POST",
                            .path = claim_path(options.name),
                            .body = json{{"certificateSigningRequest", identity.request_pem},
                                         {"thingNames", options.names},
                                         {"thingGroupNames", options.groups},
                                         {"serialNumbers", serials},
                                         {"maximumThings", options.things},
                                         {"expiresInSeconds", options.days * 86'400}}
                                        .dump()}));
  SKERRY_TRY(write_new_file(directory + "/ca.pem", ca, 0644));
  SKERRY_TRY(write_new_file(directory + "/claim.pem", answer.value("certificatePem", ""), 0644));
  SKERRY_TRY(write_new_file(directory + "/claim.key", identity.key_pem, 0600));
  SKERRY_TRY(write_new_file(
      directory + "/config.yaml",
      claim_config(description, {directory, "", options.user}, options.name, options.serial),
      0644));
  if (session.output.json) {
    answer["directory"] = directory;
    answer["config"] = directory + "/config.yaml";
    session.output.print_json(answer);
  } else {
    session.output.print_line("claim " + options.name + " is in " + directory);
    session.output.hint("Put it into the image; on a device: skerryd --config config.yaml");
  }
  return {};
}

Result<void> list_claims(const Session& session) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  json all = json::array();
  std::string next;
  do {
    std::vector<std::pair<std::string, std::string>> query;
    if (!next.empty()) query.emplace_back("nextToken", next);
    SKERRY_ASSIGN(
        const json answer,
        fleet.call(
            {.service = "skerry", .method = "GET", .path = "/skerry/v1/claims", .query = query}));
    for (const json& claim : answer.at("claims")) all.push_back(claim);
    next = answer.value("nextToken", "");
  } while (!next.empty());
  if (session.output.json) {
    session.output.print_json({{"claims", all}});
    return {};
  }
  Table table{{"CLAIM", "STATE", "THINGS", "NAMES", "GROUPS"}, {}};
  for (const json& claim : all) {
    std::string groups;
    for (const auto& group : claim.at("thingGroupNames"))
      groups += (groups.empty() ? "" : " ") + group.get<std::string>();
    table.rows.push_back({claim.value("claimName", ""), claim.value("state", ""),
                          std::to_string(claim.value("things", 0)) + " of " +
                              std::to_string(claim.value("maximumThings", 0)),
                          claim.value("thingNames", ""), groups});
  }
  session.output.print_table(table);
  return {};
}

Result<void> revoke_claim(const Session& session, const std::string& name) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(
      const json answer,
      fleet.call({.service = "skerry", .method = "POST", .path = claim_path(name) + "/revoke"}));
  if (session.output.json) session.output.print_json(answer);
  session.output.hint("claim " + name + " makes no more things; those that it has made stay");
  return {};
}

}  // namespace

void add_claim_commands(CLI::App& app, Session& session) {
  CLI::App* claim =
      app.add_subcommand("claim", "Certificates by which devices get themselves an identity");
  claim->footer(R"(
An image with a claim is the same on every device: each makes a key of its own at its first contact with the fleet,
which never leaves it, and becomes a thing.
Examples:
  skerry claim create line-a --out ./image --things 200 --names 'press-*' --group plant
  skerry claim list
  skerry claim revoke line-a)");
  auto options = std::make_shared<ClaimOptions>();
  CLI::App* create = claim->add_subcommand("create", "Make a claim and the files of an image");
  create
      ->add_option("NAME", options->name,
                   "Of claim and provisioning template: letters, digits, - _ :")
      ->required();
  create->add_option("--out", options->out, "Directory to write; nothing in it is overwritten")
      ->required();
  create->add_option("--things", options->things, "How many it may make")
      ->required()
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  create->add_option("--days", options->days, "How long it is good (default: 30)")
      ->check(CLI::Range(int64_t{1}, int64_t{3650}));
  create->add_option("--names", options->names, "Of its things; * stands for anything");
  create->add_option("--group", options->groups, "Group that its things join; may be repeated");
  create->add_option(
      "--serials", options->serials_file,
      "File with the serial numbers that may be used, one a line, each for one thing");
  create->add_option("--serial", options->serial,
                     "What the image says its serial number is: text with {machineId}, {hostname}, "
                     "{file:PATH} (default: {machineId})");
  create->add_option("--user", options->user, "USER[:GROUP] that components run as");
  create->footer(R"(
Writes claim.key, claim.pem, ca.pem and config.yaml for skerryd, whose rootPath is the directory `root` beside it; stock
nuclei and SDKs use the claim as AWS IoT's, with the provisioning template NAME. A thing is called as the parameter
ThingName says, else as SerialNumber does. Whoever has the claim can make things until it is used up, revoked or over.
Examples:
  skerry claim create line-a --out ./image --things 200 --names 'press-*' --serial 'press-{machineId}'
  skerry claim create line-b --out ./image-b --things 50 --serials serials.txt --serial '{file:/proc/device-tree/serial-number}')");
  create->callback([&session, options] {
    session.action = [&session, options] { return create_claim(session, *options); };
  });
  CLI::App* list = claim->add_subcommand("list", "Claims, and how much of each is used");
  list->footer("\nExample:\n  skerry claim list");
  list->callback([&session] { session.action = [&session] { return list_claims(session); }; });
  auto name = std::make_shared<std::string>();
  CLI::App* revoke = claim->add_subcommand("revoke", "Let a claim make no more things");
  revoke->add_option("NAME", *name)->required();
  revoke->footer("\nExample:\n  skerry claim revoke line-a");
  revoke->callback([&session, name] {
    session.action = [&session, name] { return revoke_claim(session, *name); };
  });
}

}  // namespace skerry::cli
