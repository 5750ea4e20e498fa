// Who may use a fleet: access keys of programs, operators of the console, and the log of what all
// of them changed.
#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "io/files.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

const std::vector<std::string> kRoles = {"viewer", "deployer", "admin"};

std::string key_path(const std::string& id) {
  return "/skerry/v1/accessKeys/" + net::percent_encode(id);
}
std::string operator_path(const std::string& name) {
  return "/skerry/v1/operators/" + net::percent_encode(name);
}

// "2026-11-27 12:00:00", in the time zone of whoever reads it.
std::string local_time(double timestamp_s) {
  const auto seconds = static_cast<std::time_t>(timestamp_s);
  std::tm parts{};
  char text[32];
  return {text,
          std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", localtime_r(&seconds, &parts))};
}

// --- Keys ---------------------------------------------------------------------------------------

// A new key into `file`, where one is given: its secret is shown this once.
Result<void> hand_out(const Session& session, const json& key, const std::string& file) {
  if (!file.empty()) {
    const json document = {{"accessKeyId", key.at("accessKeyId")},
                           {"secretAccessKey", key.at("secretAccessKey")}};
    io::RealFiles files;
    SKERRY_TRY(io::write_file_atomic(files, file, document.dump(2) + "\n", 0600));
  }
  if (session.output.json) {
    session.output.print_json(key);
  } else if (file.empty()) {
    session.output.print_line("AWS_ACCESS_KEY_ID=" + key.value("accessKeyId", ""));
    session.output.print_line("AWS_SECRET_ACCESS_KEY=" + key.value("secretAccessKey", ""));
    session.output.hint("the secret is not shown again");
  } else {
    session.output.hint("wrote " + file + "; use it with --access-key-file");
  }
  return {};
}

Result<void> create_key(const Session& session, const std::string& name, const std::string& role,
                        const std::string& file) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json key, fleet.call({.service = "skerry",
                                            .method = "POST",
                                            .path = "/skerry/v1/accessKeys",
                                            .body = json{{"name", name}, {"role", role}}.dump()}));
  return hand_out(session, key, file);
}

Result<void> rotate_key(const Session& session, const std::string& id, const std::string& file) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(
      const json key,
      fleet.call({.service = "skerry", .method = "POST", .path = key_path(id) + "/rotate"}));
  SKERRY_TRY(hand_out(session, key, file));
  session.output.hint(id + " works on: `skerry key delete " + id +
                      "` once nothing uses it any more");
  return {};
}

Result<void> list_keys(const Session& session) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(
      const json answer,
      fleet.call({.service = "skerry", .method = "GET", .path = "/skerry/v1/accessKeys"}));
  if (session.output.json) {
    session.output.print_json(answer);
    return {};
  }
  Table table{{"ACCESS KEY", "NAME", "ROLE", "STATE", "CREATED"}, {}};
  for (const json& key : answer.at("accessKeys")) {
    table.rows.push_back({key.value("accessKeyId", ""), key.value("name", ""),
                          key.value("role", ""),
                          key.value("enabled", false) ? "enabled" : "disabled",
                          local_time(key.value("created", 0.0))});
  }
  session.output.print_table(table);
  return {};
}

Result<void> enable_key(const Session& session, const std::string& id, bool enabled) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json key, fleet.call({.service = "skerry",
                                            .method = "PATCH",
                                            .path = key_path(id),
                                            .body = json{{"enabled", enabled}}.dump()}));
  if (session.output.json) session.output.print_json(key);
  session.output.hint(id + (enabled ? " works again" : " is refused from now on"));
  return {};
}

Result<void> delete_key(const Session& session, const std::string& id) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_TRY(fleet.call({.service = "skerry", .method = "DELETE", .path = key_path(id)}));
  if (session.output.json) session.output.print_json(json{{"deleted", id}});
  session.output.hint("deleted " + id);
  return {};
}

void add_key_commands(CLI::App& app, Session& session) {
  CLI::App* key = app.add_subcommand("key", "Access keys: who may call the API, and for what");
  key->footer(R"(
Examples:
  skerry key create ci --role deployer --out ci-key.json
  skerry --endpoint http://10.0.0.2:8080 --access-key-file ci-key.json status
  skerry key list)");
  auto name = std::make_shared<std::string>();
  auto role = std::make_shared<std::string>();
  auto file = std::make_shared<std::string>();

  CLI::App* create = key->add_subcommand("create", "Make a key; its secret is shown this once");
  create->add_option("NAME", *name, "Whom it is for, as the audit log will name them")->required();
  create->add_option("--role", *role, "viewer reads; deployer changes what runs; admin all")
      ->required()
      ->check(CLI::IsMember(kRoles));
  create->add_option("--out", *file, "Write it there (mode 0600) instead of printing it");
  create->footer(
      "\nExample:\n  skerry key create ci --role deployer --out ci-key.json\n"
      "  skerry --access-key-file ci-key.json deploy …");
  create->callback([&session, name, role, file] {
    session.action = [&session, name, role, file] {
      return create_key(session, *name, *role, *file);
    };
  });

  CLI::App* rotate = key->add_subcommand(
      "rotate", "Make another key for the same name and role; the old one works on");
  rotate->add_option("KEY", *name)->required();
  rotate->add_option("--out", *file, "Write it there (mode 0600) instead of printing it");
  rotate->footer("\nExample:\n  skerry key rotate AKIA0123456789ABCDEF --out ci-key.json");
  rotate->callback([&session, name, file] {
    session.action = [&session, name, file] { return rotate_key(session, *name, *file); };
  });

  CLI::App* list = key->add_subcommand("list", "All keys but the fleet's own, without secrets");
  list->footer("\nExample:\n  skerry key list --json");
  list->callback([&session] { session.action = [&session] { return list_keys(session); }; });

  for (const bool enabled : {false, true}) {
    CLI::App* change =
        enabled ? key->add_subcommand("enable", "Let a disabled key work again")
                : key->add_subcommand("disable", "Refuse a key from now on; enable takes it back");
    change->add_option("KEY", *name)->required();
    change->footer("\nExample:\n  skerry key " + change->get_name() + " AKIA0123456789ABCDEF");
    change->callback([&session, name, enabled] {
      session.action = [&session, name, enabled] { return enable_key(session, *name, enabled); };
    });
  }

  CLI::App* remove = key->add_subcommand("delete", "Forget a key");
  remove->add_option("KEY", *name)->required();
  remove->footer("\nExample:\n  skerry key delete AKIA0123456789ABCDEF");
  remove->callback([&session, name] {
    session.action = [&session, name] { return delete_key(session, *name); };
  });
}

// --- Operators ----------------------------------------------------------------------------------

// A line of standard input; typed on a terminal it is not shown.
Result<std::string> read_password() {
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  termios shown{};
  if (terminal) {
    std::cerr << "Password: ";
    ::tcgetattr(STDIN_FILENO, &shown);
    termios hidden = shown;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &hidden);
  }
  std::string password;
  const bool read = static_cast<bool>(std::getline(std::cin, password));
  if (terminal) {
    ::tcsetattr(STDIN_FILENO, TCSANOW, &shown);
    std::cerr << "\n";
  }
  if (!read || password.empty()) {
    return fail(Code::kInvalidArgument, "no password: type it, or give it as one line of input");
  }
  return password;
}

Result<void> add_operator(const Session& session, const std::string& name,
                          const std::string& role) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const std::string password, read_password());
  const json request = {{"name", name}, {"role", role}, {"password", password}};
  SKERRY_ASSIGN(const json person, fleet.call({.service = "skerry",
                                               .method = "POST",
                                               .path = "/skerry/v1/operators",
                                               .body = request.dump()}));
  if (session.output.json) session.output.print_json(person);
  session.output.hint(name + " may log in at the console");
  return {};
}

struct OperatorChange {
  std::string name;
  std::string role;
  bool password = false, enable = false, disable = false;
};

Result<void> change_operator(const Session& session, const OperatorChange& change) {
  json request = json::object();
  if (!change.role.empty()) request["role"] = change.role;
  if (change.enable || change.disable) request["enabled"] = change.enable;
  if (change.password) {
    SKERRY_ASSIGN(request["password"], read_password());
  }
  if (request.empty()) {
    return fail(Code::kInvalidArgument,
                "nothing to change: give --role, --password, --enable or --disable");
  }
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json person, fleet.call({.service = "skerry",
                                               .method = "PATCH",
                                               .path = operator_path(change.name),
                                               .body = request.dump()}));
  if (session.output.json) session.output.print_json(person);
  session.output.hint("changed " + change.name + "; open sessions have ended");
  return {};
}

Result<void> list_operators(const Session& session) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json answer,
                fleet.call({.service = "skerry", .method = "GET", .path = "/skerry/v1/operators"}));
  if (session.output.json) {
    session.output.print_json(answer);
    return {};
  }
  Table table{{"OPERATOR", "ROLE", "STATE", "CREATED"}, {}};
  for (const json& person : answer.at("operators")) {
    table.rows.push_back({person.value("name", ""), person.value("role", ""),
                          person.value("enabled", false) ? "enabled" : "disabled",
                          local_time(person.value("created", 0.0))});
  }
  session.output.print_table(table);
  return {};
}

Result<void> remove_operator(const Session& session, const std::string& name) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_TRY(fleet.call({.service = "skerry", .method = "DELETE", .path = operator_path(name)}));
  if (session.output.json) session.output.print_json(json{{"removed", name}});
  session.output.hint("removed " + name);
  return {};
}

void add_operator_commands(CLI::App& app, Session& session) {
  CLI::App* people = app.add_subcommand("operator", "People who may log in at the console");
  people->footer(R"(
Examples:
  skerry operator add ada --role admin
  skerry operator list)");
  auto change = std::make_shared<OperatorChange>();

  CLI::App* add = people->add_subcommand("add", "Add one; the password is asked for");
  add->add_option("NAME", change->name)->required();
  add->add_option("--role", change->role, "viewer, deployer or admin")
      ->required()
      ->check(CLI::IsMember(kRoles));
  add->footer(
      "\nExamples:\n  skerry operator add ada --role admin\n"
      "  skerry operator add ada --role viewer < password-file");
  add->callback([&session, change] {
    session.action = [&session, change] {
      return add_operator(session, change->name, change->role);
    };
  });

  CLI::App* set = people->add_subcommand("set", "Change role or password, or lock out");
  set->add_option("NAME", change->name)->required();
  set->add_option("--role", change->role)->check(CLI::IsMember(kRoles));
  set->add_flag("--password", change->password, "Ask for a new password");
  CLI::Option* enable = set->add_flag("--enable", change->enable, "Let log in again");
  set->add_flag("--disable", change->disable, "Lock out, now")->excludes(enable);
  set->footer("\nExample:\n  skerry operator set ada --disable");
  set->callback([&session, change] {
    session.action = [&session, change] { return change_operator(session, *change); };
  });

  CLI::App* list = people->add_subcommand("list", "All of them");
  list->footer("\nExample:\n  skerry operator list");
  list->callback([&session] { session.action = [&session] { return list_operators(session); }; });

  CLI::App* remove = people->add_subcommand("remove", "Remove one, with open sessions");
  remove->add_option("NAME", change->name)->required();
  remove->footer("\nExample:\n  skerry operator remove ada");
  remove->callback([&session, change] {
    session.action = [&session, change] { return remove_operator(session, change->name); };
  });
}

// --- Audit --------------------------------------------------------------------------------------

Result<void> show_audit(const Session& session, const std::string& actor,
                        const std::string& operation, int64_t limit) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  Query query = {{"maxResults", std::to_string(limit)}};
  if (!actor.empty()) query.emplace_back("actor", actor);
  if (!operation.empty()) query.emplace_back("operation", operation);
  SKERRY_ASSIGN(
      const json answer,
      fleet.call(
          {.service = "skerry", .method = "GET", .path = "/skerry/v1/audit", .query = query}));
  if (session.output.json) {
    session.output.print_json(json{{"entries", answer.at("entries")}});
    return {};
  }
  Table table{{"TIME", "WHO", "VIA", "OPERATION", "RESOURCE"}, {}};
  for (const json& entry : answer.at("entries")) {
    table.rows.push_back({local_time(entry.value("at", 0.0)), entry.value("actor", ""),
                          entry.value("via", ""), entry.value("operation", ""),
                          entry.value("resource", "")});
  }
  session.output.print_table(table);
  return {};
}

void add_audit_command(CLI::App& app, Session& session) {
  CLI::App* audit = app.add_subcommand("audit", "Every change of the fleet and who made it");
  auto actor = std::make_shared<std::string>();
  auto operation = std::make_shared<std::string>();
  auto limit = std::make_shared<int64_t>(50);
  audit->add_option("--actor", *actor, "Only what this one did");
  audit->add_option("--operation", *operation,
                    "Only this, for example greengrass:CreateDeployment");
  audit->add_option("--limit", *limit, "At most so many, the newest first")
      ->check(CLI::Range(1, 1000));
  audit->footer("\nExamples:\n  skerry audit\n  skerry audit --actor ci --json");
  audit->callback([&session, actor, operation, limit] {
    session.action = [&session, actor, operation, limit] {
      return show_audit(session, *actor, *operation, *limit);
    };
  });
}

}  // namespace

void add_access_commands(CLI::App& app, Session& session) {
  add_key_commands(app, session);
  add_operator_commands(app, session);
  add_audit_command(app, session);
}

}  // namespace skerry::cli
