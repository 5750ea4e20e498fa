// skerry device doctor: what this machine's kernel gives to skerryd and its components, asked of
// the kernel itself, and for a device whether its disk has room and its fleet takes its
// certificate.
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/command.h"
#include "cli/local_files.h"
#include "formats/json_ptr.h"
#include "formats/node.h"
#include "io/containment.h"
#include "io/files.h"
#include "io/sandbox.h"
#include "net/http_client.h"
#include "net/private_key.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

// `needed`: a device does not do its work without it. Otherwise it does, with less.
struct Finding {
  std::string what;
  bool good = false, needed = false;
  std::string says;
};

Finding kernel() {
  utsname names{};
  ::uname(&names);
  return {"kernel", true, true, std::string(names.release) + " on " + names.machine};
}

// A tree of groups is made and removed, as skerryd does it.
void look_at_groups(std::vector<Finding>& findings) {
  const auto made = io::Containment::make("doctor-" + std::to_string(::getpid()));
  const std::string without = "components are found by marks in their environment, and not limited";
  findings.push_back({"control groups", made.has_value(), false,
                      made ? (*made)->summary() : made.error().message() + "; " + without});
  for (const io::Controller controller : io::kControllers) {
    const bool can = made && (*made)->can_limit(controller);
    findings.push_back({"limit of " + std::string(io::name_of(controller)), can, false,
                        can ? "" : "systemResourceLimits of it are refused"});
  }
  if (made) (void)(*made)->end(1'000);
}

void look_at_sandbox(std::vector<Finding>& findings) {
  const io::SandboxSupport has = io::sandbox_support();
  findings.push_back({"Landlock", has.landlock > 0, false,
                      has.landlock > 0
                          ? "version " + std::to_string(has.landlock)
                          : "not in this kernel, or switched off: components reach all files that "
                            "their users may"});
  findings.push_back({"seccomp filters", has.call_filters, false,
                      has.call_filters ? "" : "not in this kernel: no system call is refused"});
  findings.push_back({"a /tmp of their own", has.own_tmp, false,
                      has.own_tmp ? "for components that are not root"
                                  : "this user may not mount: components share /tmp"});
}

Finding user_namespaces() {
  io::RealFiles files;
  const auto most = io::read_file(files, "/proc/sys/user/max_user_namespaces", 64);
  const bool can = most && std::atoll(most->c_str()) > 0;
  return {"user namespaces", can, false, can ? "" : "not in this kernel, or switched off"};
}

Finding clock_is_set() {
  timex state{};
  const bool is_set = ::adjtimex(&state) != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
  return {"clock", is_set, false,
          is_set ? "set by a time server"
                 : "set by nobody that the kernel knows of; skerryd asks its fleet for the time"};
}

Finding own_user() {
  const bool is_root = ::geteuid() == 0;
  return {"user", is_root, false,
          is_root ? "root: each component has a user of its own"
                  : "not root: components run as this user, and RequiresPrivilege is refused"};
}

constexpr uint64_t kLeastFreeBytes = 256 << 20;

Finding disk(const std::string& root) {
  std::string folder = root;
  std::error_code error;
  while (!std::filesystem::exists(folder, error) && folder != io::parent_of(folder))
    folder = io::parent_of(folder);
  const auto space = std::filesystem::space(folder, error);
  if (error) return {"disk", false, true, folder + ": " + error.message()};
  return {"disk", space.available >= kLeastFreeBytes, true,
          std::to_string(space.available >> 20) + " MiB free in " + folder};
}

std::string text_of(const json& document, const char* pointer) {
  const auto found = document.value(json::json_pointer(pointer), json());
  return found.is_string() ? found.get<std::string>() : "";
}

io::Task<void> fetch_groups(net::HttpClient* client, std::string url,
                            std::optional<Result<net::HttpResponse>>* answer, io::RealLoop* loop) {
  net::HttpRequest request;
  request.method = "GET";
  answer->emplace(
      co_await client->fetch(std::move(url), std::move(request), {.timeout_ms = 10'000}));
  loop->stop();
}

// As skerryd reads it; what is wrong with the rest is skerryd's to say (--check-config).
std::string key_name_of(const json& config, const std::string& directory) {
  const auto absolute = [&](std::string path) {
    return path.empty() || path.starts_with('/') ? path : directory + "/" + path;
  };
  const std::string key = text_of(config, "/system/privateKeyPath");
  if (!net::is_in_token(key)) return absolute(key);
  constexpr const char* kToken = "/services/aws.greengrass.crypto.Pkcs11Provider/configuration/";
  const auto setting = [&](const char* name) {
    const auto found = config.value(json::json_pointer(kToken + std::string(name)), json());
    return found.is_number() ? found.dump() : text_of(config, (kToken + std::string(name)).c_str());
  };
  return net::key_name_with(key, {absolute(setting("library")), setting("userPin"),
                                  absolute(setting("userPinFile")), setting("slot")});
}

// Whether the key that the device is to have is there, and what is missing where it is not.
Finding token_of(const std::string& key_name) {
  const auto key = net::load_private_key(key_name);
  return {"key in a token", key.has_value(), true,
          key ? net::shown_key_name(key_name) : key.error().message()};
}

// The fleet is asked for the device's groups, with its certificate.
Finding fleet_of(const json& config, const std::string& directory) {
  constexpr const char* kSettings = "/services/aws.greengrass.Nucleus/configuration/";
  const auto setting = [&](const char* name) {
    return text_of(config, (kSettings + std::string(name)).c_str());
  };
  const std::string host = setting("iotDataEndpoint");
  if (host.empty()) return {"fleet", true, false, "none is configured"};
  std::string url = setting("greengrassDataPlaneEndpoint");
  if (!url.starts_with("https://")) url = "https://" + host + ":8443";
  const auto path = [&](const char* pointer) {
    const std::string text = text_of(config, pointer);
    return text.starts_with('/') ? text : directory + "/" + text;
  };
  const net::TlsFiles identity{path("/system/rootCaPath"), path("/system/certificateFilePath"),
                               key_name_of(config, directory),
                               path("/system/rootPath") + "/state/identity.pem"};
  const auto tls = net::TlsContext::client(identity);
  if (!tls) return {"fleet", false, true, tls.error().message()};
  io::RealLoop loop;
  const auto client = net::make_http_client(loop, *tls);
  std::optional<Result<net::HttpResponse>> answer;
  io::TaskScope tasks;
  tasks.spawn(fetch_groups(client.get(),
                           url + "/greengrass/v2/coreDevices/" +
                               net::percent_encode(text_of(config, "/system/thingName")) +
                               "/thingGroups",
                           &answer, &loop));
  if (!answer) loop.run();
  if (!*answer) return {"fleet", false, true, url + ": " + answer->error().message()};
  const int status = (*answer)->status;
  return {"fleet", status == 200, true,
          url + (status == 200 ? " takes the device's certificate"
                               : " answered HTTP " + std::to_string(status) + ": " +
                                     (*answer)->body.substr(0, 200))};
}

Result<void> look_at_device(const std::string& directory, std::vector<Finding>& findings) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string text, io::read_file(files, directory + "/config.yaml", 1 << 20));
  SKERRY_ASSIGN(const json config, formats::parse_yaml(text));
  if (!config.is_object())
    return fail(Code::kInvalidArgument, directory + "/config.yaml is no configuration of a device");
  const std::string root = text_of(config, "/system/rootPath");
  findings.push_back(disk(root.starts_with('/') ? root : directory + "/" + root));
  if (const std::string key = key_name_of(config, directory); net::is_in_token(key))
    findings.push_back(token_of(key));
  findings.push_back(fleet_of(config, directory));
  return {};
}

Result<void> examine(const Output& output, const std::string& directory) {
  std::vector<Finding> findings = {kernel(), own_user()};
  look_at_groups(findings);
  look_at_sandbox(findings);
  for (const auto look : {user_namespaces, clock_is_set}) findings.push_back(look());
  if (!directory.empty()) SKERRY_TRY(look_at_device(absolute_path(directory), findings));
  bool works = true;
  json all = json::array();
  Table table{{"what", "state", "remarks"}, {}};
  for (const Finding& one : findings) {
    const char* state = one.good ? "yes" : one.needed ? "NO" : "no";
    works &= one.good || !one.needed;
    table.rows.push_back({one.what, state, one.says});
    all.push_back(
        {{"what", one.what}, {"good", one.good}, {"needed", one.needed}, {"remarks", one.says}});
  }
  if (output.json) {
    output.print_json({{"works", works}, {"findings", std::move(all)}});
  } else {
    output.print_table(table);
  }
  if (works) return {};
  return fail(Code::kFailedPrecondition, "the device cannot do its work here: see what says NO");
}

}  // namespace

void add_device_doctor_command(CLI::App& app, Session& session) {
  auto directory = std::make_shared<std::string>();
  CLI::App* command = app.get_subcommand("device")->add_subcommand(
      "doctor", "What this machine gives to a device, and whether its fleet takes it");
  command->add_option(
      "DIR", *directory,
      "What `device provision` or `device init` wrote: its disk and its fleet, too");
  command->footer(R"(
Run it as the user that runs skerryd. It asks the kernel itself, and changes nothing. Exit code 1 where something is
missing that a device cannot do without.
Examples:
  skerry device doctor
  skerry --json device doctor ./press-7)");
  command->callback([&session, directory] {
    session.action = [&session, directory] { return examine(session.output, *directory); };
  });
}

}  // namespace skerry::cli
