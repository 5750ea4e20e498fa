// skerryd: the device runtime. Reads config.yaml, takes the lock on its root folder, connects, and
// keeps the installed components running until it is told to stop.
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "base/encoding.h"
#include "base/log.h"
#include "base/sha256.h"
#include "formats/names.h"
#include "io/instance_lock.h"
#include "io/process_guard.h"
#include "io/service_manager.h"
#include "log_options.h"
#include "net/http_client.h"
#include "net/mqtt.h"
#include "nucleus/certificate_renewal.h"
#include "nucleus/component_users.h"
#include "nucleus/config_reference.h"
#include "nucleus/device_clock.h"
#include "nucleus/device_config.h"
#include "nucleus/ipc/address.h"
#include "nucleus/ipc/operator_access.h"
#include "nucleus/ipc/server.h"
#include "nucleus/no_fleet.h"
#include "nucleus/nucleus.h"
#include "nucleus/run_with.h"
#include "nucleus/s3_source.h"
#include "nucleus/token_exchange.h"

namespace skerry::nucleus {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr const char* kOomScore = "-900";
constexpr int kReturnedAboveBytes = 128 << 10;

constexpr const char* kFooter = R"(
Examples:
  skerryd --config /etc/skerry/config.yaml
  skerryd --config /etc/skerry/config.yaml --check-config
  skerryd --config-reference                     # what may stand in config.yaml, as in docs/configuration.md
  skerry device provision press-7 --out /etc/skerry && skerryd --config /etc/skerry/config.yaml

Exit codes: 0 stopped on request, 1 failed (the reason is the last line of the log),
2 the command line or the configuration is wrong.

Under systemd with Type=notify it says when it is ready and when it stops, and feeds the watchdog of WatchdogSec=.)";

std::string architecture() {
  utsname names{};
  uname(&names);
  std::string machine = names.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "i686" || machine == "i386") return "x86";
  if (machine.starts_with("armv")) return "arm";
  return machine;  // "aarch64" is Greengrass's name as well
}

// What a device without a fleet, and without a name of its own, is called.
ThingName name_of_machine() {
  utsname names{};
  uname(&names);
  return formats::parse_thing_name(names.nodename).value_or(ThingName("device"));
}

std::optional<uint32_t> number_of(const std::string& text) {
  uint32_t number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return number;
}

// "user" or "user:group"; numbers are taken as they are.
Result<UserId> find_user(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string user = text.substr(0, colon);
  UserId found{};
  if (auto number = number_of(user)) {
    found = {*number, *number};
  } else if (const passwd* entry = getpwnam(user.c_str())) {
    found = {entry->pw_uid, entry->pw_gid};
  } else {
    return fail(
        Code::kNotFound,
        "the user '" + user + "' does not exist; create it or deploy with another posixUser");
  }
  if (colon == std::string::npos) return found;
  const std::string group = text.substr(colon + 1);
  if (auto number = number_of(group)) {
    found.second = *number;
  } else if (const struct group* entry = getgrnam(group.c_str())) {
    found.second = entry->gr_gid;
  } else {
    return fail(
        Code::kNotFound,
        "the group '" + group + "' does not exist; create it or deploy with another posixUser");
  }
  return found;
}

// One that was killed leaves its lock to its watcher until that has ended the components.
constexpr int64_t kLockMs = 6'000;

NucleusInfo info_of(const DeviceConfig& config) {
  NucleusInfo info;
  info.root = config.root;
  info.thing = config.thing.str().empty() ? name_of_machine() : config.thing;
  info.has_fleet = config.has_fleet;
  info.region = config.region;
  info.ca_file = config.ca_file;
  info.key_file = config.key_file;
  info.platform.architecture = architecture();
  info.privileged = geteuid() == 0;
  info.own_user = {geteuid(), getegid()};
  info.default_user = config.default_user;
  info.default_limits = config.default_limits;
  info.processes_of_one_component = config.processes_of_one_component;
  info.sandbox = config.sandbox;
  info.healthy_for_ms = config.healthy_for_ms;
  info.metrics_interval_ms = config.metrics_interval_ms;
  info.statsd_port = config.statsd_port;
  info.metrics_port = config.metrics_port;
  info.telemetry_aggregate_ms = config.telemetry_aggregate_s * 1'000;
  info.telemetry_publish_ms = config.telemetry_enabled ? config.telemetry_publish_s * 1'000 : 0;
  info.spool = config.spool;
  info.find_user = find_user;
  info.boot_id = io::read_group_file("/proc/sys/kernel/random", "boot_id");
  info.boot_id = info.boot_id.substr(0, info.boot_id.find('\n'));
  info.ipc_address = info.ipc_socket();
  const char* runtime_directory = info.privileged ? "/run" : std::getenv("XDG_RUNTIME_DIR");
  auto address = ipc_address(info.ipc_socket(), runtime_directory ? runtime_directory : "");
  if (address) {
    info.ipc_address = *std::move(address);
  } else {
    log::error("ipc", "components cannot reach the nucleus",
               {{"reason", address.error().message()}});
  }
  return info;
}

uint64_t processes_of_machine() {
  uint64_t most = 32'768;
  for (const char* file : {"pid_max", "threads-max"}) {
    const std::string text = io::read_group_file("/proc/sys/kernel", file);
    if (auto number = number_of(text.substr(0, text.find('\n')))) {
      most = std::min<uint64_t>(most, *number);
    }
  }
  return most;
}

// Keeps the machine, and the nucleus on it, usable whatever components do.
void contain(const io::ProcessGuard& guard, NucleusInfo& info) {
  // Where memory runs out the nucleus ends last. Only root may ask for that.
  if (info.privileged) (void)io::write_group_file("/proc/self", "oom_score_adj", kOomScore);
  io::Containment* containment = guard.containment();
  if (!containment) {
    info.containment = guard.uncontained().message();
    log::warn("nucleus", "components are not limited, and are found by marks in their environment",
              {{"reason", info.containment}});
    return;
  }
  info.containment = containment->summary();
  info.limits_memory = containment->can_limit(io::Controller::kMemory);
  info.limits_cpus = containment->can_limit(io::Controller::kCpu);
  info.limits_processes = containment->can_limit(io::Controller::kPids);
  io::GroupLimits all =
      limits_of_all({containment->available_memory_bytes(), processes_of_machine()});
  if (!info.limits_memory) all.memory_bytes.reset();
  if (!info.limits_processes) all.processes.reset();
  log::info("nucleus", "components are contained", {{"by", info.containment}});
  if (auto limited = containment->limit_all(all); !limited) {
    log::warn("nucleus", "components together are not limited",
              {{"reason", limited.error().message()}});
  }
}

// Says once what components are kept from, or why not.
void look_at_sandbox(NucleusInfo& info) {
  info.sandbox_support = io::sandbox_support();
  if (!info.sandbox.enabled) {
    log::warn("nucleus", "components are not in sandboxes: the configuration says so");
    return;
  }
  const io::SandboxSupport& has = info.sandbox_support;
  if (has.landlock == 0) {
    log::warn("nucleus", "components may reach all files that their users may",
              {{"reason", "this kernel has no Landlock (Linux 5.13), or it is switched off"}});
  }
  if (!has.call_filters) {
    log::warn("nucleus", "components may make all system calls",
              {{"reason", "this kernel has no seccomp filters"}});
  }
  log::info("nucleus", "components are in sandboxes",
            {{"landlock", std::to_string(has.landlock)},
             {"call_filters", has.call_filters ? "yes" : "no"},
             {"own_tmp", has.own_tmp ? "yes" : "no"}});
}

Result<void> allocate_users(io::Files& files, NucleusInfo& info) {
  SKERRY_ASSIGN(
      auto opened,
      ComponentUsers::open(files, {info.state_directory() + "/users.json", info.root + "/work"},
                           [](uint32_t uid) { return getpwuid(uid) != nullptr; }));
  auto users = std::make_shared<ComponentUsers>(std::move(opened));  // a function must be copyable
  info.allocate_user = [users](const ComponentName& name) { return users->uid_of(name); };
  return {};
}

io::Task<void> save_floor(io::Env* env, std::string path, std::string text) {
  auto saved = co_await io::run_on(env->pool, env->loop, [env, path, text] {
    return io::write_file_atomic(env->files, path, text);
  });
  if (!saved) log::warn("clock", "not saved", {{"reason", saved.error().message()}});
}

net::MqttOptions broker_of(const DeviceConfig& config, const net::TlsFiles& identity,
                           std::shared_ptr<DeviceClock> clock) {
  net::MqttOptions broker;
  broker.host = config.broker_host;
  broker.port = config.broker_port;
  broker.client_id = config.thing.str();
  broker.tls = identity;
  broker.certificate_times = std::move(clock);
  // Components subscribe again when they start: what they had subscribed to before is not to pile
  // up in the broker's session.
  broker.clean_start = true;
  // More than components may use (MqttRouter::Limits).
  broker.max_queued = 11'000;
  broker.max_queued_bytes = 5 << 20;
  if (!config.spool.on_disk) broker.max_queued_bytes += config.spool.max_bytes;
  return broker;
}

RenewalFiles renewal_files(const DeviceConfig& config, const NucleusInfo& info) {
  return {config.certificate_file, config.key_file, info.state_directory()};
}

// The ways to the fleet.
struct Uplink {
  std::unique_ptr<net::HttpClient> http;
  std::unique_ptr<RoleCredentials> role;  // where the device has one
  std::unique_ptr<S3Source> s3;           // likewise
  std::unique_ptr<Cloud> cloud;
  std::unique_ptr<net::MqttClient> mqtt;
  std::unique_ptr<CertificateRenewal> renewal;
  std::unique_ptr<ClaimProvisioning> claim;  // of a device without an identity
};

std::unique_ptr<ClaimProvisioning> claim_of(io::Env& env, const DeviceConfig& config,
                                            const NucleusInfo& info,
                                            const std::shared_ptr<DeviceClock>& clock) {
  const net::TlsFiles identity{config.claim->ca_file, config.claim->certificate_file,
                               config.claim->key_file};
  net::MqttOptions broker = broker_of(config, identity, clock);
  broker.session_expiry_s = 0;
  const auto connect = [&env, broker](const std::string& client_id) {
    net::MqttOptions own = broker;
    own.client_id = client_id;
    return net::make_mqtt_client(env, own);
  };
  return std::make_unique<ClaimProvisioning>(env, *config.claim, ClaimFiles{info.state_directory()},
                                             connect);
}

// As AWS's own programs, and the stock nuclei, are led to a service that is not AWS's.
std::string s3_endpoint(const DeviceConfig& config) {
  if (!config.s3_endpoint.empty()) return config.s3_endpoint;
  const char* named = std::getenv("AWS_ENDPOINT_URL_S3");
  std::string url = named ? named : "";
  while (url.ends_with('/')) url.pop_back();
  return url.find("://") == std::string::npos ? "" : url;
}

Result<Uplink> uplink_of(io::Env& env, const DeviceConfig& config, const NucleusInfo& info,
                         const std::shared_ptr<DeviceClock>& clock) {
  Uplink uplink;
  if (!config.has_fleet && config.claim) {
    log::info("nucleus", "this device has no identity yet, and asks for one by its claim");
    uplink.claim = claim_of(env, config, info, clock);
  } else if (!config.has_fleet) {
    log::info("nucleus", "no fleet is configured: this device takes local deployments only");
  }
  if (!config.has_fleet) {
    uplink.cloud = make_no_cloud();
    uplink.mqtt = make_no_broker();
    return uplink;
  }
  const RenewalFiles renewed = renewal_files(config, info);
  SKERRY_ASSIGN(const bool was_damaged, tidy_identity(env.files, renewed));
  if (was_damaged) {
    log::error("identity", "the renewed certificate was damaged: using what was provisioned",
               {{"file", renewed.renewed()}});
  }
  const net::TlsFiles identity{config.ca_file, config.certificate_file, config.key_file,
                               renewed.renewed()};
  SKERRY_ASSIGN(auto tls, net::TlsContext::client(identity, clock));
  uplink.http = net::make_http_client(env.loop, tls);
  if (!config.credentials_url.empty()) {
    uplink.role = std::make_unique<RoleCredentials>(
        env, *uplink.http, RoleCredentialsOptions{config.credentials_url, config.thing});
    uplink.s3 = std::make_unique<S3Source>(env.clock, *uplink.http, *uplink.role,
                                           S3Options{config.region, s3_endpoint(config)});
  }
  uplink.cloud = make_http_cloud(
      *uplink.http, {config.data_plane_url, config.thing, info.platform, uplink.s3.get()});
  SKERRY_ASSIGN(uplink.mqtt, net::make_mqtt_client(env, broker_of(config, identity, clock)));
  uplink.renewal = std::make_unique<CertificateRenewal>(
      env, renewed, config.thing, ask_data_plane(*uplink.http, config.data_plane_url));
  return uplink;
}

io::Task<void> stop(Nucleus* nucleus, io::RealLoop* loop) {
  co_await nucleus->shut_down();
  loop->stop();
}

// Before the components start, whose environment says where.
Result<void> give_credentials(std::optional<TokenExchange>& exchange, io::Loop& loop,
                              const Uplink& uplink, NucleusInfo& info,
                              const std::unique_ptr<Nucleus>& nucleus) {
  if (!uplink.role) return {};
  exchange.emplace(loop, *uplink.role, [&nucleus](std::string_view token) {
    return nucleus && nucleus->component_of_token(token).has_value();
  });
  SKERRY_ASSIGN(info.credentials_url, exchange->listen());
  return {};
}

// Runs until SIGTERM or SIGINT (components are stopped in order) or a fatal error; true where it is
// to be started again.
Result<bool> run(const DeviceConfig& config, io::Files& files, const io::ProcessGuard& guard,
                 io::ServiceManager given_manager) {
  io::RealLoop loop;
  io::ServiceManager manager = std::move(given_manager);  // goes before the loop
  io::RealClock machine_clock;
  NucleusInfo info = info_of(config);
  const auto device_clock = std::make_shared<DeviceClock>(machine_clock, files, info.clock_file());
  DeviceClock& clock = *device_clock;
  io::RealRandom random;
  io::RealProcesses processes(loop, guard.mark(), guard.containment());
  io::ThreadPool pool("files", 1);  // one thread: file work happens in the order it was asked for
  io::ThreadPool records("records", 1);
  io::Env env{loop, clock, files, processes, random, pool, records};
  contain(guard, info);
  look_at_sandbox(info);
  SKERRY_TRY(allocate_users(files, info));

  SKERRY_ASSIGN(const Uplink uplink, uplink_of(env, config, info, device_clock));

  io::TaskScope saving;
  std::optional<Error> fatal;
  std::unique_ptr<Nucleus> nucleus;
  std::optional<IpcServer> ipc;  // goes first: it watches the nucleus's configuration
  const int64_t started_ms = clock.monotonic_ms();
  io::TaskScope stopping;
  Nucleus::Hooks hooks;
  hooks.on_first_connected = [&] {
    log::info("nucleus", "connected",
              {{"ms_since_start", std::to_string(clock.monotonic_ms() - started_ms)}});
  };
  hooks.on_fleet_time = [&](int64_t fleet_ms) {
    if (clock.hear(fleet_ms)) saving.spawn(save_floor(&env, clock.path(), clock.floor_text()));
  };
  hooks.on_fatal = [&](const Error& error) {
    if (!fatal) fatal = error;
    loop.stop();
  };
  bool is_to_restart = false;
  const auto restart = [&] {
    if (stopping.size() > 0) return;
    is_to_restart = true;
    log::info("nucleus", "starts again");
    stopping.spawn(stop(nucleus.get(), &loop));
  };
  hooks.on_restart = restart;
  hooks.reboot_command = config.reboot_command;
  std::optional<TokenExchange> token_exchange;
  SKERRY_TRY(give_credentials(token_exchange, loop, uplink, info, nucleus));
  SKERRY_ASSIGN(nucleus, Nucleus::open(env, info, *uplink.cloud, *uplink.mqtt, std::move(hooks)));
  ipc.emplace(loop, *nucleus, nucleus->state().config());
  SKERRY_TRY(ipc->listen(info.ipc_socket(), info.privileged ? 0666 : 0600));
  SKERRY_TRY(write_operator_access(files, info, nucleus->operator_token()));

  loop.on_signals({SIGTERM, SIGINT}, [&](int number) {
    is_to_restart = false;
    log::info("nucleus", "stopping", {{"signal", std::to_string(number)}});
    manager.notify("STOPPING=1");
    if (stopping.size() == 0) stopping.spawn(stop(nucleus.get(), &loop));
  });
  loop.on_signals({SIGCHLD}, [&](int) { processes.reap_adopted(); });
  nucleus->start();
  if (uplink.renewal) uplink.renewal->start();
  // With an identity it is another device: everything is built anew on it.
  if (uplink.claim) uplink.claim->start(restart);
  manager.ready(loop);
  loop.run();
  if (fatal) return fail(*fatal);
  return is_to_restart;
}

// What would keep it from starting, found without starting: files that are not there, keys that do
// not fit, a folder that cannot be made.
Result<void> check(const DeviceConfig& config, io::Files& files) {
  if (config.has_fleet) {
    const net::TlsFiles identity{config.ca_file, config.certificate_file, config.key_file};
    SKERRY_TRY(net::TlsContext::client(identity, nullptr));
  } else if (config.claim) {
    const ClaimConfig& claim = *config.claim;
    SKERRY_TRY(
        net::TlsContext::client({claim.ca_file, claim.certificate_file, claim.key_file}, nullptr));
    for (const auto& [name, text] : claim.parameters) SKERRY_TRY(parameter_text(files, text));
  }
  if (!config.default_user.empty()) SKERRY_TRY(find_user(config.default_user));
  const auto root = files.stat(config.root);
  if (root && !root->is_directory) {
    return fail(Code::kInvalidArgument, "system.rootPath: " + config.root + " is not a directory");
  }
  std::string folder = config.root;
  while (!io::exists(files, folder) && io::parent_of(folder) != folder)
    folder = io::parent_of(folder);
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    return fail(Code::kPermissionDenied, "system.rootPath: this user may not write to " + folder);
  }
  return {};
}

// What a program that takes this one's place needs to be what this one was: where it is (which may
// be a newer one by then), and what the service manager said.
struct Successor {
  std::string path;
  std::vector<std::pair<std::string, std::string>> environment;
  char** argv;

  explicit Successor(char** arguments) : argv(arguments) {
    std::error_code none;
    path = std::filesystem::read_symlink("/proc/self/exe", none);
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
      if (const char* value = std::getenv(name)) environment.emplace_back(name, value);
    }
  }
  // Returns where it cannot be.
  void start() const {
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execv(path.c_str(), argv);
  }
};

// Two nuclei on one root would fight over it.
Result<bool> run_alone(const DeviceConfig& config, io::Files& files, io::ServiceManager manager) {
  SKERRY_ASSIGN(const auto lock,
                io::InstanceLock::acquire(config.root + "/skerryd.lock",
                                          {"skerryd", "use another rootPath"}, kLockMs));
  signal(SIGPIPE, SIG_IGN);
  SKERRY_ASSIGN(const auto guard,
                io::ProcessGuard::start(hex_encode(sha256(config.root)).substr(0, 16)));
  return run(config, files, guard, std::move(manager));
}

int fail_with(int code, const Error& error) {
  log::error("nucleus", error.message());
  return code;
}

int main_program(int argc, char** argv) {
  CLI::App app(
      "Skerry's device runtime: runs components, takes deployments, serves the Greengrass IPC.",
      "skerryd");
  app.footer(kFooter);
  std::string config_path;
  LogOptions log_options;
  bool only_check = false;
  auto* config_option = app.add_option("--config", config_path, "The device's config.yaml");
  log_options.add_to(app);
  app.add_flag("--check-config", only_check,
               "Say what is wrong with the configuration, and do not start");
  bool prints_reference = false;
  app.add_flag("--config-reference", prints_reference,
               "Print what may stand in config.yaml, and do not start");
  app.set_version_flag("--version",
                       std::string("skerryd 0.1.0 (Greengrass ") + kNucleusVersion + ")");
  try {
    app.parse(argc, argv);
    if (!prints_reference && config_option->empty()) throw CLI::RequiredError("--config");
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  if (prints_reference) {
    std::printf("%s", config_reference(config_keys()).c_str());
    return 0;
  }
  const Successor successor(argv);
  io::ServiceManager manager = io::ServiceManager::from_environment();
  log_options.apply();

  io::RealFiles files;
  config_path = std::filesystem::absolute(config_path).lexically_normal();
  auto text = io::read_file(files, config_path, 1 << 20);
  if (!text) return fail_with(kExitUsage, text.error());
  auto config = parse_device_config(*text, io::parent_of(config_path));
  if (!config) return fail_with(kExitUsage, config.error().with_context(config_path));
  adopt_identity(files, *config);
  for (const std::string& key : *unknown_config_keys(*text)) {
    log::warn("nucleus", "config.yaml has a key that nothing reads", {{"key", key}});
  }

  if (only_check) {
    auto checked = check(*config, files);
    if (!checked) return fail_with(kExitUsage, checked.error().with_context(config_path));
    std::printf("%s: nothing is wrong; %s\n", config_path.c_str(),
                config->has_fleet ? ("the fleet is at " + config->broker_host).c_str()
                                  : "the device has no fleet");
    return 0;
  }

  // Components run as other users: they must be able to pass through the root folder.
  if (auto made = io::make_directories(files, config->root, 0755); !made)
    return fail_with(kExitFailed, made.error());
  auto done = run_alone(*config, files, std::move(manager));
  if (!done) return fail_with(kExitFailed, done.error());
  if (!*done) return 0;
  successor.start();
  return fail_with(kExitFailed, errno_error("starting again:", successor.path, errno));
}

// What a deployment needed goes back to the system when it is over. glibc would keep a heap for
// each thread, and more in it the larger the blocks were that it has seen.
void keep_little_memory() {
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_MMAP_THRESHOLD, kReturnedAboveBytes);
  ::mallopt(M_TRIM_THRESHOLD, kReturnedAboveBytes);
}

}  // namespace
}  // namespace skerry::nucleus

int main(int argc, char** argv) {
  skerry::nucleus::keep_little_memory();
  return skerry::nucleus::main_program(argc, argv);
}
