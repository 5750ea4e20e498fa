// skerry up, skerry down: a fleet on this machine, in the background.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/command.h"
#include "cli/local_files.h"
#include "io/fd.h"
#include "io/files.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr int64_t kStartTimeoutMs = 60'000, kStopTimeoutMs = 30'000, kPollMs = 20;
constexpr int64_t kRestartDelayMinMs = 500, kRestartDelayMaxMs = 30'000;
constexpr const char* kServer = "skerry-fleet";

struct UpOptions {
  std::string s3_file;
  uint16_t api_port = 8080, data_plane_port = 8443, broker_port = 8883, artifact_port = 8081;
  std::string bind = "127.0.0.1";
  std::string host;
  bool api_tls = false;
  std::string alerts_file;
  int64_t unreachable_after_s = 600;
  int64_t device_certificate_life_s = 0;  // 0: the fleet's own
};

// The control plane that holds the lock of this directory, 0 where none does. The kernel knows: a
// copied directory, a fleet.json that a killed one left, or a process id that serves again say
// nothing.
pid_t lock_owner(const std::string& directory) {
  const io::Fd lock(::open((directory + "/lock").c_str(), O_RDONLY | O_CLOEXEC));
  if (!lock) return 0;
  pid_t owner = 0;
  if (::flock(lock.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    std::ifstream(directory + "/lock") >> owner;
  }
  return owner;
}

bool is_locked(const std::string& directory) {
  return lock_owner(directory) != 0;
}

// Killed, though its threads may not all have let go of its files.
bool is_ending(pid_t process) {
  std::string stat;
  std::getline(std::ifstream("/proc/" + std::to_string(process) + "/stat"), stat);
  const size_t name_end = stat.rfind(')');
  return name_end == std::string::npos || stat.compare(name_end, 3, ") Z") == 0 ||
         stat.compare(name_end, 3, ") X") == 0;
}

// `up` and `down` in one directory take turns: of several at once one starts the fleet and the
// others find it. Where there is no directory there is nothing to take turns on.
class Turn {
 public:
  explicit Turn(const std::string& directory)
      : fd_(::open((directory + "/up.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    while (fd_ && ::flock(fd_.get(), LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  // Ends it for a supervisor too, which was forked during the turn.
  ~Turn() {
    if (fd_) ::flock(fd_.get(), LOCK_UN);
  }

 private:
  io::Fd fd_;
};

// The description of the fleet that runs in `directory`.
Result<json> running_fleet(const std::string& directory) {
  if (const pid_t owner = lock_owner(directory); owner != 0 && !is_ending(owner)) {
    auto fleet = read_fleet_file(directory);
    std::error_code error;
    // One that is just starting has not described itself yet: what is there is its predecessor's.
    if (fleet && fleet->value("pid", 0) == owner &&
        std::filesystem::equivalent(fleet->value("directory", ""), directory, error) && !error) {
      return fleet;
    }
  }
  return fail(Code::kUnavailable, "no fleet runs in " + directory + ": start it with `skerry up`");
}

std::string last_lines(const std::string& path, size_t count) {
  std::ifstream file(path);
  std::deque<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(line);
    if (lines.size() > count) lines.pop_front();
  }
  std::string text;
  for (const std::string& line : lines) text += "\n  " + line;
  return text;
}

void pause() {
  std::this_thread::sleep_for(std::chrono::milliseconds(kPollMs));
}

std::string port_in(const std::string& url) {
  return url.substr(url.rfind(':') + 1);
}

pid_t start_program(std::vector<std::string> argv) {
  std::vector<char*> arguments;
  arguments.reserve(argv.size() + 1);
  for (std::string& argument : argv) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  return child;
}

// Runs the fleet until it ends on request or has never come up, and starts it again when it dies,
// on the ports that it had, more and more seldom while it does not last. What it says goes to the
// fleet's log.
int supervise(std::vector<std::string> argv, const std::string& directory) {
  json last;  // the description of the last one that came up
  for (int64_t delay_ms = kRestartDelayMinMs;;) {
    const auto started = std::chrono::steady_clock::now();
    const pid_t child = start_program(argv);
    int status = 0;
    while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    // It takes fleet.json away when it is asked to end, and makes it when it is up.
    const auto fleet = read_fleet_file(directory);
    const bool came_up = child > 0 && fleet && fleet->value("pid", 0) == child;
    const bool ended_on_request = child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (came_up) last = *fleet;
    if (!came_up && (ended_on_request || last.is_null())) return ended_on_request ? 0 : 1;
    // A restart that failed has taken it away: `skerry down` does so to have no other.
    if (!came_up) {
      io::RealFiles files;
      const auto written =
          io::write_file_atomic(files, directory + "/fleet.json", last.dump(2) + "\n");
      if (!written) {
        std::fprintf(stderr, "skerry: no other fleet is started: %s\n",
                     written.error().message().c_str());
        return 1;
      }
    }
    const bool settled = std::chrono::steady_clock::now() - started > std::chrono::minutes(1);
    delay_ms = settled ? kRestartDelayMinMs : std::min(delay_ms * 2, kRestartDelayMaxMs);
    std::fprintf(stderr, "skerry: the fleet (process %d) died of %s %d; starting it again\n", child,
                 WIFSIGNALED(status) ? "signal" : "exit code",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
    if (!read_fleet_file(directory)) return 0;  // `skerry down` came meanwhile
    argv.insert(argv.end(), {"--api-port", port_in(last.value("api_url", "")), "--data-plane-port",
                             port_in(last.value("data_plane_url", "")), "--broker-port",
                             std::to_string(last.value("broker_port", 0)), "--artifact-port",
                             port_in(last.value("artifact_url", ""))});
  }
}

// Starts and supervises `argv` in a session of its own, its output at the end of `log`.
Result<pid_t> start_in_background(const std::vector<std::string>& argv,
                                  const std::string& directory, const std::string& log) {
  const io::Fd log_file(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log_file) return fail(errno_error("open", log, errno));
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    ::dup2(::open("/dev/null", O_RDONLY), STDIN_FILENO);
    ::dup2(log_file.get(), STDOUT_FILENO);
    ::dup2(log_file.get(), STDERR_FILENO);
    ::_exit(supervise(argv, directory));
  }
  if (child < 0) return fail(errno_error("fork for", argv[0], errno));
  return child;
}

// Until a fleet of this directory has described itself: the one that `supervisor` started, or one
// that another `skerry up` started at the same time.
Result<json> wait_until_up(const std::string& directory, pid_t supervisor, const std::string& log) {
  bool ended = false;
  for (int64_t waited_ms = 0; waited_ms < kStartTimeoutMs; waited_ms += kPollMs) {
    if (auto fleet = running_fleet(directory)) return fleet;
    ended = ended || ::waitpid(supervisor, nullptr, WNOHANG) == supervisor;
    if (ended && !is_locked(directory)) {
      return fail(Code::kFailedPrecondition,
                  "the fleet did not start; " + log + " ends with:" + last_lines(log, 5));
    }
    pause();
  }
  if (!ended) ::kill(-supervisor, SIGTERM);
  return fail(Code::kTimeout, "the fleet did not come up within 60 s; see " + log);
}

void show_fleet(const Output& output, const json& fleet) {
  if (output.json) return output.print_json(fleet);
  Table table{{"SERVICE", "ADDRESS"}, {}};
  table.rows.push_back({"API", fleet.value("api_url", "")});
  table.rows.push_back({"data plane", fleet.value("data_plane_url", "")});
  table.rows.push_back({"MQTT", fleet.value("broker_host", "") + ":" +
                                    std::to_string(fleet.value("broker_port", 0))});
  table.rows.push_back({"artifacts", fleet.value("artifact_url", "")});
  table.rows.push_back({"access key", fleet.value("access_key_file", "")});
  table.rows.push_back({"CA", fleet.value("ca_file", "")});
  output.print_table(table);
  output.hint("\nNext: skerry device provision NAME --out NAME; skerry status; skerry down");
}

Result<void> up(const Session& session, const UpOptions& options) {
  const std::string directory = directory_of(session.connection);
  SKERRY_TRY(make_private_directory(directory));
  const Turn turn(directory);
  if (const auto fleet = running_fleet(directory)) {
    show_fleet(session.output, *fleet);
    return {};
  }
  SKERRY_ASSIGN(const std::string server, find_sibling(kServer));
  std::vector<std::string> argv = {server,
                                   "--dir",
                                   directory,
                                   "--bind",
                                   options.bind,
                                   "--api-port",
                                   std::to_string(options.api_port),
                                   "--data-plane-port",
                                   std::to_string(options.data_plane_port),
                                   "--broker-port",
                                   std::to_string(options.broker_port),
                                   "--artifact-port",
                                   std::to_string(options.artifact_port)};
  if (!options.host.empty()) argv.insert(argv.end(), {"--host", options.host});
  if (!session.connection.region.empty())
    argv.insert(argv.end(), {"--region", session.connection.region});
  if (options.api_tls) argv.push_back("--api-tls");
  if (!options.s3_file.empty()) {
    argv.insert(argv.end(), {"--s3", std::filesystem::absolute(options.s3_file).string()});
  }
  if (!options.alerts_file.empty()) {
    argv.insert(argv.end(), {"--alerts", std::filesystem::absolute(options.alerts_file).string()});
  }
  argv.insert(argv.end(), {"--unreachable-after", std::to_string(options.unreachable_after_s)});
  if (options.device_certificate_life_s > 0) {
    argv.insert(argv.end(),
                {"--device-certificate-life", std::to_string(options.device_certificate_life_s)});
  }
  const std::string log = directory + "/skerry-fleet.log";
  session.output.progress("starting the fleet in " + directory + " …");
  SKERRY_ASSIGN(const pid_t supervisor, start_in_background(argv, directory, log));
  auto fleet = wait_until_up(directory, supervisor, log);
  session.output.progress("");
  if (!fleet) return fail(fleet.error());
  show_fleet(session.output, *fleet);
  return {};
}

Result<void> down(const Session& session) {
  const std::string directory = directory_of(session.connection);
  const Turn turn(directory);
  auto fleet = running_fleet(directory);
  for (int64_t waited_ms = 0; !fleet && is_locked(directory) && waited_ms < kStartTimeoutMs;
       waited_ms += kPollMs) {  // one that is just starting, or is just gone
    pause();
    fleet = running_fleet(directory);
  }
  if (!fleet) {
    // One that died is not to be started again.
    std::error_code ignored;
    std::filesystem::remove(directory + "/fleet.json", ignored);
    if (session.output.json) session.output.print_json(json{{"stopped", false}});
    session.output.hint("no fleet runs in " + directory);
    return {};
  }
  const pid_t pid = fleet->value("pid", 0);
  const io::Fd process(
      static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));  // no other can get this pid now
  if (!process && errno != ESRCH)
    return fail(errno_error("pidfd_open", std::to_string(pid), errno));
  session.output.progress("stopping the fleet …");
  pollfd ended{.fd = process.get(), .events = POLLIN, .revents = 0};
  const bool asked =
      process && ::syscall(SYS_pidfd_send_signal, process.get(), SIGTERM, nullptr, 0) == 0;
  const int error = errno;
  const bool gone = !process || (asked && ::poll(&ended, 1, kStopTimeoutMs) > 0);
  session.output.progress("");
  if (process && !asked && error != ESRCH)
    return fail(errno_error("stop process", std::to_string(pid), error));
  if (!gone) {
    return fail(Code::kTimeout, "the fleet (process " + std::to_string(pid) +
                                    ") did not end within 30 s; see " + directory +
                                    "/skerry-fleet.log");
  }
  if (session.output.json) session.output.print_json(json{{"stopped", true}});
  session.output.hint("stopped the fleet in " + directory);
  return {};
}

}  // namespace

void add_fleet_commands(CLI::App& app, Session& session) {
  auto options = std::make_shared<UpOptions>();
  CLI::App* up_command =
      app.add_subcommand("up", "Start a fleet on this machine, in the background");
  up_command->add_option("--api-port", options->api_port, "API; 0 takes a free port")
      ->capture_default_str();
  up_command
      ->add_option("--data-plane-port", options->data_plane_port,
                   "HTTPS of devices; 0 takes a free port")
      ->capture_default_str();
  up_command
      ->add_option("--broker-port", options->broker_port, "MQTT of devices; 0 takes a free port")
      ->capture_default_str();
  up_command
      ->add_option("--artifact-port", options->artifact_port,
                   "With --api-tls: plain HTTP for pre-signed artifacts, which stock nuclei do not "
                   "fetch from a CA of our own and check by their digest; 0 takes a free port")
      ->capture_default_str();
  up_command->add_option("--bind", options->bind, "Address to listen on")->capture_default_str();
  up_command->add_option("--host", options->host,
                         "Name or address by which devices reach this machine");
  up_command
      ->add_option("--s3", options->s3_file,
                   "JSON file that names an S3 service for artifacts that are not uploaded here")
      ->check(CLI::ExistingFile);
  up_command
      ->add_option("--alerts", options->alerts_file,
                   "YAML file of alert rules (skerry alert --help; docs/alerts.md)")
      ->check(CLI::ExistingFile);
  up_command
      ->add_option("--unreachable-after", options->unreachable_after_s,
                   "Seconds after which a device that is away is UNREACHABLE")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  up_command
      ->add_option("--device-certificate-life", options->device_certificate_life_s,
                   "Seconds for which devices' certificates are good (default: 20 years); skerryd "
                   "renews its own, stock nuclei do not")
      ->check(CLI::Range(int64_t{5}, int64_t{630'720'000}));
  up_command->add_flag("--api-tls", options->api_tls,
                       "Speak HTTPS on the API port; needed where --bind is not loopback");
  up_command->footer(R"(
Does nothing but print where it is when it runs already. DIR/fleet.json says the same. Its log is DIR/skerry-fleet.log. A fleet
that dies is started again, which the log tells.
Examples:
  skerry up
  skerry up --dir ./fleet --api-port 0 --data-plane-port 0 --broker-port 0 --json
  skerry up --bind 0.0.0.0 --api-tls --host fleet.example.com)");
  up_command->callback([&session, options] {
    session.action = [&session, options] { return up(session, *options); };
  });

  CLI::App* down_command = app.add_subcommand("down", "Stop it; its data stays");
  down_command->footer("\nExample:\n  skerry down --dir ./fleet");
  down_command->callback([&session] { session.action = [&session] { return down(session); }; });
}

}  // namespace skerry::cli
