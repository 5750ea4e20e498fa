// From fork to exec.
#include "io/process_launch.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
extern "C" {  // which glibc 2.36 leaves out in this header
#include <sys/pidfd.h>
}

#include <algorithm>
#include <cerrno>

#include "io/process_guard.h"

namespace skerry::io {
namespace {

enum class LaunchStep : int { kGroup, kLimits, kTmp, kUser, kDirectory, kSandbox, kExec };

// What the child reports when it cannot become the program.
struct LaunchFailure {
  LaunchStep step;
  int error;
};

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(errno_error("pipe", "", errno));
  return Pipe{above_stdio(Fd(ends[0])), above_stdio(Fd(ends[1]))};
}

[[noreturn]] void give_up(const Launch& launch, LaunchStep step) {
  const LaunchFailure failure{step, errno};
  [[maybe_unused]] ssize_t ignored = ::write(launch.status, &failure, sizeof failure);
  ::_exit(127);
}

void mark_close_on_exec() {
  if (::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  const long limit = ::sysconf(_SC_OPEN_MAX);  // kernels before 5.11
  for (int fd = 3; fd < limit; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

// Into its control groups, from where there is no way out without privilege, and under its limits.
void enter(const Launch& launch) {
  for (int door : launch.doors) {
    if (::write(door, "0", 1) != 1) give_up(launch, LaunchStep::kGroup);
  }
  for (const auto& [which, limit] : launch.limits) {
    if (::setrlimit(static_cast<__rlimit_resource_t>(which), &limit) != 0) {
      give_up(launch, LaunchStep::kLimits);
    }
  }
  if (!launch.oom_score.empty()) {
    // The parent's may be so low that only root may raise it again; then it stays.
    const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY);
    [[maybe_unused]] ssize_t ignored =
        ::write(fd, launch.oom_score.data(), launch.oom_score.size());
    if (fd >= 0) ::close(fd);
  }
}

void go_to_directory(const Launch& launch) {
  if (launch.directory && ::chdir(launch.directory) != 0) give_up(launch, LaunchStep::kDirectory);
}

// The child, up to exec. Async-signal-safe calls only.
[[noreturn]] void become(const Launch& launch) {
  ::setsid();
  // The parent's handlers would write into the parent's pipes; and what it ignores (SIGPIPE) the
  // program should not.
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &launch.signals, nullptr);
  ::dup2(launch.in, 0);
  ::dup2(launch.out, 1);
  ::dup2(launch.err, 2);
  mark_close_on_exec();
  enter(launch);
  if (launch.sandbox && !enter_own_tmp(*launch.sandbox)) give_up(launch, LaunchStep::kTmp);
  if (launch.enters_as_caller) go_to_directory(launch);
  if (launch.user) {
    // Only root may change groups; another caller may only name itself.
    if (::geteuid() == 0 && ::setgroups(launch.groups.size(), launch.groups.data()) != 0) {
      give_up(launch, LaunchStep::kUser);
    }
    if (::setresgid(launch.user->gid, launch.user->gid, launch.user->gid) != 0 ||
        ::setresuid(launch.user->uid, launch.user->uid, launch.user->uid) != 0) {
      give_up(launch, LaunchStep::kUser);
    }
  }
  if (launch.no_new_privileges) ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // After the change of user, which clears it. The parent may have died before it was set.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != launch.parent) ::_exit(127);
  if (!launch.enters_as_caller) go_to_directory(launch);
  if (launch.sandbox && !enter_sandbox(*launch.sandbox)) give_up(launch, LaunchStep::kSandbox);
  int error = ENOENT;
  for (const std::string& path : launch.candidates) {
    ::execve(path.c_str(), launch.argv.data(), launch.environment.data());
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) give_up(launch, LaunchStep::kExec);
    if (errno == EACCES) error = EACCES;  // says more than "not found" in a later directory
  }
  errno = error;
  give_up(launch, LaunchStep::kExec);
}

std::vector<std::string> program_paths(const ProcessSpec& spec) {
  const std::string& program = spec.argv[0];
  if (program.find('/') != std::string::npos) return {program};
  std::string_view path = "/usr/local/bin:/usr/bin:/bin";
  for (const auto& [name, value] : spec.environment) {
    if (name == "PATH") path = value;
  }
  std::vector<std::string> paths;
  while (true) {
    const size_t colon = path.find(':');
    const std::string_view directory = path.substr(0, colon);
    if (!directory.empty()) paths.push_back(std::string(directory) + "/" + program);
    if (colon == std::string_view::npos) return paths;
    path.remove_prefix(colon + 1);
  }
}

// All groups of the user database; only its main one for a number that has no name.
std::vector<gid_t> groups_of(const User& user) {
  passwd entry{};
  passwd* found = nullptr;
  std::string buffer(16 << 10, '\0');
  if (::getpwuid_r(user.uid, &entry, buffer.data(), buffer.size(), &found) != 0 || !found) {
    return {user.gid};
  }
  int count = 64;
  std::vector<gid_t> groups(static_cast<size_t>(count));
  if (::getgrouplist(found->pw_name, user.gid, groups.data(), &count) < 0) {
    groups.resize(static_cast<size_t>(count));
    ::getgrouplist(found->pw_name, user.gid, groups.data(), &count);
  }
  groups.resize(static_cast<size_t>(count));
  return groups;
}

// No limit can be raised above the caller's own without privilege, nor has to be.
std::vector<std::pair<int, rlimit>> limits_of(const ProcessSpec& spec) {
  std::vector<std::pair<int, rlimit>> limits;
  for (const auto& [which, soft, hard] : spec.resource_limits) {
    rlimit own{};
    if (::getrlimit(static_cast<__rlimit_resource_t>(which), &own) != 0) continue;
    const rlim_t highest = std::min<rlim_t>(hard, own.rlim_max);
    limits.emplace_back(which, rlimit{std::min<rlim_t>(soft, highest), highest});
  }
  return limits;
}

Error launch_error(const ProcessSpec& spec, const LaunchFailure& failure) {
  const std::string& program = spec.argv[0];
  switch (failure.step) {
    case LaunchStep::kUser:
      return errno_error("start " + program + ": change to user",
                         std::to_string(spec.user->uid) + ":" + std::to_string(spec.user->gid),
                         failure.error);
    case LaunchStep::kDirectory:
      return errno_error("start " + program + ": enter", spec.working_directory, failure.error);
    case LaunchStep::kGroup:
      return errno_error("start " + program + ": enter its control group", "", failure.error);
    case LaunchStep::kLimits:
      return errno_error("start " + program + ": limit its resources", "", failure.error);
    case LaunchStep::kTmp:
      return errno_error("start " + program + ": give it as its /tmp",
                         spec.sandbox->temporary_folder, failure.error);
    case LaunchStep::kSandbox:
      return errno_error("start " + program + ": enter its sandbox", "", failure.error);
    case LaunchStep::kExec:
      break;
  }
  return errno_error("start", program, failure.error);
}

// With all signals blocked, so that none of the parent's handlers runs in the child.
pid_t fork_into(Launch& launch) {
  sigset_t all;
  ::sigfillset(&all);
  ::sigemptyset(&launch.signals);
  sigset_t before;
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) become(launch);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

// Waits until the child has become its program; nothing when it has.
std::optional<LaunchFailure> read_failure(int status) {
  LaunchFailure failure{};
  ssize_t got = 0;
  while ((got = ::read(status, &failure, sizeof failure)) < 0 && errno == EINTR) {
  }
  if (got != sizeof failure) return std::nullopt;
  return failure;
}

}  // namespace

Result<Launch> prepare_launch(const ProcessSpec& spec, const std::string& mark) {
  Launch launch;
  launch.candidates = program_paths(spec);
  for (const auto& [name, value] : spec.environment) {
    if (name != kMarkVariable) launch.environment_text.push_back(name + "=" + value);
  }
  launch.environment_text.push_back(std::string(kMarkVariable) + "=" + mark);
  for (std::string& text : launch.environment_text) launch.environment.push_back(text.data());
  launch.environment.push_back(nullptr);
  for (const std::string& argument : spec.argv) {
    launch.argv.push_back(const_cast<char*>(argument.c_str()));  // execve does not write to it
  }
  launch.argv.push_back(nullptr);
  if (!spec.working_directory.empty()) launch.directory = spec.working_directory.c_str();
  launch.enters_as_caller = spec.enters_as_caller;
  launch.user = spec.user;
  if (spec.user) launch.groups = groups_of(*spec.user);
  launch.limits = limits_of(spec);
  if (spec.oom_score) launch.oom_score = std::to_string(*spec.oom_score);
  launch.no_new_privileges = spec.no_new_privileges || spec.sandbox;
  if (spec.sandbox) {
    SKERRY_ASSIGN(launch.sandbox, prepare_sandbox(*spec.sandbox));
  }
  launch.parent = ::getpid();
  return launch;
}

Result<Launched> launch_child(const ProcessSpec& spec, Launch& launch) {
  const Fd null = above_stdio(Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  if (!null) return fail(errno_error("open", "/dev/null", errno));
  SKERRY_ASSIGN(Pipe out, make_pipe());
  SKERRY_ASSIGN(Pipe err, make_pipe());
  SKERRY_ASSIGN(Pipe status, make_pipe());
  launch.in = null.get();
  launch.out = out.write.get();
  launch.err = err.write.get();
  launch.status = status.write.get();

  const pid_t pid = fork_into(launch);
  if (pid < 0) return fail(errno_error("start " + spec.argv[0] + ": fork", "", errno));
  status.write.reset();
  // Nobody else waits for this child, so the number is still its own.
  Fd pidfd(::pidfd_open(pid, 0));
  const int pidfd_error = errno;
  const std::optional<LaunchFailure> failure = read_failure(status.read.get());
  if (!failure && pidfd)
    return Launched{pid, std::move(pidfd), std::move(out.read), std::move(err.read)};
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (failure) return fail(launch_error(spec, *failure));
  return fail(
      errno_error("start " + spec.argv[0] + ": pidfd_open (needs Linux 5.3)", "", pidfd_error));
}

}  // namespace skerry::io
