// poll(2) on the child's pipes, its pidfd and the stop request.
#include "io/blocking_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

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

// What is there, up to a pipe's content; closes `fd` at its end.
void drain(Fd& fd, const std::function<void(std::string_view)>& take) {
  std::array<char, 65536> piece;
  const ssize_t count = ::read(fd.get(), piece.data(), piece.size());
  if (count > 0) return take({piece.data(), static_cast<size_t>(count)});
  if (count == 0 || (errno != EAGAIN && errno != EINTR)) fd.reset();
}

class Run {
 public:
  Run(Launched launched, size_t max_out_bytes)
      : pid_(launched.pid),
        pidfd_(std::move(launched.pidfd)),
        out_(std::move(launched.out)),
        err_(std::move(launched.err)),
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
  SKERRY_ASSIGN(Launch launch, prepare_launch(spec, mark == nullptr ? "" : mark));
  const Fd stopped(::eventfd(0, EFD_CLOEXEC));
  if (!stopped) return fail(errno_error("eventfd", "", errno));
  SKERRY_ASSIGN(Launched launched, launch_child(spec, launch));
  Run run(std::move(launched), max_out_bytes);
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
