// Configuration, start, supervision and end of the mosquitto process.
#include "fleet/broker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>

#include "base/log_limit.h"
#include "formats/limits.h"
#include "io/fd.h"
#include "io/files.h"

namespace skerry::fleet {
namespace {

constexpr std::string_view kModule = "broker";
constexpr const char* kConfiguration = "mosquitto.conf";
constexpr int kPortAttempts = 20;
constexpr int64_t kReadyTimeoutMs = 15'000;
constexpr int64_t kStopRetryMs = 500;
constexpr int kStopAttempts = 20;
constexpr int64_t kRestartDelayMinMs = 200, kRestartDelayMaxMs = 30'000;
constexpr int64_t kSettledMs = 60'000;  // a broker that ran this long starts again at once
constexpr int64_t kLookMs = 1'000;
constexpr int kSilentLooks = 8;
constexpr size_t kRecentLines = 5;
constexpr size_t kLinesAMinute = 50;

// A port that was free a moment ago. Someone may take it before the broker does: start() tries
// again.
Result<uint16_t> free_port(const std::string& address) {
  const io::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail(errno_error("socket", address, errno));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  ::inet_pton(AF_INET, address.c_str(), &name.sin_addr);  // stays 0.0.0.0 for a name
  socklen_t size = sizeof name;
  auto* generic = reinterpret_cast<sockaddr*>(&name);
  if (::bind(fd.get(), generic, size) != 0 || ::getsockname(fd.get(), generic, &size) != 0) {
    return fail(errno_error("bind", address, errno));
  }
  return ntohs(name.sin_port);
}

Result<std::string> find_program(io::Files& files, const std::string& wanted) {
  const std::string usual[] = {"/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto",
                               "/usr/bin/mosquitto"};
  const std::span<const std::string> candidates =
      wanted.empty() ? std::span<const std::string>(usual) : std::span(&wanted, 1);
  for (const std::string& path : candidates) {
    if (io::exists(files, path)) return path;
  }
  return fail(Code::kNotFound,
              "no MQTT broker at " + candidates[0] +
                  ": install the package 'mosquitto' (its own service need not run)");
}

Result<std::string> find_plugin(io::Files& files, const std::string& wanted) {
  const std::string programs = directory_of_this_program();
  const std::string file = "/skerry_broker_plugin.so";
  for (const std::string& path : {wanted, programs + file, programs + "/../lib/skerry" + file}) {
    if (!path.empty() && io::exists(files, path)) return path;
  }
  return fail(Code::kNotFound, "the broker plugin skerry_broker_plugin.so is not in " + programs +
                                   ": build or install it with the programs");
}

std::vector<std::string> arguments_of(const std::filesystem::path& process_directory) {
  std::ifstream file(process_directory / "cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(file, argument, '\0');) arguments.push_back(argument);
  return arguments;
}

// The process ids of brokers that run in this directory: left behind by a control plane that was
// killed together with whatever should have ended its children.
std::vector<pid_t> brokers_in(const std::string& directory) {
  std::vector<pid_t> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (!std::isdigit(static_cast<unsigned char>(name.front()))) continue;
    const auto arguments = arguments_of(entry.path());
    if (arguments.size() == 3 && arguments[0].ends_with("mosquitto") &&
        arguments[2] == kConfiguration &&
        std::filesystem::equivalent(entry.path() / "cwd", directory, error)) {
      found.push_back(std::stoi(name));
    }
  }
  return found;
}

io::Task<void> end_stale_brokers(io::Env& env, std::string directory) {
  for (int attempt = 0;; ++attempt) {
    const auto stale = brokers_in(directory);
    if (stale.empty() || attempt == 100) co_return;
    for (const pid_t pid : stale) {
      if (attempt == 0)
        log::warn(kModule, "ending a broker that an earlier run left behind",
                  {{"pid", std::to_string(pid)}});
      ::kill(pid, attempt < 50 ? SIGTERM : SIGKILL);
    }
    co_await io::sleep(env.loop, 50);
  }
}

// Half of the machine's memory, a gigabyte at most.
std::string memory_limit() {
  const auto pages = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES));
  const auto page_bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return std::to_string(std::min<uint64_t>(pages * page_bytes / 2, 1 << 30));
}

bool says_port_is_taken(std::string_view line) {
  return line.find("Address already in use") != std::string_view::npos;
}

}  // namespace

std::string directory_of_this_program() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
}

BrokerSupervisor::BrokerSupervisor(io::Env& env, BrokerOptions options)
    : env_(env),
      options_(std::move(options)),
      home_(env.files, options_.directory, options_.topics),
      ready_(env.loop),
      ended_(env.loop) {}

BrokerSupervisor::~BrokerSupervisor() = default;

io::Task<Result<void>> BrokerSupervisor::start() {
  SKERRY_CO_ASSIGN(options_.program, find_program(env_.files, options_.program));
  SKERRY_CO_ASSIGN(options_.plugin, find_plugin(env_.files, options_.plugin));
  co_await end_stale_brokers(env_, options_.directory);
  for (int attempt = 1;; ++attempt) {
    uint16_t port = options_.port;
    if (port == 0) {
      SKERRY_CO_ASSIGN(port, free_port(options_.bind_address));
    }
    auto launched = co_await launch(port);
    if (launched) {
      port_ = port;
      follow_topics();
      co_return Result<void>();
    }
    if (launched.error().code() != Code::kAlreadyExists) co_return launched;
    if (options_.port != 0) {
      co_return fail(
          Code::kFailedPrecondition,
          "MQTT port " + std::to_string(port) + " of " + options_.bind_address +
              " is in use: end the program that has it or choose another port (0 = a free one)");
    }
    if (attempt == kPortAttempts) co_return launched;
  }
}

// kAlreadyExists where another program has the port.
io::Task<Result<void>> BrokerSupervisor::launch(uint16_t port) {
  SKERRY_CO_TRY(home_.prepare(options_.tls, options_.plugin));
  SKERRY_CO_TRY(write_configuration(port));
  ready_ = io::Completion<Result<void>>(env_.loop);
  recent_lines_.clear();
  phase_ = Phase::kStarting;
  io::ProcessEvents events;
  events.on_line = [this](std::string_view line, bool) { on_line(line); };
  events.on_exit = [this](io::ExitStatus status) { on_exit(status); };
  const io::ProcessSpec spec{.argv = {options_.program, "-c", kConfiguration},
                             .environment = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}},
                             .working_directory = options_.directory,
                             .user = home_.user(),
                             .enters_as_caller = true,
                             .no_new_privileges = true};
  auto process = env_.processes.start(spec, std::move(events));
  if (!process) {
    phase_ = Phase::kIdle;
    co_return fail(process.error());
  }
  process_ = std::move(*process);
  started_ms_ = env_.clock.monotonic_ms();
  auto ready =
      co_await io::with_timeout(env_.loop, kReadyTimeoutMs, ready_, "start of the MQTT broker");
  if (ready) {
    phase_ = Phase::kRunning;
  } else {
    phase_ = Phase::kIdle;
    process_.reset();
  }
  co_return ready;
}

Result<void> BrokerSupervisor::write_configuration(uint16_t port) {
  const std::string text =
      "# Written by skerry-fleet at each start; changes are lost.\n"
      "per_listener_settings false\n"
      // Started as root it would change to a user that it chooses itself.
      + std::string(::geteuid() == 0 && !home_.user() ? "user root\n" : "") + "listener " +
      std::to_string(port) + " " + options_.bind_address +
      "\n"
      "cafile ca.pem\n"
      "certfile server.pem\n"
      "keyfile server.key\n"
      "require_certificate true\n"
      // The plugin decides about every connection. With use_identity_as_username it would not be
      // asked.
      "use_identity_as_username false\n"
      "allow_anonymous false\n"
      "plugin ./skerry_broker_plugin.so\n"
      "plugin_opt_registry active-certificates\n"
      "plugin_opt_topics topics\n"
      "plugin_opt_retained sessions/retained\n"
      // Sessions and queued QoS 1 messages of devices that are away. The store is the record of
      // what they have to do, so a snapshot a minute is enough.
      "persistence true\n"
      "persistence_location sessions/\n"
      "persistence_file sessions.db\n"
      "autosave_interval 60\n"
      "persistent_client_expiration 14d\n"
      // For each session; the plugin bounds how many a thing has.
      "max_queued_messages 1000\n"
      "max_queued_bytes 1048576\n"
      "memory_limit " +
      memory_limit() +
      "\n"
      "max_inflight_messages 100\n"
      "queue_qos0_messages false\n"
      // Fleet status comes in pieces of 128,000 bytes.
      "max_packet_size " +
      std::to_string(formats::kMaxPacketBytes) +
      "\n"
      "set_tcp_nodelay true\n"
      "sys_interval 0\n"
      "connection_messages true\n"
      "log_dest stderr\n"
      "log_timestamp false\n"
      "log_type error\nlog_type warning\nlog_type notice\nlog_type information\n";
  return home_.write(kConfiguration, text);
}

void BrokerSupervisor::on_line(std::string_view line) {
  if (phase_ == Phase::kStarting && line.starts_with("mosquitto version") &&
      line.ends_with("running")) {
    ready_.complete({});  // its listeners are open
  }
  const bool problem = line.starts_with("Error") || line.starts_with("Warning");
  if (problem || line.starts_with("skerry: ")) {
    // Whoever reaches the port causes most of them.
    static log::Limit limit(kLinesAMinute);
    limit.write(problem ? log::Level::kWarn : log::Level::kInfo, kModule, line);
  } else {
    log::write(log::Level::kDebug, kModule, line);
  }
  recent_lines_.emplace_back(line);
  if (recent_lines_.size() > kRecentLines) recent_lines_.pop_front();
}

std::string BrokerSupervisor::last_lines() const {
  std::string text;
  for (const std::string& line : recent_lines_) text += (text.empty() ? "" : " | ") + line;
  return text;
}

void BrokerSupervisor::on_exit(io::ExitStatus status) {
  const bool port_taken =
      std::any_of(recent_lines_.begin(), recent_lines_.end(), says_port_is_taken);
  Error error(port_taken ? Code::kAlreadyExists : Code::kInternal,
              "the MQTT broker ended with " + status.text() + ": " + last_lines());
  switch (phase_) {
    case Phase::kStarting:
      ready_.complete(fail(std::move(error)));
      return;
    case Phase::kStopping:
      phase_ = Phase::kIdle;
      ended_.complete(true);
      return;
    case Phase::kRunning:
      silent_looks_ = 0;
      answered_ = answered_once_ = false;
      log::error(kModule, "ended; starting it again", {{"error", error.message()}});
      restart_later();
      return;
    case Phase::kIdle:
    case Phase::kWaiting:
      return;
  }
}

void BrokerSupervisor::restart_later() {
  const bool settled = env_.clock.monotonic_ms() - started_ms_ > kSettledMs;
  restart_delay_ms_ =
      settled ? kRestartDelayMinMs
              : std::clamp(restart_delay_ms_ * 2, kRestartDelayMinMs, kRestartDelayMaxMs);
  phase_ = Phase::kWaiting;
  restart_timer_ = env_.loop.after(restart_delay_ms_, [this] {
    process_.reset();
    tasks_.spawn([](BrokerSupervisor* self) -> io::Task<void> {
      if (const auto launched = co_await self->launch(self->port_); !launched) {
        log::error(kModule, "cannot be started again yet", {{"error", launched.error().message()}});
        self->restart_later();
      } else {
        log::info(kModule, "runs again", {{"port", std::to_string(self->port_)}});
      }
    }(this));
  });
}

void BrokerSupervisor::follow_topics() {
  home_.follow_topics();
  topics_timer_ = env_.loop.after(kLookMs, [this] { follow_topics(); });
}

void BrokerSupervisor::watch(Ping ping) {
  ping_ = std::move(ping);
  look_timer_ = env_.loop.after(kLookMs, [this] { look(); });
}

// Looks are counted, not time: where this process stood still, the answers that came meanwhile are
// read before the next look.
void BrokerSupervisor::look() {
  look_timer_ = env_.loop.after(kLookMs, [this] { look(); });
  if (phase_ != Phase::kRunning) return;
  if (std::exchange(answered_, false))
    silent_looks_ = 0;
  else if (answered_once_)
    ++silent_looks_;
  if (silent_looks_ >= kSilentLooks) {
    log::error(kModule, "does not answer; ending it", {{"pid", std::to_string(pid())}});
    silent_looks_ = 0;
    process_->signal(SIGKILL);
    return;
  }
  if (std::exchange(waits_for_answer_, true)) return;
  ping_([this](bool answered) {
    waits_for_answer_ = false;
    if (answered) answered_ = answered_once_ = true;
  });
}

io::Task<void> BrokerSupervisor::stop() {
  look_timer_.cancel();
  topics_timer_.cancel();
  restart_timer_.cancel();
  tasks_.cancel_all();
  const bool runs = process_ && phase_ != Phase::kWaiting;
  if (runs) phase_ = Phase::kStopping;
  for (int attempt = 0; phase_ == Phase::kStopping && attempt < kStopAttempts; ++attempt) {
    process_->signal(SIGTERM);  // again and again: mosquitto forgets one that comes while it starts
    ended_ = io::Completion<bool>(env_.loop);
    io::Timer limit =
        env_.loop.after(kStopRetryMs, [ended = ended_]() mutable { ended.complete(false); });
    co_await ended_;
  }
  if (phase_ == Phase::kStopping) log::warn(kModule, "did not end within 10 s; killed");
  process_.reset();
  phase_ = Phase::kIdle;
}

}  // namespace skerry::fleet
