// seccomp(2) with a filter that answers EACCES.
#include "serve/trial_sandbox.h"

#include <sys/syscall.h>

#include <array>
#include <cerrno>

#include "io/sandbox.h"

namespace skerry::serve {
namespace {

// abort() needs tgkill, and threads need clone.
constexpr std::array<long, 11> kRefused = {
    __NR_socket,         __NR_connect,           __NR_bind,
    __NR_execve,         __NR_execveat,          __NR_kill,
    __NR_ptrace,         __NR_process_vm_readv,  __NR_process_vm_writev,
    __NR_io_uring_setup, __NR_pidfd_send_signal,
};

}  // namespace

Result<void> enter_trial_sandbox() {
  if (!io::install_filter(io::refuse_calls(kRefused, EACCES)))
    return fail(errno_error("seccomp", "the trial of a model", errno));
  return {};
}

}  // namespace skerry::serve
