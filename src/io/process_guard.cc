// Marked processes in /proc, and the watcher that outlives its program just long enough to kill
// them.
#include "io/process_guard.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
extern "C" {  // which glibc 2.36 leaves out in this header
#include <sys/pidfd.h>
}

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <set>
#include <utility>

#include "io/clock.h"
#include "io/random.h"

namespace skerry::io {
namespace {

constexpr int kCleanScans = 2;  // that find nothing before nothing is taken to be there
constexpr int kMaxQuietScans = 100;
// How long the end of the program waits for its last children; the watcher goes on alone after
// that.
constexpr int kFarewellMs = 5000;
constexpr int64_t kLastKillMs = 60'000;
constexpr size_t kMaxProcFile = 4 << 20;  // environments are limited by ARG_MAX, normally 2 MiB

// What /proc has of a process, or nothing when it is gone or not ours to see.
std::string read_proc(pid_t pid, const char* name) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return {};
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  while (text.size() < kMaxProcFile && (got = ::read(file.get(), buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

bool has_mark(const std::string& environment, const std::string& mark) {
  const std::string text = '\0' + environment;
  const std::string entry = '\0' + std::string(kMarkVariable) + "=" + mark;
  for (size_t at = text.find(entry); at != std::string::npos; at = text.find(entry, at + 1)) {
    const size_t end = at + entry.size();
    if (end == text.size() || text[end] == '\0' || text[end] == '/') return true;
  }
  return false;
}

pid_t parent_pid(pid_t pid) {
  // "PID (NAME) STATE PARENT …"; the name may hold anything, so count from its closing bracket.
  const std::string stat = read_proc(pid, "stat");
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos || stat.size() < name_end + 5) return 0;
  return static_cast<pid_t>(std::strtol(stat.c_str() + name_end + 4, nullptr, 10));
}

bool is_zombie(pid_t pid) {
  const std::string stat = read_proc(pid, "stat");
  const size_t name_end = stat.rfind(')');
  return name_end == std::string::npos || stat.compare(name_end, 4, ") Z ") == 0;
}

enum class Marked { kNo, kYes, kUnknown };

Marked look_for_mark(pid_t pid, const std::string& mark) {
  constexpr pid_t kKernelThreads = 2;
  std::string environment = read_proc(pid, "environ");
  if (environment.empty()) {
    // In the middle of exec a process shows neither environment nor arguments, as zombies and
    // kernel threads always do. Where there are arguments, the exec may have ended between the two
    // reads.
    if (read_proc(pid, "cmdline").empty()) {
      const bool never = pid == kKernelThreads || parent_pid(pid) == kKernelThreads;
      return never || is_zombie(pid) ? Marked::kNo : Marked::kUnknown;
    }
    environment = read_proc(pid, "environ");
  }
  return has_mark(environment, mark) ? Marked::kYes : Marked::kNo;
}

std::vector<pid_t> all_processes() {
  std::vector<pid_t> pids;
  DIR* proc = ::opendir("/proc");
  if (!proc) return pids;
  while (dirent* entry = ::readdir(proc)) {
    char* end = nullptr;
    const long pid = std::strtol(entry->d_name, &end, 10);
    if (pid > 0 && *end == '\0') pids.push_back(static_cast<pid_t>(pid));
  }
  ::closedir(proc);
  return pids;
}

struct Scan {
  std::vector<pid_t> pids;  // marked, and their descendants; sorted
  bool certain = true;      // no process was in the middle of exec
};

Scan scan(const std::string& mark) {
  Scan result;
  const std::vector<pid_t> pids = all_processes();
  std::set<pid_t> found;
  for (pid_t pid : pids) {
    const Marked marked = look_for_mark(pid, mark);
    if (marked == Marked::kUnknown) result.certain = false;
    if (marked == Marked::kYes && !is_zombie(pid)) found.insert(pid);
  }
  // Children that cleared their environment, as long as their parent is here to tell.
  for (bool grew = !found.empty(); grew;) {
    grew = false;
    for (pid_t pid : pids) {
      if (!found.contains(pid) && found.contains(parent_pid(pid)) && !is_zombie(pid)) {
        grew = found.insert(pid).second;
      }
    }
  }
  found.erase(::getpid());
  result.pids.assign(found.begin(), found.end());
  return result;
}

[[noreturn]] void watch(int pipe, const std::string& mark, Containment* containment) {
  // Out of reach of a terminal's Ctrl-C and of a stop of the whole process group, both of which end
  // the program first and this process by the pipe.
  ::setsid();
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) std::signal(number, SIG_IGN);
  ::prctl(PR_SET_NAME, "skerry-guard");
  ::dup2(pipe, 0);
  if (int null = ::open("/dev/null", O_RDWR); null >= 0) {
    ::dup2(null, 1);
    ::dup2(null, 2);
  }
  ::close_range(3, ~0U, 0);
  if (::chdir("/") != 0) ::_exit(1);  // holds no mount
  char byte = 0;
  while (::read(0, &byte, 1) < 0 && errno == EINTR) {
  }
  // One that cannot be killed now (stuck in the kernel) dies when it returns from there.
  while (containment && !containment->end(kLastKillMs)) {
  }
  while (!kill_marked(mark, kLastKillMs)) {
  }
  ::_exit(0);
}

}  // namespace

std::vector<pid_t> marked_processes(const std::string& mark) {
  return scan(mark).pids;
}

void signal_marked(const std::string& mark, int signal) {
  // A pidfd cannot come to mean another process, a pid can: so open them, then look again. And all
  // of them before the first signal, because a child without a mark is known by its living parent
  // only.
  std::vector<std::pair<pid_t, Fd>> found;
  for (pid_t pid : marked_processes(mark)) {
    if (Fd process(::pidfd_open(pid, 0)); process) found.emplace_back(pid, std::move(process));
  }
  if (found.empty()) return;
  const std::vector<pid_t> confirmed = marked_processes(mark);
  for (const auto& [pid, process] : found) {
    if (std::ranges::binary_search(confirmed, pid)) {
      ::pidfd_send_signal(process.get(), signal, nullptr, 0);
    }
  }
}

Result<size_t> kill_marked(const std::string& mark, int64_t timeout_ms) {
  RealClock clock;
  const int64_t deadline = clock.monotonic_ms() + timeout_ms;
  std::set<pid_t> seen;
  int clean = 0, quiet = 0;
  for (int round = 0;; ++round) {
    const Scan now = scan(mark);
    seen.insert(now.pids.begin(), now.pids.end());
    if (now.pids.empty()) {
      // A process may be born behind the scan's back by one that ends in front of it, and one in
      // exec may turn out to have the mark: so one look is not enough. But there is no waiting for
      // ever for a program that erased what it shows.
      if (now.certain && ++clean == kCleanScans) return seen.size();
      if (++quiet == kMaxQuietScans) return seen.size();
      if (!now.certain) ::poll(nullptr, 0, 1);
      continue;
    }
    clean = quiet = 0;
    signal_marked(mark, SIGKILL);
    if (clock.monotonic_ms() > deadline) {
      std::string list;
      for (pid_t pid : now.pids) list += " " + std::to_string(pid);
      return fail(Code::kTimeout, "processes that do not die on SIGKILL:" + list +
                                      "; they wait in the kernel, see /proc/PID/stack");
    }
    // The kernel needs a moment to take them down; the first looks come at once.
    ::poll(nullptr, 0, std::min(round, 50));
  }
}

Result<ProcessGuard> ProcessGuard::start(const std::string& owner) {
  auto made = Containment::make(owner);
  // Also what an earlier run left that could not make groups, or knew of none.
  SKERRY_TRY(kill_marked(owner));
  std::unique_ptr<Containment> containment = made ? std::move(*made) : nullptr;
  Error uncontained = made ? Error(Code::kInternal, "") : made.error();
  const std::string mark = owner + "/" + RealRandom().token(12);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return fail(errno_error("pipe", "of the process guard", errno));
  Fd watched(ends[0]), held(ends[1]);
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
    return fail(errno_error("prctl(PR_SET_CHILD_SUBREAPER)", "of the process guard", errno));
  }
  const pid_t watcher = ::fork();
  if (watcher < 0) return fail(errno_error("fork", "of the process guard", errno));
  if (watcher == 0) {
    held.reset();
    watch(watched.get(), mark, containment.get());
  }
  return ProcessGuard(mark, std::move(containment), std::move(uncontained), watcher,
                      std::move(held));
}

ProcessGuard::ProcessGuard(std::string mark, std::unique_ptr<Containment> containment,
                           Error uncontained, pid_t watcher, Fd pipe)
    : mark_(std::move(mark)),
      containment_(std::move(containment)),
      uncontained_(std::move(uncontained)),
      watcher_(watcher),
      pipe_(std::move(pipe)) {}

ProcessGuard::ProcessGuard(ProcessGuard&& other) noexcept = default;

ProcessGuard::~ProcessGuard() {
  if (!pipe_) return;
  pipe_.reset();
  const Fd process(::pidfd_open(watcher_, 0));
  if (!process) return;  // ended and reaped: somebody killed it
  pollfd ended{process.get(), POLLIN, 0};
  ::poll(&ended, 1, kFarewellMs);
  ::waitpid(watcher_, nullptr, WNOHANG);
}

}  // namespace skerry::io
