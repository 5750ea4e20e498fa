// seccomp(2) with a filter that answers EACCES.
#include "serve/trial_sandbox.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <vector>

namespace skerry::serve {
namespace {

#if defined(__x86_64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "name the architecture's AUDIT_ARCH_…"
#endif

// abort() needs tgkill, and threads need clone. Calls of another architecture (32-bit ones) and,
// on x86-64, of x32 are refused as a whole.
constexpr std::array kRefused = {
    __NR_socket,         __NR_connect,           __NR_bind,
    __NR_execve,         __NR_execveat,          __NR_kill,
    __NR_ptrace,         __NR_process_vm_readv,  __NR_process_vm_writev,
    __NR_io_uring_setup, __NR_pidfd_send_signal,
};
constexpr unsigned kX32Bit = 0x40000000;

sock_filter load(size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(offset));
}

}  // namespace

Result<void> enter_trial_sandbox() {
  constexpr unsigned kRefuse = SECCOMP_RET_ERRNO | EACCES;
  std::vector<sock_filter> program = {
      load(offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, kRefuse),
      load(offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, kRefuse),
  };
  for (const long number : kRefused) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, kRefuse));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    return fail(errno_error("seccomp", "the trial of a model", errno));
  }
  return {};
}

}  // namespace skerry::serve
