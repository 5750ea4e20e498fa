// poll(2) on the child's pipes, its pidfd and the stop request.
#include "io/blocking_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>
extern "C" {  // which glibc 2.36 leaves out in this header
#include <sys/pidfd.h>
}

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "io/fd.h"
#include "io/process_guard.h"
#include "io/process_launch.h"

namespace skerry::io {
namespace {

constexpr size_t kMaxErrBytes = 4096;

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(errno_error("pipe", "", errno));
  return Pipe{above_stdio(Fd(ends[0])), above_stdio(Fd(ends[1]))};
}

// What is there, up to a pipe's content; closes `fd` at its end.
void drain(Fd& fd, const std::function<void(std::string_view)>& take) {
  std::array<char, 65536> piece;
  const ssize_t count = ::read(fd.get(), piece.data(), piece.size());
  if (count > 0) return take({piece.data(), static_cast<size_t>(count)});
  if (count == 0 || (errno != EAGAIN && errno != EINTR)) fd.reset();
}

class Run {
 public:
  Run(pid_t pid, Fd pidfd, Fd out, Fd err, size_t max_out_bytes)
      : pid_(pid),
        pidfd_(std::move(pidfd)),
        out_(std::move(out)),
        err_(std::move(err)),
        max_out_bytes_(max_out_bytes) {
    for (const Fd* fd : {&out_, &err_}) ::fcntl(fd->get(), F_SETFL, O_NONBLOCK);
  }

  // False where `stop` came first.
  bool wait(int stop) {
    for (;;) {
      std::array<pollfd, 4> fds = {{{out_.get(), POLLIN, 0},
                                    {err_.get(), POLLIN, 0},
                                    {pidfd_.get(), POLLIN, 0},
                                    {stop, POLLIN, 0}}};
      if (::poll(fds.data(), fds.size(), -1) < 0) continue;  // EINTR
      if (fds[3].revents != 0) return false;
      if (fds[0].revents != 0) read_out();
      if (fds[1].revents != 0) read_err();
      // What it wrote is in the pipes by now; what it left running may hold them for ever.
      if (fds[2].revents != 0) {
        if (out_) read_out();
        if (err_) read_err();
        return true;
      }
    }
  }

  // Ends the session too: whatever the child has started.
  FinishedProcess reap() {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) < 0 && errno == EINTR) {
    }
    FinishedProcess finished{{}, std::move(out_text_), std::move(err_text_)};
    (info.si_code == CLD_EXITED ? finished.status.code : finished.status.signal) = info.si_status;
    return finished;
  }

 private:
  void read_out() {
    drain(out_, [this](std::string_view bytes) {
      out_text_.append(bytes.substr(0, max_out_bytes_ - out_text_.size()));
    });
  }
  void read_err() {
    drain(err_, [this](std::string_view bytes) {
      err_text_.append(bytes);
      if (err_text_.size() > kMaxErrBytes) err_text_.erase(0, err_text_.size() - kMaxErrBytes);
    });
  }

  const pid_t pid_;
  Fd pidfd_, out_, err_;
  const size_t max_out_bytes_;
  std::string out_text_, err_text_;
};

}  // namespace

Result<FinishedProcess> run_process(const ProcessSpec& spec, size_t max_out_bytes,
                                    const std::stop_token& stop) {
  // It belongs to whoever this process belongs to.
  const char* mark = std::getenv(kMarkVariable);
  Launch launch = prepare_launch(spec, mark == nullptr ? "" : mark);
  const Fd null = above_stdio(Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  if (!null) return fail(errno_error("open", "/dev/null", errno));
  const Fd stopped(::eventfd(0, EFD_CLOEXEC));
  if (!stopped) return fail(errno_error("eventfd", "", errno));
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
  out.write.reset();
  err.write.reset();
  Fd pidfd(::pidfd_open(pid, 0));
  const int pidfd_error = errno;
  const auto failure = read_failure(status.read.get());
  const bool has_pidfd = static_cast<bool>(pidfd);
  Run run(pid, std::move(pidfd), std::move(out.read), std::move(err.read), max_out_bytes);
  if (failure || !has_pidfd) {
    run.reap();
    if (failure) return fail(launch_error(spec, *failure));
    return fail(
        errno_error("start " + spec.argv[0] + ": pidfd_open (needs Linux 5.3)", "", pidfd_error));
  }
  const std::stop_callback wake(stop, [&stopped] {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t ignored = ::write(stopped.get(), &one, sizeof one);
  });
  const bool ended = run.wait(stopped.get());
  FinishedProcess finished = run.reap();
  if (!ended) return fail(Code::kCancelled, spec.argv[0] + " was stopped");
  return finished;
}

}  // namespace skerry::io
