// RealProcesses: fork and exec with everything prepared beforehand, output through the loop, the
// end of a child through its pidfd.
#include "io/processes.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
extern "C" {  // which glibc 2.36 leaves out in this header
#include <sys/pidfd.h>
}

#include <cerrno>
#include <csignal>

#include "io/process_guard.h"
#include "io/random.h"

namespace skerry::io {
namespace {

constexpr size_t kMaxLine = 8192;
constexpr size_t kMaxReadPerWake = 64 << 10;  // a chatty child must not starve the others
constexpr int kKillMs = 100;                  // for what a child left; normally takes one or two
constexpr int kLastWaitMs = 1000;             // for killed children, when the program ends

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    reset();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read, write;
};

// Moves a descriptor out of 0 to 2, which become() overwrites and a daemon may have closed.
Fd above_stdio(Fd fd) {
  return fd.get() > 2 ? std::move(fd) : Fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
}

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(errno_error("pipe", "", errno));
  return Pipe{above_stdio(Fd(ends[0])), above_stdio(Fd(ends[1]))};
}

enum class Step : int { kUser, kDirectory, kExec };

// What the child reports when it cannot become the program.
struct Failure {
  Step step;
  int error;
};

// Everything the child needs: between fork and exec it may neither allocate nor take a lock.
struct Launch {
  std::vector<std::string> candidates;  // paths to try
  std::vector<std::string> environment_text;
  std::vector<char*> argv, environment;
  const char* directory = nullptr;
  std::optional<User> user;
  std::vector<gid_t> groups;
  pid_t parent = 0;
  int in = -1, out = -1, err = -1, status = -1;
  sigset_t signals{};
};

[[noreturn]] void give_up(const Launch& launch, Step step) {
  const Failure failure{step, errno};
  [[maybe_unused]] ssize_t ignored = ::write(launch.status, &failure, sizeof failure);
  ::_exit(127);
}

void mark_close_on_exec() {
  if (::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  const long limit = ::sysconf(_SC_OPEN_MAX);  // kernels before 5.11
  for (int fd = 3; fd < limit; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
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
  if (launch.user) {
    // Only root may change groups; another caller may only name itself.
    if (::geteuid() == 0 && ::setgroups(launch.groups.size(), launch.groups.data()) != 0) {
      give_up(launch, Step::kUser);
    }
    if (::setresgid(launch.user->gid, launch.user->gid, launch.user->gid) != 0 ||
        ::setresuid(launch.user->uid, launch.user->uid, launch.user->uid) != 0) {
      give_up(launch, Step::kUser);
    }
  }
  // After the change of user, which clears it. The parent may have died before it was set.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != launch.parent) ::_exit(127);
  if (launch.directory && ::chdir(launch.directory) != 0) give_up(launch, Step::kDirectory);
  int error = ENOENT;
  for (const std::string& path : launch.candidates) {
    ::execve(path.c_str(), launch.argv.data(), launch.environment.data());
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) give_up(launch, Step::kExec);
    if (errno == EACCES) error = EACCES;  // says more than "not found" in a later directory
  }
  errno = error;
  give_up(launch, Step::kExec);
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

Launch prepare(const ProcessSpec& spec, const std::string& mark) {
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
  launch.user = spec.user;
  if (spec.user) launch.groups = groups_of(*spec.user);
  launch.parent = ::getpid();
  return launch;
}

Error start_error(const ProcessSpec& spec, const Failure& failure) {
  const std::string& program = spec.argv[0];
  switch (failure.step) {
    case Step::kUser:
      return errno_error("start " + program + ": change to user",
                         std::to_string(spec.user->uid) + ":" + std::to_string(spec.user->gid),
                         failure.error);
    case Step::kDirectory:
      return errno_error("start " + program + ": enter", spec.working_directory, failure.error);
    case Step::kExec:
      break;
  }
  return errno_error("start", program, failure.error);
}

// Forks with all signals blocked, so that none of the parent's handlers runs in the child.
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
std::optional<Failure> read_failure(int status) {
  Failure failure{};
  ssize_t got = 0;
  while ((got = ::read(status, &failure, sizeof failure)) < 0 && errno == EINTR) {
  }
  if (got != sizeof failure) return std::nullopt;
  return failure;
}

}  // namespace

std::string ExitStatus::text() const {
  return signal ? "killed by signal " + std::to_string(signal)
                : "exit code " + std::to_string(code);
}

// One child from fork to the last line of its pipes. Kept alive by the Handle and, until it is
// reaped, by RealProcesses.
class RealProcesses::Child : public std::enable_shared_from_this<Child> {
 public:
  Child(RealProcesses& owner, pid_t pid, std::string mark, ProcessEvents events, Fd pidfd, Fd out,
        Fd err)
      : owner_(owner),
        pid_(pid),
        mark_(std::move(mark)),
        events_(std::move(events)),
        pidfd_(std::move(pidfd)),
        out_{std::move(out), nullptr, {}, false},
        err_{std::move(err), nullptr, {}, true} {}

  void begin() {
    for (Output* output : {&out_, &err_}) {
      ::fcntl(output->fd.get(), F_SETFL, O_NONBLOCK);
      output->watch = owner_.loop_.watch(output->fd.get());
      await_output(*output);
    }
    exit_watch_ = owner_.loop_.watch(pidfd_.get());
    exit_watch_->when_readable([self = weak_from_this()] {
      if (auto child = self.lock()) child->ended();
    });
  }

  pid_t pid() const { return pid_; }

  void signal(int number) {
    // After its end the number of the group may belong to strangers; the mark never does.
    if (reaped_) {
      signal_marked(mark_, number);
    } else {
      ::kill(-pid_, number);
    }
  }

  bool running() const { return !reaped_ || !marked_processes(mark_).empty(); }

  // The Handle is gone: no more events, and an end to everything that carries the mark.
  void abandon() {
    abandoned_ = true;
    if (!reaped_) ::kill(-pid_, SIGKILL);
    // One that does not die at once waits in the kernel; the guard looks for it again.
    (void)kill_marked(mark_, kKillMs);
    out_.close();
    err_.close();
  }

  void wait_at_exit() {
    pollfd ended{pidfd_.get(), POLLIN, 0};
    ::poll(&ended, 1, kLastWaitMs);
    reap();
  }

 private:
  struct Output {
    Fd fd;
    std::unique_ptr<FdWatch> watch;
    std::string partial;
    bool is_stderr;
    void close() {
      watch.reset();
      fd.reset();
    }
  };

  void await_output(Output& output) {
    output.watch->when_readable([self = weak_from_this(), &output] {
      auto child = self.lock();
      if (!child) return;
      child->read(output, kMaxReadPerWake);
      if (output.watch) child->await_output(output);
    });
  }

  // Reads what is there, at most `limit` bytes; at the end of the pipe closes it.
  void read(Output& output, size_t limit) {
    char buffer[kMaxLine];
    while (limit > 0 && output.fd.get() >= 0) {
      const ssize_t got = ::read(output.fd.get(), buffer, std::min(sizeof buffer, limit));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) {
        flush(output);
        output.close();
        return;
      }
      limit -= static_cast<size_t>(got);
      split(output, std::string_view(buffer, static_cast<size_t>(got)));
    }
  }

  void split(Output& output, std::string_view bytes) {
    while (!bytes.empty() && !abandoned_) {
      const size_t room = kMaxLine - output.partial.size();
      const size_t newline = bytes.find('\n');
      const size_t take = std::min({newline, room, bytes.size()});
      output.partial.append(bytes.substr(0, take));
      bytes.remove_prefix(take);
      if (take == newline) {
        bytes.remove_prefix(1);
        emit(output);
      } else if (output.partial.size() == kMaxLine && !bytes.empty() && bytes[0] != '\n') {
        emit(output);
      }
    }
  }

  void emit(Output& output) {
    const std::string line = std::exchange(output.partial, {});
    if (!abandoned_ && events_.on_line) events_.on_line(line, output.is_stderr);
  }
  void flush(Output& output) {
    if (!output.partial.empty()) emit(output);
  }

  // All that the child itself wrote is in the pipes by now. Something it left running may hold them
  // open and go on writing, so there is no waiting for their end: one pipe's content is the limit.
  void ended() {
    auto keep = shared_from_this();
    const std::optional<ExitStatus> status = reap();
    if (!status) return;
    for (Output* output : {&out_, &err_}) {
      if (output->fd.get() < 0) continue;
      const int capacity = ::fcntl(output->fd.get(), F_GETPIPE_SZ);
      read(*output, capacity > 0 ? static_cast<size_t>(capacity) : kMaxReadPerWake);
      flush(*output);
    }
    if (!abandoned_ && events_.on_exit) events_.on_exit(*status);
  }

  std::optional<ExitStatus> reap() {
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG) != 0 ||
        info.si_pid == 0) {
      return std::nullopt;
    }
    reaped_ = true;
    exit_watch_.reset();
    owner_.unreaped_.erase(pid_);
    if (std::exchange(owner_.adopted_behind_, false)) owner_.reap_adopted();
    if (info.si_code == CLD_EXITED) return ExitStatus{info.si_status, 0};
    return ExitStatus{0, info.si_status};
  }

  RealProcesses& owner_;
  const pid_t pid_;
  const std::string mark_;
  ProcessEvents events_;
  Fd pidfd_;
  std::unique_ptr<FdWatch> exit_watch_;
  Output out_, err_;
  bool reaped_ = false;
  bool abandoned_ = false;
};

class RealProcesses::Handle : public Process {
 public:
  explicit Handle(std::shared_ptr<Child> child) : child_(std::move(child)) {}
  ~Handle() override { child_->abandon(); }
  pid_t pid() const override { return child_->pid(); }
  void signal(int number) override { child_->signal(number); }
  bool running() override { return child_->running(); }

 private:
  std::shared_ptr<Child> child_;
};

RealProcesses::RealProcesses(Loop& loop, std::string mark)
    : loop_(loop), mark_(mark.empty() ? RealRandom().token(20) : std::move(mark)) {}

RealProcesses::~RealProcesses() {
  while (!unreaped_.empty()) {
    auto child = unreaped_.begin()->second;
    child->wait_at_exit();
    unreaped_.erase(child->pid());
  }
}

Result<std::unique_ptr<Process>> RealProcesses::start(const ProcessSpec& spec,
                                                      ProcessEvents events) {
  if (spec.argv.empty())
    return fail(Code::kInvalidArgument, "start a process: no program is named");
  const std::string mark = mark_ + "/" + std::to_string(++started_);
  Launch launch = prepare(spec, mark);
  const Fd null = above_stdio(Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  if (null.get() < 0) return fail(errno_error("open", "/dev/null", errno));
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
  const std::optional<Failure> failure = read_failure(status.read.get());
  if (failure || pidfd.get() < 0) {
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (failure) return fail(start_error(spec, *failure));
    return fail(
        errno_error("start " + spec.argv[0] + ": pidfd_open (needs Linux 5.3)", "", pidfd_error));
  }
  auto child = std::make_shared<Child>(*this, pid, mark, std::move(events), std::move(pidfd),
                                       std::move(out.read), std::move(err.read));
  unreaped_.emplace(pid, child);
  child->begin();
  return std::make_unique<Handle>(std::move(child));
}

void RealProcesses::reap_adopted() {
  while (true) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    // One of our own is reaped when its pidfd reports; the ones behind it in the queue after that.
    adopted_behind_ = unreaped_.contains(info.si_pid);
    if (adopted_behind_) return;
    ::waitid(P_PID, static_cast<id_t>(info.si_pid), &info, WEXITED | WNOHANG);
  }
}

}  // namespace skerry::io
