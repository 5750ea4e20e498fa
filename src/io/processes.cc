// RealProcesses: a child's output through the loop, its end through its pidfd, and the end of all
// that came from it.
#include "io/processes.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
extern "C" {  // which glibc 2.36 leaves out in this header
#include <sys/pidfd.h>
}

#include <cerrno>
#include <csignal>

#include "io/containment.h"
#include "io/fd.h"
#include "io/process_guard.h"
#include "io/process_launch.h"
#include "io/random.h"

namespace skerry::io {
namespace {

constexpr size_t kMaxLine = 8192;
constexpr size_t kMaxReadPerWake = 64 << 10;  // a chatty child must not starve the others
constexpr int kKillLeftMs = 100;              // for what a child left; normally takes one or two
constexpr int kLastWaitMs = 1000;             // for killed children, when the program ends

}  // namespace

std::string ExitStatus::text() const {
  std::string text =
      signal ? "killed by signal " + std::to_string(signal) : "exit code " + std::to_string(code);
  if (out_of_memory) text += ", after the limit of its memory was reached";
  return text;
}

// One child from fork to the last line of its pipes. Kept alive by the Handle and, until it is
// reaped, by RealProcesses.
class RealProcesses::Child : public std::enable_shared_from_this<Child> {
 public:
  // What finds everything that came from the child: its control group, or the mark.
  struct Tracks {
    std::string mark;
    std::optional<Cgroup> group;
    std::string unit;
    uint64_t out_of_memory_kills = 0;  // of the unit, before
  };
  Child(RealProcesses& owner, pid_t pid, Tracks tracks, ProcessEvents events, Fd pidfd, Fd out,
        Fd err)
      : owner_(owner),
        pid_(pid),
        tracks_(std::move(tracks)),
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
    if (tracks_.group && number == SIGKILL) {
      (void)tracks_.group->kill(0);
    } else if (tracks_.group) {
      tracks_.group->signal(number);
    } else {
      // A process in the middle of exec shows no mark; SIGKILL must not miss it. After the child's
      // end the number of its process group may belong to strangers.
      if (number == SIGKILL && !reaped_) ::kill(-pid_, number);
      signal_marked(tracks_.mark, number);
    }
  }

  Result<void> pause(bool paused) {
    if (tracks_.group) {
      auto frozen = tracks_.group->freeze(paused);
      if (frozen || frozen.error().code() != Code::kNotFound) return frozen;
    }
    signal(paused ? SIGSTOP : SIGCONT);
    return {};
  }

  bool running() const {
    if (!reaped_) return true;
    return tracks_.group ? tracks_.group->populated() : !marked_processes(tracks_.mark).empty();
  }

  // The Handle is gone: no more events, and an end to everything that came from the child.
  void abandon() {
    abandoned_ = true;
    // One that does not die at once waits in the kernel; the guard looks for it again.
    if (tracks_.group) {
      (void)tracks_.group->kill(kKillLeftMs);
      tracks_.group->remove();
    } else {
      if (!reaped_) ::kill(-pid_, SIGKILL);
      (void)kill_marked(tracks_.mark, kKillLeftMs);
    }
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
    std::optional<ExitStatus> status = reap();
    if (!status) return;
    if (!status->ok() && owner_.containment_) {
      status->out_of_memory =
          owner_.containment_->out_of_memory_kills(tracks_.unit) > tracks_.out_of_memory_kills;
    }
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
    ExitStatus status;
    (info.si_code == CLD_EXITED ? status.code : status.signal) = info.si_status;
    return status;
  }

  RealProcesses& owner_;
  const pid_t pid_;
  const Tracks tracks_;
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
  Result<void> pause(bool paused) override { return child_->pause(paused); }
  bool running() override { return child_->running(); }

 private:
  std::shared_ptr<Child> child_;
};

RealProcesses::RealProcesses(Loop& loop, std::string mark, Containment* containment)
    : loop_(loop),
      mark_(mark.empty() ? RealRandom().token(20) : std::move(mark)),
      containment_(containment) {}

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
  Child::Tracks tracks{mark_ + "/" + std::to_string(++started_), {}, spec.unit, 0};
  SKERRY_ASSIGN(Launch launch, prepare_launch(spec, tracks.mark));
  std::vector<Fd> doors;
  if (containment_) {
    SKERRY_ASSIGN(Containment::Seat seat, containment_->seat(spec.unit, spec.limits));
    tracks.group = std::move(seat.group);
    tracks.out_of_memory_kills = containment_->out_of_memory_kills(spec.unit);
    doors = std::move(seat.doors);
    for (const Fd& door : doors) launch.doors.push_back(door.get());
  } else if (!(spec.limits == GroupLimits())) {
    return fail(Code::kUnsupported,
                "start " + spec.argv[0] + ": its limits cannot be set without control groups");
  }
  auto launched = launch_child(spec, launch);
  if (!launched) {
    if (tracks.group) tracks.group->remove();
    return fail(std::move(launched.error()));
  }
  auto child = std::make_shared<Child>(*this, launched->pid, std::move(tracks), std::move(events),
                                       std::move(launched->pidfd), std::move(launched->out),
                                       std::move(launched->err));
  unreaped_.emplace(launched->pid, child);
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
